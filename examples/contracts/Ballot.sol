// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title One rollup's ballot on one proposal.
/// @notice Every member votes once, with the weight that it has on this rollup.
contract Ballot {
    /// @notice Weight in favour.
    uint256 public yes;
    /// @notice Weight against.
    uint256 public no;
    /// @notice A member's weight; nobody else has any.
    mapping(address member => uint256 weight) public weightOf;
    /// @notice Whether a member's vote was counted.
    mapping(address member => bool voted) public hasVoted;

    /// @notice A vote was counted.
    event Voted(address indexed member, bool support, uint256 weight);

    /// @notice The caller has no weight here.
    error NotMember(address caller);
    /// @notice The caller's vote was counted before.
    error AlreadyVoted(address member);

    /// @param members Who may vote.
    /// @param weights Their weights, in the same order.
    constructor(address[] memory members, uint256[] memory weights) {
        for (uint256 i = 0; i < members.length; i++) {
            weightOf[members[i]] = weights[i];
        }
    }

    /// @notice Votes.
    /// @param support In favour, or against.
    function vote(bool support) external {
        uint256 weight = weightOf[msg.sender];
        if (weight == 0) revert NotMember(msg.sender);
        if (hasVoted[msg.sender]) revert AlreadyVoted(msg.sender);
        hasVoted[msg.sender] = true;
        if (support) yes += weight;
        else no += weight;
        emit Voted(msg.sender, support, weight);
    }
}
