//! What the rest of the process may ask of a running sequencer.
//!
//! Submissions and live states go through the sequencer's own task; what is final is read from the
//! database. Handles are cheap to clone and outlive the sequencer: calls fail then. They are good for
//! all epochs ([`crate::Seat`]).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use fairveil_consensus::Resharing;
use fairveil_crypto::{
    BundleId, Height, SequencerIndex,
    certificate::OrderCertificate,
    committee::Committee,
    encoding,
    envelope::{MAX_SEALED_BYTES, Payer},
};
use fairveil_mempool::{
    Receipt, Rejection,
    limits::{HORIZON_HEIGHTS, LAST_REPORT_HEIGHTS},
};
use fairveil_release::{
    certificate::ReleaseCertificate,
    change::ApprovedChange,
    document::{BatchDocument, BundleDocument, DocumentLeg},
    evidence::Evidence,
    ledger::{Accounts, Ledger},
    proof::{BatchProof, BundleProof},
    release::{Release, ReleaseError},
    schedule::Schedule,
    states::{Account, Address, U256, account_key, account_of, storage_key, value_of},
};
use futures::channel::oneshot;
use tokio::sync::{mpsc, watch};

use crate::{
    ledger_store::accounts,
    record::{BundleState, Event, MAX_EVENT_BYTES, MAX_PLACE_BYTES, Place},
    renewal::Progress,
    rollups::{ChangeRefused, ChangeState, Rollups},
    seat::Current,
    store::{Store, StoreError, Table},
};

mod call;
mod overview;

pub use call::{Balance, CallError};
pub(crate) use call::{Call, MAX_CALLS};
pub use overview::{Check, Overview};

/// Longest stored order certificate, in bytes.
pub(crate) const MAX_CERTIFICATE_BYTES: usize = 8 << 20;
/// Proofs shown at once.
const MAX_EVIDENCE: usize = 1_024;
/// Final heights that a ready sequencer may not have committed yet.
const MAX_BEHIND: u64 = 8;

/// The most releases without a slot that are read for one call: a slot ends long before.
const MAX_SKIPPED: usize = 4_096;

/// A running sequencer, as others see it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) config: Current,
    pub(crate) store: Store,
    pub(crate) rollups: Rollups,
    pub(crate) overview: Arc<Mutex<Overview>>,
    pub(crate) events: watch::Receiver<u64>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Submits a sealed bundle; the receipt is durable before it is answered. The trader says that
    /// it sends the same bytes to `addressed`, who are then relayed the id alone.
    ///
    /// # Errors
    ///
    /// If the sequencer has stopped or too many calls wait. A rejection is an answer.
    pub async fn submit(
        &self,
        sealed: Vec<u8>,
        address: IpAddr,
        addressed: Vec<SequencerIndex>,
    ) -> Result<Result<Receipt, Rejection>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::Submit { sealed, address, addressed, reply })?;
        answer.await.map_err(|_| CallError::Stopped)
    }

    /// Submits an approved change of the rollups: this sequencer proposes it when it leads.
    ///
    /// # Errors
    ///
    /// If the sequencer has stopped or too many calls wait. A refusal is an answer.
    pub async fn change_registry(
        &self,
        change: ApprovedChange,
    ) -> Result<Result<ChangeState, ChangeRefused>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::ChangeRegistry { change: Box::new(change), reply })?;
        answer.await.map_err(|_| CallError::Stopped)
    }

    /// Has a resharing announced: this sequencer proposes it when it leads.
    ///
    /// # Errors
    ///
    /// If the sequencer has stopped or too many calls wait. A refusal is an answer.
    pub async fn offer_resharing(
        &self,
        resharing: Resharing,
    ) -> Result<Result<(), String>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::Offer { resharing: Box::new(resharing), reply })?;
        answer.await.map_err(|_| CallError::Stopped)
    }

    /// How far the resharing is that is under way, if one is.
    ///
    /// # Errors
    ///
    /// If the sequencer has stopped or too many calls wait.
    pub async fn resharing(&self) -> Result<Option<Progress>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::Renewal { reply })?;
        answer.await.map_err(|_| CallError::Stopped)
    }

    /// The rollups at the last final height, and the changes that are announced.
    pub fn schedule(&self) -> Schedule {
        self.rollups.schedule()
    }

    /// The names of all rollups that any height has, by chain id.
    pub fn rollup_names(&self) -> BTreeMap<u64, String> {
        self.rollups.names()
    }

    /// Where a bundle stands.
    ///
    /// # Errors
    ///
    /// If the sequencer has stopped or its database failed.
    pub async fn state(&self, id: BundleId) -> Result<BundleState, CallError> {
        if let Some(place) = self.place(id)? {
            return Ok(BundleState::of(place));
        }
        let (reply, answer) = oneshot::channel();
        self.call(Call::Pending { id, reply })?;
        answer.await.map_err(|_| CallError::Stopped)
    }

    /// What a payer has after the last final block here; none if nothing is charged.
    ///
    /// # Errors
    ///
    /// If the sequencer has stopped.
    pub async fn balance(&self, payer: Payer) -> Result<Option<Balance>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::Balance { payer, reply })?;
        answer.await.map_err(|_| CallError::Stopped)
    }

    /// Where all fees stand: balances, what is in flight, and everybody's revenue, as they are
    /// durable. None if nothing is charged; all zero but the deposits before the first block.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn accounts(&self) -> Result<Option<Accounts>, StoreError> {
        let config = self.config.get();
        let Some(accounting) = &config.accounting else { return Ok(None) };
        let first = || {
            let deposits = accounting.deposits.values().sum();
            Ledger::new(config.committee.n(), accounting.rollup_share_percent, deposits)
        };
        let stored = accounts(&self.store)?;
        Ok(Some(stored.unwrap_or_else(|| first().accounts().clone())))
    }

    /// The final place of a bundle.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn place(&self, id: BundleId) -> Result<Option<Place>, StoreError> {
        self.stored(Table::Places, id.as_bytes(), MAX_PLACE_BYTES)
    }

    /// This sequencer's receipt for a bundle.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn receipt(&self, id: BundleId) -> Result<Option<Receipt>, StoreError> {
        self.stored(Table::Receipts, id.as_bytes(), 4096)
    }

    /// The order certificate of a height.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn order_certificate(&self, height: u64) -> Result<Option<OrderCertificate>, StoreError> {
        self.stored(Table::Orders, &height.to_be_bytes(), MAX_CERTIFICATE_BYTES)
    }

    /// What became of a bundle, with everything that proves it, once that is certified.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn release_document(&self, id: BundleId) -> Result<Option<BundleDocument>, StoreError> {
        let Some(place) = self.place(id)? else { return Ok(None) };
        let Some(end) = &place.end else { return Ok(None) };
        let Some((release, certificate)) = self.certified_release(end.height)? else {
            return Ok(None);
        };
        let damaged = |error: ReleaseError| self.damaged(error);
        let tree = release.tree(&self.rollups.at(end.height)).map_err(damaged)?;
        let at = release.leaves.iter().position(|leaf| leaf.id == id);
        let proof = at.and_then(|at| BundleProof::new(&tree, u32::try_from(at).ok()?));
        let Some(proof) = proof else { return Ok(None) };
        let legs = proof.leaf.outcome.legs().iter().filter_map(|leg| {
            let (_, transactions) = release.batch(leg.chain_id)?.leg(&id)?;
            Some(DocumentLeg { chain_id: leg.chain_id, transactions: transactions.to_vec() })
        });
        let legs = legs.collect();
        let order = self.order_certificate(place.height.get())?;
        Ok(Some(BundleDocument { release: release.header, certificate, proof, legs, order }))
    }

    /// Certified batches of a rollup, at most `limit`: one for each slot that a release from height
    /// `from` on cuts, with the headers of the releases between, from that height on. Heights at which
    /// the rollup isn't registered are left out. None if it never is.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn batches(
        &self,
        chain_id: u64,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<BatchDocument>>, StoreError> {
        if !self.rollups.ever(chain_id) {
            return Ok(None);
        }
        let (mut documents, mut skipped) = (Vec::new(), Vec::new());
        let mut height = Height::new(from.max(1));
        while documents.len() < limit && skipped.len() < MAX_SKIPPED {
            let Some(registered) = self.rollups.next_of(chain_id, height) else { break };
            if registered != height {
                skipped.clear();
                height = registered;
            }
            let Some((release, certificate)) = self.certified_release(height)? else { break };
            let registry = self.rollups.at(height);
            height = height.next();
            let Some(batch) = release.batch(chain_id).cloned() else {
                skipped.push(release.header);
                continue;
            };
            let tree = release.tree(&registry).map_err(|error| self.damaged(error))?;
            let Some(proof) = BatchProof::new(&tree, chain_id) else { break };
            let (release, skipped) = (release.header, std::mem::take(&mut skipped));
            documents.push(BatchDocument { skipped, release, certificate, proof, batch });
        }
        Ok(Some(documents))
    }

    /// An account of a simulated rollup and the values of these storage slots, after what is
    /// released here. None if the rollup isn't simulated.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn account(
        &self,
        chain_id: u64,
        address: &Address,
        slots: &[U256],
    ) -> Result<Option<(Account, Vec<U256>)>, StoreError> {
        let registry = self.rollups.at(Height::new(self.overview().released));
        let rollup = registry.rollup(chain_id);
        if rollup.is_none_or(|rollup| rollup.embedded().is_none()) {
            return Ok(None);
        }
        let mut keys = vec![account_key(chain_id, address)];
        keys.extend(slots.iter().map(|slot| storage_key(chain_id, address, slot)));
        let mut found = self.store.get_all(Table::States, &keys)?.into_iter();
        let account = found.next().flatten().and_then(|bytes| account_of(&bytes));
        let account = account.unwrap_or(Account::of_balance(U256::ZERO));
        let value = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| value_of(&bytes));
        Ok(Some((account, found.map(|bytes| value(bytes).unwrap_or_default()).collect())))
    }

    /// Proofs of the faults that this sequencer found: at most 1,024.
    ///
    /// # Errors
    ///
    /// If the database failed or one of them is damaged.
    pub fn evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        let found = self.store.range(Table::Evidence, &[], MAX_EVIDENCE)?;
        let read = |(_, bytes): &(Vec<u8>, Vec<u8>)| {
            Evidence::decode(bytes).map_err(|error| StoreError::Damaged {
                table: Table::Evidence,
                why: error.to_string(),
            })
        };
        found.iter().map(read).collect()
    }

    /// Every limit that can reject a submission: code, what, value, unit.
    pub fn limits(&self) -> Vec<(&'static str, &'static str, u64, &'static str)> {
        let config = self.config.get();
        let limits = &config.limits;
        let mut all = vec![
            ("syncing", "blocks behind while bundles are admitted", limits.lag_blocks, "heights"),
            ("rate", "submissions of one address in a burst", limits.address_burst, "bundles"),
            ("rate", "submissions of one address", limits.address_per_second, "bundles a second"),
            ("rate", "admissions of one payer in a burst", limits.payer_burst, "bundles"),
            ("rate", "admissions of one payer", limits.payer_per_second, "bundles a second"),
            ("length", "largest sealed bundle", MAX_SEALED_BYTES as u64, "bytes"),
            ("horizon", "how far ahead a window may end", HORIZON_HEIGHTS, "heights"),
            ("expired", "heights before the end of a window", LAST_REPORT_HEIGHTS, "heights"),
            ("payer_limit", "bundles of one payer at once", limits.payer_bundles, "bundles"),
            ("pool_full", "bundles at once", limits.pool_bundles, "bundles"),
            ("pool_full", "bytes of bundles at once", limits.pool_bytes, "bytes"),
        ];
        if let Some(accounting) = &config.accounting {
            let (what, fee) = ("fee per byte of a bundle's size class", accounting.fee_per_byte);
            all.push(("unfunded", what, fee, "units of the deposits"));
        }
        all
    }

    /// Whether this sequencer does its work: every check with its verdict.
    pub fn checks(&self) -> Vec<Check> {
        let overview = self.overview();
        let behind = overview.final_height.saturating_sub(overview.height);
        let unreleased = overview.height.saturating_sub(overview.released);
        let lag = self.config.get().limits.lag_blocks;
        let check = |name, passed, why| Check { name, passed, why };
        vec![
            check("running", !self.calls.is_closed(), "the sequencer's task".into()),
            check(
                "tip",
                overview.height > 0 && behind <= MAX_BEHIND,
                format!("height {}, {behind} behind, at most {MAX_BEHIND}", overview.height),
            ),
            check(
                "signing",
                overview.abstention.is_none(),
                overview
                    .abstention
                    .clone()
                    .unwrap_or_else(|| "votes, heads, receipts, shares".into()),
            ),
            check(
                "opening",
                unreleased <= lag,
                format!("{unreleased} heights unopened, at most {lag}"),
            ),
            check(
                "duty",
                overview.pool_duty == 0,
                format!("{} bundles must be reported and are not held", overview.pool_duty),
            ),
        ]
    }

    /// At most `limit` events from number `from` on.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        let stored = self.store.range(Table::Events, &from.to_be_bytes(), limit)?;
        stored
            .into_iter()
            .map(|(key, value)| {
                let number = key.try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
                Ok((number, decoded(Table::Events, &value, MAX_EVENT_BYTES)?))
            })
            .collect()
    }

    /// The number of the newest event; changes with every new one.
    pub fn event_tip(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// The committee of the epoch that runs.
    pub fn committee(&self) -> Committee {
        self.config.get().committee.clone()
    }

    /// This sequencer's index in it.
    pub fn index(&self) -> SequencerIndex {
        self.config.get().index
    }

    /// What the sequencer says of itself.
    pub fn overview(&self) -> Overview {
        self.overview.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn certified_release(
        &self,
        height: Height,
    ) -> Result<Option<(Release, ReleaseCertificate)>, StoreError> {
        let key = height.get().to_be_bytes();
        let Some(certificate) = self.stored(Table::Certified, &key, MAX_CERTIFICATE_BYTES)? else {
            return Ok(None);
        };
        let Some(bytes) = self.store.get(Table::Releases, &key)? else { return Ok(None) };
        let release = Release::decode(&bytes).map_err(|error| StoreError::Damaged {
            table: Table::Releases,
            why: error.to_string(),
        })?;
        Ok(Some((release, certificate)))
    }

    fn damaged(&self, error: ReleaseError) -> StoreError {
        StoreError::Damaged { table: Table::Releases, why: error.to_string() }
    }

    pub(crate) fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
        limit_bytes: usize,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.store.get(table, key)? else { return Ok(None) };
        decoded(table, &bytes, limit_bytes).map(Some)
    }

    fn call(&self, call: Call) -> Result<(), CallError> {
        self.calls.try_send(call).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Busy,
            mpsc::error::TrySendError::Closed(_) => CallError::Stopped,
        })
    }
}

/// A stored value, decoded strictly.
pub(crate) fn decoded<T: serde::Serialize + serde::de::DeserializeOwned>(
    table: Table,
    bytes: &[u8],
    limit_bytes: usize,
) -> Result<T, StoreError> {
    encoding::decode(bytes, limit_bytes)
        .map_err(|error| StoreError::Damaged { table, why: error.to_string() })
}
