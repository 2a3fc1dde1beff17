// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title A token that one account may mint and everybody may burn.
/// @notice The part of ERC-20 that the examples need, and a role for a bridge's operator.
contract Token {
    /// @notice All units that exist on this rollup.
    uint256 public totalSupply;
    /// @notice The account that may mint.
    address public minter;
    /// @notice Units of an account.
    mapping(address holder => uint256 units) public balanceOf;
    /// @notice Units of a holder that a spender may move.
    mapping(address holder => mapping(address spender => uint256 units)) public allowance;

    /// @notice Units moved; from nobody when they were minted, to nobody when they were burned.
    event Transfer(address indexed from, address indexed to, uint256 units);
    /// @notice A spender may move up to so many units of a holder.
    event Approval(address indexed holder, address indexed spender, uint256 units);

    /// @notice The account has fewer units than it would give away.
    error InsufficientBalance(uint256 available, uint256 needed);
    /// @notice The spender may move fewer units than it tries to.
    error InsufficientAllowance(uint256 available, uint256 needed);
    /// @notice The caller may not mint.
    error NotMinter(address caller);

    /// @param minter_ The account that may mint.
    constructor(address minter_) {
        minter = minter_;
    }

    /// @notice Creates units.
    /// @param to Who gets them.
    /// @param units How many.
    function mint(address to, uint256 units) external {
        if (msg.sender != minter) revert NotMinter(msg.sender);
        totalSupply += units;
        balanceOf[to] += units;
        emit Transfer(address(0), to, units);
    }

    /// @notice Destroys units of the caller.
    /// @param units How many.
    function burn(uint256 units) external {
        _take(msg.sender, units);
        totalSupply -= units;
        emit Transfer(msg.sender, address(0), units);
    }

    /// @notice Moves units of the caller.
    /// @param to Who gets them.
    /// @param units How many.
    function transfer(address to, uint256 units) external returns (bool) {
        _move(msg.sender, to, units);
        return true;
    }

    /// @notice Lets a spender move units of the caller.
    /// @param spender Who may move them.
    /// @param units How many; replaces what was allowed before.
    function approve(address spender, uint256 units) external returns (bool) {
        allowance[msg.sender][spender] = units;
        emit Approval(msg.sender, spender, units);
        return true;
    }

    /// @notice Moves units of a holder who allowed it.
    /// @param from The holder.
    /// @param to Who gets them.
    /// @param units How many.
    function transferFrom(address from, address to, uint256 units) external returns (bool) {
        uint256 available = allowance[from][msg.sender];
        if (available < units) revert InsufficientAllowance(available, units);
        allowance[from][msg.sender] = available - units;
        _move(from, to, units);
        return true;
    }

    function _move(address from, address to, uint256 units) private {
        _take(from, units);
        balanceOf[to] += units;
        emit Transfer(from, to, units);
    }

    function _take(address from, uint256 units) private {
        uint256 available = balanceOf[from];
        if (available < units) revert InsufficientBalance(available, units);
        balanceOf[from] = available - units;
    }
}
