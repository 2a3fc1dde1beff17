//! The network's chain, driven by bytes: blocks with good and bad evidence, releases and proofs.
//!
//! | byte | what happens |
//! |---|---|
//! | 0 | some logs get an id |
//! | 1, 2 | a block of the newest fragments, with releases that are due |
//! | 3 | a block with something wrong in it |
//! | 4 | a body as bytes |
//! | 5 | the state goes through its snapshot |

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_consensus::balances::Accounting;
use fairveil_consensus::chain::{Slot, Tip};
use fairveil_consensus::state::ExtendError;
use fairveil_consensus::{
    Block, BlockFault, Body, BundleFacts, ChainState, Draft, Parameters, SystemEntry,
    header::ChainId,
};
use fairveil_crypto::certificate::Placement;
use fairveil_crypto::encoding::decode;
use fairveil_crypto::envelope::{Payer, SizeClass};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex, View};
use fairveil_ordering::{Equivocation, Evidence, Fragment, LogName, Mode, OrderLog};
use fairveil_release::registry::{Registry, Rollup};

use super::choices::Choices;
use super::ordering::committee;
use super::scene::head;
use super::world::{CULPRIT, EPOCH, MEMBERS, WORLD};
use super::{LIMIT_BYTES, MAX_STEPS, Verdict};

/// Ids that logs are made of.
const IDS: u8 = 16;

pub(super) fn parameters() -> Parameters {
    Parameters {
        id: ChainId { network_id: WORLD.network_id(), epoch: EPOCH, start: Height::ZERO },
        keys: WORLD.dealt.committee.consensus_keys().to_vec(),
        committee: committee(),
        mode: Mode::Strict,
        active_keys: vec![WORLD.dealt.committee.key_id()],
        transcript: Digest::from_bytes([5; 32]),
        accounting: Some(accounting()),
        registry: Registry::new(vec![Rollup::recorder(901, "alpha")]).expect("a registry"),
    }
}

/// One payer has enough for two bundles, one for many, one for none.
fn accounting() -> Accounting {
    let payer = |number: u8| Payer::from_bytes([number; 20]);
    let deposits = BTreeMap::from([(payer(0), 1_050), (payer(1), 1 << 20)]);
    Accounting { fee_per_byte: 1, deposits: Arc::new(deposits) }
}

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

/// Few payers and nonces, so that they clash; one is sealed to another key.
fn facts() -> BTreeMap<BundleId, BundleFacts> {
    let fact = |number: u8| BundleFacts {
        key_id: if number == IDS - 1 {
            fairveil_crypto::KeyId::from_bytes([1; 32])
        } else {
            WORLD.dealt.committee.key_id()
        },
        valid_from: Height::new(u64::from(number) / 3),
        expires_at: Height::new(4 * u64::from(number) + 3),
        payer: Payer::from_bytes([number % 3; 20]),
        payer_nonce: u64::from(number % 4),
        class: SizeClass::MIN,
    };
    // The facts of the last but one are missing: its bundle is not held.
    (0..IDS).filter(|number| *number != IDS - 2).map(|number| (id(number), fact(number))).collect()
}

struct Run {
    logs: Vec<OrderLog>,
    facts: BTreeMap<BundleId, BundleFacts>,
    state: ChainState,
    blocks: Vec<Block>,
    opened: Vec<(Payer, u64)>,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    Verdict::of(!after(bytes).opened.is_empty())
}

fn after(bytes: &[u8]) -> Run {
    let mut run = Run::new();
    let mut choices = Choices::new(bytes);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    run
}

impl Run {
    fn new() -> Self {
        let (genesis, state) = ChainState::genesis(parameters()).expect("parameters that fit");
        let name = |sequencer| LogName { network_id: WORLD.network_id(), epoch: EPOCH, sequencer };
        Self {
            logs: SequencerIndex::all(MEMBERS).map(|index| OrderLog::new(name(index))).collect(),
            facts: facts(),
            state,
            blocks: vec![genesis],
            opened: Vec::new(),
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(6) {
            0 => {
                let (number, members) = (choices.byte() % IDS, choices.byte());
                for (position, log) in self.logs.iter_mut().enumerate() {
                    if members >> position & 1 == 0 {
                        // A log that has the id already refuses it.
                        let _ = log.append(id(number));
                    }
                }
            }
            1 | 2 => {
                let draft = self.draft(choices);
                self.lead(&draft, choices.byte());
            }
            3 => {
                let draft = self.draft(choices);
                let draft = self.damaged(draft, choices);
                self.lead(&draft, choices.byte());
            }
            4 => {
                if let Ok(body) = decode::<Body>(choices.bytes(), LIMIT_BYTES) {
                    self.advance(body, 0);
                }
            }
            _ => self.restore(),
        }
    }

    fn draft(&self, choices: &mut Choices<'_>) -> Draft {
        let (absent, seen) = (choices.byte(), self.state.tip().height);
        let fragment = |sequencer: SequencerIndex| {
            let log = &self.logs[sequencer.position()];
            let committed = self.state.ordering().committed(sequencer).expect("a member");
            let time_ms = 1_000 * seen.get() + u64::from(sequencer.get());
            Fragment {
                head: log.sign(seen, time_ms, WORLD.secret(sequencer)),
                ids: log.entries_from(committed.length).expect("it is not dropped yet"),
                times_ms: Vec::new(),
            }
        };
        let present = |sequencer: &SequencerIndex| absent >> sequencer.position() & 1 == 0;
        let fragments = SequencerIndex::all(MEMBERS).filter(present).map(fragment).collect();
        let root = Digest::from_bytes([3; 32]);
        let due = self.state.released().next().get()..=self.state.tip().height.get();
        let releases = due.take(choices.below(4)).map(|height| (Height::new(height), root));
        let evidence = Evidence { fragments, list: Vec::new() };
        Draft { evidence, releases: releases.collect(), system: Vec::new() }
    }

    fn damaged(&self, mut body: Draft, choices: &mut Choices<'_>) -> Draft {
        let at = choices.below(usize::from(MEMBERS));
        let fragment = body.evidence.fragments.get_mut(at);
        match (choices.below(8), fragment) {
            (0, Some(fragment)) => drop(fragment.ids.pop()),
            (1, Some(fragment)) => fragment.ids.push(id(choices.byte())),
            (2, Some(fragment)) => fragment.head.time_ms ^= 1,
            (3, _) => body.evidence.fragments.reverse(),
            (4, _) => body.releases.push((Height::new(choices.number()), id_digest(1))),
            (5, _) => {
                let (one, other) = (head(CULPRIT, &[1, 2]), head(CULPRIT, &[1, 3]));
                body.system.push(SystemEntry::ForkedLog(Equivocation { one, other }));
            }
            (6, _) => body.system.push(SystemEntry::CeremonyEntry(choices.bytes().to_vec())),
            (_, _) => body.evidence.list.push(id(choices.byte())),
        }
        body
    }

    fn slot(&self, leader: u8) -> Slot {
        let keys = WORLD.dealt.committee.consensus_keys();
        let view = self.state.tip().height.get();
        Slot {
            epoch: EPOCH,
            view: View::new(view + 1),
            parent_view: View::new(view),
            parent: self.state.tip().digest,
            leader: keys[usize::from(leader) % keys.len()],
        }
    }

    /// What does not continue the logs is never packed.
    fn lead(&mut self, draft: &Draft, leader: u8) {
        if let Ok(body) = self.state.pack(draft) {
            let evidence = self.state.ordering().unpack(&body.evidence);
            assert_eq!(evidence.as_ref(), Ok(&draft.evidence));
            self.advance(body, leader);
        }
    }

    /// What a leader builds every validator applies with the same result.
    fn advance(&mut self, body: Body, leader: u8) {
        let needed = self.state.needed(&body);
        let (block, extended, output) =
            match self.state.extend(self.slot(leader), body, &self.facts) {
                Ok(extended) => extended,
                Err(ExtendError::Fault(BlockFault::Missing(ids))) => {
                    let needed = needed.expect("evidence that is valid");
                    assert!(!ids.is_empty() && ids.iter().all(|id| needed.contains(id)));
                    return;
                }
                Err(_) => return,
            };
        let (state, applied) = self.state.apply(&block, &self.facts).expect("a leader built it");
        assert_eq!(applied, output);
        assert_eq!(state.digest(), extended.digest());
        assert_eq!(state.snapshot(), extended.snapshot());
        assert_eq!(state.tip(), Tip::of(block.header()));
        let balances = state.balances().expect("bundles are charged");
        assert_eq!(balances.left() + balances.charged(), balances.deposited());
        let open = output.emission.to_open();
        assert_eq!(open, output.charges.iter().map(|charge| charge.id).collect::<Vec<_>>());
        assert!(state.apply(&block, &self.facts).is_err(), "a block is applied once");
        for emitted in output.emission.ids() {
            let facts = &self.facts[&emitted.id];
            if emitted.placement == Placement::Open {
                let pair = (facts.payer, facts.payer_nonce);
                assert!(!self.opened.contains(&pair), "invariant 3");
                assert!(facts.expires_at >= state.tip().height);
                self.opened.push(pair);
            }
        }
        for culprit in &output.convicted {
            assert_eq!(*culprit, CULPRIT);
        }
        self.state = state;
        self.blocks.push(block);
    }

    fn restore(&mut self) {
        let bytes = self.state.snapshot();
        let restored = ChainState::restore(parameters(), &bytes).expect("its own snapshot");
        assert_eq!(restored.digest(), self.state.digest());
        assert_eq!(restored.snapshot(), bytes);
        self.state = restored;
    }
}

fn id_digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// Blocks of the sample runs.
pub(super) fn sample_blocks() -> Vec<Block> {
    seeds().iter().filter_map(|bytes| after(bytes).blocks.pop()).collect()
}

/// States after the sample runs.
pub(super) fn sample_states() -> Vec<ChainState> {
    seeds().iter().map(|bytes| after(bytes).state).collect()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let agreed = [0, 1, 0, 0, 2, 0, 1, 0, 0, 0, 1, 0, 1, 1];
    // The same payer's nonce again, once the window of the second bundle is open.
    let clashing = [0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 12, 0, 1, 0, 2, 2];
    let clashing = [&clashing[..], &[5, 0, 3, 0, 1, 0, 3, 3]].concat();
    let convicted = [0, 1, 0, 3, 0, 0, 0, 5, 0, 1, 0, 1, 1, 0, 2, 0, 5, 1, 0, 2, 2];
    let missing = [0, 14, 0, 1, 0, 0, 0, 0, 15, 0, 1, 0, 0, 0];
    let missing = [&agreed[..], &missing].concat();
    vec![agreed.to_vec(), clashing, convicted.to_vec(), missing]
}
