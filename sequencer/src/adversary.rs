//! What the named adversaries do at the places where they leave the protocol.
//!
//! An honest sequencer passes through here unchanged. The front-runner has a searcher beside it: for
//! every bundle that arrives it seals one of its own, lets its log claim that its own came first,
//! asks everybody for decryption shares of orders that are not final, and combines what it holds to
//! read what it may not ([`reader`]).
//!
//! | module | |
//! |---|---|
//! | [`logs`] | what goes into the own log, in which order, when |
//! | [`leader`] | which evidence its blocks carry |
//! | [`injection`] | own bundles: who pays, to whom they go |
//! | [`partition`] | who hears it first, and what leaves later |
//! | [`reader`] | reading before finality |

mod injection;
mod leader;
mod logs;
mod partition;
mod reader;

use std::collections::BTreeSet;

use fairveil_crypto::{
    BundleId, SequencerIndex,
    envelope::{Payer, PayerSecret, VerifiedBundle},
    seal::Rho,
};
use fairveil_mempool::pool::{Input, LogEntry};
use fairveil_release::opener::ShareMessage;
use rand_core_10::CryptoRng;

pub use self::injection::attacker;
use self::{injection::Own, logs::Reports};
pub(crate) use self::{
    injection::{Shot, conflict, cycle, next_cycle},
    leader::Leader,
    partition::{APART_TICKS, Deferred, halves},
    reader::{Reader, Try},
};
use crate::{actor::Lane, behaviour::Behaviour};

/// Pairs of an own bundle and a victim's that are reported.
const MAX_PAIRS: usize = 65_536;
/// Bundles that are reported as read.
pub(crate) const MAX_READ: usize = 1_024;

/// What an adversary that races traders' bundles tried and got.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AttackReport {
    /// (own bundle, the victim's): the own one was made when the victim's arrived.
    pub pairs: Vec<(BundleId, BundleId)>,
    /// Requests for decryption shares of heights that were not final. Whoever was asked counts the
    /// refusal.
    pub requests: u64,
    /// How often it tried to open a bundle whose order was not final here, with its own share and
    /// those it held.
    pub tries: u64,
    /// The most shares of one batch that it had in a try, the own one included.
    pub most_shares: u64,
    /// Bundles that a try opened, with the time in milliseconds of the Unix epoch; the first
    /// 1,024.
    pub read: Vec<(BundleId, u64)>,
}

/// A message that leaves later.
pub(crate) struct Held {
    pub(crate) lane: Lane,
    pub(crate) to: Vec<SequencerIndex>,
    pub(crate) bytes: Vec<u8>,
}

/// The adversary's state; empty for an honest sequencer.
pub(crate) struct Adversary {
    pub(crate) behaviour: Behaviour,
    pub(crate) payer: Option<PayerSecret>,
    pub(crate) next_nonce: u64,
    pub(crate) report: AttackReport,
    pub(crate) reader: Reader,
    /// Messages that leave later.
    pub(crate) messages: Deferred<Held>,
    /// What traders submitted, and the pool gets later.
    pub(crate) submissions: Deferred<Input>,
    /// Volleys of own bundles, or messages that one half of the peers hears first, so far.
    pub(crate) turns: u64,
    /// The tick before which no cycle begins.
    pub(crate) next_cycle: u64,
    own: Own,
    /// Who pays for bundles of adversaries, its own with them.
    payers: BTreeSet<Payer>,
    reports: Reports,
}

impl Adversary {
    /// One of so many sequencers. `now_ms` is its first bundle's nonce: beyond those that it used before
    /// it was started again.
    pub(crate) fn new(
        behaviour: Behaviour,
        index: SequencerIndex,
        sequencers: usize,
        log_length: u64,
        now_ms: u64,
    ) -> Self {
        let pays = behaviour != Behaviour::Honest;
        Self {
            behaviour,
            payer: pays.then(|| attacker(index)).flatten(),
            next_nonce: now_ms,
            report: AttackReport::default(),
            reader: Reader::default(),
            messages: Deferred::default(),
            submissions: Deferred::default(),
            turns: 0,
            next_cycle: 0,
            own: Own::default(),
            payers: if pays { injection::payers(sequencers) } else { BTreeSet::new() },
            reports: Reports::new(behaviour, log_length),
        }
    }

    /// The entries that go into the log now, with the positions that they get: all of them, as they
    /// came, if it reports honestly.
    pub(crate) fn arrange(&mut self, ticks: u64, entries: Vec<LogEntry>) -> Vec<(u64, LogEntry)> {
        self.reports.arrange(ticks, entries)
    }

    /// Lets gathered entries of the log go on; how many of them are out of place or late.
    pub(crate) fn report_gathered(&mut self, ticks: u64, rng: &mut impl CryptoRng) -> u64 {
        let own = &self.own;
        self.reports.tick(ticks, rng, |id| own.contains(id))
    }

    /// Whether a message about shares is kept back.
    pub(crate) fn withholds(&self, message: &ShareMessage) -> bool {
        self.behaviour == Behaviour::ShareWithholder
            && !matches!(message, ShareMessage::Request { .. })
    }

    /// Changes a hint of a message; whether it did.
    pub(crate) fn falsifies(&self, message: &mut ShareMessage) -> bool {
        let ShareMessage::Hints { hints, .. } = message else { return false };
        if self.behaviour != Behaviour::BadSharer {
            return false;
        }
        let Some(last) = hints.last_mut() else { return false };
        let mut rho = last.rho.to_bytes();
        rho[0] ^= 1;
        last.rho = Rho::from_bytes(rho);
        true
    }

    /// Remembers an own bundle.
    pub(crate) fn made(&mut self, own: BundleId) {
        self.own.insert(own);
    }

    /// Remembers an own bundle and the victim's that it was made for.
    pub(crate) fn made_for(&mut self, own: BundleId, victim: BundleId) {
        self.made(own);
        if self.report.pairs.len() < MAX_PAIRS {
            self.report.pairs.push((own, victim));
        }
    }

    /// Whether an adversary pays for it: they do not race each other.
    pub(crate) fn is_paid_by_one(&self, bundle: &VerifiedBundle) -> bool {
        self.payers.contains(&bundle.header().payer)
    }

    /// What was tried, for whoever judges the attack.
    pub(crate) fn report(&self) -> Option<AttackReport> {
        let races = matches!(
            self.behaviour,
            Behaviour::FrontRunner | Behaviour::Racer | Behaviour::IdGrinder
        );
        races.then(|| self.report.clone())
    }
}
