//! Members with keys from seeds, and a ceremony's chain in one process, for tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::{ConsensusSecret, Digest, Epoch, SequencerIndex};

use crate::definition::{Accounting, Blocks, Deadlines, Mode, Ordering, Rollup};
use crate::{
    Approval, ApprovedDefinition, Ceremony, CeremonyContext, CeremonyEntry, DealingNonce,
    DealingSecret, Definition, Input, Member, Membership, NetworkPublicKey, Output, Proposal,
    Record, Transcript,
};

/// Members, in the order of their seeds and not of their keys.
pub(crate) struct Members {
    pub(crate) n: u16,
}

pub(crate) fn consensus_secret(member: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([member as u8 + 1; 32])
}

pub(crate) fn network_secret(member: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([member as u8 + 129; 32])
}

pub(crate) fn dealing_secret(member: u16) -> DealingSecret {
    DealingSecret::from_seed(&[member as u8 + 1; 32])
}

impl Members {
    pub(crate) fn new(n: u16) -> Self {
        Self { n }
    }

    pub(crate) fn proposal(&self, revealed_limit: u16) -> Proposal {
        let member = |k: u16| Member {
            name: format!("member-{k}"),
            consensus: consensus_secret(k).public_key(),
            network: NetworkPublicKey::from_bytes(network_secret(k).public_key().to_bytes()),
            dealing: dealing_secret(k).public_key(),
            peer_address: format!("127.0.0.1:{}", 4_000 + k).parse().unwrap(),
            trader_address: format!("10.0.0.{k}:5000").parse().unwrap(),
            rpc_address: format!("[::1]:{}", 6_000 + k).parse().unwrap(),
        };
        Proposal {
            version: 1,
            epoch: Epoch::new(1),
            n: self.n,
            f: (self.n - 1) / 4,
            g: 0,
            revealed_limit,
            ordering: Ordering { mode: Mode::Strict, freshness_window_heights: 32 },
            blocks: Blocks::default(),
            deadlines: Deadlines {
                deal_ms: 10_000,
                acknowledge_ms: 11_000,
                log_ms: 12_000,
                confirm_ms: 13_000,
            },
            accounting: Some(Accounting {
                deposits: Digest::from_bytes([8; 32]),
                fee_per_byte: 3,
                rollup_share_percent: 50,
            }),
            rollups: [902, 901]
                .map(|chain_id| Rollup::new(chain_id, &format!("rollup-{chain_id}")))
                .to_vec(),
            members: (0..self.n).map(member).collect(),
        }
    }

    pub(crate) fn definition(&self, revealed_limit: u16) -> Definition {
        Definition::new(self.proposal(revealed_limit)).unwrap()
    }

    pub(crate) fn approvals(&self, definition: &Definition) -> Vec<Approval> {
        (0..self.n).map(|k| Approval::new(definition, &consensus_secret(k))).collect()
    }

    pub(crate) fn context(&self, revealed_limit: u16) -> CeremonyContext {
        let definition = self.definition(revealed_limit);
        let approvals = self.approvals(&definition);
        CeremonyContext::new(ApprovedDefinition::new(definition, approvals).unwrap(), 1)
    }
}

/// A small generator for the choices of a test.
pub(crate) struct Choices(u64, u64);

impl Choices {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed, 0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.1 += 1;
        let items: [&[u8]; 2] = [&self.0.to_be_bytes(), &self.1.to_be_bytes()];
        let [a, b, c, d, ..] = domain::hash(Tag::CeremonyCheck, &items).to_bytes();
        u32::from_be_bytes([a, b, c, d]) as usize % bound.max(1)
    }
}

/// What a machine stands for in a run.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Honest,
    /// Posts nothing.
    Silent,
    /// Its entries are rewritten before they are posted.
    Rewritten(fn(&CeremonyContext, CeremonyEntry) -> Option<CeremonyEntry>),
}

/// One machine with its disk.
pub(crate) struct Machine {
    pub(crate) member: u16,
    pub(crate) role: Role,
    pub(crate) ceremony: Ceremony,
    pub(crate) nonce: Option<DealingNonce>,
    pub(crate) membership: Option<Membership>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) restarts: usize,
    posted: BTreeMap<String, Vec<u8>>,
}

/// A chain with its members in one process, and a crash before or after every durable write.
pub(crate) struct Run {
    pub(crate) context: CeremonyContext,
    pub(crate) machines: Vec<Machine>,
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) now: Duration,
    crashes: bool,
    choices: Choices,
    submitted: Vec<Vec<u8>>,
}

impl Run {
    pub(crate) fn new(context: CeremonyContext, seed: u64, crashes: bool) -> Self {
        let n = context.definition().n();
        let machines = (0..n)
            .map(|member| Machine {
                member,
                role: Role::Honest,
                ceremony: fresh(&context, member, 0),
                nonce: None,
                membership: None,
                outputs: Vec::new(),
                restarts: 0,
                posted: BTreeMap::new(),
            })
            .collect();
        let (now, choices) = (Duration::from_secs(100), Choices::new(seed));
        Self { context, machines, log: Vec::new(), now, crashes, choices, submitted: Vec::new() }
    }

    pub(crate) fn with_role(mut self, member: u16, role: Role) -> Self {
        self.machines[usize::from(member)].role = role;
        self
    }

    pub(crate) fn index(&self, member: u16) -> SequencerIndex {
        let key = consensus_secret(member).public_key();
        self.context.definition().index_of(&key).unwrap()
    }

    /// Runs until nobody has anything to post or to wait for.
    pub(crate) fn finish(mut self) -> Self {
        for place in 0..self.machines.len() {
            self.drive(place, Input::Wake);
        }
        for _ in 0..10_000 {
            if self.submitted.is_empty() {
                let wake = |machine: &Machine| match machine.role {
                    Role::Silent => None,
                    _ => machine.ceremony.wake_at(),
                };
                let Some(next) = self.machines.iter().filter_map(wake).min() else { break };
                self.now = self.now.max(next);
                for place in 0..self.machines.len() {
                    self.drive(place, Input::Wake);
                }
            } else {
                self.agree();
            }
        }
        self
    }

    /// One block: some of the submitted entries in any order, delivered to all in any order.
    fn agree(&mut self) {
        self.now += Duration::from_millis(7);
        let mut entries = Vec::new();
        for _ in 0..self.choices.below(4) + 1 {
            if !self.submitted.is_empty() {
                let place = self.choices.below(self.submitted.len());
                entries.push(self.submitted.swap_remove(place));
            }
        }
        entries.retain(|entry| !self.log.contains(entry));
        let height = self.log.len() as u64 + entries.len() as u64;
        self.log.extend(entries.iter().cloned());
        let first = self.choices.below(self.machines.len());
        for step in 0..self.machines.len() {
            let place = (first + step) % self.machines.len();
            self.drive(place, Input::Agreed { height, entries: entries.clone() });
        }
    }

    fn drive(&mut self, place: usize, input: Input) {
        let outputs = self.machines[place].ceremony.handle(self.now, input);
        for output in outputs {
            if let Output::Persist(_) = &output
                && self.crashes
                && self.choices.below(3) == 0
            {
                let written = self.choices.below(2) == 0;
                if written {
                    self.machines[place].persist(output);
                }
                return self.restart(place);
            }
            match output {
                Output::Post(entry) => self.submit(place, entry),
                Output::Persist(_) => self.machines[place].persist(output),
                other => self.machines[place].outputs.push(other),
            }
        }
    }

    /// The machine loses everything but its disk and takes the log from the beginning.
    fn restart(&mut self, place: usize) {
        let machine = &mut self.machines[place];
        machine.restarts += 1;
        machine.outputs.clear();
        let member = machine.member;
        machine.ceremony = match machine.nonce.clone() {
            None => fresh(&self.context, member, machine.restarts),
            Some(nonce) => Ceremony::resume(
                self.context.clone(),
                consensus_secret(member),
                dealing_secret(member),
                DealingNonce::from_bytes(&nonce.to_bytes()).unwrap(),
            )
            .unwrap(),
        };
        let entries = self.log.clone();
        self.drive(place, Input::Wake);
        if !entries.is_empty() {
            self.drive(place, Input::Agreed { height: entries.len() as u64, entries });
        }
    }

    fn submit(&mut self, place: usize, entry: CeremonyEntry) {
        let entry = match self.machines[place].role {
            Role::Honest => Some(entry),
            Role::Silent => None,
            Role::Rewritten(rewrite) => rewrite(&self.context, entry),
        };
        let Some(entry) = entry else { return };
        let bytes = entry.encode();
        // Invariant 1 of the ceremony: one place in the log, one entry, whatever crashed.
        let known = self.machines[place].posted.insert(slot(&entry), bytes.clone());
        assert!(known.is_none_or(|known| known == bytes), "two entries for {}", slot(&entry));
        self.submitted.push(bytes);
    }

    pub(crate) fn transcript(&self, member: u16) -> Option<Transcript> {
        self.machines[usize::from(member)].ceremony.transcript()
    }
}

impl Machine {
    fn persist(&mut self, output: Output) {
        match output {
            Output::Persist(Record::Nonce(nonce)) => self.nonce = Some(nonce),
            Output::Persist(Record::Membership(membership)) => self.membership = Some(membership),
            _ => {}
        }
    }
}

fn fresh(context: &CeremonyContext, member: u16, attempt: usize) -> Ceremony {
    let nonce = [member as u8 ^ (attempt as u8) << 4; 32];
    let (consensus, dealing) = (consensus_secret(member), dealing_secret(member));
    Ceremony::start(context.clone(), consensus, dealing, nonce).unwrap()
}

fn slot(entry: &CeremonyEntry) -> String {
    match entry {
        CeremonyEntry::Dealing(_) => "dealing".to_owned(),
        CeremonyEntry::Acknowledgement(one) => format!("acknowledgement of {}", one.dealer),
        CeremonyEntry::DealerLog(_) => "log".to_owned(),
        CeremonyEntry::Close(close) => format!("close {:?}", close.phase),
        CeremonyEntry::Confirmation(_) => "confirmation".to_owned(),
    }
}
