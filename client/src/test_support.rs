//! A network whose key comes from a real ceremony, and everything that it signs, for tests.
#![allow(clippy::unwrap_used)]

mod scene;

use std::sync::LazyLock;
use std::time::Duration;

use alloy_consensus::crypto::secp256k1;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind};
use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::certificate::{
    BLOCK_VERSION, BlockHeader, Emission, Emitted, OrderCertificate, Placement, result_root,
};
use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::dealer::{Dealt, Polynomial};
use fairveil_crypto::domain::{Hasher, Tag, hash};
use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::envelope::{PayerSecret, SealedBundle};
use fairveil_crypto::seal::SealRandomness;
use fairveil_crypto::share::SignedShare;
use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusSecret, Digest, Epoch, Height, SequencerIndex, View,
};
use fairveil_keygen::definition::{Blocks, Deadlines, Ordering, Rollup};
use fairveil_keygen::{
    Approval, ApprovedDefinition, BlameEvidence, Ceremony, CeremonyContext, CeremonyEntry,
    DealingSecret, Definition, Input, Member, NetworkPublicKey, Output, Participant, Proposal,
    Resharing, Role, Transcript, in_process,
};
use fairveil_mempool::{Bundle, Bytes, Leg, Place, Policy, Receipt, ReceiptBody};
use fairveil_ordering::{LogHead, LogName, OrderLog};
use fairveil_release::certificate::{ListedRelease, ReleaseCertificate};
use fairveil_release::registry::{Registry, Rollup as RegistryRollup};

pub(crate) use self::scene::{CULPRIT, Scene};
use crate::seal::{Terms, seal};
use crate::trust::PinnedNetwork;

/// Five members, f = 1.
pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| World::new(0));
/// Its next epoch.
pub(crate) static RENEWED: LazyLock<World> = LazyLock::new(|| World::renewed(&WORLD));
/// Another network, with other members.
pub(crate) static STRANGERS: LazyLock<World> = LazyLock::new(|| World::new(40));
/// What the first network released.
pub(crate) static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::new(&WORLD));

const MEMBERS: u8 = 5;
pub(crate) const CHAINS: [u64; 3] = [901, 902, 903];

pub(crate) struct World {
    members: Vec<u8>,
    pub(crate) transcript: Transcript,
    pub(crate) network: PinnedNetwork,
    pub(crate) dealt: Dealt,
}

pub(crate) fn index(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

fn consensus(k: u8) -> ConsensusSecret {
    ConsensusSecret::from_seed([k; 32])
}

fn dealing(epoch: u64, k: u8) -> DealingSecret {
    let mut seed = [k; 32];
    seed[0] ^= (epoch as u8 - 1) << 6;
    DealingSecret::from_seed(&seed)
}

fn proposal(epoch: u64, members: &[u8]) -> Proposal {
    let members = members.iter().copied().map(|k| Member {
        name: format!("member-{k}"),
        consensus: consensus(k).public_key(),
        network: NetworkPublicKey::from_bytes(consensus(k + 100).public_key().to_bytes()),
        dealing: dealing(epoch, k).public_key(),
        peer_address: format!("127.0.0.1:{}", 4_000 + u16::from(k)).parse().unwrap(),
        trader_address: format!("127.0.0.1:{}", 5_000 + u16::from(k)).parse().unwrap(),
        rpc_address: format!("127.0.0.1:{}", 6_000 + u16::from(k)).parse().unwrap(),
    });
    let rollup = |chain_id| Rollup::new(chain_id, &format!("rollup-{chain_id}"));
    Proposal {
        version: 1,
        epoch: Epoch::new(epoch),
        n: MEMBERS.into(),
        f: 1,
        g: 0,
        revealed_limit: 0,
        ordering: Ordering::default(),
        blocks: Blocks::default(),
        deadlines: Deadlines::default(),
        accounting: None,
        rollups: CHAINS.map(rollup).to_vec(),
        members: members.collect(),
        resharing: None,
    }
}

fn first(members: &[u8]) -> CeremonyContext {
    let definition = Definition::new(proposal(1, members)).unwrap();
    let approvals: Vec<_> =
        members.iter().map(|k| Approval::new(&definition, &consensus(*k))).collect();
    let approved = ApprovedDefinition::new(definition, approvals).unwrap();
    CeremonyContext::first(approved, 1).unwrap()
}

/// The resharing of a network's key, from the members `before` to others.
fn resharing(network: &PinnedNetwork, before: &[u8], members: &[u8]) -> CeremonyContext {
    let epoch = network.epoch().get() + 1;
    let resharing = Resharing {
        network_id: network.network_id(),
        predecessor: network.definition().digest(),
        boundary: Height::new(1),
    };
    let proposal = Proposal { version: 2, resharing: Some(resharing), ..proposal(epoch, members) };
    let definition = Definition::new(proposal).unwrap();
    let all = members.iter().chain(before);
    let approvals: Vec<_> = all.map(|k| Approval::new(&definition, &consensus(*k))).collect();
    let approved = ApprovedDefinition::resharing(definition, approvals, network.definition());
    CeremonyContext::resharing(approved.unwrap(), 1, network.transcript()).unwrap()
}

/// A ceremony in one process, with a list in the place of its chain. `shares` are the dealers' of a
/// resharing.
fn ceremony(
    context: &CeremonyContext,
    members: &[u8],
    shares: &[KeyShare],
) -> (Transcript, Vec<KeyShare>) {
    let start = |k: &u8| machine(context, *k, shares);
    let mut machines: Vec<_> = members.iter().map(start).collect();
    let made = in_process::run(&mut machines).unwrap();
    (made.transcript, made.shares)
}

fn machine(context: &CeremonyContext, k: u8, shares: &[KeyShare]) -> Ceremony {
    let key = consensus(k).public_key();
    let is_player = context.definition().index_of(&key).is_some();
    let dealer = context.dealing_definition().index_of(&key);
    let share = shares.iter().find(|share| Some(share.index()) == dealer);
    let share =
        share.map(|share| KeyShare::decode(share.index(), &share.expose_encoding()[..]).unwrap());
    let dealing = is_player.then(|| dealing(context.definition().epoch().get(), k));
    let participant = Participant { consensus: consensus(k), dealing, share };
    Ceremony::start(context.clone(), participant, [k; 32]).unwrap()
}

/// The blame of the culprit among the dealers, whose dealings do not open.
fn accusation(context: &CeremonyContext, dealers: &[u8], shares: &[KeyShare]) -> BlameEvidence {
    let key = context.member(Role::Dealer, index(CULPRIT)).unwrap().consensus;
    let culprit = *dealers.iter().find(|k| consensus(**k).public_key() == key).unwrap();
    let dealt = machine(context, culprit, shares).handle(Duration::ZERO, Input::Wake);
    let posted = dealt.into_iter().find_map(|output| match output {
        Output::Post(CeremonyEntry::Dealing(posted)) => Some(posted),
        _ => None,
    });
    let mut posted = posted.unwrap();
    posted.sealed.iter_mut().for_each(|sealed| sealed[100] ^= 1);
    let mut all = Hasher::new(Tag::SealedDealing);
    for sealed in &posted.sealed {
        all.item(hash(Tag::SealedDealing, &[sealed]).as_bytes());
    }
    posted.public.sealed_digest = all.finish();
    let signed = posted.public.digest(context);
    posted.public.signature = consensus(culprit).sign(Tag::Dealing, &[signed.as_bytes()]);
    let is_other = |k: &u8| {
        let key = consensus(*k).public_key();
        *k != culprit && context.definition().index_of(&key).is_some()
    };
    let accuser = (1..).find(is_other).unwrap();
    let mut accuser = machine(context, accuser, shares);
    let mut entries = vec![CeremonyEntry::Dealing(posted).encode()];
    for height in 0..2 {
        let agreed = Input::Agreed { height, entries: std::mem::take(&mut entries) };
        for output in accuser.handle(Duration::ZERO, agreed) {
            match output {
                Output::Blamed(blame) => return BlameEvidence::new(context, &blame),
                Output::Post(entry @ CeremonyEntry::Complaint(_)) => entries.push(entry.encode()),
                _ => {}
            }
        }
    }
    panic!("the culprit was not blamed");
}

impl World {
    /// A network whose members have the seeds from `seed` on.
    fn new(seed: u8) -> Self {
        let members: Vec<u8> = (1..=MEMBERS).map(|k| seed + k).collect();
        let (transcript, key_shares) = ceremony(&first(&members), &members, &[]);
        Self::of(transcript, key_shares, members)
    }

    /// The next epoch of the network with the members from 1 on: two leave, two join.
    fn renewed(before: &World) -> Self {
        let old: Vec<u8> = (1..=MEMBERS).collect();
        let members: Vec<u8> = (3..=MEMBERS + 2).collect();
        let context = resharing(&before.network, &old, &members);
        let all: Vec<u8> = (1..=MEMBERS + 2).collect();
        let (transcript, shares) = ceremony(&context, &all, &before.dealt.key_shares);
        Self::of(transcript, shares, members)
    }

    fn of(transcript: Transcript, key_shares: Vec<KeyShare>, members: Vec<u8>) -> Self {
        let network_id = transcript.verify().unwrap().network_id();
        let network = PinnedNetwork::from_transcript(&transcript.to_json(), &network_id).unwrap();
        let mut consensus_secrets: Vec<_> = members.iter().copied().map(consensus).collect();
        consensus_secrets.sort_by_key(ConsensusSecret::public_key);
        let dealt = Dealt {
            committee: network.committee().clone(),
            key_shares,
            consensus_secrets,
            polynomial: Polynomial::from_seed(4, &[1; 32]),
        };
        Self { members, transcript, network, dealt }
    }

    /// What the culprit's bad dealing in the network's first ceremony proves.
    pub(crate) fn blame(&self) -> BlameEvidence {
        accusation(&first(&self.members), &self.members, &[])
    }

    /// The same in the ceremony that made this epoch out of the one before.
    pub(crate) fn blame_after(&self, before: &World) -> BlameEvidence {
        let context = resharing(&before.network, &before.members, &self.members);
        accusation(&context, &before.members, &before.dealt.key_shares)
    }

    pub(crate) fn registry(&self) -> Registry {
        let rollup = |id| RegistryRollup::recorder(id, &format!("rollup-{id}"));
        Registry::new(CHAINS.map(rollup).to_vec()).unwrap()
    }

    /// A sealed bundle; the payer nonce also seeds its randomness.
    pub(crate) fn seal(&self, payer_nonce: u64, bundle: &Bundle) -> SealedBundle {
        self.seal_within((1, 500), payer_nonce, bundle)
    }

    /// The same with this window.
    pub(crate) fn seal_within(
        &self,
        (from, to): (u64, u64),
        payer_nonce: u64,
        bundle: &Bundle,
    ) -> SealedBundle {
        let (valid_from, expires_at) = (Height::new(from), Height::new(to));
        let terms = Terms { valid_from, expires_at, payer_nonce };
        let mut uniform = [7; SealRandomness::UNIFORM_BYTES];
        uniform[..8].copy_from_slice(&payer_nonce.to_be_bytes());
        let randomness = SealRandomness::from_uniform(&uniform).unwrap();
        let payer = PayerSecret::from_bytes([5; 32]).unwrap();
        seal(&self.network, &terms, &payer, bundle, randomness).unwrap()
    }

    pub(crate) fn receipt(&self, sequencer: u16, id: BundleId, place: Place) -> Receipt {
        self.receipt_at(3, sequencer, id, place)
    }

    /// The same at this height.
    pub(crate) fn receipt_at(
        &self,
        height: u64,
        sequencer: u16,
        id: BundleId,
        place: Place,
    ) -> Receipt {
        let body = ReceiptBody {
            network_id: self.network.network_id(),
            epoch: self.network.epoch(),
            id,
            place,
            height: Height::new(height),
            time_ms: 1_000,
        };
        self.sign(sequencer, body)
    }

    /// The culprit's log with these ids.
    pub(crate) fn log(&self, ids: &[u8]) -> OrderLog {
        let (network_id, sequencer) = (self.network.network_id(), index(CULPRIT));
        let mut log = OrderLog::new(LogName { network_id, epoch: Epoch::new(1), sequencer });
        for byte in ids {
            log.append(BundleId::from_bytes([*byte; 32])).unwrap();
        }
        log
    }

    /// The signed head of such a log.
    pub(crate) fn log_head(&self, ids: &[u8]) -> LogHead {
        let secret = &self.dealt.consensus_secrets[index(CULPRIT).position()];
        self.log(ids).sign(Height::new(3), 1_000, secret)
    }

    /// A share that its signer signs again after it was changed.
    pub(crate) fn sign_share(&self, mut share: SignedShare) -> SignedShare {
        let secret = &self.dealt.consensus_secrets[share.index.position()];
        let number = share.index.to_be_bytes();
        let mut items: Vec<&[u8]> = vec![&number, share.batch.as_bytes()];
        items.extend(share.points.iter().map(|point| &point.as_bytes()[..]));
        items.extend([&share.challenge.as_bytes()[..], &share.response.as_bytes()[..]]);
        let signature = secret.sign(Tag::ShareMessage, &items);
        share.signature = signature;
        share
    }

    pub(crate) fn sign(&self, sequencer: u16, body: ReceiptBody) -> Receipt {
        let sequencer = index(sequencer);
        body.sign(sequencer, &self.dealt.consensus_secrets[sequencer.position()])
    }

    pub(crate) fn header(&self, height: u64, parent: BlockDigest) -> BlockHeader {
        BlockHeader {
            version: BLOCK_VERSION,
            network_id: self.network.network_id(),
            epoch: self.network.epoch(),
            epoch_start: Height::ZERO,
            height: Height::new(height),
            parent,
            leader: self.network.committee().consensus_keys()[0],
            view: View::new(height),
            parent_view: View::new(height - 1),
            time_ms: 1_000 * height,
            result_root: Digest::from_bytes([1; 32]),
            body_digest: Digest::from_bytes([2; 32]),
        }
    }

    /// An order that its child's finalization certifies.
    pub(crate) fn order(&self, height: u64, cohorts: Vec<Vec<Emitted>>) -> OrderCertificate {
        let emission = Emission { height: Height::new(height), cohorts };
        let state = Digest::from_bytes([4; 32]);
        let mut block = self.header(height, BlockDigest::from_bytes([6; 32]));
        block.result_root = result_root(&emission, &state);
        let child = self.header(height + 1, block.digest());
        self.dealt.certify(vec![child, block], emission, state)
    }

    /// Certificates of heights from `first` on, one chain that stands on `parent`, each of which
    /// emits these cohorts. The epoch begins with height `start`.
    pub(crate) fn chain(
        &self,
        (start, first): (u64, u64),
        mut parent: BlockDigest,
        heights: &[Vec<Vec<BundleId>>],
    ) -> Vec<OrderCertificate> {
        let certified = (first..).zip(heights).map(|(height, cohorts)| {
            let state_digest = hash(Tag::ChainState, &[&height.to_be_bytes()]);
            let open =
                |ids: &Vec<BundleId>| ids.iter().map(|id| emitted(*id, Placement::Open)).collect();
            let cohorts = cohorts.iter().map(open).collect();
            let emission = Emission { height: Height::new(height), cohorts };
            let mut block = self.header(height, parent);
            block.epoch_start = Height::new(start);
            block.result_root = result_root(&emission, &state_digest);
            parent = block.digest();
            self.dealt.certify(vec![block], emission, state_digest)
        });
        certified.collect()
    }

    /// Blocks of a committee on this one, after the end of its epoch.
    pub(crate) fn tail(&self, end: &OrderCertificate, heights: u64) -> Vec<OrderCertificate> {
        let last = end.headers.last().unwrap();
        let mut parent = last.digest();
        let certified = (1..=heights).map(|above| {
            let height = last.height.saturating_add(above);
            let emission = Emission { height, cohorts: Vec::new() };
            let mut block = self.header(height.get(), parent);
            block.epoch_start = last.epoch_start;
            block.result_root = result_root(&emission, &end.state_digest);
            parent = block.digest();
            self.dealt.certify(vec![block], emission, end.state_digest)
        });
        certified.collect()
    }

    pub(crate) fn release_certificate(&self, releases: Vec<ListedRelease>) -> ReleaseCertificate {
        let (evidence_digest, system_digest) =
            (Digest::from_bytes([7; 32]), Digest::from_bytes([8; 32]));
        let mut block = self.header(9, BlockDigest::from_bytes([6; 32]));
        let listed: Vec<_> = releases.iter().map(|entry| (entry.height, entry.root)).collect();
        block.body_digest = body_digest(&evidence_digest, &listed, &system_digest);
        let child = self.header(10, block.digest());
        let emission = Emission { height: Height::new(9), cohorts: Vec::new() };
        let certified =
            self.dealt.certify(vec![child, block], emission, Digest::from_bytes([4; 32]));
        let OrderCertificate { finalization, headers, .. } = certified;
        ReleaseCertificate { finalization, headers, evidence_digest, releases, system_digest }
    }
}

pub(crate) fn emitted(id: BundleId, placement: Placement) -> Emitted {
    Emitted { id, placement }
}

pub(crate) fn transaction(chain_id: u64, nonce: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 9,
        to: TxKind::Call(Address::repeat_byte(7)),
        ..Default::default()
    };
    let hash = transaction.signature_hash();
    let signature = secp256k1::sign_message(B256::repeat_byte(1), hash).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

pub(crate) fn leg(chain_id: u64, nonces: &[u64]) -> Leg {
    let transactions = nonces.iter().map(|nonce| transaction(chain_id, *nonce)).collect();
    Leg { chain_id, transactions }
}

pub(crate) fn bundle(legs: Vec<Leg>) -> Bundle {
    Bundle::new(Policy::Include, legs).unwrap()
}
