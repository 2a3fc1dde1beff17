//! Carrying out what the pool decides.

use std::collections::BTreeMap;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::host::BundleFacts;
use fairveil_crypto::{BundleId, SequencerIndex, encoding, envelope::VerifiedBundle};
use fairveil_mempool::{
    BundleMessage, Receipt, ReceiptBody, Rejection, RejectionCode,
    pool::{Input, Output, Reply, RequestId, StoredBundle},
};
use rand_core_10::CryptoRng;
use tracing::debug;

use super::{Actor, Done, Lane, StopReason};
use crate::{
    executor::Lane as Threads,
    handle::{Call, decoded},
    outbox::Effect,
    store::{Table, Write},
};

/// Longest stored bundle, in bytes.
const MAX_STORED_BYTES: usize = 1 << 20;

/// Receipts signed so far in one step: what is given is what was stored.
type Receipts = BTreeMap<BundleId, Receipt>;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    pub(super) fn call(&mut self, call: Call) -> Result<(), StopReason> {
        match call {
            Call::Submit { sealed, address, addressed, reply } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.replies.insert(request, reply);
                self.count("submissions", 1);
                self.submitted(Input::Submitted { request, address, addressed, bytes: sealed })
            }
            Call::ChangeRegistry { change, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.submitted_change(*change));
                Ok(())
            }
            Call::Offer { resharing, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.offered(*resharing));
                Ok(())
            }
            Call::Renewal { reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.renewal_progress());
                Ok(())
            }
            Call::Pending { id, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.pending_state(&id));
                Ok(())
            }
            Call::Balance { payer, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.balance(&payer));
                Ok(())
            }
        }
    }

    pub(super) fn bundle_message(
        &mut self,
        peer: SequencerIndex,
        bytes: &[u8],
    ) -> Result<(), StopReason> {
        match BundleMessage::decode(bytes) {
            Ok(message) => self.admit(Input::Received { peer, message }),
            Err(error) => {
                debug!(%peer, %error, "not a message about bundles");
                self.count("malformed_messages", 1);
                Ok(())
            }
        }
    }

    /// Hands one input to the pool and carries out what follows, in order.
    pub(crate) fn admit(&mut self, input: Input) -> Result<(), StopReason> {
        let outputs = self.pool.handle(self.now_ms(), input);
        self.carry_out(outputs)
    }

    /// Carries out outputs of the pool, in order.
    pub(crate) fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), StopReason> {
        let (mut held, mut receipts) = (Vec::new(), Receipts::new());
        for output in outputs {
            match output {
                Output::Reply { request, reply } => self.reply(request, reply, &mut receipts),
                Output::Send { to, message } => self.send(Lane::Bundles, &to, message.encode()),
                Output::Serve { to, id } => self.serve(to, id)?,
                Output::Verify(job) => {
                    let run = self.executor.run(Threads::Admission, move |pool| job.run(pool));
                    self.start(async move { run.await.map(Done::Verified) });
                }
                Output::Persist(stored) => {
                    let value = encoding::encode(&stored);
                    self.outbox.write(Write::put(Table::Bundles, *stored.id.as_bytes(), value));
                }
                // It is appended when the abstention is over.
                Output::PersistReceipt(_) | Output::Append(_) if self.abstains() => {}
                Output::PersistReceipt(body) => {
                    self.write_receipt(body, &mut receipts);
                }
                Output::Append(entry) => {
                    self.write_receipt(entry.receipt, &mut receipts);
                    self.entries.push(entry);
                }
                Output::Held { id, bundle } => {
                    let facts = BundleFacts::from(bundle.header());
                    self.shared.change(|contents| contents.facts.insert(id, facts));
                    held.push(bundle);
                }
                Output::ServeOld { to, ids } => self.serve_old(to, ids)?,
                Output::Archive { id } => {
                    self.archive(id)?;
                    self.outbox.write(Write::remove(Table::Bundles, *id.as_bytes()));
                    self.shared.change(|contents| contents.facts.remove(&id));
                    self.openings.forget(&id);
                }
                Output::Fault { peer, fault } => {
                    debug!(%peer, %fault, "a peer relayed an invalid bundle");
                    self.count("invalid_relays", 1);
                }
            }
        }
        if !held.is_empty() {
            self.holds(held)?;
        }
        Ok(())
    }

    /// Bundles came in: prepares own shares at home, and goes on with openings that waited.
    fn holds(&mut self, bundles: Vec<VerifiedBundle>) -> Result<(), StopReason> {
        let prepare = self.openings.preparation(bundles.clone());
        let run = self.executor.run(Threads::Admission, prepare);
        self.start(async move { run.await.map(|()| Done::Prepared) });
        self.attack_on_arrival(&bundles)?;
        self.openings_hold(bundles)
    }

    fn reply(&mut self, request: RequestId, reply: Reply, receipts: &mut Receipts) {
        let answer = match reply {
            Reply::Receipt(_) if self.abstains() => {
                let limit = self.config.limits.lag_blocks;
                let actual = limit.saturating_add(1);
                Err(Rejection::numbers(RejectionCode::Syncing, actual, limit))
            }
            Reply::Receipt(body) => {
                self.count("receipts", 1);
                Ok(self.signed(body, receipts))
            }
            Reply::Rejected(rejection) => {
                self.count("rejections", 1);
                Err(rejection)
            }
        };
        self.outbox.then(Effect::Reply(request, answer));
    }

    fn write_receipt(&mut self, body: ReceiptBody, receipts: &mut Receipts) {
        let value = encoding::encode(&self.signed(body, receipts));
        self.outbox.write(Write::put(Table::Receipts, *body.id.as_bytes(), value));
    }

    /// The receipt of this body, signed unless it is among `receipts`.
    fn signed(&self, body: ReceiptBody, receipts: &mut Receipts) -> Receipt {
        match receipts.get(&body.id) {
            Some(receipt) if receipt.body == body => *receipt,
            _ => {
                let receipt = body.sign(self.config.index, &self.signer);
                receipts.insert(body.id, receipt);
                receipt
            }
        }
    }

    fn serve(&mut self, to: SequencerIndex, id: BundleId) -> Result<(), StopReason> {
        let sealed = match self.pool.bundle(&id) {
            Some(bundle) => Some(bundle.sealed().encode()),
            None => match self.store.get(Table::Bundles, id.as_bytes())? {
                Some(bytes) => {
                    let stored: StoredBundle = decoded(Table::Bundles, &bytes, MAX_STORED_BYTES)?;
                    Some(stored.sealed)
                }
                None => None,
            },
        };
        let message = match sealed {
            Some(sealed) => BundleMessage::Relay(sealed),
            None => BundleMessage::Absent(vec![id]),
        };
        self.send(Lane::Bundles, &[to], message.encode());
        Ok(())
    }

    /// Sends a peer what the archive has of these, and says what it has not.
    fn serve_old(&mut self, to: SequencerIndex, ids: Vec<BundleId>) -> Result<(), StopReason> {
        let mut absent = Vec::new();
        for id in ids {
            match self.store.get(Table::Archive, id.as_bytes())? {
                Some(sealed) => {
                    self.send(Lane::Bundles, &[to], BundleMessage::Relay(sealed).encode());
                }
                None => absent.push(id),
            }
        }
        if !absent.is_empty() {
            self.send(Lane::Bundles, &[to], BundleMessage::Absent(absent).encode());
        }
        Ok(())
    }

    /// Keeps a bundle that the pool lets go, for members that apply its block later.
    fn archive(&mut self, id: BundleId) -> Result<(), StopReason> {
        if let Some(bytes) = self.store.get(Table::Bundles, id.as_bytes())? {
            let stored: StoredBundle = decoded(Table::Bundles, &bytes, MAX_STORED_BYTES)?;
            self.outbox.write(Write::put(Table::Archive, *id.as_bytes(), stored.sealed));
        }
        Ok(())
    }
}
