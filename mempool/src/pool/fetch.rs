//! Which bundles are wanted from peers, and whom they are asked for next.
//!
//! An announced bundle is fetched from those who announced it, after a grace in which it may come
//! by itself, and given up when all of them were asked. While a copy of it waits to be verified it
//! is not fetched, [`MAX_DEFERRALS`] graces at most: the copy may be a forgery. A bundle that a
//! proposal needs, or that must be reported, is asked for at once, round after round over all
//! connected peers, announcers first, each round with twice the patience, until it is held or no
//! longer wanted.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, SequencerIndex};

use crate::limits::Limits;

/// Why a bundle is wanted. A stronger reason replaces a weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// A peer says that it holds it.
    Announced,
    /// A proposal, or an order, waits for it; until the time in milliseconds.
    Needed { until_ms: u64 },
    /// It must be reported.
    Duty,
}

#[derive(Debug)]
struct Want {
    reason: Reason,
    /// Peers that are said to hold it.
    holders: BTreeSet<SequencerIndex>,
    /// Peers that were asked in this round.
    asked: BTreeSet<SequencerIndex>,
    /// The peer that is being asked.
    asking: Option<SequencerIndex>,
    rounds: u32,
    /// How often it was left for a copy that waits to be verified.
    deferrals: u32,
    due: Due,
}

/// When a want is looked at: those of one instant in the order in which they came up, whatever their ids,
/// which whoever seals a bundle chooses: what is fetched first is logged first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at_ms: u64,
    number: u64,
}

/// Everything that is wanted from peers.
#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    wants: BTreeMap<BundleId, Want>,
    due: BTreeMap<Due, BundleId>,
    next_number: u64,
    connected: BTreeSet<SequencerIndex>,
    asking: BTreeMap<SequencerIndex, usize>,
    announced: BTreeMap<SequencerIndex, usize>,
    needed: usize,
}

/// How often an announced bundle is left for another grace while a copy waits to be verified.
pub(crate) const MAX_DEFERRALS: u32 = 8;
/// Wants that one call of [`Fetcher::requests`] looks at, so that it never scans them all.
const LOOKED_AT: usize = 4_096;
/// When to look again while every peer is being asked for as much as is allowed.
const BUSY_MS: u64 = 20;

impl Fetcher {
    pub(crate) fn connect(&mut self, now_ms: u64, peer: SequencerIndex) {
        self.connected.insert(peer);
        self.hasten(now_ms, |want| want.reason > Reason::Announced || want.holders.contains(&peer));
    }

    pub(crate) fn disconnect(&mut self, now_ms: u64, peer: SequencerIndex) {
        self.connected.remove(&peer);
        let asked: Vec<BundleId> = self
            .wants
            .iter()
            .filter_map(|(id, want)| (want.asking == Some(peer)).then_some(*id))
            .collect();
        for id in asked {
            self.stop_asking(&id, peer);
            self.reschedule(&id, now_ms);
        }
    }

    pub(crate) fn connected(&self) -> &BTreeSet<SequencerIndex> {
        &self.connected
    }

    /// A peer says that it holds the bundle. Beyond its limit a peer is not listened to.
    pub(crate) fn announced(
        &mut self,
        now_ms: u64,
        peer: SequencerIndex,
        id: BundleId,
        limits: &Limits,
    ) {
        if let Some(want) = self.wants.get_mut(&id) {
            let counted = want.reason == Reason::Announced;
            if counted && !self.count_announced(peer, limits) {
                return;
            }
            let Some(want) = self.wants.get_mut(&id) else {
                return;
            };
            let new = want.holders.insert(peer);
            if counted && !new {
                self.uncount_announced(peer);
            }
            if new && !counted {
                self.hasten_one(&id, now_ms);
            }
            return;
        }
        if self.count_announced(peer, limits) {
            self.insert(id, Reason::Announced, now_ms + limits.announced_grace_ms, Some(peer));
        }
    }

    /// A bundle is wanted by a proposal or by duty. False if too many are.
    pub(crate) fn want(
        &mut self,
        now_ms: u64,
        id: BundleId,
        reason: Reason,
        limits: &Limits,
    ) -> bool {
        let old = self.wants.get(&id).map(|want| want.reason);
        let becomes_needed = matches!(reason, Reason::Needed { .. })
            && !matches!(old, Some(Reason::Needed { .. } | Reason::Duty));
        if becomes_needed && self.needed >= limits.needed_ids {
            return false;
        }
        let Some(old) = old else {
            self.insert(id, reason, now_ms, None);
            return true;
        };
        if reason <= old {
            return true;
        }
        self.set_reason(&id, reason);
        if old == Reason::Announced {
            self.hasten_one(&id, now_ms);
        }
        true
    }

    /// Intake opened: announced bundles are fetched again.
    pub(crate) fn hasten_all(&mut self, now_ms: u64) {
        self.hasten(now_ms, |_| true);
    }

    /// The bundle is no duty any more: what still needs it keeps asking until then.
    pub(crate) fn end_duty(&mut self, id: &BundleId, until_ms: u64) {
        if self.reason(id) == Some(Reason::Duty) {
            self.set_reason(id, Reason::Needed { until_ms });
        }
    }

    pub(crate) fn reason(&self, id: &BundleId) -> Option<Reason> {
        self.wants.get(id).map(|want| want.reason)
    }

    /// Whether the bundle is wanted whatever the limits of the pool say.
    pub(crate) fn is_required(&self, id: &BundleId) -> bool {
        self.reason(id).is_some_and(|reason| reason > Reason::Announced)
    }

    /// The bundle is held, or not wanted any more.
    pub(crate) fn remove(&mut self, id: &BundleId) {
        let Some(want) = self.wants.remove(id) else {
            return;
        };
        self.due.remove(&want.due);
        if let Some(peer) = want.asking {
            decrement(&mut self.asking, peer);
        }
        match want.reason {
            Reason::Announced => {
                want.holders.iter().for_each(|peer| decrement(&mut self.announced, *peer));
            }
            Reason::Needed { .. } => self.needed -= 1,
            Reason::Duty => {}
        }
    }

    /// Whether this peer was being asked for it; now it has answered.
    pub(crate) fn answered(&mut self, peer: SequencerIndex, id: &BundleId) -> bool {
        self.stop_asking(id, peer)
    }

    /// This peer has not got it.
    pub(crate) fn absent(&mut self, now_ms: u64, peer: SequencerIndex, id: &BundleId) {
        let Some(want) = self.wants.get_mut(id) else { return };
        if want.holders.remove(&peer) && want.reason == Reason::Announced {
            decrement(&mut self.announced, peer);
        }
        if self.stop_asking(id, peer) {
            self.hasten_one(id, now_ms);
        }
    }

    /// This peer answered with something invalid.
    pub(crate) fn failed(&mut self, now_ms: u64, peer: SequencerIndex, id: &BundleId) {
        self.absent(now_ms, peer, id);
        self.hasten_one(id, now_ms);
    }

    /// Whom to ask for what now; announced bundles only if `intake` is open, and later if a copy
    /// is `queued`.
    pub(crate) fn requests(
        &mut self,
        now_ms: u64,
        intake: Intake,
        queued: impl Fn(&BundleId) -> bool,
        limits: &Limits,
    ) -> BTreeMap<SequencerIndex, Vec<BundleId>> {
        let mut requests: BTreeMap<SequencerIndex, Vec<BundleId>> = BTreeMap::new();
        let mut due: Vec<BundleId> = self
            .due
            .iter()
            .take_while(|(due, _)| due.at_ms <= now_ms)
            .take(LOOKED_AT)
            .map(|(_, id)| *id)
            .collect();
        // What blocks wait for comes before what came up earlier and may wait.
        due.sort_by_key(|id| !self.is_required(id));
        for id in due {
            if self.defer(now_ms, &id, &queued, limits) {
                continue;
            }
            if let Some(peer) = self.ask(now_ms, id, intake, limits) {
                requests.entry(peer).or_default().push(id);
            }
        }
        requests
    }

    /// When [`Self::requests`] has something to do.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        self.due.first_key_value().map(|(due, _)| due.at_ms)
    }

    pub(crate) fn len(&self) -> usize {
        self.wants.len()
    }

    pub(crate) fn asking(&self) -> usize {
        self.asking.values().sum()
    }

    /// Whether an announced bundle is left to a copy that waits to be verified.
    fn defer(
        &mut self,
        now_ms: u64,
        id: &BundleId,
        queued: impl Fn(&BundleId) -> bool,
        limits: &Limits,
    ) -> bool {
        let Some(want) = self.wants.get_mut(id) else { return false };
        let may = want.reason == Reason::Announced && want.deferrals < MAX_DEFERRALS;
        if !may || want.asking.is_some() || !queued(id) {
            return false;
        }
        want.deferrals += 1;
        self.reschedule(id, now_ms + limits.announced_grace_ms);
        true
    }

    fn ask(
        &mut self,
        now_ms: u64,
        id: BundleId,
        intake: Intake,
        limits: &Limits,
    ) -> Option<SequencerIndex> {
        let want = self.wants.get(&id)?;
        if let Some(peer) = want.asking {
            self.stop_asking(&id, peer);
        }
        let want = self.wants.get_mut(&id)?;
        if matches!(want.reason, Reason::Needed { until_ms } if until_ms <= now_ms) {
            self.remove(&id);
            return None;
        }
        if want.reason == Reason::Announced && intake == Intake::Closed {
            self.reschedule(&id, now_ms + limits.fetch_timeout_max_ms);
            return None;
        }
        let free = |peer: &&SequencerIndex| {
            self.asking.get(*peer).copied().unwrap_or(0) < limits.fetching_ids
        };
        let open: Vec<SequencerIndex> = candidates(want, &self.connected, &id);
        let chosen = open.iter().find(free).copied();
        let patience = patience_ms(want.rounds, limits);
        match chosen {
            Some(peer) => {
                want.asking = Some(peer);
                want.asked.insert(peer);
                *self.asking.entry(peer).or_default() += 1;
                self.reschedule(&id, now_ms + patience);
            }
            None if !open.is_empty() => self.reschedule(&id, now_ms + BUSY_MS),
            None if want.reason == Reason::Announced => self.remove(&id),
            None => {
                // A round that asked nobody is none.
                want.rounds = want.rounds.saturating_add(u32::from(!want.asked.is_empty()));
                want.asked.clear();
                self.reschedule(&id, now_ms + patience);
            }
        }
        chosen
    }

    fn insert(
        &mut self,
        id: BundleId,
        reason: Reason,
        due_ms: u64,
        holder: Option<SequencerIndex>,
    ) {
        if matches!(reason, Reason::Needed { .. }) {
            self.needed += 1;
        }
        let (holders, asked) = (holder.into_iter().collect(), BTreeSet::new());
        let due = Due { at_ms: due_ms, number: self.next_number };
        self.next_number += 1;
        self.wants.insert(
            id,
            Want { reason, holders, asked, asking: None, rounds: 0, deferrals: 0, due },
        );
        self.due.insert(due, id);
    }

    fn set_reason(&mut self, id: &BundleId, reason: Reason) {
        let Some(want) = self.wants.get_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut want.reason, reason);
        match old {
            Reason::Announced => {
                want.holders.iter().for_each(|peer| decrement(&mut self.announced, *peer));
            }
            Reason::Needed { .. } => self.needed -= 1,
            Reason::Duty => {}
        }
        if matches!(reason, Reason::Needed { .. }) {
            self.needed += 1;
        }
    }

    /// True if this peer was the one that is being asked.
    fn stop_asking(&mut self, id: &BundleId, peer: SequencerIndex) -> bool {
        let Some(want) = self.wants.get_mut(id) else {
            return false;
        };
        if want.asking != Some(peer) {
            return false;
        }
        want.asking = None;
        decrement(&mut self.asking, peer);
        true
    }

    fn reschedule(&mut self, id: &BundleId, due_ms: u64) {
        let Some(want) = self.wants.get_mut(id) else {
            return;
        };
        self.due.remove(&want.due);
        want.due.at_ms = due_ms;
        self.due.insert(want.due, *id);
    }

    fn hasten_one(&mut self, id: &BundleId, now_ms: u64) {
        if self.wants.get(id).is_some_and(|want| want.asking.is_none() && want.due.at_ms > now_ms) {
            self.reschedule(id, now_ms);
        }
    }

    fn hasten(&mut self, now_ms: u64, which: impl Fn(&Want) -> bool) {
        let chosen: Vec<BundleId> =
            self.wants.iter().filter(|(_, want)| which(want)).map(|(id, _)| *id).collect();
        chosen.iter().for_each(|id| self.hasten_one(id, now_ms));
    }

    fn count_announced(&mut self, peer: SequencerIndex, limits: &Limits) -> bool {
        let count = self.announced.entry(peer).or_default();
        let counted = *count < limits.announced_ids;
        *count += usize::from(counted);
        counted
    }

    fn uncount_announced(&mut self, peer: SequencerIndex) {
        decrement(&mut self.announced, peer);
    }
}

/// Whether new bundles are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    Open,
    Closed,
}

/// Connected peers that were not asked in this round: those said to hold it, then, if it is more
/// than announced, the others. Different ids begin with different peers.
fn candidates(
    want: &Want,
    connected: &BTreeSet<SequencerIndex>,
    id: &BundleId,
) -> Vec<SequencerIndex> {
    let mut open: Vec<SequencerIndex> = connected
        .iter()
        .filter(|peer| !want.asked.contains(peer))
        .filter(|peer| want.reason > Reason::Announced || want.holders.contains(peer))
        .copied()
        .collect();
    if !open.is_empty() {
        let first = usize::from(id.as_bytes()[31]) % open.len();
        open.rotate_left(first);
    }
    open.sort_by_key(|peer| !want.holders.contains(peer));
    open
}

fn patience_ms(rounds: u32, limits: &Limits) -> u64 {
    let factor = 1u64.checked_shl(rounds.min(32)).unwrap_or(u64::MAX);
    limits.fetch_timeout_ms.saturating_mul(factor).min(limits.fetch_timeout_max_ms)
}

fn decrement(counts: &mut BTreeMap<SequencerIndex, usize>, peer: SequencerIndex) {
    if let Some(count) = counts.get_mut(&peer) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests;
