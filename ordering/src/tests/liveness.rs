//! Lemmas 8 and 9, theorems L1 and L2 of docs/fairness.md: heights, stale fragments, relay, injection.
//!
//! Every block carries fragments of n - f sequencers, chosen against the newest ids, each signed up to
//! W heights ago. Whatever an honest sequencer has, the others have d heights later, but for those that
//! refuse an id: they append it d heights after it stands in T committed logs. Traders inject ids all the
//! time, to one sequencer or to all; liars report in any order.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};

use crate::{
    Appended, Committee, FairOrder, Mode, Phase, Status, Step,
    naive::{Dice, bundle_id},
    rules::{Cap, Rules},
};

/// One run's numbers.
struct World {
    committee: Committee,
    /// W, a parameter here.
    window: usize,
    /// d.
    delay: usize,
    dice: Dice,
    /// By sequencer: its log, and its length after each height.
    logs: Vec<Vec<u32>>,
    lengths: Vec<Vec<usize>>,
    committed: Vec<usize>,
    /// Id -> how many logs contain it, as far as they are committed.
    counts: BTreeMap<u32, usize>,
    /// Whether honest sequencers refuse ids.
    refusals: bool,
    /// (id, who appends it by duty alone).
    refused: BTreeSet<(u32, usize)>,
    /// Id -> the height at which it stood in T committed logs.
    reached: BTreeMap<u32, usize>,
    /// By number of a proposal: the height at which it was born.
    births: Vec<usize>,
    /// Id -> the height at which an honest sequencer first had it.
    heard: BTreeMap<u32, usize>,
    /// Id -> the height after which all honest sequencers had it, as long as nobody but their logs knew.
    known: BTreeMap<u32, usize>,
    /// Id -> the height that proposed it.
    proposed: BTreeMap<u32, usize>,
    next: u32,
}

impl World {
    fn new(seed: u64, refusals: bool) -> Self {
        let mut dice = Dice::new(seed);
        let (n, f, g) = dice.pick(&[(5, 1, 0), (7, 1, 1), (9, 2, 0), (5, 0, 2), (13, 3, 0)]);
        let committee = Committee::new(n, f, g).unwrap();
        Self {
            committee,
            window: dice.between(1, 6),
            delay: dice.between(1, 5),
            dice,
            logs: vec![Vec::new(); n.into()],
            lengths: vec![Vec::new(); n.into()],
            committed: vec![0; n.into()],
            counts: BTreeMap::new(),
            refusals,
            refused: BTreeSet::new(),
            reached: BTreeMap::new(),
            births: Vec::new(),
            heard: BTreeMap::new(),
            known: BTreeMap::new(),
            proposed: BTreeMap::new(),
            next: 0,
        }
    }

    /// The last f lie.
    fn honest(&self) -> usize {
        usize::from(self.committee.quorum())
    }

    fn append(&mut self, sequencer: usize, id: u32) {
        if !self.logs[sequencer].contains(&id) {
            self.logs[sequencer].push(id);
        }
    }

    /// What happens while `height` is the highest final one.
    fn live(&mut self, height: usize, injected: usize) {
        for _ in 0..injected {
            let id = self.next;
            self.next += 1;
            let first = self.dice.below(self.honest());
            self.heard.insert(id, height);
            self.append(first, id);
            if self.refusals && self.dice.chance(20) {
                for other in (0..self.honest()).filter(|other| *other != first) {
                    if self.dice.chance(70) {
                        self.refused.insert((id, other));
                    }
                }
            }
            for liar in self.honest()..self.logs.len() {
                if self.dice.chance(50) {
                    self.append(liar, id);
                }
            }
        }
        let spreading = |id: &&u32| !self.known.contains_key(id);
        let due: Vec<u32> = self.heard.keys().filter(spreading).copied().collect();
        for sequencer in 0..self.honest() {
            let mut due = due.clone();
            self.dice.shuffle(&mut due);
            for id in due {
                // Relay is as late as it may be, or earlier.
                let due = match self.refused.contains(&(id, sequencer)) {
                    false => self.heard.get(&id),
                    true => self.reached.get(&id),
                };
                if due.is_some_and(|since| since + self.delay <= height || self.dice.chance(10)) {
                    self.append(sequencer, id);
                }
            }
        }
        for liar in self.honest()..self.logs.len() {
            let from = self.lengths[liar].last().copied().unwrap_or(0);
            self.dice.shuffle(&mut self.logs[liar][from..]);
        }
        for id in &due {
            if self.logs[..self.honest()].iter().all(|log| log.contains(id)) {
                self.known.entry(*id).or_insert(height);
            }
        }
        for (log, lengths) in self.logs.iter().zip(&mut self.lengths) {
            lengths.push(log.len());
        }
    }

    /// n - f fragments, each as stale as it may be or fresher; those of liars first.
    fn block(&mut self, height: usize) -> Vec<(SequencerIndex, Vec<BundleId>)> {
        let n = self.logs.len();
        let mut who: Vec<usize> = (0..n).collect();
        self.dice.shuffle(&mut who);
        if self.dice.chance(70) {
            who.sort_by_key(|sequencer| *sequencer < self.honest());
        }
        who.truncate(self.honest());
        let mut block = Vec::new();
        for sequencer in who {
            let seen = height - 1 - self.dice.below(self.window).min(height - 1);
            let oldest = height.saturating_sub(self.window);
            let seen = if self.dice.chance(60) { oldest } else { seen };
            // Signed as soon as that height was final: nothing is in it of what came afterwards.
            let signed = self.lengths[sequencer][seen.saturating_sub(1)];
            let to = signed.max(self.committed[sequencer]);
            let ids = &self.logs[sequencer][self.committed[sequencer]..to];
            ids.iter().for_each(|id| *self.counts.entry(*id).or_default() += 1);
            let ids = ids.iter().map(|id| bundle_id(1, *id)).collect();
            self.committed[sequencer] = to;
            block.push((SequencerIndex::from_position(sequencer).unwrap(), ids));
        }
        let edge = usize::from(self.committee.thresholds().edge);
        for (id, _) in self.counts.iter().filter(|(_, count)| **count >= edge) {
            self.reached.entry(*id).or_insert(height);
        }
        block
    }
}

/// What runs have shown.
#[derive(Clone, Debug, Default)]
struct Figures {
    /// Ids that left.
    ids: usize,
    /// By how many heights an id was later or earlier than its bound, ids.
    beyond: BTreeMap<i64, usize>,
    /// Ids with a backlog before them, and those of them that were later than without one.
    backlogged: usize,
    waited: usize,
    /// Lemma 8, by heights beyond h0 + W + 1: ids that were in fewer than S logs.
    shaded: BTreeMap<i64, usize>,
    /// How often it was put to the test.
    known: usize,
    /// Lemma 9, by heights beyond b + d + W + 1: proposals that were incomplete.
    incomplete: BTreeMap<i64, usize>,
}

impl Figures {
    /// All runs of these seeds.
    fn of(seeds: Range<u64>, cap: Option<(usize, usize)>) -> Self {
        let mut figures = Self::default();
        seeds.for_each(|seed| run(seed, cap, &mut figures));
        figures
    }

    fn latest(heights: &BTreeMap<i64, usize>) -> i64 {
        heights.last_key_value().map_or(i64::MIN, |(height, _)| *height)
    }
}

fn run(seed: u64, cap: Option<(usize, usize)>, figures: &mut Figures) {
    // What is refused everywhere waits for ever, and would be in every backlog.
    let mut world = World::new(seed, cap.is_none());
    let burst = if cap.is_some() { 30 } else { 0 };
    let cap = cap.map(|(candidates, solid)| Cap::Soft { solid, candidates });
    let rules = Rules { cap: cap.unwrap_or(Rules::NORMATIVE.cap), ..Rules::NORMATIVE };
    let mut order = FairOrder::with_rules(world.committee, Mode::Strict, Height::ZERO, rules);
    let names: BTreeMap<BundleId, u32> = (0..500).map(|id| (bundle_id(1, id), id)).collect();
    let mut left: BTreeSet<u32> = BTreeSet::new();
    world.live(0, 3);
    for height in 1..150 {
        let block = world.block(height);
        let appended: Vec<Appended<'_>> =
            block.iter().map(|(sequencer, ids)| Appended::new(*sequencer, ids)).collect();
        let reaching = order.would_reach_edge(&appended, &[]).into_iter();
        let expiries = reaching.map(|id| (id, Height::MAX)).collect();
        let step = Step {
            height: Height::new(height as u64),
            seed: Digest::from_bytes([height as u8; 32]),
            phase: Phase::Ordering,
            appended: &appended,
            list: &[],
            expiries: &expiries,
        };
        let output = order.apply(&step).unwrap();
        world.note_proposed(height, &order);
        world.count_logs(height, figures);
        world.look_at_pending(height, &order, figures);
        if height % 25 == 0 {
            world.check_duty(&order);
        }
        for emitted in output.emission.ids() {
            let id = names[&emitted.id];
            left.insert(id);
            // Known to all when the highest final height was `known`.
            let known = world.known.get(&id).copied().unwrap_or(height);
            let backlog = world.backlog(id, rules.cap, known + world.window + 1);
            let alone = known + 2 * world.window + world.delay + 2;
            *figures.beyond.entry(height as i64 - (alone + backlog) as i64).or_default() += 1;
            figures.backlogged += usize::from(backlog > 0);
            figures.waited += usize::from(height > alone);
            figures.ids += 1;
        }
        let injected = world.dice.below(4) + if height % 40 == 20 { burst } else { 0 };
        world.live(height, if height < 100 { injected } else { 0 });
    }
    assert!(left.iter().eq(world.reached.keys()), "seed {seed}: all that T logs hold have left");
}

impl World {
    /// Lemma 8, at one height: ids that all honest sequencers have appended, in how many logs.
    fn count_logs(&self, height: usize, figures: &mut Figures) {
        let solid = usize::from(self.committee.thresholds().solid);
        for (id, h0) in &self.known {
            let beyond = height as i64 - (h0 + self.window + 1) as i64;
            figures.known += usize::from(beyond >= 0);
            if self.counts.get(id).is_none_or(|count| *count < solid) {
                *figures.shaded.entry(beyond).or_default() += 1;
            }
        }
    }

    /// Lemma 9, at one height: which proposals have undecided pairs.
    fn look_at_pending(&mut self, height: usize, order: &FairOrder, figures: &mut Figures) {
        let new = order.proposals as usize - self.births.len();
        assert!(new <= 1, "a block makes one proposal at most");
        self.births.extend((0..new).map(|_| height));
        for proposal in &order.pending {
            if !proposal.graph().open().is_empty() {
                let bound = self.births[proposal.number as usize] + self.delay + self.window + 1;
                *figures.incomplete.entry(height as i64 - bound as i64).or_default() += 1;
            }
        }
    }

    /// The duty to report is what stands in T committed logs and not in the sequencer's own.
    fn check_duty(&self, order: &FairOrder) {
        for (sequencer, log) in self.logs.iter().enumerate() {
            let own = &log[..self.committed[sequencer]];
            let lacking = self.reached.keys().filter(|id| !own.contains(id));
            let lacking: BTreeSet<BundleId> = lacking.map(|id| bundle_id(1, *id)).collect();
            let duty = order.to_report(SequencerIndex::from_position(sequencer).unwrap());
            assert_eq!(BTreeSet::from_iter(duty), lacking);
        }
    }

    /// Remembers when ids were proposed.
    fn note_proposed(&mut self, height: usize, order: &FairOrder) {
        let is_proposed = |id: &u32| {
            let status = order.status(&bundle_id(1, *id));
            matches!(status, Status::Proposed { .. } | Status::Emitted { .. })
        };
        let new = self.heard.keys().filter(|id| !self.proposed.contains_key(id) && is_proposed(id));
        let new: Vec<u32> = new.copied().collect();
        self.proposed.extend(new.into_iter().map(|id| (id, height)));
    }

    /// ⌊A/q⌋, A = ids that no proposal had before this height and that some honest sequencer appended
    /// before this one.
    fn backlog(&self, id: u32, cap: Cap, height: usize) -> usize {
        let Cap::Soft { solid, .. } = cap else { return 0 };
        let unproposed = |other: &u32| self.proposed.get(other).is_none_or(|at| *at >= height);
        let before: BTreeSet<u32> = self.logs[..self.honest()]
            .iter()
            .flat_map(|log| log.iter().take_while(|other| **other != id))
            .filter(|other| unproposed(other))
            .copied()
            .collect();
        before.len() / solid
    }
}

#[test]
fn lemma_8_what_all_know_is_solid_in_time() {
    let figures = Figures::of(0..300, None);
    println!("{} times known, shaded {:?}", figures.known, figures.shaded);
    let latest = Figures::latest(&figures.shaded);
    assert!(latest < 0, "{latest} heights too late in fewer than S logs");
    assert!(figures.known > 1_000_000, "{} times", figures.known);
    assert!(figures.shaded[&-1] >= 100, "the height before it is not sure yet");
}

#[test]
fn lemma_9_a_proposal_is_complete_in_time() {
    for cap in [None, Some((4, 2))] {
        let figures = Figures::of(0..300, cap);
        println!("incomplete {:?}", figures.incomplete);
        let latest = Figures::latest(&figures.incomplete);
        assert!(latest < 0, "{latest} heights too late incomplete");
        assert!(figures.incomplete.values().sum::<usize>() >= 200);
        assert!(latest >= -3, "{latest}: too easy a world");
    }
}

#[test]
fn theorem_l1_an_id_that_all_know_leaves_in_time() {
    let figures = Figures::of(0..600, None);
    let (ids, latest) = (figures.ids, Figures::latest(&figures.beyond));
    println!("{ids} ids, the latest {} heights before its bound", -latest);
    assert!(latest <= 0, "{latest} heights beyond the bound");
    assert!(ids > 50_000 && latest >= -3, "{ids} ids, the latest {latest}: too easy a world");
}

#[test]
fn theorem_l2_a_backlog_costs_a_block_for_every_q_ids() {
    for cap in [(4, 2), (3, 1)] {
        let figures = Figures::of(0..200, Some(cap));
        let Figures { ids, backlogged, waited, .. } = figures;
        println!("{ids} ids, {backlogged} with a backlog, {waited} waited for it");
        let latest = Figures::latest(&figures.beyond);
        assert!(latest <= 0, "{latest} heights beyond the bound");
        assert!(
            ids > 15_000 && backlogged >= 1_000 && waited >= 100,
            "{ids}, {backlogged}, {waited}"
        );
    }
}
