//! A vote on one proposal, counted on three rollups, sealed until one height.

use alloy_primitives::{Address, U256, address};

use crate::accounts::{ALICE, Account, BOB};
use crate::contract::Contract;
use crate::genesis::Genesis;
use crate::leg::Call;
use crate::scenario::{ExampleError, File, ROLLUPS};

/// The folder.
pub const FOLDER: &str = "vote";
/// The ballot, on every rollup.
pub const BALLOT: Address = address!("c000000000000000000000000000000000000004");
/// Alice's weight on each rollup.
pub const ALICE_WEIGHT: [u64; 3] = [40, 25, 10];
/// Bob's weight on each rollup.
pub const BOB_WEIGHT: [u64; 3] = [15, 30, 12];

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Yes,
    No,
}

/// The scenario's files.
pub fn files() -> Result<Vec<File>, ExampleError> {
    let (bob, failing) = (format!("{FOLDER}/bob"), format!("{FOLDER}/failing"));
    let yes = vote(ALICE, 0, Choice::Yes)?;
    let twice = [yes.clone(), vote(ALICE, 1, Choice::Yes)?];
    let mut files = Vec::new();
    for (at, chain_id) in ROLLUPS.into_iter().enumerate() {
        files.push(File::genesis(FOLDER, chain_id, &genesis(at)?)?);
        files.push(File::leg(FOLDER, chain_id, std::slice::from_ref(&yes))?);
        files.push(File::leg(&bob, chain_id, &[vote(BOB, 0, Choice::No)?])?);
        // On the last rollup she tries it twice.
        let votes = if chain_id == ROLLUPS[2] { &twice[..] } else { &twice[..1] };
        files.push(File::leg(&failing, chain_id, votes)?);
    }
    Ok(files)
}

fn genesis(at: usize) -> Result<Genesis, ExampleError> {
    let ballot = Contract::ballot()?;
    let storage = [
        (ballot.entry("weightOf", ALICE.address)?, U256::from(ALICE_WEIGHT[at])),
        (ballot.entry("weightOf", BOB.address)?, U256::from(BOB_WEIGHT[at])),
    ];
    let signers = Genesis::default().with_signer(ALICE, 0).with_signer(BOB, 0);
    Ok(signers.with_contract(BALLOT, &ballot, 0, &storage))
}

fn vote(from: Account, nonce: u64, choice: Choice) -> Result<Call, ExampleError> {
    let (support, says) = match choice {
        Choice::Yes => (U256::ONE, "vote yes"),
        Choice::No => (U256::ZERO, "vote no"),
    };
    let input = Contract::ballot()?.call("vote(bool)", &[support])?;
    Ok(Call { from, nonce, to: BALLOT, input, says: says.to_owned() })
}
