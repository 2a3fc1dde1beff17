//! A stablecoin is burned on one rollup and minted on another, by the operator of its bridge.

use alloy_primitives::{Address, U256, address};

use crate::accounts::{ALICE, OPERATOR};
use crate::contract::{Contract, word};
use crate::genesis::Genesis;
use crate::leg::Call;
use crate::scenario::{ExampleError, File, ROLLUPS};

/// The folder.
pub const FOLDER: &str = "burn-and-mint";
/// The stablecoin, on both rollups.
pub const COIN: Address = address!("c000000000000000000000000000000000000001");
/// The rollup where coins are burned, and the one where they are minted.
pub const CHAINS: [u64; 2] = [ROLLUPS[0], ROLLUPS[1]];

/// A coin in its units: it has six decimals.
pub const WHOLE_COIN: u64 = 1_000_000;
/// Units that exist on each rollup at first.
pub const SUPPLY: [u64; 2] = [5_000 * WHOLE_COIN, 2_000 * WHOLE_COIN];
/// Units that the operator has on the first rollup.
pub const FLOAT: u64 = 1_000 * WHOLE_COIN;
/// Units that are burned and minted.
pub const MOVED: u64 = 400 * WHOLE_COIN;
/// Units of the failing variant: more than there are to burn.
pub const TOO_MANY: u64 = 1_200 * WHOLE_COIN;

/// The scenario's files.
pub fn files() -> Result<Vec<File>, ExampleError> {
    let failing = format!("{FOLDER}/failing");
    Ok(vec![
        File::genesis(FOLDER, CHAINS[0], &genesis(SUPPLY[0], FLOAT)?)?,
        File::genesis(FOLDER, CHAINS[1], &genesis(SUPPLY[1], 0)?)?,
        File::leg(FOLDER, CHAINS[0], &[burn(MOVED)?])?,
        File::leg(FOLDER, CHAINS[1], &[mint(MOVED)?])?,
        File::leg(&failing, CHAINS[0], &[burn(TOO_MANY)?])?,
        File::leg(&failing, CHAINS[1], &[mint(TOO_MANY)?])?,
    ])
}

fn genesis(supply: u64, float: u64) -> Result<Genesis, ExampleError> {
    let token = Contract::token()?;
    let mut storage = vec![
        (token.slot("totalSupply")?, U256::from(supply)),
        (token.slot("minter")?, word(OPERATOR.address)),
    ];
    if float > 0 {
        storage.push((token.entry("balanceOf", OPERATOR.address)?, U256::from(float)));
    }
    // Somebody else, who never acts, has the rest.
    let others = U256::from(supply - float);
    storage.push((token.entry("balanceOf", Address::repeat_byte(0x0e))?, others));
    Ok(Genesis::default().with_signer(OPERATOR, 0).with_contract(COIN, &token, 0, &storage))
}

fn burn(units: u64) -> Result<Call, ExampleError> {
    Ok(Call {
        from: OPERATOR,
        nonce: 0,
        to: COIN,
        input: Contract::token()?.call("burn(uint256)", &[U256::from(units)])?,
        says: format!("burn {units} units of its own"),
    })
}

fn mint(units: u64) -> Result<Call, ExampleError> {
    let arguments = [word(ALICE.address), U256::from(units)];
    Ok(Call {
        from: OPERATOR,
        nonce: 0,
        to: COIN,
        input: Contract::token()?.call("mint(address,uint256)", &arguments)?,
        says: format!("mint {units} units for alice"),
    })
}
