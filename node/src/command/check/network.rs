//! The network: socket buffers, peers, clock.

use std::{net::SocketAddr, time::Duration};

use fairveil_client::{Endpoint, rpc::CommitteeInfo};
use fairveil_crypto::committee::threshold;
use fairveil_keygen::{ApprovedDefinition, Definition, Member, keystore::SequencerKeys};
use fairveil_transport::{
    Member as Peer, NetworkPublicKey, NetworkSecret, Probe, ProbeError, SocketOptions,
};

use super::{Good, Line, Verdict};
use crate::{command::error::CommandError, config::Config, process, rollups::now_ms};

/// The least that is granted to each direction of a socket.
const MIN_BUFFER_BYTES: usize = 4 << 20;
/// How far this clock may be behind the committed time of the last block.
const MAX_AHEAD_MS: u64 = 500;
/// And before it: an idle chain has a block a second, and the answer takes time.
const MAX_BEHIND_MS: u64 = 5_000;

/// The checks that speak to others.
pub(super) fn lines(
    config: &Config,
    keys: &SequencerKeys,
    approved: &ApprovedDefinition,
    patience_ms: u64,
) -> Result<Vec<Line>, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Check(error.to_string()))?;
    let patience = Duration::from_millis(patience_ms);
    runtime.block_on(all(config, keys, approved.definition(), patience))
}

async fn all(
    config: &Config,
    keys: &SequencerKeys,
    definition: &Definition,
    patience: Duration,
) -> Result<Vec<Line>, CommandError> {
    let own = keys.consensus.public_key();
    let others: Vec<&Member> =
        definition.members().iter().filter(|member| member.consensus != own).collect();
    let mut lines = Vec::new();
    let secret = NetworkSecret::from_seed(*keys.network.expose_seed())
        .map_err(|error| CommandError::Check(error.to_string()))?;
    let listen = listen(config, definition, keys)?;
    // While the node runs its own address is taken; any other port tells the same of the machine.
    let options = SocketOptions::default();
    let probe = Probe::open(definition.network_id(), secret, listen, &options);
    let wanted = format!("{} MiB each for receiving and sending", MIN_BUFFER_BYTES >> 20);
    let probe = match probe {
        Ok(probe) => probe,
        Err(error) => {
            lines.push(Line::new(Verdict::Fail, "buffers", error.to_string(), &wanted));
            return Ok(lines);
        }
    };
    let socket = probe.socket();
    let (receive, send) = (socket.receive_bytes, socket.send_bytes);
    let seen = format!("{} KiB and {} KiB granted", receive >> 10, send >> 10);
    let good = Good::when(|| receive.min(send) >= MIN_BUFFER_BYTES);
    lines.push(Line::judged(good, "buffers", seen, &wanted));
    let reached =
        futures::future::join_all(others.iter().map(|member| peer(&probe, member, patience)));
    let reached = reached.await;
    let answered = reached.iter().filter(|line| line.verdict == Verdict::Ok).count();
    lines.extend(reached);
    probe.close().await;
    let needed = usize::from(threshold(definition.n())).saturating_sub(1);
    let seen = format!("{answered} of {} others answered", others.len());
    let good = Good::when(|| answered >= needed);
    lines.push(Line::judged(good, "peers", seen, &format!("{needed}, to make blocks with them")));
    lines.push(clock(&others, patience).await);
    Ok(lines)
}

/// The address that the node listens on, with any free port.
fn listen(
    config: &Config,
    definition: &Definition,
    keys: &SequencerKeys,
) -> Result<SocketAddr, CommandError> {
    let given = config.address("peer_listen").map_err(process::NodeError::from)?;
    let own = definition.index_of(&keys.consensus.public_key());
    let member = own.and_then(|index| definition.member(index));
    let mut address = match given {
        Some(address) => address,
        None => process::resolve(member.map(|member| &member.peer_address))?,
    };
    address.set_port(0);
    Ok(address)
}

async fn peer(probe: &Probe, member: &Member, patience: Duration) -> Line {
    let name = format!("peer {}", member.name);
    let address = &member.peer_address;
    let wanted = "it answers under its pinned key";
    let peer = match process::resolve(Some(address)) {
        Ok(address) => {
            let key = NetworkPublicKey::from_bytes(*member.network.as_bytes());
            Peer::approved(member.consensus, key, address).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    let peer = match peer {
        Ok(peer) => peer,
        Err(why) => return Line::new(Verdict::Fail, &name, why, wanted),
    };
    match probe.reach(&peer, patience).await {
        Ok(rtt) => {
            let seen = format!("{address}, round trip {:.1} ms", rtt.as_secs_f64() * 1e3);
            Line::new(Verdict::Ok, &name, seen, wanted)
        }
        Err(error @ ProbeError::Silent(_)) => {
            Line::new(Verdict::Warn, &name, format!("{address}: {error}"), wanted)
        }
        Err(error) => Line::new(Verdict::Fail, &name, format!("{address}: {error}"), wanted),
    }
}

/// This clock beside the committed time of the sequencers' last blocks, which is a median of clocks.
async fn clock(others: &[&Member], patience: Duration) -> Line {
    let wanted = format!(
        "at most {MAX_AHEAD_MS} ms behind and {MAX_BEHIND_MS} ms after the last block's time; run NTP"
    );
    let asked = others.iter().map(|member| committed(member, patience));
    let times = futures::future::join_all(asked).await;
    // The newest block that anybody has: who is behind says nothing of this clock.
    let Some(newest) = times.into_iter().flatten().max() else {
        let seen = "no sequencer has a block yet, or none answers";
        return Line::new(Verdict::Warn, "clock", seen, &wanted);
    };
    let now = now_ms();
    let seen = match now.checked_sub(newest) {
        Some(after) => format!("{after} ms after the last block's time"),
        None => format!("{} ms before the last block's time", newest - now),
    };
    let good = Good::when(|| {
        now.saturating_add(MAX_AHEAD_MS) >= newest && now <= newest.saturating_add(MAX_BEHIND_MS)
    });
    Line::judged(good, "clock", seen, &wanted)
}

async fn committed(member: &Member, patience: Duration) -> Option<u64> {
    let endpoint = Endpoint::new(&format!("http://{}", member.rpc_address), patience).ok()?;
    let info: CommitteeInfo = endpoint.call("fairveil_committee", Vec::new()).await.ok()?;
    (info.height > 0).then_some(info.time_ms)
}
