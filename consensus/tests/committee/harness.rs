//! A committee on the deterministic runtime: simulated network, plain-data hosts, real engines.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use commonware_p2p::simulated::{self, Link, Oracle, SplitTarget};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, IoBuf, Quota, Spawner, Supervisor as _, deterministic};
use commonware_utils::sync::{Mutex, Notify};
use commonware_utils::{NZUsize, probability};
use fairveil_consensus::block::SystemEntry;
use fairveil_consensus::chain::Executed;
use fairveil_consensus::committee::{PublicKey, own_key};
use fairveil_consensus::network::max_message_bytes;
use fairveil_consensus::state::BlockFault;
use fairveil_consensus::{
    Block, BlockOutput, BundleFacts, ChainId, ChainState, Channels, Config, Finalized, Host,
    Intake, Members, Network, OrderChain, Parameters, Progress, Resharing, Subchannel, Successor,
    Timing, Voting, Wanted, host::OpenResharing, namespace,
};
use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::committee::{CommitteeKey, PublicKeyShare};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::envelope::Payer;
use fairveil_crypto::point::Point;
use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusPublicKey, ConsensusSecret, Digest, Epoch, Height, KeyId,
    NetworkId, SequencerIndex,
};
use fairveil_ordering::{self as ordering, Evidence, Fragment, LogHead, LogName, Mode, OrderLog};
use fairveil_registry::anchor::Anchor;
use fairveil_registry::change::ApprovedChange;
use fairveil_registry::registry::{Registry, Rollup};

use crate::member::Member;

pub const EPOCH: Epoch = Epoch::new(1);
pub const LINK: Link = Link {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(2),
    success_rate: probability!(1.0),
};

pub fn network_id() -> NetworkId {
    NetworkId::from_bytes([7; 32])
}

pub fn key_id() -> KeyId {
    KeyId::from_bytes([9; 32])
}

/// Secrets in the order of their members.
pub fn secrets(n: u16) -> Vec<ConsensusSecret> {
    let mut secrets: Vec<_> =
        (0..n).map(|seed| ConsensusSecret::from_seed([seed as u8 + 1; 32])).collect();
    secrets.sort_by_key(ConsensusSecret::public_key);
    secrets
}

pub fn keys(n: u16) -> Vec<ConsensusPublicKey> {
    secrets(n).iter().map(ConsensusSecret::public_key).collect()
}

pub fn parameters(n: u16, f: u16) -> Parameters {
    Parameters {
        id: ChainId { network_id: network_id(), epoch: EPOCH, start: Height::ZERO },
        keys: keys(n),
        committee: ordering::Committee::new(n, f, 0).unwrap(),
        mode: Mode::Strict,
        active_keys: vec![key_id()],
        transcript: Digest::from_bytes([5; 32]),
        accounting: None,
        registry: Registry::new(vec![Rollup::recorder(901, "alpha")]).expect("a registry"),
    }
}

/// The committee as `crypto` verifies certificates with; the key is nobody's.
pub fn crypto_committee(n: u16) -> fairveil_crypto::committee::Committee {
    let share = PublicKeyShare::decode(Point::generator().encode().as_ref()).unwrap();
    let key = CommitteeKey::from_constant_term(&Point::generator());
    let shares = vec![share; usize::from(n)];
    fairveil_crypto::committee::Committee::new(EPOCH, key, shares, keys(n)).unwrap()
}

pub fn facts(payer: u8, nonce: u64) -> BundleFacts {
    BundleFacts {
        key_id: key_id(),
        valid_from: Height::ZERO,
        expires_at: Height::new(10_000),
        payer: Payer::from_bytes([payer; 20]),
        payer_nonce: nonce,
        class: fairveil_crypto::envelope::SizeClass::MIN,
    }
}

pub fn id(number: u64) -> BundleId {
    BundleId::from_bytes(hash(Tag::Batch, &[b"test", &number.to_be_bytes()]).to_bytes())
}

/// Everything that the hosts hold, of all members.
pub struct World {
    n: u16,
    clock: deterministic::Context,
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    logs: Vec<OrderLog>,
    facts: BTreeMap<BundleId, BundleFacts>,
    /// Bundles that a member does not hold and can't fetch.
    withheld: Vec<BTreeSet<BundleId>>,
    final_height: Vec<Height>,
    progress: Vec<Option<Progress>>,
    alive: Vec<bool>,
    /// The height up to which a member opens, and how far it has.
    opens_until: Vec<u64>,
    opened: Vec<u64>,
    recorded: Vec<(SequencerIndex, SystemEntry)>,
    /// Members whose heads carry a bad signature.
    corrupt: BTreeSet<usize>,
    /// How often a member had to wait for a withheld bundle.
    waits: Vec<u32>,
}

impl World {
    pub fn new(clock: deterministic::Context, n: u16) -> Arc<Self> {
        let logs = SequencerIndex::all(n)
            .map(|sequencer| {
                let name = LogName { network_id: network_id(), epoch: EPOCH, sequencer };
                OrderLog::new(name)
            })
            .collect();
        let members = usize::from(n);
        let inner = Inner {
            logs,
            facts: BTreeMap::new(),
            withheld: vec![BTreeSet::new(); members],
            final_height: vec![Height::ZERO; members],
            progress: vec![None; members],
            alive: vec![true; members],
            opens_until: vec![u64::MAX; members],
            opened: vec![0; members],
            recorded: Vec::new(),
            corrupt: BTreeSet::new(),
            waits: vec![0; members],
        };
        Arc::new(Self { n, clock, inner: Mutex::new(inner), changed: Notify::new() })
    }

    fn change<R>(&self, with: impl FnOnce(&mut Inner) -> R) -> R {
        let result = with(&mut self.inner.lock());
        self.changed.notify_waiters();
        result
    }

    /// A bundle arrives at these members, in this order of members' logs.
    pub fn submit(&self, id: BundleId, facts: BundleFacts, members: &[usize]) {
        self.change(|inner| {
            inner.facts.insert(id, facts);
            for member in members {
                let _ = inner.logs[*member].append(id);
            }
        });
    }

    pub fn withhold(&self, id: BundleId, member: usize) {
        self.change(|inner| inner.withheld[member].insert(id));
    }

    pub fn deliver_withheld(&self) {
        self.change(|inner| inner.withheld.iter_mut().for_each(BTreeSet::clear));
    }

    pub fn waits(&self, member: usize) -> u32 {
        self.inner.lock().waits[member]
    }

    /// From now on the heads of this member are badly signed.
    pub fn corrupt(&self, member: usize) {
        self.change(|inner| inner.corrupt.insert(member));
    }

    pub fn set_alive(&self, member: usize, alive: bool) {
        self.change(|inner| inner.alive[member] = alive);
    }

    /// From now on nobody opens beyond this height.
    pub fn open_until(&self, height: u64) {
        self.change(|inner| {
            for member in 0..inner.opened.len() {
                inner.opens_until[member] = height;
                inner.open(member);
            }
        });
    }

    pub fn recorded(&self) -> Vec<(SequencerIndex, SystemEntry)> {
        self.inner.lock().recorded.clone()
    }

    pub fn record(&self, culprit: SequencerIndex, proof: SystemEntry) {
        self.change(|inner| inner.recorded.push((culprit, proof)));
    }

    fn commit(&self, member: usize, output: &BlockOutput) {
        self.change(|inner| {
            inner.final_height[member] = output.emission.height;
            inner.open(member);
            for id in &output.reached_edge {
                let _ = inner.logs[member].append(*id);
            }
        });
    }

    fn now_ms(&self) -> u64 {
        let since = self.clock.current().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_millis() as u64
    }

    fn head(&self, inner: &Inner, wanted: &Wanted, member: usize) -> Fragment {
        let log = &inner.logs[member];
        let committed = wanted.committed[member];
        let secret = &secrets(self.n)[member];
        let progress = inner.progress[member].as_ref();
        let seen = progress.map_or(Height::ZERO, Progress::height_seen);
        let now = self.now_ms();
        let mut fragment = match wanted.intake {
            Intake::Open => Fragment {
                head: log.sign(seen, now, secret),
                ids: log.entries_from(committed.length).unwrap(),
                times_ms: Vec::new(),
            },
            Intake::Stopped => Fragment {
                head: LogHead::sign(log.name(), committed, seen, now, secret),
                ids: Vec::new(),
                times_ms: Vec::new(),
            },
        };
        if inner.corrupt.contains(&member) {
            fragment.head.time_ms += 1;
        }
        fragment
    }
}

impl Inner {
    fn open(&mut self, member: usize) {
        let final_height = self.final_height[member].get();
        let reached = final_height.min(self.opens_until[member]);
        self.opened[member] = self.opened[member].max(reached);
    }
}

pub fn release_root(height: Height) -> Digest {
    hash(Tag::ReleaseRoot, &[&height.get().to_be_bytes()])
}

/// One member's side of the world.
#[derive(Clone)]
pub struct TestHost {
    pub world: Arc<World>,
    pub member: usize,
}

impl TestHost {
    async fn until<R>(&self, mut ready: impl FnMut(&mut Inner) -> Option<R>) -> R {
        loop {
            let changed = self.world.changed.notified();
            if let Some(result) = ready(&mut self.world.inner.lock()) {
                return result;
            }
            changed.await;
        }
    }
}

impl Host for TestHost {
    async fn work(&self, wanted: &Wanted) {
        self.until(|inner| {
            let news = wanted.intake == Intake::Open
                && inner.logs.iter().enumerate().any(|(member, log)| {
                    inner.alive[member] && log.tip().length > wanted.committed[member].length
                });
            let due = wanted.due.is_some_and(|due| inner.opened[self.member] >= due.get());
            (news || due).then_some(())
        })
        .await;
    }

    fn executed(&self, _: &Wanted) {
        // Its logs are never longer than a block takes.
    }

    async fn evidence(&self, wanted: &Wanted) -> Evidence {
        self.until(|inner| {
            let fragments: Vec<_> = (0..inner.logs.len())
                .filter(|member| inner.alive[*member])
                .map(|member| self.world.head(inner, wanted, member))
                .collect();
            let fresh = fragments
                .iter()
                .filter(|fragment| fragment.head.is_fresh(wanted.height, 32))
                .count();
            let enough = fresh >= usize::from(wanted.quorum);
            enough.then_some(Evidence { fragments, list: Vec::new() })
        })
        .await
    }

    async fn bundles(&self, ids: &[BundleId]) -> Vec<BundleFacts> {
        let mut waited = false;
        self.until(|inner| {
            let withheld = &inner.withheld[self.member];
            if ids.iter().any(|id| withheld.contains(id)) {
                if !std::mem::replace(&mut waited, true) {
                    inner.waits[self.member] += 1;
                }
                return None;
            }
            ids.iter().map(|id| inner.facts.get(id).copied()).collect()
        })
        .await
    }

    async fn releases(&self, from: Height, limit: usize, _: u64) -> Vec<(Height, Digest)> {
        let opened = self.world.inner.lock().opened[self.member];
        (from.get()..=opened)
            .take(limit)
            .map(|height| (Height::new(height), release_root(Height::new(height))))
            .collect()
    }

    async fn judge_release(
        &self,
        height: Height,
        actual: Digest,
        _: u64,
    ) -> Result<(), BlockFault> {
        let expected = self.until(|inner| {
            (inner.opened[self.member] >= height.get()).then(|| release_root(height))
        });
        let expected = expected.await;
        let fault = BlockFault::ReleaseRoot { height, actual, expected };
        if actual == expected { Ok(()) } else { Err(fault) }
    }

    fn anchors(&self, _: Height) -> Vec<Anchor> {
        Vec::new()
    }

    fn proposes_anchors(&self, _: Height) {}

    async fn has_anchor(&self, _: &Anchor) {}

    fn resharing(&self) -> Option<Resharing> {
        None
    }

    async fn accepts_resharing(&self, _: &Resharing) {
        std::future::pending().await
    }

    fn ceremony_entries(&self, _: &OpenResharing) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn successor(&self) -> Option<Successor> {
        None
    }

    async fn has_successor(&self, _: &Successor) {
        std::future::pending().await
    }

    fn registry_changes(&self) -> Vec<ApprovedChange> {
        Vec::new()
    }

    fn equivocations(&self) -> Vec<SystemEntry> {
        let inner = self.world.inner.lock();
        inner.recorded.iter().map(|(_, entry)| entry.clone()).collect()
    }

    fn record(&self, culprit: SequencerIndex, proof: SystemEntry) {
        self.world.record(culprit, proof);
    }
}

/// What a member has committed: what its store would hold.
#[derive(Clone)]
pub struct Committed {
    pub snapshot: Vec<u8>,
    pub blocks: Vec<Block>,
    pub outputs: Vec<Arc<BlockOutput>>,
    pub certificates: Vec<OrderCertificate>,
    pub tip: Height,
}

impl Committed {
    pub fn digests(&self) -> Vec<BlockDigest> {
        self.blocks.iter().map(Block::block_digest).collect()
    }

    pub fn emitted(&self) -> Vec<BundleId> {
        let emissions = self.outputs.iter().map(|output| &output.emission);
        emissions.flat_map(|emission| emission.ids().map(|emitted| emitted.id)).collect()
    }
}

pub struct Committee {
    pub n: u16,
    pub f: u16,
    pub world: Arc<World>,
    pub oracle: Oracle<PublicKey, deterministic::Context>,
    pub committed: Vec<Arc<Mutex<Committed>>>,
    pub timing: Timing,
    /// Finalize votes are lost but in every so many views.
    pub finalizes_every: u64,
    /// Whose acknowledgement is dropped, and at which height.
    pub forgets: Option<(usize, u64)>,
    /// How every member's engine is started.
    pub voting: Vec<Voting>,
    /// Why engines ended by themselves.
    pub ended: Arc<Mutex<Vec<(usize, String)>>>,
    context: deterministic::Context,
    running: Vec<Option<Handle<()>>>,
}

pub type Honest = OrderChain<TestHost, Sequential>;

impl Committee {
    /// Connects n members; starts none.
    pub async fn new(context: deterministic::Context, n: u16, f: u16, link: Link) -> Self {
        let peers: Vec<_> = secrets(n).iter().map(own_key).collect();
        let config = simulated::Config {
            max_size: max_message_bytes(u32::from(n)) as u32,
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, peers.clone())
                .await;
        network.start();
        for one in &peers {
            for other in peers.iter().filter(|other| *other != one) {
                oracle.add_link(one.clone(), other.clone(), link.clone()).await.unwrap();
            }
        }
        let (genesis, state) = ChainState::genesis(parameters(n, f)).unwrap();
        let committed = Committed {
            snapshot: state.snapshot(),
            blocks: vec![genesis],
            outputs: Vec::new(),
            certificates: Vec::new(),
            tip: Height::ZERO,
        };
        let members = usize::from(n);
        Self {
            n,
            f,
            world: World::new(context.child("world"), n),
            oracle,
            committed: (0..members).map(|_| Arc::new(Mutex::new(committed.clone()))).collect(),
            timing: Timing::default(),
            finalizes_every: 1,
            forgets: None,
            voting: vec![Voting::Votes; members],
            ended: Arc::default(),
            context,
            running: (0..members).map(|_| None).collect(),
        }
    }

    /// All members, honest.
    pub async fn start_all(&mut self) {
        for member in 0..usize::from(self.n) {
            self.start(member).await;
        }
    }

    pub async fn start(&mut self, member: usize) {
        let chain = Member::new(self.honest(member), None);
        self.start_with(member, chain).await;
    }

    pub fn honest(&self, member: usize) -> Honest {
        OrderChain::new(TestHost { world: self.world.clone(), member }, Sequential)
    }

    pub async fn start_with(&mut self, member: usize, chain: Member) {
        self.world.set_alive(member, true);
        let peer = own_key(&secrets(self.n)[member]);
        let channels = channels(&self.oracle, &peer).await;
        let config = Config {
            namespace: namespace(&network_id()),
            epoch: EPOCH,
            subchannel: Subchannel::Epoch(EPOCH),
            members: Members::new(&keys(self.n)).unwrap(),
            secret: secrets(self.n).remove(member),
            voting: self.voting[member],
            peers: self.oracle.manager(),
            blocker: self.oracle.control(peer),
            strategy: Sequential,
            partition: format!("member-{member}"),
            timing: self.timing,
        };
        let (n, f) = (self.n, self.f);
        let (world, committed) = (self.world.clone(), self.committed[member].clone());
        let (every, ended) = (self.finalizes_every, self.ended.clone());
        let forgets = self.forgets.filter(|(forgetful, _)| *forgetful == member);
        let context = self.context.child("member").with_attribute("index", member);
        let handle = context.spawn(move |context| async move {
            let channels = without_finalizes(&context, channels, every);
            let network = Network::new(&context.child("channels"), channels);
            let (genesis, _) = ChainState::genesis(parameters(n, f)).unwrap();
            let snapshot = committed.lock().snapshot.clone();
            let state = ChainState::restore(parameters(n, f), &snapshot).unwrap();
            let engine = context.child("engine");
            let mut running =
                fairveil_consensus::start(engine, config, chain, genesis, state, &network)
                    .await
                    .unwrap();
            world.change(|inner| inner.progress[member] = Some(running.progress.clone()));
            while let Some(finalized) = running.finalized.recv().await {
                let height = finalized.executed.block.header().height.get();
                if forgets.is_some_and(|(_, forgotten)| forgotten == height) {
                    break;
                }
                commit(n, member, &world, &committed, finalized);
            }
            let reason = running.ended().await.unwrap_err();
            ended.lock().push((member, reason.to_string()));
        });
        self.running[member] = Some(handle);
    }

    /// As `kill -9`: everything of the member that is not stored is gone.
    pub async fn crash(&mut self, member: usize) {
        self.world.set_alive(member, false);
        let handle = self.running[member].take().unwrap();
        handle.abort();
        let _ = handle.await;
    }

    pub fn committed(&self, member: usize) -> Committed {
        self.committed[member].lock().clone()
    }

    pub fn height(&self, member: usize) -> u64 {
        self.committed[member].lock().tip.get()
    }

    /// Waits until these members have committed this height.
    pub async fn reach(&self, members: &[usize], height: u64, limit: Duration) {
        let deadline = self.context.current() + limit;
        while members.iter().any(|member| self.height(*member) < height) {
            let heights: Vec<_> = members.iter().map(|member| self.height(*member)).collect();
            assert!(self.context.current() < deadline, "heights {heights:?}, wanted {height}");
            assert_eq!(*self.ended.lock(), []);
            self.context.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until these members have emitted all of these ids.
    pub async fn emit(&self, members: &[usize], ids: &[BundleId], limit: Duration) {
        let deadline = self.context.current() + limit;
        loop {
            let done = members.iter().all(|member| {
                let emitted: BTreeSet<_> = self.committed(*member).emitted().into_iter().collect();
                ids.iter().all(|id| emitted.contains(id))
            });
            if done {
                return;
            }
            assert!(self.context.current() < deadline, "not emitted");
            self.context.sleep(Duration::from_millis(20)).await;
        }
    }

    /// All members' chains are prefixes of one chain.
    pub fn assert_agreement(&self) {
        let chains: Vec<_> =
            self.committed.iter().map(|committed| committed.lock().digests()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for chain in &chains {
            assert_eq!(chain[..], longest[..chain.len()]);
        }
    }
}

/// What a sequencer does with a final block: judge the certificate, store, acknowledge.
fn commit(
    n: u16,
    member: usize,
    world: &World,
    committed: &Mutex<Committed>,
    finalized: Finalized<Member>,
) {
    let Finalized { executed, finality, acknowledgement } = finalized;
    let Executed { block, state, output } = executed;
    let certificate = OrderCertificate {
        finalization: finality.finalization,
        headers: finality.headers,
        emission: output.emission.clone(),
        state_digest: output.state_digest,
    };
    let order = certificate.verify(&network_id(), &crypto_committee(n)).unwrap();
    assert_eq!(order.block(), block.block_digest());
    let mut stored = committed.lock();
    assert_eq!(order.height(), stored.tip.next(), "member {member}");
    assert_eq!(block.header().parent, stored.blocks.last().unwrap().block_digest());
    stored.tip = order.height();
    stored.snapshot = state.snapshot();
    stored.blocks.push(block);
    stored.certificates.push(certificate);
    stored.outputs.push(output.clone());
    drop(stored);
    world.commit(member, &output);
    acknowledgement.acknowledge();
}

/// Loses finalize votes of all views but each so-manieth.
fn without_finalizes(
    context: &deterministic::Context,
    mut channels: TestChannels,
    every: u64,
) -> TestChannels {
    let (sender, receiver) = channels.votes;
    let route = move |(_, message): &(PublicKey, IoBuf)| match finalized_view(message.as_ref()) {
        Some(view) if !view.is_multiple_of(every) => SplitTarget::None,
        _ => SplitTarget::Primary,
    };
    let (receiver, _) = receiver.split_with(context.child("filter"), route);
    channels.votes = (sender, receiver);
    channels
}

/// The view of a finalize vote of epoch 1: subchannel 2, kind 2, epoch 1, view.
fn finalized_view(message: &[u8]) -> Option<u64> {
    let [2, 2, 1, view @ ..] = message else { return None };
    let length = view.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let digits = view[..length].iter().rev();
    Some(digits.fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)))
}

type Pair = (simulated::Sender<PublicKey, deterministic::Context>, simulated::Receiver<PublicKey>);

type TestChannels =
    Channels<simulated::Sender<PublicKey, deterministic::Context>, simulated::Receiver<PublicKey>>;

pub async fn channels(
    oracle: &Oracle<PublicKey, deterministic::Context>,
    peer: &PublicKey,
) -> TestChannels {
    let control = oracle.control(peer.clone());
    let quota = Quota::per_second(NonZeroU32::new(10_000).unwrap());
    let mut pairs: Vec<Pair> = Vec::new();
    for channel in 0..5 {
        pairs.push(control.register(channel, quota).await.unwrap());
    }
    let mut pairs = pairs.into_iter();
    let mut next = || pairs.next().unwrap();
    Channels {
        votes: next(),
        certificates: next(),
        resolver: next(),
        blocks: next(),
        backfill: next(),
    }
}
