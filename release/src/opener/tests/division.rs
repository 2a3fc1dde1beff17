//! Dividing the combining: hints, silence and lies.

use fairveil_crypto::opening::Outcome;

use super::*;

/// The right hints of all positions that have one.
static HINTS: LazyLock<Vec<Hint>> = LazyLock::new(|| {
    let mut run = Run::new(1);
    run.order(&SCENE);
    for share in &SCENE.shares[..5] {
        run.share(share.clone());
    }
    let outcomes = run.opened[0].outcomes().iter().enumerate();
    let hint = |(position, outcome): (usize, &Outcome)| match outcome {
        Outcome::Opened(opened) => {
            Some(Hint { position: u32::try_from(position).unwrap(), rho: opened.rho })
        }
        Outcome::Failed(_) => None,
    };
    outcomes.filter_map(hint).collect()
});

fn height() -> Height {
    Height::new(1)
}

/// The right hints of one member's part of height 1.
fn part(member: u16) -> Vec<Hint> {
    part_of(height(), member)
}

/// The same of another height with the same batch.
fn part_of(height: Height, member: u16) -> Vec<Hint> {
    let own = |hint: &&Hint| combiner(height, hint.position as usize, 7) == index(member);
    HINTS.iter().filter(own).copied().collect()
}

fn false_hint(position: u32) -> Hint {
    Hint { position, rho: Rho::from_bytes([9; 32]) }
}

impl Run {
    fn divided(own: u16) -> Self {
        Self::with(own, Division::Divided)
    }

    fn hints(&mut self, from: u16, hints: Vec<Hint>) {
        self.tell(height(), from, hints);
    }

    /// The right hints of a member's part of height 2.
    fn next_hints(&mut self, from: u16) {
        self.tell(Height::new(2), from, part_of(Height::new(2), from));
    }

    fn tell(&mut self, height: Height, from: u16, hints: Vec<Hint>) {
        let message = ShareMessage::Hints { height, hints };
        self.input(Input::Message { from: index(from), message });
    }

    /// The order and t shares.
    fn shared(&mut self) {
        self.order(&SCENE);
        SCENE.shares[..5].iter().for_each(|share| self.share(share.clone()));
    }

    fn wake(&mut self) {
        self.now_ms = self.opener.wake_at().unwrap();
        self.input(Input::Wake);
    }

    /// The same batch once more, at height 2, with all shares.
    fn next_height(&mut self) {
        let order = SEVEN.order(2, &SCENE.bundles);
        let batch = FinalBatch::new(order.clone(), SCENE.bundles.clone()).unwrap();
        self.input(Input::Order(Box::new(batch)));
        for member in SequencerIndex::all(7) {
            let share = SEVEN.own_share(member, &order, &SCENE.bundles).share().clone();
            let message = ShareMessage::Share { height: Height::new(2), share: Box::new(share) };
            self.input(Input::Message { from: member, message });
        }
    }
}

#[test]
fn a_member_opens_its_part_for_all_and_takes_the_rest_from_them() {
    let mut run = Run::divided(3);
    run.shared();
    assert!(run.opened.is_empty());
    let told = ShareMessage::Hints { height: height(), hints: part(3) };
    assert!(!part(3).is_empty());
    assert_eq!(run.sent, [(None, told)]);
    for member in [1, 2, 4, 5, 6] {
        run.hints(member, part(member));
        assert!(run.opened.is_empty());
    }
    run.hints(7, part(7));
    assert_eq!(run.release(), SCENE.release);
    assert_eq!(run.opener.dropped(), Dropped::default());
    assert_eq!(run.opener.wake_at(), None);
}

#[test]
fn hints_open_without_a_single_share_and_before_the_order_they_wait() {
    let mut run = Run::divided(3);
    for member in [1, 2, 4, 5, 6, 7] {
        run.hints(member, part(member));
        run.hints(member, part(member));
    }
    assert_eq!(run.opener.dropped().repeated, 6);
    run.order(&SCENE);
    // Its own part, and those that have no hint, still wait for shares.
    assert!(run.opened.is_empty() && run.sent.is_empty());
    SCENE.shares[..5].iter().for_each(|share| run.share(share.clone()));
    assert_eq!(run.release(), SCENE.release);
}

#[test]
fn what_is_not_told_in_time_is_combined_here_and_silence_costs_one_delay_invariant_3() {
    let mut run = Run::divided(3);
    run.now_ms = 1_000;
    run.shared();
    for member in [1, 2, 4, 5] {
        run.hints(member, part(member));
    }
    assert_eq!(run.opener.wake_at(), Some(1_000 + HINTS_WITHIN_MS));
    run.now_ms = 999 + HINTS_WITHIN_MS;
    run.input(Input::Wake);
    assert!(run.opened.is_empty());
    run.wake();
    assert_eq!(run.release(), SCENE.release);
    assert_eq!(run.opener.dropped().silent_parts, 2);
    // At the next height nothing waits for them.
    run.next_height();
    assert_eq!(run.opened.len(), 1);
    for member in [1, 2, 4, 5] {
        run.next_hints(member);
    }
    assert_eq!(run.opened.len(), 2);
    assert_eq!(run.opener.dropped().silent_parts, 2);
}

#[test]
fn the_clock_for_hints_starts_with_the_share_that_makes_t() {
    let mut run = Run::divided(3);
    run.now_ms = 1_000;
    run.order(&SCENE);
    let asked_at = run.opener.wake_at();
    // Shares take longer than hints would have had from the order on.
    run.now_ms += HINTS_WITHIN_MS + 50;
    SCENE.shares[..4].iter().for_each(|share| run.share(share.clone()));
    assert_eq!(run.opener.wake_at(), asked_at, "four of five shares start no clock");
    run.now_ms += 10;
    run.share(SCENE.shares[4].clone());
    let until = run.now_ms + HINTS_WITHIN_MS;
    run.now_ms = asked_at.unwrap();
    run.input(Input::Wake);
    assert_eq!(run.opener.wake_at(), Some(until));
    run.now_ms = until - 1;
    for member in [1, 2, 4, 5, 6, 7] {
        run.hints(member, part(member));
    }
    assert_eq!(run.release(), SCENE.release);
    assert_eq!(run.opener.dropped(), Dropped::default());
}

#[test]
fn a_member_that_was_silent_once_is_heard_again() {
    let mut run = Run::divided(3);
    run.shared();
    run.wake();
    assert_eq!(run.opener.dropped().silent_parts, 6);
    // All of it was combined here, and their hints were on the way.
    assert_eq!(run.release(), SCENE.release);
    for member in [1, 2, 4, 5, 6, 7] {
        run.hints(member, part(member));
    }
    run.next_height();
    assert_eq!(run.opened.len(), 1, "their parts are left to them again");
}

#[test]
fn a_false_hint_is_not_believed_and_costs_its_member_the_rest_invariant_7() {
    for lie in [0, 1] {
        let mut run = Run::divided(3);
        run.shared();
        let liar = (1..=7).find(|member| *member != 3 && part(*member).len() == 2).unwrap();
        let mut lies = part(liar);
        lies[lie] = false_hint(lies[lie].position);
        run.hints(liar, lies);
        assert_eq!(run.opener.dropped().false_hints, 1);
        for member in (1..=7).filter(|member| ![3, liar].contains(member)) {
            run.hints(member, part(member));
        }
        assert_eq!(run.release(), SCENE.release);
        // From now on its part is combined here.
        run.next_height();
        for member in (1..=7).filter(|member| ![3, liar].contains(member)) {
            run.next_hints(member);
        }
        assert_eq!(run.opened.len(), 2);
    }
}

#[test]
fn nobody_speaks_for_the_part_of_another_invariant_2() {
    let (first, second) = (part(1), part(2));
    let mut doubled = first.clone();
    doubled.extend(first.clone());
    let beyond = vec![Hint { position: u32::MAX, ..first[0] }];
    for hints in [second, doubled, beyond] {
        let mut run = Run::divided(3);
        run.shared();
        run.hints(1, hints);
        assert_eq!(run.opener.dropped().false_hints, 1);
        for member in [2, 4, 5, 6, 7] {
            run.hints(member, part(member));
        }
        assert_eq!(run.release(), SCENE.release);
    }
}

#[test]
fn every_position_has_one_member_and_turns_with_the_height() {
    for n in [4, 5, 16, 128] {
        for position in 0..300 {
            let at = |height: u64| combiner(Height::new(height), position, n).position();
            assert_eq!((at(7) + 1) % usize::from(n), at(8));
            assert!(at(u64::MAX - 5) < usize::from(n));
        }
    }
    assert_eq!(combiner(Height::new(1), 0, 7), index(2));
}

/// What a member does with its part.
#[derive(Clone, Copy, Debug)]
enum Telling {
    Right,
    Silent,
    False(usize),
    Less,
    Misplaced,
}

fn telling() -> impl Strategy<Value = Telling> {
    prop_oneof![
        4 => Just(Telling::Right),
        1 => Just(Telling::Silent),
        1 => (0usize..2).prop_map(Telling::False),
        1 => Just(Telling::Less),
        1 => Just(Telling::Misplaced),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn however_members_tell_the_bytes_are_the_same_invariant_2(
        tellings in proptest::collection::vec(telling(), 7),
        arrival in Just((0..14usize).collect::<Vec<_>>()).prop_shuffle(),
        order_after in 0usize..14,
        own in 1u16..=7,
    ) {
        let mut run = Run::divided(own);
        let mut liars = 0;
        for (at, what) in arrival.into_iter().enumerate() {
            if at == order_after {
                run.order(&SCENE);
            }
            if what < 7 {
                run.share(SCENE.shares[what].clone());
                continue;
            }
            let member = u16::try_from(what - 6).unwrap();
            let mut hints = part(member);
            match tellings[what - 7] {
                Telling::Right => {}
                Telling::Silent => continue,
                Telling::False(place) => match hints.get_mut(place) {
                    Some(hint) => *hint = false_hint(hint.position),
                    None => continue,
                },
                Telling::Less => drop(hints.pop()),
                Telling::Misplaced => hints = part(member % 7 + 1),
            }
            if member != own {
                liars += u64::from(matches!(
                    tellings[what - 7],
                    Telling::False(_) | Telling::Misplaced
                ));
                run.hints(member, hints);
            }
        }
        if run.opened.is_empty() {
            run.wake();
        }
        prop_assert_eq!(run.release(), SCENE.release.clone());
        prop_assert!(run.opener.dropped().false_hints <= liars);
    }
}
