//! What a run leaves behind for its metrics: true receive orders, committed evidence, the order.
//!
//! Nothing of it is a sequencer's opinion: the true receive order of an honest sequencer is its log,
//! as its disk holds it (*received* means appended); evidence and leaders are those of the proposed
//! blocks that certificates prove final; sent times are the traders'.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use fairveil_consensus::host::BundleFacts;
use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::committee::Committee;
use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_mempool::pool::LogEntry;
use fairveil_ordering::{Block, Phase, State};
use fairveil_sequencer::store::{Store, Table};
use fairveil_sequencer::{Behaviour, Overview};

use crate::committee::oracle::Evidence;
use crate::committee::trace::Trace;
use crate::committee::traders::Purpose;

const MAX_VALUE_BYTES: usize = 16 << 20;

/// A run, as its metrics need it. Times are virtual, since the start.
#[derive(Clone, Debug)]
pub struct Record {
    /// Sequencers.
    pub n: u16,
    /// Liars tolerated.
    pub f: u16,
    /// Honest disagreement tolerated.
    pub g: u16,
    /// Positions of the honest ones.
    pub honest: Vec<usize>,
    /// The log on each one's disk: of an honest one its true receive order.
    pub logs: Vec<Vec<Received>>,
    /// The final blocks, from height 1 on.
    pub blocks: Vec<FinalBlock>,
    /// Bundles that traders sent.
    pub bundles: BTreeMap<BundleId, SentBundle>,
    /// Bundles that were sent because others were.
    pub races: Vec<Race>,
    /// The last heights at which ids may be ordered.
    pub expiries: BTreeMap<BundleId, Height>,
    /// What each adversary did that honest sequencers never do.
    pub moves: Vec<(Behaviour, u64)>,
    /// What honest sequencers hold against others.
    pub charges: Charges,
}

/// A bundle that an adversary sent because of another one, or an honest client in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// The bundle.
    pub own: BundleId,
    /// The one that it was sent for.
    pub victim: BundleId,
    /// Whose it is, by position: the adversary, or the sequencer to which the client sent it.
    pub by: usize,
}

/// What honest sequencers noticed of others. Where nobody cheats and no message is lost, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charges {
    /// Two heads of one log, by the honest sequencers that saw both.
    pub equivocations: u64,
    /// Sequencers that final blocks convict of two logs.
    pub convicted: u64,
    /// Wrong decryption shares, by the honest sequencers that blame somebody for them.
    pub bad_shares: u64,
    /// Decryption shares that did not come in time, by the honest sequencers that waited.
    pub silent_parts: u64,
}

/// An entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// What.
    pub id: BundleId,
    /// When.
    pub at_ms: u64,
    /// The last final height there at that moment.
    pub height: u64,
}

/// A final block.
#[derive(Clone, Debug)]
pub struct FinalBlock {
    /// Its height.
    pub height: Height,
    /// Breaks ties: its parent.
    pub seed: Digest,
    /// Who proposed it, by position.
    pub leader: usize,
    /// Its time.
    pub time_ms: u64,
    /// What each log grew by.
    pub appended: Vec<Fragment>,
    /// Bytes of its evidence.
    pub evidence_bytes: u64,
    /// When the first honest sequencer had committed it, to 5 ms.
    pub committed_ms: u64,
    /// The cohorts that it emitted.
    pub emitted: Vec<Vec<BundleId>>,
}

/// What a log grew by in a block.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Whose log.
    pub sequencer: SequencerIndex,
    /// The new entries.
    pub ids: Vec<BundleId>,
    /// The time that its head says.
    pub time_ms: u64,
}

/// A bundle that a trader sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBundle {
    /// The number of its order.
    pub number: Option<u64>,
    /// When, in microseconds.
    pub at_us: u64,
    /// Whether its trader attacks.
    pub hostile: bool,
    /// Receipts that it got.
    pub receipts: usize,
}

impl Record {
    /// What a finished run left.
    pub(crate) fn of(
        given: &Evidence<'_>,
        trace: &Trace,
        commits: &BTreeMap<u64, SystemTime>,
        started: SystemTime,
    ) -> Result<Self, String> {
        let since = |at: SystemTime| at.duration_since(started).unwrap_or_default();
        let micros = |at| u64::try_from(since(at).as_micros()).unwrap_or(u64::MAX);
        let mut record = Self {
            n: given.plan.n,
            f: given.plan.f,
            g: given.plan.g,
            honest: given.plan.honest(),
            logs: Vec::new(),
            blocks: Vec::new(),
            bundles: BTreeMap::new(),
            races: Vec::new(),
            expiries: BTreeMap::new(),
            moves: Vec::new(),
            charges: Charges::default(),
        };
        for submission in &given.submissions {
            let sent = SentBundle {
                number: submission.number,
                at_us: micros(submission.sealed),
                hostile: submission.purpose == Purpose::Hostile,
                receipts: submission.receipts.len(),
            };
            record.bundles.insert(submission.id, sent);
            record.expiries.insert(submission.id, Height::new(submission.expires_at));
        }
        let epoch_ms = millis_of(started);
        for store in &given.stores {
            let store = store.as_ref().ok_or("a sequencer has no power at the end")?;
            record.logs.push(log(store, epoch_ms)?);
            record.expiries.extend(expiries(store)?);
        }
        record.blocks = record.read_blocks(given, trace, epoch_ms)?;
        for block in &mut record.blocks {
            let committed = commits.get(&block.height.get()).copied();
            block.committed_ms = committed.map_or(u64::MAX, |at| micros(at) / 1_000);
        }
        for (member, overview) in given.overviews.iter().enumerate() {
            let Some(overview) = overview else { continue };
            match given.plan.behaviour(member) {
                Behaviour::Honest => record.charges.add(overview),
                kind => record.moves.push((kind, counter(overview, "adversary_moves"))),
            }
            if let Some(attack) = &overview.attack {
                let races = attack.pairs.iter();
                let races =
                    races.map(|(own, victim)| Race { own: *own, victim: *victim, by: member });
                let races: Vec<_> =
                    races.filter(|race| !record.is_attacker(&race.victim)).collect();
                record.races.extend(races);
            }
        }
        record.add_echoes(given);
        Ok(record)
    }

    /// The final blocks of the honest sequencer that has most.
    fn read_blocks(
        &self,
        given: &Evidence<'_>,
        trace: &Trace,
        started_ms: u64,
    ) -> Result<Vec<FinalBlock>, String> {
        let height = |store: &Store| {
            let orders = store.range(Table::Orders, &[], usize::MAX);
            orders.map_or(0, |orders| orders.len())
        };
        let stores = self.honest.iter().filter_map(|member| given.stores[*member].as_ref());
        let store = stores.max_by_key(|store| height(store)).ok_or("nobody is honest")?;
        let committee = &given.keys.first().committee;
        let fairness = fairveil_ordering::Committee::new(self.n, self.f, self.g);
        let fairness = fairness.map_err(|error| error.to_string())?;
        let (network_id, epoch) = (given.keys.network_id, committee.epoch());
        let state = State::new(network_id, epoch, fairness, given.plan.mode, Height::ZERO);
        Chain { committee, state, started_ms, expiries: &self.expiries }.blocks(store, trace)
    }

    /// Where an honest client stood in for an adversary.
    fn add_echoes(&mut self, given: &Evidence<'_>) {
        let numbered = self.bundles.iter().filter_map(|(id, sent)| Some((sent.number?, *id)));
        let numbered: BTreeMap<u64, BundleId> = numbered.collect();
        let first = given.plan.orders.len() as u64;
        for (number, echo) in (first..).zip(&given.plan.echoes) {
            let [own, victim] = [number, echo.victim].map(|number| numbered.get(&number).copied());
            let to = echo.order.to.first().map(|(member, _)| *member);
            if let (Some(own), Some(victim), Some(by)) = (own, victim, to) {
                self.races.push(Race { own, victim, by });
            }
        }
    }

    /// Ids that no trader of good faith sent, or that stand for such ones.
    #[must_use]
    pub fn is_attacker(&self, id: &BundleId) -> bool {
        self.bundles.get(id).is_none_or(|sent| sent.hostile)
    }

    /// Bundles that traders of good faith sent of their own accord.
    pub fn traders(&self) -> impl Iterator<Item = (BundleId, SentBundle)> + '_ {
        let races: BTreeSet<BundleId> = self.races.iter().map(|race| race.own).collect();
        let sent = self.bundles.iter().map(|(id, sent)| (*id, *sent));
        sent.filter(move |(id, sent)| !sent.hostile && !races.contains(id))
    }
}

impl Charges {
    /// Those of one more honest sequencer.
    fn add(&mut self, overview: &Overview) {
        self.equivocations += counter(overview, "equivocations");
        self.convicted = self.convicted.max(overview.convicted);
        self.bad_shares += counter(overview, "bad_shares");
        self.silent_parts += counter(overview, "silent_parts");
    }
}

/// A counter of a sequencer.
fn counter(overview: &Overview, name: &str) -> u64 {
    let counters = overview.counters.iter().filter(|(known, _)| *known == name);
    counters.map(|(_, count)| count).sum()
}

/// Milliseconds since 1970.
fn millis_of(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn log(store: &Store, started_ms: u64) -> Result<Vec<Received>, String> {
    let stored = store.range(Table::Log, &[], usize::MAX).map_err(|error| error.to_string())?;
    let entry = |bytes: &[u8]| {
        let entry: LogEntry = decode(bytes, MAX_VALUE_BYTES).map_err(|error| error.to_string())?;
        let at_ms = entry.receipt.time_ms.saturating_sub(started_ms);
        Ok(Received { id: entry.id, at_ms, height: entry.receipt.height.get() })
    };
    stored.iter().map(|(_, bytes)| entry(bytes)).collect()
}

fn expiries(store: &Store) -> Result<Vec<(BundleId, Height)>, String> {
    let stored = store.range(Table::Emitted, &[], usize::MAX).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for (_, bytes) in stored {
        let emitted: Vec<(BundleId, BundleFacts)> =
            decode(&bytes, MAX_VALUE_BYTES).map_err(|error| error.to_string())?;
        found.extend(emitted.into_iter().map(|(id, facts)| (id, facts.expires_at)));
    }
    Ok(found)
}

/// Reads final blocks, whose evidence is packed against the state of the block before.
struct Chain<'a> {
    committee: &'a Committee,
    state: State,
    started_ms: u64,
    expiries: &'a BTreeMap<BundleId, Height>,
}

impl Chain<'_> {
    /// The final blocks of a store; their evidence is that of the proposals on the wire.
    fn blocks(mut self, store: &Store, trace: &Trace) -> Result<Vec<FinalBlock>, String> {
        let stored = store.range(Table::Orders, &[], usize::MAX);
        let stored = stored.map_err(|error| error.to_string())?;
        stored.iter().map(|(_, bytes)| self.block(bytes, trace)).collect()
    }

    fn block(&mut self, bytes: &[u8], trace: &Trace) -> Result<FinalBlock, String> {
        let certificate: OrderCertificate =
            decode(bytes, MAX_VALUE_BYTES).map_err(|error| error.to_string())?;
        let header = certificate.headers.last().ok_or("a certificate without headers")?;
        let height = header.height;
        let proposed = trace.block(&header.digest());
        let proposed = proposed.ok_or_else(|| format!("block {height} was never proposed"))?;
        let packed = &proposed.body().evidence;
        let keys = self.committee.consensus_keys();
        let refused = |why: &dyn std::fmt::Display| format!("block {height}: {why}");
        let evidence = self.state.verify(packed, keys).map_err(|why| refused(&why))?;
        let reaching = self.state.would_reach_edge(&evidence);
        let expiry = |id| self.expiries.get(&id).copied().unwrap_or(Height::MAX);
        let expiries = reaching.into_iter().map(|id| (id, expiry(id))).collect();
        let phase = Phase::Ordering;
        let block = Block {
            height,
            parent: header.parent,
            phase,
            evidence: &evidence,
            expiries: &expiries,
        };
        self.state.apply(&block).map_err(|why| refused(&why))?;
        let appended = evidence.fragments().iter().map(|fragment| Fragment {
            sequencer: fragment.head.sequencer,
            ids: fragment.ids.clone(),
            time_ms: fragment.head.time_ms.saturating_sub(self.started_ms),
        });
        let leader = keys.iter().position(|key| *key == header.leader);
        let cohorts = certificate.emission.cohorts.iter();
        Ok(FinalBlock {
            height,
            seed: Digest::from_bytes(*header.parent.as_bytes()),
            leader: leader.ok_or_else(|| format!("block {height} is of no member"))?,
            time_ms: header.time_ms.saturating_sub(self.started_ms),
            appended: appended.collect(),
            evidence_bytes: encode(packed).len() as u64,
            committed_ms: 0,
            emitted: cohorts.map(|cohort| cohort.iter().map(|entry| entry.id).collect()).collect(),
        })
    }
}
