//! What the named adversaries do at the places where they leave the protocol.
//!
//! An honest sequencer passes through here unchanged. The front-runner has a searcher beside it: for
//! every bundle that arrives it seals one of its own, lets its log claim that its own came first,
//! asks everybody for decryption shares of orders that are not final, and combines what it holds to
//! read what it may not ([`reader`]).

mod reader;

use std::collections::BTreeSet;

use fairveil_crypto::{BundleId, envelope::PayerSecret, seal::Rho};
use fairveil_mempool::pool::LogEntry;
use fairveil_release::opener::ShareMessage;

pub(crate) use self::reader::{Reader, Try};
use crate::behaviour::Behaviour;

/// Own bundles that a front-runner remembers.
const MAX_PAIRS: usize = 65_536;
/// Bundles that are reported as read.
pub(crate) const MAX_READ: usize = 1_024;

/// What a front-runner tried and got.
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

/// The adversary's state; empty for an honest sequencer.
pub(crate) struct Adversary {
    pub(crate) behaviour: Behaviour,
    pub(crate) payer: Option<PayerSecret>,
    pub(crate) next_nonce: u64,
    pub(crate) report: AttackReport,
    pub(crate) reader: Reader,
    own: BTreeSet<BundleId>,
    next_position: u64,
    /// Entries that a reversing sequencer gathers.
    gathered: Vec<LogEntry>,
    /// Gathered entries, turned around.
    turned: Vec<LogEntry>,
}

impl Adversary {
    pub(crate) fn new(behaviour: Behaviour, payer: Option<PayerSecret>, log_length: u64) -> Self {
        Self {
            behaviour,
            payer,
            next_nonce: 0,
            report: AttackReport::default(),
            reader: Reader::default(),
            own: BTreeSet::new(),
            next_position: log_length,
            gathered: Vec::new(),
            turned: Vec::new(),
        }
    }

    /// The entries that go into the log now, with the positions that they get: all of them, as
    /// they came. A censor logs nothing; a reversing sequencer keeps them until
    /// [`Self::turn_around`].
    pub(crate) fn arrange(&mut self, mut entries: Vec<LogEntry>) -> Vec<(u64, LogEntry)> {
        if self.behaviour == Behaviour::Censor {
            return Vec::new();
        }
        if self.behaviour.reverses() {
            self.gathered.append(&mut entries);
            entries = std::mem::take(&mut self.turned);
        }
        let first = self.next_position;
        self.next_position += entries.len() as u64;
        (first..).zip(entries).collect()
    }

    /// Turns around what was gathered, own bundles first; how many entries moved.
    pub(crate) fn turn_around(&mut self) -> u64 {
        let before: Vec<BundleId> = self.gathered.iter().map(|entry| entry.id).collect();
        self.gathered.reverse();
        self.gathered.sort_by_key(|entry| !self.own.contains(&entry.id));
        let moved = self.gathered.iter().zip(&before).filter(|(now, then)| now.id != **then);
        let moved = moved.count() as u64;
        self.turned.append(&mut self.gathered);
        moved
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

    /// Remembers an own bundle and the victim's that it was made for.
    pub(crate) fn made(&mut self, own: BundleId, victim: BundleId) {
        if self.report.pairs.len() < MAX_PAIRS {
            self.own.insert(own);
            self.report.pairs.push((own, victim));
        }
    }

    /// Whether a bundle is one of its own.
    pub(crate) fn owns(&self, id: &BundleId) -> bool {
        self.own.contains(id)
    }

    /// What was tried, for whoever judges the attack.
    pub(crate) fn report(&self) -> Option<AttackReport> {
        (self.behaviour == Behaviour::FrontRunner).then(|| self.report.clone())
    }
}
