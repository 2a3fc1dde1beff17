// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title A strategy that takes ether up to a cap.
/// @notice What it earns with it is its own business, and no part of the example.
contract Strategy {
    /// @notice The most wei that it holds.
    uint256 public cap;
    /// @notice The wei that it holds.
    uint256 public deposits;
    /// @notice The wei that it holds for one depositor.
    mapping(address depositor => uint256 amount) public depositOf;

    /// @notice Ether came in.
    event Deposited(address indexed depositor, uint256 amount);

    /// @notice There is less room below the cap than the deposit needs.
    error CapReached(uint256 room, uint256 needed);

    /// @param cap_ The most wei that it holds.
    constructor(uint256 cap_) {
        cap = cap_;
    }

    /// @notice Takes the ether that comes with the call.
    function deposit() external payable {
        uint256 room = cap - deposits;
        if (room < msg.value) revert CapReached(room, msg.value);
        deposits += msg.value;
        depositOf[msg.sender] += msg.value;
        emit Deposited(msg.sender, msg.value);
    }
}
