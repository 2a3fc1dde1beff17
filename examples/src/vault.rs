//! A vault with a part on each of three rollups puts ether into a strategy on each.

use alloy_primitives::{Address, U256, address};

use crate::accounts::CURATOR;
use crate::contract::{Contract, word};
use crate::genesis::{ETHER, Genesis};
use crate::leg::Call;
use crate::scenario::{ExampleError, File, ROLLUPS};

/// The folder.
pub const FOLDER: &str = "vault";
/// The vault's part, on every rollup.
pub const VAULT: Address = address!("c000000000000000000000000000000000000002");
/// The strategy, on every rollup.
pub const STRATEGY: Address = address!("c000000000000000000000000000000000000003");

/// Wei that the vault holds on each rollup at first; all of them fit a `u64`.
pub const IDLE: [u64; 3] = [8 * ETHER, 6 * ETHER, 4 * ETHER];
/// The most wei that each strategy holds.
pub const CAP: [u64; 3] = [18 * ETHER, 12 * ETHER, 6 * ETHER];
/// Wei of others that each strategy holds at first.
pub const DEPOSITS: [u64; 3] = [10 * ETHER, 5 * ETHER, 4 * ETHER];
/// Wei that go to the strategies: half, three tenths and a fifth of ten ether.
pub const ALLOCATION: [u64; 3] = [5 * ETHER, 3 * ETHER, 2 * ETHER];
/// The same shares of fifteen ether: on the third rollup one ether more than there is room for.
pub const TOO_LARGE: [u64; 3] = [ETHER / 2 * 15, ETHER / 2 * 9, 3 * ETHER];

/// The scenario's files.
pub fn files() -> Result<Vec<File>, ExampleError> {
    let failing = format!("{FOLDER}/failing");
    let mut files = Vec::new();
    for (at, chain_id) in ROLLUPS.into_iter().enumerate() {
        files.push(File::genesis(FOLDER, chain_id, &genesis(at)?)?);
        files.push(File::leg(FOLDER, chain_id, &[allocate(ALLOCATION[at])?])?);
        files.push(File::leg(&failing, chain_id, &[allocate(TOO_LARGE[at])?])?);
    }
    Ok(files)
}

fn genesis(at: usize) -> Result<Genesis, ExampleError> {
    let (vault, strategy) = (Contract::vault()?, Contract::strategy()?);
    let curator = [(vault.slot("curator")?, word(CURATOR.address))];
    let others = Address::repeat_byte(0x0e);
    let storage = [
        (strategy.slot("cap")?, U256::from(CAP[at])),
        (strategy.slot("deposits")?, U256::from(DEPOSITS[at])),
        (strategy.entry("depositOf", others)?, U256::from(DEPOSITS[at])),
    ];
    Ok(Genesis::default()
        .with_signer(CURATOR, 0)
        .with_contract(VAULT, &vault, IDLE[at], &curator)
        .with_contract(STRATEGY, &strategy, DEPOSITS[at], &storage))
}

fn allocate(amount: u64) -> Result<Call, ExampleError> {
    let arguments = [word(STRATEGY), U256::from(amount)];
    Ok(Call {
        from: CURATOR,
        nonce: 0,
        to: VAULT,
        input: Contract::vault()?.call("allocate(address,uint256)", &arguments)?,
        says: format!("allocate {amount} wei to the strategy"),
    })
}
