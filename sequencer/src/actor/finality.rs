//! A block is final: what follows from it, and the transaction that commits it.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::{Block, host::BundleFacts, state::BlockOutput};
use fairveil_crypto::{
    Digest, Height, SequencerIndex,
    certificate::{FinalOrder, OrderCertificate},
    encoding,
};
use fairveil_mempool::pool::{FinalizedBlock, Input};
use fairveil_ordering::Status;
use fairveil_release::certificate::{ListedRelease, ReleaseCertificate};
use rand_core_10::CryptoRng;

use super::{Actor, Delivered, StopReason};
use crate::{
    outbox::Effect,
    record::{Event, Place, height_key},
    recovery::{self, StoredEmission, chain_writes, emitted_bundle},
    retention::Done,
    store::{Table, Write},
};

/// Heights between two looks at everything that must be reported.
const DUTY_HEIGHTS: u64 = 256;
/// Certified release roots that are kept for blocks that are still being voted on.
const KEPT_ROOTS: u64 = 1_024;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    pub(super) fn finalized<T>(&mut self, delivered: Delivered<T>) -> Result<(), StopReason>
    where
        T: commonware_parallel::Strategy,
    {
        let certificate = delivered.certificate();
        let Delivered { executed, acknowledgement, .. } = delivered;
        let (block, output) = (executed.block, executed.output);
        let height = block.header().height;
        let interval = block.header().time_ms.saturating_sub(self.chain.tip().time_ms);
        if height.get() > 1 {
            self.pace.passed(interval, self.chain.load(block.body()));
        }
        let order = self.verified(&certificate)?;
        self.certify_releases(&block, &certificate, &output)?;
        let before = self.own_committed();
        self.chain = executed.state;
        self.abstains_at(&block, &output.evidence, &certificate, before)?;
        self.announced(height, &output.announced)?;
        self.anchored(height, &output.anchored);
        for write in chain_writes(&self.chain, &block, &mut self.snapshot) {
            self.outbox.write(write);
        }
        let value = encoding::encode(&certificate);
        self.outbox.write(Write::put(Table::Orders, height_key(height), value));
        let emitted = self.place(&block, &output);
        self.charge(height, &output)?;
        self.compare_heads(&output);
        self.share_progress();
        self.open(order)?;
        self.tell_pool(height, &output, emitted)?;
        self.keep_up_own_log(height)?;
        self.prune()?;
        self.ending(height, &output.ending)?;
        self.outbox.then(Effect::Acknowledge(acknowledgement));
        self.outbox.then(Effect::PublishHead);
        self.cut();
        self.attack_on_block(height, block.header().leader);
        self.tell_lag()
    }

    /// Lets entries of the own log go that final blocks contain. The log of a sequencer that abstains
    /// stays as it is: it is read anew before it signs.
    fn keep_up_own_log(&mut self, height: Height) -> Result<(), StopReason> {
        if self.abstains() {
            return Ok(());
        }
        let (committed, own) = (self.own_committed(), self.log.tip().length);
        if committed > own {
            return Err(StopReason::Inconsistent(format!(
                "final blocks contain {committed} entries of this sequencer's log, it has {own}: \
                 the database is older than the chain"
            )));
        }
        self.log.drop_committed(committed);
        if height.get().is_multiple_of(DUTY_HEIGHTS) {
            let order = self.chain.ordering().order();
            self.log.retain_remembered(|id| order.status(id) != Status::Unknown);
        }
        Ok(())
    }

    /// Removes what is not kept any longer.
    fn prune(&mut self) -> Result<(), StopReason> {
        let done = Done {
            tip: self.chain.tip().height,
            unreleased: self.openings.next(),
            uncertified: self.chain.released(),
        };
        for write in self.retention.step(&self.store, done)? {
            self.outbox.write(write);
        }
        Ok(())
    }

    /// The final order that a certificate proves; the only source of one here.
    pub(crate) fn verified(
        &self,
        certificate: &OrderCertificate,
    ) -> Result<FinalOrder, StopReason> {
        certificate.verify(&self.config.network_id, &self.config.committee).map_err(|error| {
            StopReason::Inconsistent(format!("a final block's certificate: {error}"))
        })
    }

    pub(super) fn own_committed(&self) -> u64 {
        self.chain.ordering().committed(self.config.index).map_or(0, |tip| tip.length)
    }

    /// Keeps the certificate of every release that the block lists, and checks it against our own.
    fn certify_releases(
        &mut self,
        block: &Block,
        order: &OrderCertificate,
        output: &BlockOutput,
    ) -> Result<(), StopReason> {
        if output.released.is_empty() {
            return Ok(());
        }
        let body = block.body();
        let certificate = ReleaseCertificate {
            finalization: order.finalization.clone(),
            headers: order.headers.clone(),
            evidence_digest: body.evidence_digest(),
            releases: body
                .releases
                .iter()
                .map(|(height, root)| ListedRelease { height: *height, root: *root })
                .collect(),
            system_digest: body.system_digest(),
        };
        let bytes = encoding::encode(&certificate);
        let own = self.shared.read().roots.clone();
        for (height, root) in &output.released {
            if let Some(own) = own.get(height)
                && own != root
            {
                return Err(StopReason::Inconsistent(format!(
                    "release root {own} of height {height}, certified is {root}"
                )));
            }
            self.certified.insert(*height, *root);
            self.openings.certified(*height, *root);
            self.outbox.write(Write::put(Table::Certified, height_key(*height), bytes.clone()));
        }
        let oldest = block.header().height.saturating_sub(KEPT_ROOTS);
        self.certified = self.certified.split_off(&oldest);
        Ok(())
    }

    /// The root that a final block certifies for a height, if one did.
    pub(super) fn certified_root(&self, height: Height) -> Option<Digest> {
        self.certified.get(&height).copied()
    }

    /// Writes the final places, and says what was emitted.
    fn place(&mut self, block: &Block, output: &BlockOutput) -> Vec<StoredEmission> {
        let height = block.header().height;
        let mut emitted = Vec::new();
        let mut position = 0;
        for (cohort, entries) in (0u32..).zip(&output.emission.cohorts) {
            for entry in entries {
                let placement = entry.placement;
                let place = Place { height, position, cohort, placement, end: None };
                position += 1;
                let value = encoding::encode(&place);
                self.outbox.write(Write::put(Table::Places, *entry.id.as_bytes(), value));
                self.places.insert(entry.id, place);
                let facts = self.shared.read().facts.get(&entry.id).copied();
                if let Some(facts) = facts {
                    emitted.push((entry.id, facts));
                }
            }
        }
        if position > 0 {
            let value = encoding::encode::<Vec<(_, BundleFacts)>>(&emitted);
            self.outbox.write(Write::put(Table::Emitted, height_key(height), value));
            self.count("ordered", u64::from(position));
            let cohorts = output.emission.cohorts.iter();
            let cohorts =
                cohorts.map(|cohort| cohort.iter().map(|entry| entry.id).collect()).collect();
            let time_ms = block.header().time_ms;
            self.event(Event::Ordered { height, time_ms, cohorts });
        }
        emitted
    }

    /// Tells the consensus' side where the logs stand now.
    pub(crate) fn share_progress(&self) {
        let (ordering, next) = (self.chain.ordering(), self.chain.tip().height.next());
        let convicted = self.chain.convicted();
        let oldest = self.chain.released().saturating_sub(KEPT_ROOTS);
        let chain = &self.chain;
        self.shared.change(|contents| {
            contents.changes.retain(|_, change| chain.announces(change).is_ok());
            contents.logs.commit(|sequencer: SequencerIndex| ordering.committed(sequencer));
            contents.bases.retain(|base| base.height > next);
            contents.proofs.retain(|(culprit, _)| !convicted.contains(culprit));
            contents.roots = contents.roots.split_off(&oldest);
        });
    }

    fn tell_pool(
        &mut self,
        height: Height,
        output: &BlockOutput,
        emitted: Vec<StoredEmission>,
    ) -> Result<(), StopReason> {
        let order = self.chain.ordering().order();
        let own = self.config.index;
        let duty = if height.get().is_multiple_of(DUTY_HEIGHTS) {
            recovery::duty(&self.chain, own)
        } else {
            output.reached_edge.clone()
        };
        let block = FinalizedBlock {
            height,
            duty,
            emitted: emitted.iter().map(|(id, facts)| emitted_bundle(*id, facts)).collect(),
            committed: self.own_committed(),
            below_edge: order.below_edge(own),
            balances: output.charges.iter().map(|paid| (paid.payer, paid.balance)).collect(),
        };
        self.admit(Input::Finalized(block))
    }

    /// Tells the pool how far this sequencer is behind.
    pub(super) fn tell_lag(&mut self) -> Result<(), StopReason> {
        let committed = self.chain.tip().height;
        let behind = self.progress.finalized().distance_from(committed);
        let unopened = committed.next().distance_from(self.openings.next());
        // Who abstains admits nothing.
        let least =
            if self.abstains() { self.config.limits.lag_blocks.saturating_add(1) } else { 0 };
        self.admit(Input::Lagging { blocks: behind.max(unopened).max(least) })
    }
}
