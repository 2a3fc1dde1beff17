//! Changes of the committee while a simulated network runs: which there are, a scripted resharing in
//! the place of the real one, and the operators who want it.
//!
//! The script posts what a ceremony posts, in small: every member a dealing, made of a journalled
//! nonce, and, once a quorum dealt, a confirmation; a quorum of these is its end. The shares are a
//! trusted dealer's ([`super::keys`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commonware_runtime::{Clock, deterministic};
use fairveil_consensus::Resharing;
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{Digest, Epoch, Height};
use fairveil_sequencer::renewal::{Input, Output, Progress, Renewal, Resharings};
use futures::future::{Either, select};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;

use super::keys::{EPOCH, Keys};
use super::traders::{Market, lock};

/// How often the operators look around.
const STEP: Duration = Duration::from_millis(200);
/// People of a run: of whom five or seven are members.
pub(crate) const PEOPLE: u16 = 7;

/// How the committee changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Succession {
    /// The members of each epoch.
    pub(crate) terms: Vec<Vec<usize>>,
    /// Of each epoch but the first: how many rounds of its resharing fail.
    pub(crate) failing: Vec<u64>,
    /// How long the operators wait before they begin with the first, and between two.
    after: Duration,
}

impl Succession {
    /// The committee of a run that never changes.
    pub(crate) fn none(n: u16) -> Self {
        let terms = vec![(0..usize::from(n)).collect()];
        Self { terms, failing: Vec::new(), after: Duration::ZERO }
    }

    /// 5 to 7 to 5, two of five replaced, or the same five with new shares; people in any order.
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
        let failing = terms[1..].iter().map(|_| u64::from(rng.random_bool(0.25))).collect();
        let after = Duration::from_millis(rng.random_range(200..1_500));
        Self { terms, failing, after }
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

/// The id of a scripted ceremony.
fn ceremony(epoch: Epoch, round: u64) -> Digest {
    hash(Tag::Ceremony, &[&epoch.get().to_be_bytes(), &round.to_be_bytes()])
}

/// The resharing to an epoch, as its operators approved it.
fn resharing(epoch: Epoch, round: u64) -> Resharing {
    let ceremony = ceremony(epoch, round);
    let definition = epoch.get().to_be_bytes().to_vec();
    Resharing { ceremony, round, boundary: Height::ZERO, definition }
}

/// Two dealings of one member in one ceremony, which no restart may lead to.
pub(crate) type Forks = Arc<Mutex<Vec<String>>>;

/// What operators of a person who joins expect to be announced.
pub(crate) fn announced(epoch: Epoch, round: u64) -> Option<Resharing> {
    Some(resharing(epoch, round))
}

/// What a member in some epoch knows of the next one.
pub(crate) struct Script {
    pub(crate) keys: Arc<Keys>,
    pub(crate) succession: Succession,
    pub(crate) person: usize,
    pub(crate) epoch: Epoch,
    pub(crate) forks: Forks,
}

impl Resharings for Script {
    fn accepts(&self, announced: &Resharing) -> bool {
        let next = self.epoch.next();
        self.keys.term_of(next).is_some() && *announced == resharing(next, announced.round)
    }

    fn take_part(
        &self,
        resharing: &Resharing,
        journal: Option<Vec<u8>>,
        random: [u8; 32],
    ) -> Result<Box<dyn Renewal>, String> {
        let (next, term) = (self.epoch.next(), self.keys.term_of(self.epoch).expect("its own"));
        let own = term.index_of(self.person).map(|index| index.get() as u8);
        // Who joins has no index yet.
        let me = own.unwrap_or(JOINER + self.person as u8);
        let successor = self.keys.successor(next, resharing.ceremony).ok_or("no such epoch")?;
        let at = usize::try_from(next.get() - EPOCH.get() - 1).unwrap_or(0);
        let fails = self.succession.failing.get(at).is_some_and(|fails| resharing.round < *fails);
        Ok(Box::new(Machine {
            successor: Some(Box::new(successor)),
            fresh: journal.is_none(),
            nonce: journal.unwrap_or_else(|| random.to_vec()),
            quorum: usize::from(term.committee.quorum()),
            round: resharing.round,
            ceremony: resharing.ceremony,
            me,
            fails,
            begun: false,
            dealt: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            confirms: false,
            forks: Arc::clone(&self.forks),
        }))
    }
}

/// One member's part in a scripted ceremony.
struct Machine {
    ceremony: Digest,
    round: u64,
    me: u8,
    quorum: usize,
    nonce: Vec<u8>,
    fresh: bool,
    fails: bool,
    begun: bool,
    dealt: BTreeMap<u8, Vec<u8>>,
    confirmed: BTreeSet<u8>,
    confirms: bool,
    successor: Option<Box<fairveil_consensus::Successor>>,
    forks: Forks,
}

/// What a joiner's position is added to, where members have their index.
const JOINER: u8 = 100;
const DEALING: u8 = 0;
const CONFIRMATION: u8 = 1;

impl Renewal for Machine {
    fn handle(&mut self, _: Duration, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            if self.fresh {
                outputs.push(Output::Journal(self.nonce.clone()));
            }
            outputs.push(Output::Post([&[DEALING, self.me][..], &self.nonce].concat()));
        }
        let Input::Agreed { entries, .. } = input else { return outputs };
        for entry in entries {
            match entry.as_slice() {
                [DEALING, who, nonce @ ..] => {
                    let before = self.dealt.insert(*who, nonce.to_vec());
                    if before.is_some_and(|before| before != nonce) {
                        lock(&self.forks).push(format!("member {who} dealt twice"));
                    }
                }
                [CONFIRMATION, who] => drop(self.confirmed.insert(*who)),
                _ => {}
            }
        }
        let dealers = self.dealt.keys().filter(|who| **who < JOINER).count();
        if dealers >= self.quorum && !std::mem::replace(&mut self.confirms, true) {
            outputs.push(Output::Post(vec![CONFIRMATION, self.me]));
        }
        let confirmed = self.confirmed.iter().filter(|who| **who < JOINER).count();
        if confirmed >= self.quorum
            && let Some(successor) = self.successor.take()
        {
            outputs.push(match self.fails {
                true => Output::Failed("as the script says".into()),
                false => Output::Complete(successor),
            });
        }
        outputs
    }

    fn wake_at(&self) -> Option<Duration> {
        None
    }

    fn is_authentic(&self, entry: &[u8]) -> bool {
        matches!(entry, [DEALING, ..] | [CONFIRMATION, _])
    }

    fn progress(&self, _: Duration) -> Progress {
        Progress {
            ceremony: self.ceremony,
            round: self.round,
            phase: if self.confirms { "verifying" } else { "dealing" },
            missing: Vec::new(),
            left: None,
        }
    }
}

/// The operators bring the network from one epoch to the next, until the last one runs.
/// [`Market::begins`] comes before it.
pub(crate) async fn operate(clock: deterministic::Context, market: Market, succession: Succession) {
    let last = succession.last_epoch();
    for (number, fails) in (1u64..).zip(&succession.failing) {
        let epoch = Epoch::new(EPOCH.get() + number);
        clock.sleep(succession.after).await;
        while market.epoch() < epoch {
            let handles: Vec<_> = lock(&market.handles).iter().flatten().cloned().collect();
            for handle in handles {
                for round in 0..=*fails {
                    let offer = Box::pin(handle.offer_resharing(resharing(epoch, round)));
                    // Who left and waits to join again answers nothing meanwhile.
                    let limit = Box::pin(clock.sleep(STEP));
                    if let Either::Left((Ok(Ok(())), _)) = select(offer, limit).await {
                        break;
                    }
                }
            }
            clock.sleep(STEP).await;
        }
    }
    debug_assert!(market.epoch() >= last);
    market.ends();
}
