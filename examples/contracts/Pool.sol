// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// @title A constant-product market of gold for dollars.
/// @notice The product of the reserves never falls; three thousandths of what comes in are the fee.
contract Pool {
    /// @notice What gold is paid with.
    Token public dollars;
    /// @notice What is bought and sold.
    Token public gold;
    /// @notice Units of dollars in the pool.
    uint256 public dollarReserve;
    /// @notice Units of gold in the pool.
    uint256 public goldReserve;

    uint256 private constant WHOLE = 1000;
    uint256 private constant AFTER_FEE = 997;

    /// @notice Somebody bought gold.
    event Bought(address indexed trader, uint256 goldOut, uint256 dollarsIn);
    /// @notice Somebody sold gold.
    event Sold(address indexed trader, uint256 goldIn, uint256 dollarsOut);

    /// @notice The purchase costs more than the trader would pay.
    error TooExpensive(uint256 price, uint256 limit);
    /// @notice The sale brings less than the trader would take.
    error TooCheap(uint256 price, uint256 limit);

    /// @param dollars_ What gold is paid with.
    /// @param gold_ What is bought and sold.
    constructor(Token dollars_, Token gold_) {
        dollars = dollars_;
        gold = gold_;
    }

    /// @notice Buys exactly so much gold; the pool takes its price from the caller's allowance.
    /// @param goldOut Units of gold.
    /// @param maxDollarsIn The most that the caller pays.
    /// @return dollarsIn What the caller paid.
    function buy(uint256 goldOut, uint256 maxDollarsIn) external returns (uint256 dollarsIn) {
        dollarsIn = dollarReserve * goldOut * WHOLE / ((goldReserve - goldOut) * AFTER_FEE) + 1;
        if (dollarsIn > maxDollarsIn) revert TooExpensive(dollarsIn, maxDollarsIn);
        dollarReserve += dollarsIn;
        goldReserve -= goldOut;
        emit Bought(msg.sender, goldOut, dollarsIn);
        dollars.transferFrom(msg.sender, address(this), dollarsIn);
        gold.transfer(msg.sender, goldOut);
    }

    /// @notice Sells exactly so much gold, which the pool takes from the caller's allowance.
    /// @param goldIn Units of gold.
    /// @param minDollarsOut The least that the caller takes.
    /// @return dollarsOut What the caller got.
    function sell(uint256 goldIn, uint256 minDollarsOut) external returns (uint256 dollarsOut) {
        uint256 charged = goldIn * AFTER_FEE;
        dollarsOut = charged * dollarReserve / (goldReserve * WHOLE + charged);
        if (dollarsOut < minDollarsOut) revert TooCheap(dollarsOut, minDollarsOut);
        dollarReserve -= dollarsOut;
        goldReserve += goldIn;
        emit Sold(msg.sender, goldIn, dollarsOut);
        gold.transferFrom(msg.sender, address(this), goldIn);
        dollars.transfer(msg.sender, dollarsOut);
    }
}
