use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PrivateKey;
use fairveil_crypto::{Digest, Height};

use super::*;

const EPOCH: Epoch = Epoch::new(2);

/// Five members of the epoch before, F = 1, and a snapshot of three chunks.
struct Net {
    voters: Vec<PublicKey>,
    manifest: Manifest,
    chunks: Vec<Vec<u8>>,
    sync: Sync,
    now_ms: u64,
    /// How a member answers; honest unless it is named here.
    liars: BTreeMap<usize, Lie>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    Silent,
    WrongRoot,
    WrongManifest,
    LongManifest,
    WrongChunk,
    Absent,
}

fn net(liars: impl IntoIterator<Item = (usize, Lie)>) -> Net {
    let voters: Vec<_> = (0..5).map(|seed| PrivateKey::from_seed(seed).public_key()).collect();
    let chunks = vec![vec![1; CHUNK_BYTES], vec![2; CHUNK_BYTES], vec![3; 7]];
    let manifest = Manifest {
        epoch: EPOCH,
        start: Height::new(90),
        bytes: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        chunks: chunks.iter().map(|chunk| chunk_digest(chunk)).collect(),
    };
    let sync = Sync::new(EPOCH, group(&voters, 1));
    Net { voters, manifest, chunks, sync, now_ms: 1, liars: liars.into_iter().collect() }
}

fn group(keys: &[PublicKey], faulty: u16) -> Vec<Voters> {
    vec![Voters { keys: keys.to_vec(), faulty }]
}

impl Net {
    fn answer(&self, member: usize, message: &BoundaryMessage) -> Option<BoundaryMessage> {
        let lie = self.liars.get(&member).copied();
        let name = self.manifest.name();
        let part = |number, bytes| BoundaryPart { root: name.root, number, bytes };
        match (message, lie) {
            (_, Some(Lie::Silent)) => None,
            (BoundaryMessage::Ask, Some(Lie::WrongRoot)) => {
                let root = Digest::from_bytes([9; 32]);
                Some(BoundaryMessage::Root(BoundaryRoot { root, ..name }))
            }
            (BoundaryMessage::Ask, _) => Some(BoundaryMessage::Root(name)),
            (_, Some(Lie::Absent)) => Some(BoundaryMessage::Absent),
            (BoundaryMessage::Manifest { part: number, .. }, Some(Lie::WrongManifest)) => {
                Some(BoundaryMessage::ManifestPart(part(*number, vec![5; 40])))
            }
            (BoundaryMessage::Manifest { part: number, .. }, Some(Lie::LongManifest)) => {
                Some(BoundaryMessage::ManifestPart(part(*number, vec![5; CHUNK_BYTES])))
            }
            (BoundaryMessage::Manifest { part: number, .. }, _) => {
                Some(BoundaryMessage::ManifestPart(part(*number, self.manifest.encode())))
            }
            (BoundaryMessage::Chunk { number, .. }, Some(Lie::WrongChunk)) => {
                Some(BoundaryMessage::ChunkPart(part(*number, vec![8; 8])))
            }
            (BoundaryMessage::Chunk { number, .. }, _) => {
                let chunk = self.chunks[*number as usize].clone();
                Some(BoundaryMessage::ChunkPart(part(*number, chunk)))
            }
            _ => None,
        }
    }

    /// Lets everybody answer until the snapshot is whole, for so many milliseconds at most.
    fn play(&mut self, for_ms: u64) -> Option<Output> {
        let until = self.now_ms + for_ms;
        let mut inbox = Vec::new();
        while self.now_ms < until {
            let input = match inbox.pop() {
                Some((from, message)) => Input::Message { from, message },
                None => {
                    self.now_ms += 50;
                    Input::Wake
                }
            };
            for output in self.sync.handle(self.now_ms, input) {
                let Output::Send { to, message } = output else { return Some(output) };
                let member = self.voters.iter().position(|voter| *voter == to).unwrap();
                inbox.extend(self.answer(member, &message).map(|answer| (to, answer)));
            }
        }
        None
    }

    fn is_whole(&self, output: Option<&Output>) -> bool {
        let (manifest, chunks) = (Box::new(self.manifest.clone()), self.chunks.clone());
        output == Some(&Output::Whole { manifest, chunks })
    }
}

#[test]
fn everything_comes_from_honest_members_invariant_1() {
    let mut net = net([]);
    let output = net.play(1_000);
    assert!(net.is_whole(output.as_ref()));
    assert_eq!(net.sync.refused(), 0);
    assert_eq!(net.play(5_000), None, "and nothing more is asked for");
}

#[test]
fn one_liar_of_every_kind_costs_time_alone_invariant_3() {
    for lie in [
        Lie::Silent,
        Lie::WrongRoot,
        Lie::WrongManifest,
        Lie::LongManifest,
        Lie::WrongChunk,
        Lie::Absent,
    ] {
        for liar in 0..5 {
            let mut net = net([(liar, lie)]);
            let output = net.play(20_000 + u64::from(lie == Lie::LongManifest) * 100_000);
            assert!(net.is_whole(output.as_ref()));
        }
    }
}

#[test]
fn a_root_takes_more_than_the_liars_invariant_1() {
    let silent =
        |members: &[usize]| members.iter().map(|at| (*at, Lie::Silent)).collect::<Vec<_>>();
    // One honest member is left: nothing proves that it is.
    assert_eq!(net(silent(&[0, 1, 2, 3])).play(30_000), None);
    let mut two = net(silent(&[0, 2, 4]));
    // Those who are silent are not waited for: they named nothing.
    let output = two.play(1_000);
    assert!(two.is_whole(output.as_ref()));
    // A liar beside one honest member outvotes nobody.
    let mut one = net([(1, Lie::WrongRoot), (0, Lie::Silent), (2, Lie::Silent), (3, Lie::Silent)]);
    assert_eq!(one.play(30_000), None);
}

/// Of the epoch before one member is left, who may lie; three of the epoch itself have come in.
#[test]
fn members_of_the_epoch_itself_have_its_beginning_too() {
    let mut net = net([(0, Lie::Silent), (1, Lie::WrongRoot)]);
    let of = |members: &[usize], faulty| {
        let keys = members.iter().map(|member| net.voters[*member].clone()).collect();
        Voters { keys, faulty }
    };
    let apart = Sync::new(EPOCH, vec![of(&[0, 2], 1), of(&[1, 3], 1)]);
    let together = Sync::new(EPOCH, vec![of(&[0, 2], 1), of(&[1, 2, 3], 1)]);
    net.sync = apart;
    assert_eq!(net.play(30_000), None, "one honest member of each committee proves nothing");
    net.sync = together;
    let output = net.play(1_000);
    assert!(net.is_whole(output.as_ref()));
}

#[test]
fn another_epoch_and_strangers_are_not_heard() {
    let mut net = net([]);
    net.sync = Sync::new(EPOCH.next(), group(&net.voters, 1));
    assert_eq!(net.play(10_000), None);
    net.sync = Sync::new(Epoch::new(1), group(&net.voters, 1));
    assert_eq!(net.play(10_000), Some(Output::Over(net.manifest.name())));
    net.sync = Sync::new(EPOCH, group(&net.voters, 0));
    let from = PrivateKey::from_seed(77).public_key();
    let message = BoundaryMessage::Root(net.manifest.name());
    assert_eq!(net.sync.handle(1, Input::Message { from, message }), []);
}

#[test]
fn a_root_of_nothing_is_noticed_invariant_4() {
    let mut net = net([]);
    net.manifest.bytes = 1 << 40;
    assert_eq!(net.play(10_000), Some(Output::Impossible(net.manifest.name())));
}
