//! The chain of a ceremony: the same engine, another application.

use std::sync::Arc;
use std::time::Duration;

use commonware_p2p::simulated::Oracle;
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Runner, Spawner, Supervisor as _, deterministic};
use commonware_utils::sync::Mutex;
use fairveil_consensus::block::MAX_CEREMONY_ENTRY_BYTES;
use fairveil_consensus::ceremony::{MAX_LEADER_ENTRIES, SubmitError};
use fairveil_consensus::committee::{PublicKey, own_key};
use fairveil_consensus::{
    CeremonyChain, CeremonyState, Config, Members, Network, Subchannel, Timing, Voting,
};
use fairveil_crypto::Digest;

use crate::harness::{Committee, LINK, keys, secrets};

const N: u16 = 5;
const SECOND: Duration = Duration::from_secs(1);

struct Ceremony {
    chains: Vec<CeremonyChain>,
    entries: Vec<Arc<Mutex<Vec<Vec<u8>>>>>,
    tasks: Vec<Handle<()>>,
}

fn round_id(round: u64) -> Digest {
    fairveil_crypto::domain::hash(fairveil_crypto::domain::Tag::Ceremony, &[&round.to_be_bytes()])
}

/// One member: posts what it is given and keeps what is final, in memory alone.
async fn member(
    context: deterministic::Context,
    oracle: &Oracle<PublicKey, deterministic::Context>,
    chain: CeremonyChain,
    index: usize,
    round: u64,
    entries: Arc<Mutex<Vec<Vec<u8>>>>,
) -> Handle<()> {
    let peer = own_key(&secrets(N)[index]);
    let channels = crate::harness::channels(oracle, &peer).await;
    let config = Config {
        namespace: chain.namespace(),
        epoch: chain.epoch(),
        subchannel: Subchannel::Ceremony { round },
        members: Members::new(&keys(N)).unwrap(),
        secret: secrets(N).remove(index),
        voting: Voting::Votes,
        peers: oracle.manager(),
        blocker: oracle.control(peer),
        strategy: Sequential,
        partition: format!("ceremony-{round}-{index}"),
        timing: Timing::default(),
    };
    context.child("member").with_attribute("index", index).spawn(move |context| async move {
        let network = Network::new(&context.child("channels"), channels);
        let (genesis, state): (_, CeremonyState) = chain.genesis(keys(N)[0]).unwrap();
        let engine = context.child("engine");
        let mut running =
            fairveil_consensus::start(engine, config, chain, genesis, state, &network)
                .await
                .unwrap();
        entries.lock().clear();
        while let Some(finalized) = running.finalized.recv().await {
            entries.lock().extend(finalized.executed.output.iter().cloned());
            finalized.acknowledgement.acknowledge();
        }
    })
}

impl Ceremony {
    async fn start(context: &deterministic::Context, round: u64) -> Self {
        let committee = Committee::new(context.child("committee"), N, 1, LINK).await;
        let mut ceremony = Self { chains: Vec::new(), entries: Vec::new(), tasks: Vec::new() };
        for index in 0..usize::from(N) {
            let chain = CeremonyChain::new(&round_id(round));
            let entries = Arc::<Mutex<Vec<Vec<u8>>>>::default();
            let (handle, kept) = (chain.clone(), entries.clone());
            let task =
                member(context.child("run"), &committee.oracle, handle, index, round, kept).await;
            ceremony.chains.push(chain);
            ceremony.entries.push(entries);
            ceremony.tasks.push(task);
        }
        ceremony
    }

    async fn reach(&self, context: &deterministic::Context, count: usize) {
        let deadline = context.current() + 60 * SECOND;
        while self.entries.iter().any(|entries| entries.lock().len() < count) {
            assert!(context.current() < deadline, "entries are missing");
            context.sleep(SECOND / 50).await;
        }
    }
}

#[test]
fn all_members_see_the_same_entries_in_the_same_order_once() {
    let run = |seed| {
        deterministic::Runner::seeded(seed).start(|context| async move {
            let ceremony = Ceremony::start(&context, 0).await;
            for (index, chain) in ceremony.chains.iter().enumerate() {
                for part in 0..20u8 {
                    chain.submit(vec![index as u8, part]).unwrap();
                    chain.submit(vec![index as u8, part]).unwrap();
                }
                // Posted by everybody, on the chain once.
                chain.submit(b"common".to_vec()).unwrap();
            }
            ceremony.reach(&context, 101).await;
            context.sleep(3 * SECOND).await;
            let first = ceremony.entries[0].lock().clone();
            assert_eq!(first.len(), 101);
            for entries in &ceremony.entries {
                assert_eq!(*entries.lock(), first);
            }
            let mut sorted = first.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(sorted.len(), 101);
            for task in ceremony.tasks {
                task.abort();
            }
            (first, context.auditor().state())
        })
    };
    assert_eq!(run(50), run(50));
}

#[test]
fn long_entries_fill_several_blocks_and_too_long_ones_are_refused() {
    deterministic::Runner::seeded(51).start(|context| async move {
        let ceremony = Ceremony::start(&context, 3).await;
        let chain = &ceremony.chains[1];
        for byte in 0..20 {
            chain.submit(vec![byte; MAX_CEREMONY_ENTRY_BYTES]).unwrap();
        }
        let actual = MAX_CEREMONY_ENTRY_BYTES + 1;
        assert_eq!(chain.submit(vec![0; actual]), Err(SubmitError::Long { actual }));
        ceremony.reach(&context, 20).await;
        let chain = &ceremony.chains[2];
        for number in 0..MAX_LEADER_ENTRIES {
            chain.submit(number.to_be_bytes().to_vec()).unwrap();
        }
        assert!(matches!(chain.submit(vec![1]), Err(SubmitError::Full { .. })));
    });
}
