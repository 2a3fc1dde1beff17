// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Strategy} from "./Strategy.sol";

/// @title One rollup's part of a vault: ether that a curator puts to work.
/// @notice Only what an allocation needs; nothing is paid back.
contract Vault {
    /// @notice Who decides where the ether goes.
    address public curator;
    /// @notice Wei that strategies hold for the vault.
    uint256 public allocated;

    /// @notice Ether went to a strategy.
    event Allocated(Strategy indexed strategy, uint256 amount);

    /// @notice The caller is not the curator.
    error NotCurator(address caller);
    /// @notice The vault has less idle ether than it would give away.
    error InsufficientIdle(uint256 available, uint256 needed);

    /// @param curator_ Who decides where the ether goes.
    constructor(address curator_) payable {
        curator = curator_;
    }

    /// @notice Puts idle ether into a strategy.
    /// @param strategy Where it goes.
    /// @param amount Wei.
    function allocate(Strategy strategy, uint256 amount) external {
        if (msg.sender != curator) revert NotCurator(msg.sender);
        uint256 idle = address(this).balance;
        if (idle < amount) revert InsufficientIdle(idle, amount);
        allocated += amount;
        emit Allocated(strategy, amount);
        strategy.deposit{value: amount}();
    }
}
