//! The opening of final orders, driven by bytes: right, wrong, foreign and damaged shares.
//!
//! | byte | input |
//! |---|---|
//! | 0 | a final order with its bundles |
//! | 1 | the own share of one |
//! | 2, 3 | a member's share, from it or from another, for its height or another |
//! | 4 | a message as bytes |
//! | 5 | a member asks for a share |
//! | 6 | time passes |
//! | 7 | a job is done |
//! | 8 | a height was released otherwise |
//! | 9 | an own share of before a restart is kept |
//! | 10 | a member tells hints: right ones, false ones, or those of another part |

use std::collections::BTreeSet;
use std::sync::LazyLock;

use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::hint::HintRandomness;
use fairveil_crypto::opening::Outcome;
use fairveil_crypto::seal::Rho;
use fairveil_crypto::share::SignedShare;
use fairveil_crypto::{Height, SequencerIndex};
use fairveil_release::opener::{
    HINTS_WITHIN_MS, Hint, Input, MAX_OPEN_HEIGHTS, OpenJob, OpenedOrder, Opener, Output, OwnShare,
    ShareMessage,
};

use super::choices::Choices;
use super::release::members;
use super::scene::{SCENE, bad_share, signed_again};
use super::world::{CULPRIT, POOL, WORLD, index};
use super::{LIMIT_BYTES, MAX_STEPS, Verdict};

/// Whose opener it is.
const OWN: SequencerIndex = index(1);

/// By height: every member's right share.
static SHARES: LazyLock<Vec<Vec<SignedShare>>> = LazyLock::new(|| {
    let share = |place| move |member| SCENE.own_share(place, member).share().clone();
    [0, 1].map(|place| members().into_iter().map(share(place)).collect()).to_vec()
});

/// What the culprit signed that is wrong.
static LIES: LazyLock<Vec<SignedShare>> = LazyLock::new(|| {
    let mut short = SCENE.own_share(0, CULPRIT).share().clone();
    short.points.pop();
    let mut unproven = SCENE.own_share(1, CULPRIT).share().clone();
    unproven.challenge = fairveil_crypto::share::ShareChallenge::from_bytes([1; 16]);
    vec![bad_share(), signed_again(short), signed_again(unproven)]
});

/// What each height opens to.
static OUTCOMES: LazyLock<Vec<Vec<Outcome>>> = LazyLock::new(|| {
    let outcomes = |place| {
        let mut run = Run { judges: false, ..Run::new() };
        run.give(Input::Order(Box::new(SCENE.batch(place))));
        for share in &SHARES[place] {
            run.give_share(share.index, SCENE.orders[place].height(), share.clone());
        }
        run.finish_jobs();
        run.now_ms += HINTS_WITHIN_MS;
        run.give(Input::Wake);
        run.finish_jobs();
        run.opened.pop().expect("t shares open").outcomes().to_vec()
    };
    [0, 1].map(outcomes).to_vec()
});

/// The hints of each height that are right.
static RIGHT_HINTS: LazyLock<Vec<Vec<Hint>>> = LazyLock::new(|| {
    let hint = |(position, outcome): (usize, &Outcome)| match outcome {
        Outcome::Opened(opened) => {
            Some(Hint { position: u32::try_from(position).ok()?, rho: opened.rho })
        }
        Outcome::Failed(_) => None,
    };
    OUTCOMES.iter().map(|outcomes| outcomes.iter().enumerate().filter_map(hint).collect()).collect()
});

struct Run {
    opener: Opener,
    /// Whether what is sent is judged by the outcomes, which are known but while they are made.
    judges: bool,
    now_ms: u64,
    jobs: Vec<OpenJob>,
    opened: Vec<OpenedOrder>,
    /// Heights of which the own share was given in.
    own: BTreeSet<Height>,
    blamed: bool,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    let mut run = Run::new();
    let mut choices = Choices::new(bytes);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    run.finish_jobs();
    for opened in &run.opened {
        let place = usize::from(opened.order().height() == SCENE.orders[1].height());
        assert_eq!(opened.outcomes(), OUTCOMES[place], "invariant 2");
    }
    Verdict::of(!run.opened.is_empty())
}

impl Run {
    fn new() -> Self {
        Self {
            opener: Opener::new(OWN, Height::ZERO),
            judges: true,
            now_ms: 0,
            jobs: Vec::new(),
            opened: Vec::new(),
            own: BTreeSet::new(),
            blamed: false,
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        let place = choices.below(2);
        let height = SCENE.orders[place].height();
        match choices.below(11) {
            0 => self.give(Input::Order(Box::new(SCENE.batch(place)))),
            1 => {
                self.own.insert(height);
                self.give(Input::OwnShare(SCENE.own_share(place, OWN)));
            }
            2 => {
                let share = choices.pick(&SHARES[place]).clone();
                self.give_share(share.index, height, share);
            }
            3 => self.odd_share(choices, place),
            4 => {
                let from = *choices.pick(&members());
                if let Ok(message) = ShareMessage::decode(choices.bytes()) {
                    self.give(Input::Message { from, message });
                }
            }
            5 => {
                let (from, height) = (*choices.pick(&members()), some_height(choices));
                self.give(Input::Message { from, message: ShareMessage::Request { height } });
            }
            6 => {
                self.now_ms += choices.number();
                self.give(Input::Wake);
            }
            7 => {
                if let Some(job) = self.jobs.pop() {
                    self.give(Input::Worked(Box::new(run_job(job))));
                }
            }
            8 => self.give(Input::Released(height)),
            10 => {
                let from = *choices.pick(&members());
                let hints = some_hints(choices, place);
                let height = if choices.below(4) == 0 { some_height(choices) } else { height };
                self.give(Input::Message { from, message: ShareMessage::Hints { height, hints } });
            }
            _ => {
                let share = SHARES[place][OWN.position()].clone();
                let committee = &WORLD.dealt.committee;
                let kept = OwnShare::stored(height, share, committee, OWN).expect("its own share");
                self.own.insert(height);
                self.opener.keep(kept);
            }
        }
    }

    /// A share with a wrong height or sender, a lie, or a damaged one.
    fn odd_share(&mut self, choices: &mut Choices<'_>, place: usize) {
        let right = choices.pick(&SHARES[place]).clone();
        let share = match choices.below(3) {
            0 => choices.pick(&LIES).clone(),
            1 => match decode(&choices.changed(&encode(&right)), LIMIT_BYTES) {
                Ok(damaged) => damaged,
                Err(_) => return,
            },
            _ => right,
        };
        let from = match choices.below(4) {
            0 => *choices.pick(&members()),
            _ => share.index,
        };
        let height = some_height(choices);
        self.give_share(from, height, share);
    }

    fn give_share(&mut self, from: SequencerIndex, height: Height, share: SignedShare) {
        let message = ShareMessage::Share { height, share: Box::new(share) };
        self.give(Input::Message { from, message });
    }

    fn give(&mut self, input: Input) {
        for output in self.opener.handle(self.now_ms, input) {
            match output {
                Output::Broadcast(message) => self.judge_sent(&message),
                Output::Send { to, message } => {
                    assert!(to != OWN || matches!(message, ShareMessage::Share { .. }));
                    self.judge_sent(&message);
                }
                Output::Run(job) => self.jobs.push(*job),
                Output::Opened(opened) => self.opened.push(*opened),
                Output::Blame { culprit, evidence } => {
                    assert!(!self.blamed, "named once");
                    self.blamed = true;
                    let judged = evidence.judge(&WORLD.network_id(), &WORLD.dealt.committee);
                    assert_eq!(judged.expect("evidence that holds").culprit, culprit);
                    assert_eq!(culprit, CULPRIT);
                }
                Output::Postponed(_) => assert!(!self.opener.has_room()),
            }
        }
        assert!(self.opener.open_heights().count() <= MAX_OPEN_HEIGHTS);
        assert_eq!(self.opener.wake_at().is_some(), self.opener.open_heights().count() > 0);
    }

    /// Invariant 1: no share leaves but the own one of a final order, and no hint that is false.
    fn judge_sent(&self, message: &ShareMessage) {
        if let ShareMessage::Hints { height, hints } = message {
            let place = usize::from(*height == SCENE.orders[1].height());
            assert!(!self.judges || hints.iter().all(|hint| RIGHT_HINTS[place].contains(hint)));
        }
        if let ShareMessage::Share { height, share } = message {
            assert!(share.index == OWN && self.own.contains(height));
            assert!(SHARES.iter().any(|shares| shares[OWN.position()] == **share));
        }
    }

    fn finish_jobs(&mut self) {
        while let Some(job) = self.jobs.pop() {
            self.give(Input::Worked(Box::new(run_job(job))));
        }
    }
}

fn run_job(job: OpenJob) -> fairveil_release::opener::Worked {
    job.run(&POOL, HintRandomness::new([5; 32]))
}

/// Every other hint of a height, or all of one member's part, with one of them changed at times.
fn some_hints(choices: &mut Choices<'_>, place: usize) -> Vec<Hint> {
    let (step, first) = (1 + choices.below(4), choices.below(4));
    let mut hints: Vec<Hint> =
        RIGHT_HINTS[place].iter().skip(first).step_by(step).copied().collect();
    if choices.below(3) == 0
        && let Some(hint) = hints.first_mut()
    {
        hint.rho = Rho::from_bytes([3; 32]);
    }
    hints
}

fn some_height(choices: &mut Choices<'_>) -> Height {
    *choices.pick(&[Height::new(1), Height::new(2), Height::new(3), Height::new(70), Height::MAX])
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let right = [0, 0, 0, 1, 0, 2, 1, 0, 2, 2, 0, 2, 3, 0, 7];
    let early = [1, 2, 1, 1, 2, 2, 1, 2, 3, 1, 2, 4, 1, 0, 1, 7, 1, 5, 3, 1];
    let lies = [0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 1, 0, 2, 2, 0, 2, 3, 0, 7, 0, 2, 4, 0, 7];
    let silent = [0, 0, 0, 6, 1, 0, 0, 5, 2, 0, 0, 9, 0, 5, 2, 0, 0, 5, 2, 0];
    let silent = [&silent[..], &right[2..]].concat();
    let hints = [0, 10, 1, 3, 0, 1, 1, 0, 10, 2, 3, 1, 1, 1, 0, 10, 3, 3, 2, 0, 1];
    let told = [&right[..2], &hints[..], &right[2..]].concat();
    let told_early = [&hints[..], &right[..]].concat();
    // Whatever was not told is combined a while later.
    let ended = |seed: &[u8]| [seed, &[0, 6, 1, 0, 0, 7]].concat();
    [&right[..], &early, &lies, &silent, &told, &told_early].map(ended).to_vec()
}
