//! Taking over certified releases, driven by bytes: parts of the right release and of others, from
//! the asked peer and from others, in any order.

use std::sync::{Arc, LazyLock};

use fairveil_crypto::{Digest, Height, SequencerIndex};
use fairveil_mempool::Leg;
use fairveil_release::adoption::{
    Adoption, Input, MAX_WANTED, Output, PART_BYTES, ReleaseMessage, ReleasePart,
};
use fairveil_release::chain::{Judged, JudgedOrder};
use fairveil_release::message::OpeningMessage;
use fairveil_release::release::Release;
use fairveil_release::validity::valid_bundles;

use super::choices::Choices;
use super::scene::SCENE;
use super::world::{CHAINS, POOL, WORLD, bundle, index, transaction};
use super::{MAX_STEPS, Verdict};

/// Who can be asked.
const PEERS: [SequencerIndex; 3] = [index(2), index(3), index(4)];

/// Two small releases, and one of two parts.
static RELEASES: LazyLock<Vec<Release>> = LazyLock::new(|| {
    let mut chain = WORLD.chain();
    let mut releases = Vec::new();
    for (release, _) in &SCENE.releases {
        chain.adopt(release.clone(), &release.header.root()).expect("the next height");
        releases.push(release.clone());
    }
    let transactions = vec![transaction(CHAINS[0], 0, PART_BYTES)];
    let large = bundle(vec![Leg { chain_id: CHAINS[0], transactions }]);
    let valid = valid_bundles(&POOL, &WORLD.registry, &[large]).remove(0).expect("a valid one");
    let (height, block) = (chain.next(), SCENE.orders[0].block());
    let ids = vec![(SCENE.sealed[0].id(), Judged::Valid(valid))];
    let order = JudgedOrder { height, block, time_ms: 9, ids };
    releases.push(chain.extend(order).expect("the next height").release);
    releases
});

struct Run {
    adoption: Adoption,
    now_ms: u64,
    /// What was asked for last.
    asked: Option<(SequencerIndex, Height, u32)>,
    wholes: usize,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    let adoption = Adoption::new(PEERS.to_vec());
    let mut run = Run { adoption, now_ms: 0, asked: None, wholes: 0 };
    let mut choices = Choices::new(bytes);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    Verdict::of(run.wholes > 0)
}

fn wanted(height: Height, root: Digest) -> Input {
    Input::Wanted { height, root, registry: Arc::new(WORLD.registry.clone()) }
}

impl Run {
    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0 => {
                let header = &choices.pick(&RELEASES).header;
                self.give(wanted(header.height, header.root()));
            }
            1 => {
                let (height, root) = (Height::new(choices.number()), Digest::from_bytes([1; 32]));
                self.give(wanted(height, root));
            }
            2 => self.answer(choices),
            3 => self.part(choices),
            4 => {
                let from = *choices.pick(&PEERS);
                if let Ok(OpeningMessage::Release(message)) =
                    OpeningMessage::decode(choices.bytes())
                {
                    self.give(Input::Message { from, message });
                }
            }
            5 => {
                let (from, height) = (*choices.pick(&PEERS), Height::new(choices.number()));
                self.give(Input::Message { from, message: ReleaseMessage::Absent { height } });
            }
            6 => {
                self.now_ms += choices.number();
                self.give(Input::Wake);
            }
            _ => self.give(Input::Released(Height::new(choices.number()))),
        }
    }

    /// What was asked for last, as an honest peer answers it.
    fn answer(&mut self, choices: &mut Choices<'_>) {
        let Some((from, height, part)) = self.asked else { return };
        let release = RELEASES.iter().find(|release| release.header.height == height);
        let encoded = release.map(Release::encode);
        let mut part = encoded.and_then(|bytes| ReleasePart::of(height, &bytes, part));
        if let Some(part) = &mut part
            && choices.byte() % 8 == 7
        {
            part.bytes = choices.changed(&part.bytes);
        }
        let message = part.map_or(ReleaseMessage::Absent { height }, ReleaseMessage::Part);
        self.give(Input::Message { from, message });
    }

    /// Any part of any release, as part of any height.
    fn part(&mut self, choices: &mut Choices<'_>) {
        let from = *choices.pick(&PEERS);
        let encoded = choices.pick(&RELEASES).encode();
        let height = choices.pick(&RELEASES).header.height;
        let Some(mut part) = ReleasePart::of(height, &encoded, choices.byte().into()) else {
            return;
        };
        match choices.below(4) {
            0 => part.parts = choices.byte().into(),
            1 => part.part = [0, 1, u32::MAX][choices.below(3)],
            2 => part.bytes.truncate(choices.number() as usize),
            _ => {}
        }
        self.give(Input::Message { from, message: ReleaseMessage::Part(part) });
    }

    fn give(&mut self, input: Input) {
        for output in self.adoption.handle(self.now_ms, input) {
            match output {
                Output::Send { to, message: ReleaseMessage::Request { height, part } } => {
                    assert!(PEERS.contains(&to) && self.adoption.wants(height));
                    self.asked = Some((to, height, part));
                }
                Output::Send { message, .. } => panic!("sends {message:?}"),
                Output::Whole { release, root } => {
                    assert_eq!(release.header.root(), root, "invariant 1");
                    assert!(RELEASES.contains(&release), "invariant 1");
                    self.wholes += 1;
                }
            }
        }
        let wanted = RELEASES.iter().filter(|one| self.adoption.wants(one.header.height)).count();
        assert!(wanted <= MAX_WANTED);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let small = [0, 0, 2, 0];
    let large = [0, 2, 2, 0, 2, 0];
    let damaged = [0, 1, 2, 7, 0, 0, 9, 1, 2, 0, 6, 4, 0, 2, 0];
    let confused = [0, 2, 3, 0, 2, 2, 0, 3, 2, 0, 3, 1, 1, 2, 1, 0, 2, 2, 0, 2, 0, 2, 0];
    [&small[..], &large, &damaged, &confused].map(<[u8]>::to_vec).to_vec()
}
