//! Random cases: true receive orders, liars, leaders that choose evidence, several blocks.

mod shapes;

use std::collections::BTreeMap;

use fairveil_crypto::{BundleId, domain};

use self::shapes::{
    chained, condorcet, contested_tail, cross_proposal, deferral, deferred_cycle, late,
    partial_condorcet, partition, slow_decision,
};
use crate::naive::Dice;

/// (n, f, g).
const COMMITTEES: [(u16, u16, u16); 12] = [
    (5, 1, 0),
    (5, 1, 0),
    (5, 1, 0),
    (5, 0, 2),
    (7, 1, 0),
    (7, 1, 1),
    (7, 1, 1),
    (9, 2, 0),
    (9, 2, 0),
    (11, 2, 1),
    (13, 3, 0),
    (13, 2, 2),
];

/// One run: what is committed block by block, and what was truly received.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which generator made it.
    pub kind: &'static str,
    /// Sequencers.
    pub n: u16,
    /// Byzantine ones tolerated.
    pub f: u16,
    /// Honest disagreement tolerated.
    pub g: u16,
    /// Per block: (sequencer from 1, what its log grew by).
    pub blocks: Vec<Vec<(u16, Vec<u32>)>>,
    /// Honest sequencer -> its whole true order.
    pub truth: BTreeMap<u16, Vec<u32>>,
    /// The last height of an id; no entry, no end.
    pub expiries: BTreeMap<u32, u64>,
    /// Names the ids.
    pub salt: u64,
}

/// The bundle id of a small number.
pub fn bundle_id(salt: u64, id: u32) -> BundleId {
    let items: [&[u8]; 2] = [&salt.to_be_bytes(), &id.to_be_bytes()];
    BundleId::from_bytes(*domain::hash(domain::Tag::OrderKey, &items).as_bytes())
}

impl Case {
    /// The case of a seed.
    pub fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        match dice.below(30) {
            0..10 => small(&mut dice),
            10..15 => raw(&mut dice),
            15..19 => deferral(&mut dice),
            19 => slow_decision(&mut dice),
            20..22 => deferred_cycle(&mut dice),
            22 => contested_tail(&mut dice),
            23..25 => cross_proposal(&mut dice),
            25 => late(&mut dice),
            26 => partition(&mut dice),
            27 => condorcet(&mut dice),
            28 => partial_condorcet(&mut dice),
            _ => chained(&mut dice),
        }
    }

    /// The same with windows that close: some ids expire at random heights.
    pub fn random_with_windows(seed: u64) -> Self {
        let mut case = Self::random(seed);
        let mut dice = Dice::new(!seed);
        let mut ids: Vec<u32> = case.truth.values().flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if dice.chance(40) {
                case.expiries.insert(id, 1 + dice.below(case.blocks.len()) as u64);
            }
        }
        case
    }
}

impl Case {
    /// `k` ids, one per unit of time, which every sequencer hears after a random delay of up to
    /// `jitter` units; a block every `k / blocks` units. For benches.
    pub fn stream(
        seed: u64,
        committee: (u16, u16, u16),
        k: usize,
        jitter: usize,
        blocks: usize,
    ) -> Self {
        let mut dice = Dice::new(seed);
        let mut heard = Vec::new();
        for _ in 0..committee.0 {
            let mut when: Vec<(usize, u32)> =
                (0..k).map(|id| (id + dice.below(jitter + 1), id as u32)).collect();
            when.sort_unstable();
            heard.push(when);
        }
        let truth = heard.iter().map(|when| when.iter().map(|(_, id)| *id).collect()).collect();
        let mut book = Book::new(&mut dice, "stream", committee, truth, vec![]);
        for block in 1..=blocks {
            let now = if block == blocks { usize::MAX } else { k * block / blocks };
            let upto: Vec<usize> =
                heard.iter().map(|when| when.partition_point(|(at, _)| *at < now)).collect();
            let everyone = book.all();
            book.block(&upto, &everyone);
        }
        book.case()
    }
}

/// Builds one case: `log` is what is reported, a liar's differs from the truth.
struct Book<'a> {
    dice: &'a mut Dice,
    kind: &'static str,
    committee: (u16, u16, u16),
    truth: Logs,
    log: Logs,
    liars: Vec<u16>,
    committed: Vec<usize>,
    blocks: Vec<Vec<(u16, Vec<u32>)>>,
}

/// By sequencer - 1.
type Logs = Vec<Vec<u32>>;

impl<'a> Book<'a> {
    fn new(
        dice: &'a mut Dice,
        kind: &'static str,
        committee: (u16, u16, u16),
        truth: Logs,
        liars: Vec<u16>,
    ) -> Self {
        let log = truth.clone();
        let committed = vec![0; truth.len()];
        Self { dice, kind, committee, truth, log, liars, committed, blocks: Vec::new() }
    }

    fn all(&self) -> Vec<u16> {
        (1..=self.committee.0).collect()
    }

    fn quorum(&mut self) -> Vec<u16> {
        let (n, f, _) = self.committee;
        let all = self.all();
        self.dice.sample(&all, usize::from(n - f))
    }

    /// Commits the logs of `who` up to these lengths.
    fn block(&mut self, upto: &[usize], who: &[u16]) {
        let mut fragments = Vec::new();
        for sequencer in who {
            let at = usize::from(*sequencer) - 1;
            let to = upto[at].min(self.log[at].len()).max(self.committed[at]);
            fragments.push((*sequencer, self.log[at][self.committed[at]..to].to_vec()));
            self.committed[at] = to;
        }
        self.blocks.push(fragments);
    }

    fn finish(&mut self) {
        let all = self.all();
        self.block(&vec![usize::MAX; all.len()], &all);
    }

    fn case(self) -> Case {
        let (n, f, g) = self.committee;
        let truth = self.truth.into_iter().zip(1u16..);
        let honest = truth.filter(|(_, sequencer)| !self.liars.contains(sequencer));
        Case {
            kind: self.kind,
            n,
            f,
            g,
            blocks: self.blocks,
            truth: honest.map(|(order, sequencer)| (sequencer, order)).collect(),
            expiries: BTreeMap::new(),
            salt: self.dice.roll(),
        }
    }
}

fn liars(dice: &mut Dice, n: u16, count: usize) -> Vec<u16> {
    dice.sample(&(1..=n).collect::<Vec<_>>(), count)
}

/// What is not in `head`, of `all`.
fn rest(all: &[u32], head: &[u32]) -> Vec<u32> {
    all.iter().filter(|id| !head.contains(id)).copied().collect()
}

fn lie(dice: &mut Dice, order: &[u32]) -> Vec<u32> {
    let mut lie = order.to_vec();
    match dice.below(5) {
        0 => lie.reverse(),
        1 => dice.shuffle(&mut lie),
        2 => lie.truncate(dice.below(order.len() + 1)),
        3 => {
            lie.reverse();
            lie.truncate(dice.below(order.len() + 1));
        }
        _ => {
            for phantom in 0..dice.between(1, 4) {
                let at = dice.below(lie.len() + 1);
                lie.insert(at, 1_000 + phantom as u32);
            }
        }
    }
    lie
}

/// Jittered, shuffled or rotated true orders; leaders that hide the fastest honest logs.
fn small(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&COMMITTEES);
    let k = dice.between(4, 18);
    let shape = dice.below(4);
    let jitter = dice.pick(&[1, 3, 10]);
    let order = |dice: &mut Dice, i: usize| {
        let mut order: Vec<u32> = (0..k as u32).collect();
        match shape {
            0 => dice.shuffle(&mut order),
            1 => order.rotate_left(i * k / usize::from(n)),
            _ => {
                let mut when: Vec<(usize, u32)> = Vec::new();
                for id in &order {
                    when.push((*id as usize + dice.below(2 * jitter + 1), *id));
                }
                when.sort_unstable();
                order = when.into_iter().map(|(_, id)| id).collect();
            }
        }
        order
    };
    let mut truth: Logs = (0..usize::from(n)).map(|i| order(dice, i)).collect();
    let count = dice.below(usize::from(f) + 1);
    let liars = liars(dice, n, count);
    if dice.chance(15) {
        for order in &mut truth {
            if dice.chance(50) {
                let count = dice.between(1, 3);
                let gone = dice.sample(order, count);
                order.retain(|id| !gone.contains(id));
            }
        }
    }
    let mut book = Book::new(dice, "small", (n, f, g), truth, liars.clone());
    for liar in &liars {
        let at = usize::from(*liar) - 1;
        book.log[at] = lie(book.dice, &book.truth[at].clone());
    }
    small_blocks(&mut book);
    book.case()
}

fn small_blocks(book: &mut Book<'_>) {
    let (n, f, _) = book.committee;
    let speed = book.dice.between(1, 5);
    let leader = book.dice.below(4);
    let done = book.dice.chance(80);
    let mut have = vec![0; usize::from(n)];
    for _ in 0..40 {
        for (at, have) in have.iter_mut().enumerate() {
            *have = book.log[at].len().min(*have + book.dice.below(speed + 1));
        }
        let mut who = book.all();
        book.dice.shuffle(&mut who);
        let policy = if leader == 3 { book.dice.below(3) } else { leader };
        let liars = book.liars.clone();
        match policy {
            0 => {}
            1 => who.sort_by_key(|i| !liars.contains(i)),
            _ => who.sort_by_key(|i| (!liars.contains(i), have[usize::from(*i) - 1])),
        }
        if book.dice.chance(80) {
            who.truncate(usize::from(n - f));
        }
        book.block(&have, &who);
        let complete = have.iter().zip(&book.log).all(|(have, log)| *have == log.len());
        if complete || (!done && book.dice.chance(10)) {
            break;
        }
    }
    if done {
        book.finish();
    }
}

/// Arbitrary permutations and prefix lengths: dense in contested and undecided pairs.
fn raw(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&COMMITTEES);
    let k = dice.between(4, 8);
    let order = |dice: &mut Dice| {
        let mut order: Vec<u32> = (0..k as u32).collect();
        if dice.chance(50) {
            dice.shuffle(&mut order);
        } else {
            for _ in 0..dice.between(1, 4) {
                let at = dice.below(k - 1);
                order.swap(at, at + 1);
            }
        }
        order
    };
    let truth: Logs = (0..n).map(|_| order(dice)).collect();
    let liars = liars(dice, n, f.into());
    let silent = dice.below(2 * usize::from(f) + 2);
    let silent = dice.sample(&(0..usize::from(n)).collect::<Vec<_>>(), silent);
    let mut book = Book::new(dice, "raw", (n, f, g), truth, liars);
    let mut have = vec![0; usize::from(n)];
    for round in 0..book.dice.between(1, 5) {
        for (at, have) in have.iter_mut().enumerate() {
            if !(round < 2 && silent.contains(&at)) && book.dice.chance(60) {
                *have += book.dice.below(k + 1);
            }
        }
        let who = book.dice.between(usize::from(n - f), usize::from(n) + 1);
        let all = book.all();
        let who = book.dice.sample(&all, who);
        book.block(&have, &who);
    }
    if book.dice.chance(60) {
        book.finish();
    }
    book.case()
}
