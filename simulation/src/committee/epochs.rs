//! Changes of the committee while a simulated network runs: which there are, who lies meanwhile, and
//! the operators who want them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::{Clock, deterministic};
use fairveil_crypto::{Epoch, Height};
use fairveil_sequencer::Handle;
use futures::future::{Either, select};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha20Rng;

use super::ceremony::{Lie, announced, continued};
use super::keys::{EPOCH, Keys};
use super::traders::{Market, lock};

/// How often the operators look around.
const STEP: Duration = Duration::from_millis(200);
/// People of a run: of whom five or seven are members.
pub(crate) const PEOPLE: u16 = 7;
/// The latest height after which the first committee proposes nothing new.
const LATEST_BOUNDARY: u64 = 40;

/// How the committee changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Succession {
    /// The members of each epoch.
    pub(crate) terms: Vec<Vec<usize>>,
    /// The announced boundaries: of each epoch but the first.
    boundaries: Vec<Height>,
    /// Of each epoch but the first: how many rounds of its resharing have too few dealers.
    pub(crate) failing: Vec<u64>,
    /// Who lies in which epoch's resharing, and in which round.
    lies: BTreeMap<(Epoch, u64, usize), Lie>,
    /// Who tells those that join lies, too.
    pub(crate) false_witness: Option<usize>,
    /// How long the operators wait before they begin with the first, and between two.
    after: Duration,
}

impl Succession {
    /// The committee of a run that never changes.
    pub(crate) fn none(n: u16) -> Self {
        Self { terms: vec![(0..usize::from(n)).collect()], ..Self::default() }
    }

    /// 5 to 7 to 5, two of five replaced, or the same five with new shares; people in any order. In half
    /// of the seeds one of them lies.
    pub(crate) fn new(rng: &mut ChaCha20Rng) -> Self {
        let mut people: Vec<usize> = (0..usize::from(PEOPLE)).collect();
        people.shuffle(rng);
        let five = people[..5].to_vec();
        let replaced = people[2..7].to_vec();
        let mut terms = match rng.random_range(0..4) {
            0 | 1 => vec![five, people.clone(), replaced],
            2 => vec![five.clone(), replaced, five],
            _ => vec![five.clone(), five.clone(), five],
        };
        terms.iter_mut().for_each(|term| term.sort_unstable());
        let first = rng.random_range(1..=LATEST_BOUNDARY);
        let second = first + rng.random_range(1..=LATEST_BOUNDARY);
        let failing: Vec<u64> =
            terms[1..].iter().map(|_| u64::from(rng.random_bool(0.25))).collect();
        let after = Duration::from_millis(rng.random_range(200..1_500));
        let boundaries = vec![Height::new(first), Height::new(second)];
        let mut succession = Self { terms, boundaries, failing, after, ..Self::default() };
        let liar = rng.random_bool(0.5).then(|| people.choose(rng).copied()).flatten();
        succession.lie_about(liar, rng);
        succession
    }

    /// In rounds that fail, two members deal nothing; in the one after them the liar lies.
    fn lie_about(&mut self, liar: Option<usize>, rng: &mut ChaCha20Rng) {
        self.false_witness = liar;
        for (number, failing) in (1u64..).zip(self.failing.clone()) {
            let epoch = Epoch::new(EPOCH.get() + number);
            let dealers = &self.terms[number as usize - 1];
            for round in 0..failing {
                for person in dealers.choose_multiple(rng, 2) {
                    self.lies.insert((epoch, round, *person), Lie::Silent);
                }
            }
            if let Some(liar) = liar {
                self.lies.insert((epoch, failing, liar), Lie::any(rng));
            }
        }
    }

    /// How a person lies in this round of the resharing that makes an epoch.
    pub(crate) fn lie(&self, epoch: Epoch, round: u64, person: usize) -> Option<Lie> {
        self.lies.get(&(epoch, round, person)).copied()
    }

    /// The members of an epoch.
    pub(crate) fn members(&self, epoch: Epoch) -> Option<&[usize]> {
        let at = epoch.get().checked_sub(EPOCH.get())?;
        self.terms.get(usize::try_from(at).ok()?).map(Vec::as_slice)
    }

    /// The first epoch from this one on in which a person is a member.
    pub(crate) fn next_of(&self, person: usize, from: Epoch) -> Option<Epoch> {
        let epochs = (EPOCH.get()..).map(Epoch::new).zip(&self.terms);
        let mut member = epochs.filter(|(_, term)| term.contains(&person));
        member.find(|(epoch, _)| *epoch >= from).map(|(epoch, _)| epoch)
    }

    /// People who are members in all epochs.
    pub(crate) fn veterans(&self) -> Vec<usize> {
        let stays = |person: &usize| self.terms.iter().all(|term| term.contains(person));
        self.terms[0].iter().copied().filter(stays).collect()
    }

    /// The members of the last epoch.
    pub(crate) fn last(&self) -> &[usize] {
        self.terms.last().expect("at least one")
    }

    /// The last epoch.
    pub(crate) fn last_epoch(&self) -> Epoch {
        Epoch::new(EPOCH.get() + self.terms.len() as u64 - 1)
    }
}

/// The operators bring the network from one epoch to the next, until the last one runs.
/// [`Market::begins`] comes before it.
pub(crate) async fn operate(
    clock: deterministic::Context,
    market: Market,
    keys: Arc<Keys>,
    succession: Succession,
) {
    let last = succession.last_epoch();
    let later = succession.terms.iter().skip(1).zip(&succession.boundaries);
    for (number, (members, boundary)) in (1u64..).zip(later) {
        let epoch = Epoch::new(EPOCH.get() + number);
        clock.sleep(succession.after).await;
        let before = epoch.previous().and_then(|before| keys.published(before));
        let before = before.expect("the epoch before has a transcript");
        let approved = continued(&keys, &before, members, *boundary);
        let mut round = 0;
        while market.epoch() < epoch {
            let handles: Vec<_> = lock(&market.handles).iter().flatten().cloned().collect();
            let mut failed = false;
            for handle in handles {
                let offer = Box::pin(handle.offer_resharing(announced(&approved, round, &before)));
                // Who left and waits to join again answers nothing meanwhile.
                drop(select(offer, Box::pin(clock.sleep(STEP))).await);
                failed |= has_failed(&clock, &handle, round).await;
            }
            round += u64::from(failed);
            clock.sleep(STEP).await;
        }
    }
    debug_assert!(market.epoch() >= last);
    market.ends();
}

/// Whether a sequencer says that this round has failed, or waits in vain.
async fn has_failed(clock: &deterministic::Context, handle: &Handle, round: u64) -> bool {
    let asked = Box::pin(handle.resharing());
    match select(asked, Box::pin(clock.sleep(STEP))).await {
        Either::Left((Ok(Some(progress)), _)) => {
            progress.round == round && matches!(progress.phase, "failed" | "expired")
        }
        _ => false,
    }
}
