//! `fairveil rollup follow`: the batches of a rollup, verified one after the other and kept.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use fairveil_client::{
    PinnedNetwork,
    file::File,
    rollup::{
        Accepted, Checkpoint, Claim, Rejection, RollupFollower,
        stream::{End, Told, follow},
    },
};
use fairveil_crypto::Height;
use fairveil_release::{document::BatchDocument, fraud::FraudProof};
use serde_json::json;

use crate::{
    cli::{self, exit},
    command::{
        disk::{self, Readers},
        error::CommandError,
        network as reach,
    },
};

/// The longest state file in bytes.
const MAX_STATE_BYTES: usize = 64 << 10;
/// The most fraud proofs of one height that are kept.
const MAX_FRAUDS: u32 = 1_000;

/// What is written where, and what was seen.
struct Keeper<'a> {
    out: &'a Path,
    state: PathBuf,
    chain_id: u64,
    json: bool,
    /// Batches still wanted, if that is limited.
    wanted: Option<u64>,
    refused: u64,
}

/// Follows until it is stopped, or for as many batches as are wanted.
pub(super) fn run(args: &cli::Follow, json: bool) -> Result<u8, CommandError> {
    let (network, endpoints) = reach::reached(&args.network)?;
    std::fs::create_dir_all(&args.out).map_err(|error| CommandError::file(&args.out, &error))?;
    let default = || args.out.join(format!("{}.state.json", args.chain));
    let state = args.state.clone().unwrap_or_else(default);
    let mut follower = follower(network, args, &state)?;
    let mut keeper = Keeper {
        out: &args.out,
        state,
        chain_id: args.chain,
        json,
        wanted: args.count,
        refused: 0,
    };
    let following = follow(&mut follower, &endpoints, |told| keeper.told(&told));
    match reach::run(following)?? {
        End::Stopped if keeper.refused == 0 => Ok(exit::OK),
        End::Stopped => Ok(exit::CHECK),
        End::Distrusted => {
            Err(CommandError::Check("every sequencer served something that was refused".into()))
        }
        End::Unreachable => {
            Err(CommandError::Unreachable("no sequencer streams the rollup's batches".into()))
        }
    }
}

/// The follower where its state says, or from the wanted height on.
fn follower(
    network: PinnedNetwork,
    args: &cli::Follow,
    state: &Path,
) -> Result<RollupFollower, CommandError> {
    let usage = |error: &dyn std::fmt::Display| CommandError::file(state, error);
    if !state.exists() {
        let from = Height::new(args.from.unwrap_or(1));
        return RollupFollower::new(network, args.chain, from)
            .map_err(|error| CommandError::Check(error.to_string()));
    }
    let bytes = disk::read(state, MAX_STATE_BYTES)?;
    let checkpoint: Checkpoint = serde_json::from_slice(&bytes).map_err(|error| usage(&error))?;
    let next = checkpoint.cursor.next;
    if let Some(from) = args.from.filter(|from| *from != next.get()) {
        let why = format!(
            "it goes on at height {next}, --from is {from}: leave --from out, or name another state"
        );
        return Err(usage(&why));
    }
    RollupFollower::resumed(network, args.chain, &checkpoint).map_err(|error| usage(&error))
}

impl Keeper<'_> {
    fn told(&mut self, told: &Told<'_>) -> Result<ControlFlow<()>, CommandError> {
        match told {
            Told::Accepted { url, document, accepted, checkpoint } => {
                self.keep(document, checkpoint)?;
                self.show(url, document, accepted);
                self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(1));
                if self.wanted == Some(0) {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Told::Refused { url, document, reason, fraud } => {
                self.refused += 1;
                self.accuse(url, document, reason, *fraud)?;
            }
            Told::Left { url, why } if self.json => {
                println!("{}", json!({ "event": "left", "sequencer": url, "why": why }));
            }
            Told::Left { url, why } => eprintln!("fairveil: left {url}: {why}"),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The document first: after a crash in between it is written again, never missed.
    fn keep(&self, document: &BatchDocument, at: &Checkpoint) -> Result<(), CommandError> {
        let name = format!("{}-{:010}.json", self.chain_id, document.release.height.get());
        let text = File::Batch(Box::new(document.clone())).to_json();
        disk::write(&self.out.join(name), text.as_bytes(), Readers::All)?;
        let state = serde_json::to_vec_pretty(at)
            .map_err(|error| CommandError::file(&self.state, &error))?;
        disk::write(&self.state, &state, Readers::All)
    }

    fn show(&self, url: &str, document: &BatchDocument, accepted: &Accepted<'_>) {
        let Accepted { batch, claim } = accepted;
        let (height, slot) = (document.release.height, batch.slot);
        let (bundles, transactions) = (batch.bundles().count(), batch.transactions().count());
        if self.json {
            let line = json!({
                "event": "accepted", "sequencer": url, "chain_id": batch.chain_id,
                "height": height, "slot": slot, "bundles": bundles, "transactions": transactions,
                "validation": claim.word(),
            });
            println!("{line}");
            return;
        }
        println!(
            "height {height}, slot {slot}: {bundles} bundles, {transactions} transactions, {}",
            claim.word()
        );
        if let Claim::Unproven { registry } = claim {
            eprintln!(
                "fairveil: height {height}: how the legs were checked is not proven: the release is \
                 by registry {registry}, which is not the definition's, or others feed the rollup too"
            );
        }
    }

    /// Says who served what was refused, and keeps the fraud proof if there is one.
    fn accuse(
        &self,
        url: &str,
        document: &BatchDocument,
        reason: &Rejection,
        fraud: Option<&FraudProof>,
    ) -> Result<(), CommandError> {
        let height = document.batch.height;
        let path = match fraud {
            Some(proof) => {
                let path = self.free_path(height)?;
                let text = File::Fraud(Box::new(proof.clone())).to_json();
                disk::write_new(&path, text.as_bytes(), Readers::All)?;
                Some(path)
            }
            None => None,
        };
        if self.json {
            let line = json!({
                "event": "refused", "sequencer": url, "height": height, "code": reason.code(),
                "reason": reason.to_string(), "fraud": path,
            });
            println!("{line}");
            return Ok(());
        }
        match path {
            Some(path) => eprintln!(
                "fairveil: FALSE BATCH from {url}, height {height}: {reason}; fraud proof in {}",
                path.display()
            ),
            None => eprintln!("fairveil: refused from {url}, height {height}: {reason}"),
        }
        Ok(())
    }

    fn free_path(&self, height: Height) -> Result<PathBuf, CommandError> {
        let name = |number| format!("fraud-{}-{:010}-{number}.json", self.chain_id, height.get());
        let mut paths = (1..=MAX_FRAUDS).map(|number| self.out.join(name(number)));
        paths.find(|path| !path.exists()).ok_or_else(|| {
            let why = format!("{MAX_FRAUDS} fraud proofs of height {height} are here already");
            CommandError::file(self.out, &why)
        })
    }
}
