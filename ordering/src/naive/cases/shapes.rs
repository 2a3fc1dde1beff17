//! Cases built around one hard part each.

use super::{Book, Case, Logs, liars, rest};
use crate::naive::Dice;

/// Undecided pairs in front, a solid id behind them, more proposals queueing.
pub(super) fn deferral(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0), (7, 1, 1), (11, 2, 1)]);
    let (edge, solid) = (usize::from(g + f + 1), usize::from(n - 2 * f));
    let liars = liars(dice, n, f.into());
    let extra: Vec<u32> = (10..10 + dice.below(4) as u32).collect();
    let all: Vec<usize> = (0..usize::from(n)).collect();
    let early = dice.sample(&all, (2 * edge - 2).min(solid - 1));
    let (mut truth, mut cut) = (Logs::new(), Vec::new());
    for at in &all {
        let mut head: Vec<u32> = match early.iter().position(|i| i == at) {
            Some(j) if j % 2 == 1 => vec![0, 1],
            Some(_) => vec![1, 0],
            None => vec![],
        };
        if !head.is_empty() && dice.chance(20) {
            head.truncate(1);
        }
        let mut middle = vec![2];
        middle.extend(extra.iter().filter(|_| dice.chance(70)));
        dice.shuffle(&mut middle);
        if dice.chance(50) {
            head.insert(0, 3);
        } else {
            middle.push(3);
        }
        head.extend(middle);
        let mut every = vec![0, 1, 2, 3, 4, 5, 6];
        every.extend(&extra);
        let mut late = rest(&every, &head);
        if dice.chance(50) {
            dice.shuffle(&mut late);
        }
        cut.push(head.len());
        head.extend(late);
        truth.push(head);
    }
    let mut book = Book::new(dice, "deferral", (n, f, g), truth, liars);
    let everyone = book.all();
    book.block(&cut, &everyone);
    let steps = book.dice.between(1, 4);
    for step in 0..steps {
        let mut upto = cut.clone();
        for (at, upto) in upto.iter_mut().enumerate() {
            if early.contains(&at) || step + 1 == steps {
                *upto += book.dice.below(3 + step);
            }
        }
        let who = book.quorum();
        book.block(&upto, &who);
    }
    if book.dice.chance(85) {
        book.finish();
    }
    book.case()
}

/// An undecided pair has T votes on one side well before an end of it is in S logs.
pub(super) fn slow_decision(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(9, 2, 0), (11, 2, 1), (13, 3, 0)]);
    let edge = usize::from(g + f + 1);
    let mut who: Vec<usize> = (0..usize::from(n)).collect();
    dice.shuffle(&mut who);
    let (early, hold) = who.split_at(2 * edge - 2);
    let mut logs = vec![Vec::new(); usize::from(n)];
    let mut cut = vec![0; usize::from(n)];
    for (j, i) in early.iter().enumerate() {
        logs[*i] = if j % 2 == 1 { vec![0, 1] } else { vec![1, 0] };
        if j < 2 * (edge - 2) {
            logs[*i].truncate(1);
        }
        logs[*i].push(2);
        cut[*i] = logs[*i].len();
    }
    for (j, i) in hold.iter().enumerate() {
        logs[*i] = if j == 0 { vec![2] } else { vec![dice.pick(&[0, 0, 1])] };
        cut[*i] = usize::from(j == 0);
    }
    for log in &mut logs {
        let mut late = rest(&[0, 1, 2, 3, 4], log);
        dice.shuffle(&mut late);
        log.extend(late);
    }
    let liars: Vec<u16> = if dice.chance(50) {
        hold[..usize::from(f)].iter().map(|i| *i as u16 + 1).collect()
    } else {
        vec![]
    };
    let hold = hold.to_vec();
    let mut book = Book::new(dice, "slow-decision", (n, f, g), logs, liars);
    let everyone = book.all();
    book.block(&cut, &everyone);
    for i in hold {
        cut[i] += 1;
        let mut who = book.quorum();
        if !who.contains(&(i as u16 + 1)) {
            who[0] = i as u16 + 1;
        }
        book.block(&cut, &who);
    }
    if book.dice.chance(80) {
        book.finish();
    }
    book.case()
}

/// An undecided pair holds back a cycle of which one id is solid; the others become solid, and
/// an id that the honest put before them comes with the next proposal.
pub(super) fn deferred_cycle(dice: &mut Dice) -> Case {
    let [d, e, a, b, c, y, z] = [0, 1, 2, 3, 4, 5, 6];
    let heads = [vec![d, e, a, y, b], vec![e, d, b, c, a], vec![c, a], vec![], vec![]];
    let mut permutation: Vec<usize> = (0..5).collect();
    dice.shuffle(&mut permutation);
    let mut truth = vec![Vec::new(); 5];
    let mut cut = vec![0; 5];
    for (i, head) in heads.into_iter().enumerate() {
        let mut tail = rest(&[a, b, c, d, e, z], &head);
        dice.shuffle(&mut tail);
        let at = permutation[i];
        cut[at] = head.len();
        truth[at] = head;
        if !truth[at].contains(&y) {
            let place = if i == 1 { tail.len() } else { 0 };
            tail.insert(place, y);
        }
        truth[at].extend(tail);
    }
    let liar = vec![permutation[1] as u16 + 1];
    let mut book = Book::new(dice, "deferred-cycle", (5, 1, 0), truth, liar);
    let everyone = book.all();
    book.block(&cut, &everyone);
    let mut upto = cut;
    for at in [permutation[3], permutation[4]] {
        let ends = book.truth[at].iter().position(|id| [d, e].contains(id));
        upto[at] = ends.unwrap_or(usize::MAX);
    }
    book.block(&upto, &everyone);
    if book.dice.chance(50) {
        let more: Vec<usize> = upto.iter().map(|to| to + book.dice.below(2)).collect();
        let who = book.quorum();
        book.block(&more, &who);
    }
    book.finish();
    book.case()
}

/// A shaded id that ties with or narrowly beats a solid one over contested edges: to be cut.
pub(super) fn contested_tail(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0), (7, 1, 1), (11, 2, 1), (13, 3, 0)]);
    let (edge, solid) = (usize::from(g + f + 1), usize::from(n - 2 * f));
    let liars = liars(dice, n, f.into());
    let who = dice.sample(&(1..=n).collect::<Vec<_>>(), usize::from(n - f));
    let (x, s, y) = (0, 1, 2);
    let extra: Vec<u32> = (3..3 + dice.below(3) as u32).collect();
    let holds_x = dice.between(edge, solid);
    let mut truth = Logs::new();
    let mut cut = Vec::new();
    for sequencer in 1..=n {
        let place = who.iter().position(|i| *i == sequencer);
        let mut head = match place {
            Some(j) if j < holds_x => vec![x, s],
            Some(_) => vec![s],
            None => vec![],
        };
        if place.is_some() && dice.chance(30) {
            head.extend(&extra);
        }
        cut.push(head.len());
        let mut every = vec![y, x, s];
        every.extend(&extra);
        head.extend(rest(&every, &head));
        truth.push(head);
    }
    let mut book = Book::new(dice, "contested-tail", (n, f, g), truth, liars);
    book.block(&cut, &who);
    if book.dice.chance(50) {
        let who = book.quorum();
        book.block(&cut.iter().map(|to| to + 1).collect::<Vec<_>>(), &who);
    }
    book.finish();
    book.case()
}

/// x is proposed with a solid s while y, which the honest have before x, is blank.
pub(super) fn cross_proposal(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0), (7, 1, 1), (13, 3, 0)]);
    let (edge, solid) = (usize::from(g + f + 1), usize::from(n - 2 * f));
    let mut who: Vec<u16> = (1..=n).collect();
    dice.shuffle(&mut who);
    let (liars, others) = who.split_at(f.into());
    let (few, many) = others.split_at(usize::from(g) + 1);
    let [x, s, y, o1, o2] = [0, 1, 2, 3, 4];
    let mut truth = vec![Vec::new(); usize::from(n)];
    let mut upto = vec![0; usize::from(n)];
    for i in few {
        truth[usize::from(*i) - 1] = vec![y, x, s, o1, o2];
        upto[usize::from(*i) - 1] = 3;
    }
    for i in liars {
        truth[usize::from(*i) - 1] = vec![x, s, o1, o2, y];
        upto[usize::from(*i) - 1] = 2;
    }
    for i in many {
        let late = if dice.chance(70) { [o1, y, x, o2] } else { [y, x, o2, o1] };
        truth[usize::from(*i) - 1] = [&[s][..], &late].concat();
    }
    for i in &many[..many.len().min(solid - edge + dice.below(2))] {
        upto[usize::from(*i) - 1] = 1;
    }
    let (liars, many) = (liars.to_vec(), many.to_vec());
    let mut book = Book::new(dice, "cross-proposal", (n, f, g), truth, liars);
    let everyone = book.all();
    book.block(&upto, &everyone);
    for round in 0..book.dice.below(3) {
        for i in &many {
            upto[usize::from(*i) - 1] = 2 + round;
        }
        let who = book.quorum();
        book.block(&upto, &who);
    }
    book.finish();
    book.case()
}

/// An id sits at T - 1 (or T, S - 1) logs for a while, then everybody has it.
pub(super) fn late(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0), (7, 1, 1)]);
    let (edge, solid) = (usize::from(g + f + 1), usize::from(n - 2 * f));
    let k = dice.between(4, 7);
    let count = dice.pick(&[edge - 1, edge, solid - 1]);
    let first = liars(dice, n, count);
    let mut truth = Logs::new();
    for sequencer in 1..=n {
        let mut order: Vec<u32> = (0..k as u32).collect();
        if dice.chance(40) {
            let at = dice.below(k - 1);
            order.swap(at, at + 1);
        }
        let at = if first.contains(&sequencer) { 0 } else { dice.between(k / 2, k + 1) };
        order.insert(at, 99);
        truth.push(order);
    }
    let liars = liars(dice, n, f.into());
    let mut book = Book::new(dice, "late", (n, f, g), truth, liars);
    let mut have = vec![0; usize::from(n)];
    for _ in 0..k {
        have.iter_mut().for_each(|have| *have += book.dice.below(3));
        let who = book.quorum();
        book.block(&have, &who);
    }
    book.finish();
    book.case()
}

/// Two sides hear two streams in opposite order.
pub(super) fn partition(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0), (7, 1, 1), (13, 3, 0)]);
    let k = dice.between(2, 6);
    let quorum = dice.chance(50);
    let side = liars(dice, n, usize::from(if quorum { n - f } else { n / 2 }));
    let (left, right): (Vec<u32>, Vec<u32>) =
        ((0..k as u32).collect(), (k as u32..2 * k as u32).collect());
    let order = |sequencer: u16| {
        let sides = if side.contains(&sequencer) { [&left, &right] } else { [&right, &left] };
        sides.into_iter().flatten().copied().collect()
    };
    let truth: Logs = (1..=n).map(order).collect();
    let mut book = Book::new(dice, "partition", (n, f, g), truth, vec![]);
    if quorum {
        for round in 1..=k {
            book.block(&vec![round; usize::from(n)], &side);
        }
    }
    let who = book.quorum();
    book.block(&vec![k; usize::from(n)], &who);
    book.finish();
    book.case()
}

/// Everybody honest, all orders rotations of one.
pub(super) fn condorcet(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0), (7, 1, 1), (13, 3, 0)]);
    let k = dice.pick(&[4, 5, usize::from(n - f), usize::from(n), usize::from(n) + 2]);
    let rotated = |i: usize| {
        let mut order: Vec<u32> = (0..k as u32).collect();
        order.rotate_left(i * k / usize::from(n));
        order
    };
    let truth: Logs = (0..usize::from(n)).map(rotated).collect();
    let mut book = Book::new(dice, "condorcet", (n, f, g), truth, vec![]);
    if book.dice.chance(50) {
        let upto: Vec<usize> = (0..n).map(|_| book.dice.below(k + 1)).collect();
        let who = book.quorum();
        book.block(&upto, &who);
    }
    book.finish();
    book.case()
}

/// A strict cycle of three at n = 5, f = 1, from three logs that have heard of it.
pub(super) fn partial_condorcet(dice: &mut Dice) -> Case {
    let mut ids = [0, 1, 2];
    dice.shuffle(&mut ids);
    let [a, b, c] = ids;
    let heads = [vec![a, b], vec![b, c, a], vec![c, a], vec![], vec![]];
    let mut who: Vec<u16> = (1..=5).collect();
    dice.shuffle(&mut who);
    let mut truth = vec![Vec::new(); 5];
    let mut cut = vec![0; 5];
    for (sequencer, head) in who.iter().zip(heads) {
        let at = usize::from(*sequencer) - 1;
        let mut tail = rest(&[7, a, b, c], &head);
        dice.shuffle(&mut tail);
        cut[at] = head.len();
        truth[at] = head;
        truth[at].extend(tail);
    }
    let mut book = Book::new(dice, "partial-condorcet", (5, 1, 0), truth, vec![]);
    let everyone = book.all();
    let first = if book.dice.chance(50) { &who[..4] } else { &everyone[..] };
    book.block(&cut, first);
    let more = book.quorum();
    book.block(&cut.iter().map(|to| to + 1).collect::<Vec<_>>(), &more);
    book.finish();
    book.case()
}

/// Overlapping rotations, the counterexample to the liveness of Aequitas.
pub(super) fn chained(dice: &mut Dice) -> Case {
    let (n, f, g) = dice.pick(&[(5, 1, 0), (9, 2, 0)]);
    let width = usize::from(n - f);
    let links = dice.between(2, if n == 5 { 5 } else { 3 });
    let mut truth = vec![Vec::new(); usize::from(n)];
    for link in 0..links {
        let ring: Vec<u32> = (0..width).map(|at| (link * (width - 1) + at) as u32).collect();
        for (i, order) in truth.iter_mut().enumerate() {
            let mut turned = ring.clone();
            turned.rotate_left(i % width);
            order.extend(rest(&turned, order));
        }
    }
    let total = truth[0].len();
    let mut book = Book::new(dice, "chained", (n, f, g), truth, vec![]);
    let step = book.dice.between(2, width + 1);
    for to in (step..total).step_by(step) {
        let upto: Vec<usize> =
            (0..n).map(|_| (to + book.dice.below(3)).saturating_sub(1)).collect();
        let who = book.quorum();
        book.block(&upto, &who);
    }
    book.finish();
    book.case()
}
