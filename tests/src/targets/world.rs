//! One network with all of its secrets, from fixed seeds: what sample inputs are made of.
//!
//! Five members, of which four open and one may lie. Its key comes from a ceremony in one process,
//! so that the ceremony's entries and transcript belong to it too. [`CULPRIT`] alone ever signs
//! what an honest member does not: whatever is made of the samples, nobody else may be convicted.

use std::sync::LazyLock;

use alloy_consensus::crypto::secp256k1;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind};
use fairveil_client::PinnedNetwork;
use fairveil_client::seal::{Terms, seal};
use fairveil_crypto::certificate::{BLOCK_VERSION, BlockHeader};
use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::dealer::{Dealt, Polynomial};
use fairveil_crypto::envelope::{PayerSecret, VerifiedBundle};
use fairveil_crypto::seal::SealRandomness;
use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusSecret, Digest, Epoch, Height, NetworkId, SequencerIndex, View,
};
use fairveil_keygen::definition::{Blocks, Deadlines, Ordering, Rollup};
use fairveil_keygen::{
    Approval, ApprovedDefinition, Ceremony, CeremonyContext, DealingSecret, Definition, Member,
    NetworkPublicKey, Participant, Proposal, Transcript, in_process,
};
use fairveil_mempool::{Bundle, Bytes, Leg, Place, Policy, Receipt, ReceiptBody};
use fairveil_release::chain::ReleaseChain;
use fairveil_release::registry::{Registry, Rollup as RegistryRollup};
use fairveil_release::states::RollupStates;
use rayon::ThreadPool;

/// The one network.
pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// One thread: an input has the same effect each time.
pub(crate) static POOL: LazyLock<ThreadPool> = LazyLock::new(|| {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started")
});

/// How many members there are.
pub(crate) const MEMBERS: u16 = 5;
/// Whom all signed lies are of.
pub(crate) const CULPRIT: SequencerIndex = index(2);
/// The rollups.
pub(crate) const CHAINS: [u64; 3] = [901, 902, 903];
/// The epoch.
pub(crate) const EPOCH: Epoch = Epoch::new(1);

/// The index with this number.
pub(crate) const fn index(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).expect("indices begin at 1")
}

/// A network, its ceremony and its secrets.
pub(crate) struct World {
    pub(crate) context: CeremonyContext,
    /// What was posted in the ceremony, in its order.
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) transcript: Transcript,
    pub(crate) network: PinnedNetwork,
    pub(crate) dealt: Dealt,
    pub(crate) registry: Registry,
}

/// The consensus key of a member by its place in the definition, from 1.
pub(crate) fn consensus_secret(member: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([member as u8; 32])
}

/// The dealing key of such a member.
pub(crate) fn dealing_secret(member: u16) -> DealingSecret {
    DealingSecret::from_seed(&[member as u8; 32])
}

/// Its machine in the ceremony.
pub(crate) fn ceremony_of(context: &CeremonyContext, member: u16) -> Ceremony {
    let nonce = [member as u8; 32];
    Ceremony::start(context.clone(), participant(member), nonce).expect("a member")
}

/// What it takes part with.
pub(crate) fn participant(member: u16) -> Participant {
    let (consensus, dealing) = (consensus_secret(member), Some(dealing_secret(member)));
    Participant { consensus, dealing, share: None }
}

fn proposal() -> Proposal {
    let address = |port: u16| format!("127.0.0.1:{port}").parse().expect("an address");
    let members = (1..=MEMBERS).map(|k| Member {
        name: format!("member-{k}"),
        consensus: consensus_secret(k).public_key(),
        network: NetworkPublicKey::from_bytes(consensus_secret(k + 100).public_key().to_bytes()),
        dealing: dealing_secret(k).public_key(),
        peer_address: address(4_000 + k),
        trader_address: address(5_000 + k),
        rpc_address: address(6_000 + k),
    });
    let rollup = |chain_id| Rollup::new(chain_id, &format!("rollup-{chain_id}"));
    Proposal {
        version: 1,
        epoch: EPOCH,
        n: MEMBERS,
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

fn context() -> CeremonyContext {
    let definition = Definition::new(proposal()).expect("a definition");
    let approvals: Vec<_> =
        (1..=MEMBERS).map(|k| Approval::new(&definition, &consensus_secret(k))).collect();
    let approved = ApprovedDefinition::new(definition, approvals).expect("everybody approved");
    CeremonyContext::first(approved, 1).expect("a first definition")
}

/// What a ceremony with a list in the place of its chain made: entries, transcript, key shares.
fn ceremony(context: &CeremonyContext) -> (Vec<Vec<u8>>, Transcript, Vec<KeyShare>) {
    let mut machines: Vec<_> = (1..=MEMBERS).map(|k| ceremony_of(context, k)).collect();
    let made = in_process::run(&mut machines).expect("the ceremony made a key");
    (made.entries, made.transcript, made.shares)
}

impl World {
    fn new() -> Self {
        let context = context();
        let (entries, transcript, key_shares) = ceremony(&context);
        let network_id = context.definition().network_id();
        let network = PinnedNetwork::from_transcript(&transcript.to_json(), &network_id)
            .expect("a transcript that verifies");
        let mut consensus_secrets: Vec<_> = (1..=MEMBERS).map(consensus_secret).collect();
        consensus_secrets.sort_by_key(ConsensusSecret::public_key);
        let polynomial = Polynomial::from_seed(network.committee().t(), &[1; 32]);
        let committee = network.committee().clone();
        let dealt = Dealt { committee, key_shares, consensus_secrets, polynomial };
        let rollup = |id| RegistryRollup::recorder(id, &format!("rollup-{id}"));
        let registry = Registry::new(CHAINS.map(rollup).to_vec()).expect("a registry");
        Self { context, entries, transcript, network, dealt, registry }
    }

    pub(crate) fn network_id(&self) -> NetworkId {
        self.network.network_id()
    }

    /// The chain of releases before height 1.
    pub(crate) fn chain(&self) -> ReleaseChain {
        let states = RollupStates::default();
        ReleaseChain::new(self.network_id(), self.registry.clone(), states).expect("no slots")
    }

    pub(crate) fn secret(&self, sequencer: SequencerIndex) -> &ConsensusSecret {
        &self.dealt.consensus_secrets[sequencer.position()]
    }

    /// A sealed bundle; payer and nonce also seed its randomness.
    pub(crate) fn seal(
        &self,
        payer: u8,
        payer_nonce: u64,
        window: [u64; 2],
        bundle: &Bundle,
    ) -> VerifiedBundle {
        let [valid_from, expires_at] = window.map(Height::new);
        let terms = Terms { valid_from, expires_at, payer_nonce };
        let mut uniform = [payer; SealRandomness::UNIFORM_BYTES];
        uniform[..8].copy_from_slice(&payer_nonce.to_be_bytes());
        let randomness = SealRandomness::from_uniform(&uniform).expect("a nonce that is not zero");
        let secret = PayerSecret::from_bytes([payer; 32]).expect("a key");
        let sealed = seal(&self.network, &terms, &secret, bundle, randomness).expect("it fits");
        let key = self.dealt.committee.key();
        sealed.verify(&self.network_id(), key).expect("well sealed")
    }

    pub(crate) fn receipt(&self, sequencer: SequencerIndex, id: BundleId, place: Place) -> Receipt {
        let (network_id, epoch, height) = (self.network_id(), EPOCH, Height::new(3));
        let body = ReceiptBody { network_id, epoch, id, place, height, time_ms: 1_000 };
        body.sign(sequencer, self.secret(sequencer))
    }

    pub(crate) fn header(&self, height: u64, parent: BlockDigest) -> BlockHeader {
        BlockHeader {
            version: BLOCK_VERSION,
            network_id: self.network_id(),
            epoch: EPOCH,
            epoch_start: Height::ZERO,
            height: Height::new(height),
            parent,
            leader: self.dealt.committee.consensus_keys()[0],
            view: View::new(height),
            parent_view: View::new(height - 1),
            time_ms: 1_000 * height,
            result_root: Digest::from_bytes([1; 32]),
            body_digest: Digest::from_bytes([2; 32]),
        }
    }
}

/// A signed transaction for a rollup, with so many zero bytes of calldata.
pub(crate) fn transaction(chain_id: u64, nonce: u64, input_bytes: usize) -> Bytes {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000 + 16 * input_bytes as u64,
        max_fee_per_gas: 9,
        to: TxKind::Call(Address::repeat_byte(7)),
        input: vec![0; input_bytes].into(),
        ..Default::default()
    };
    let hash = transaction.signature_hash();
    let signature = secp256k1::sign_message(B256::repeat_byte(1), hash).expect("a key");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

/// A leg with small transactions of these nonces.
pub(crate) fn leg(chain_id: u64, nonces: &[u64]) -> Leg {
    let transactions = nonces.iter().map(|nonce| transaction(chain_id, *nonce, 0)).collect();
    Leg { chain_id, transactions }
}

/// A bundle of these legs.
pub(crate) fn bundle(legs: Vec<Leg>) -> Bundle {
    Bundle::new(Policy::Include, legs).expect("legs that make a bundle")
}
