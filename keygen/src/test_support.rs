//! Members with keys from seeds, and a ceremony's chain in one process, for tests.
#![allow(clippy::unwrap_used)]

mod conduct;

use std::collections::BTreeMap;
use std::time::Duration;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, Epoch, Height, SequencerIndex};

pub(crate) use self::conduct::{Conduct, View};
pub(crate) use crate::adversary::{BadDealing as Bad, FalseComplaint as False};
use crate::definition::{Accounting, Blocks, Deadlines, Mode, Ordering, Resharing, Rollup};
use crate::entry::PostedDealing;
use crate::{
    Approval, ApprovedDefinition, Ceremony, CeremonyContext, CeremonyEntry, DealingNonce,
    DealingSecret, Definition, Input, Member, Membership, NetworkPublicKey, Output, Participant,
    Party, Proposal, Record, Role, Transcript, VerifiedTranscript,
};

/// Members of one epoch, in the order of their seeds and not of their keys.
pub(crate) struct Members {
    pub(crate) ids: Vec<u16>,
    pub(crate) epoch: u64,
}

pub(crate) fn consensus_secret(member: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([member as u8 + 1; 32])
}

pub(crate) fn network_secret(member: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([member as u8 + 129; 32])
}

pub(crate) fn dealing_secret(member: u16) -> DealingSecret {
    dealing_secret_of(1, member)
}

pub(crate) fn dealing_secret_of(epoch: u64, member: u16) -> DealingSecret {
    let mut seed = [member as u8 + 1; 32];
    seed[0] ^= (epoch as u8 - 1) << 4;
    DealingSecret::from_seed(&seed)
}

/// The member with this consensus key.
pub(crate) fn member_of(key: &ConsensusPublicKey) -> u16 {
    (0..64).find(|member| consensus_secret(*member).public_key() == *key).unwrap()
}

/// What a member takes part in a ceremony with.
pub(crate) fn participant(
    context: &CeremonyContext,
    member: u16,
    share: Option<&ShareBytes>,
) -> Participant {
    let consensus = consensus_secret(member);
    let is_player = context.definition().index_of(&consensus.public_key()).is_some();
    let epoch = context.definition().epoch().get();
    Participant {
        dealing: is_player.then(|| dealing_secret_of(epoch, member)),
        share: share.map(|(index, bytes)| KeyShare::decode(*index, bytes).unwrap()),
        consensus,
    }
}

/// A share that can be given to a machine again.
pub(crate) type ShareBytes = (SequencerIndex, [u8; 32]);

impl Members {
    pub(crate) fn new(n: u16) -> Self {
        Self { ids: (0..n).collect(), epoch: 1 }
    }

    pub(crate) fn proposal(&self, revealed_limit: u16) -> Proposal {
        let member = |k: u16| Member {
            name: format!("member-{k}"),
            consensus: consensus_secret(k).public_key(),
            network: NetworkPublicKey::from_bytes(network_secret(k).public_key().to_bytes()),
            dealing: dealing_secret_of(self.epoch, k).public_key(),
            peer_address: format!("127.0.0.1:{}", 4_000 + k).parse().unwrap(),
            trader_address: format!("10.0.0.{k}:5000").parse().unwrap(),
            rpc_address: format!("[::1]:{}", 6_000 + k).parse().unwrap(),
        };
        let n = self.ids.len() as u16;
        Proposal {
            version: 1,
            epoch: Epoch::new(self.epoch),
            n,
            f: (n - 1) / 4,
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
            members: self.ids.iter().map(|k| member(*k)).collect(),
            resharing: None,
        }
    }

    pub(crate) fn definition(&self, revealed_limit: u16) -> Definition {
        Definition::new(self.proposal(revealed_limit)).unwrap()
    }

    pub(crate) fn approvals(&self, definition: &Definition) -> Vec<Approval> {
        self.ids.iter().map(|k| Approval::new(definition, &consensus_secret(*k))).collect()
    }

    pub(crate) fn context(&self, revealed_limit: u16) -> CeremonyContext {
        self.context_of_round(revealed_limit, 1)
    }

    pub(crate) fn context_of_round(&self, revealed_limit: u16, round: u64) -> CeremonyContext {
        let definition = self.definition(revealed_limit);
        let approvals = self.approvals(&definition);
        let approved = ApprovedDefinition::new(definition, approvals).unwrap();
        CeremonyContext::first(approved, round).unwrap()
    }

    /// The members of the epoch after `before`.
    pub(crate) fn after(before: &VerifiedTranscript, ids: &[u16]) -> Self {
        Self { ids: ids.to_vec(), epoch: before.definition().epoch().get() + 1 }
    }

    /// The proposal that continues `before` with these members.
    pub(crate) fn succession(&self, before: &VerifiedTranscript, revealed_limit: u16) -> Proposal {
        let resharing = Resharing {
            network_id: before.network_id(),
            predecessor: before.definition().digest(),
            boundary: Height::new(1_000 * self.epoch),
        };
        Proposal { version: 2, resharing: Some(resharing), ..self.proposal(revealed_limit) }
    }

    /// A resharing from `before` to these members, approved by all.
    pub(crate) fn resharing(
        &self,
        before: &VerifiedTranscript,
        revealed_limit: u16,
        round: u64,
    ) -> CeremonyContext {
        let definition = Definition::new(self.succession(before, revealed_limit)).unwrap();
        let mut approvals = self.approvals(&definition);
        approvals.extend(before.definition().members().iter().map(|member| {
            Approval::new(&definition, &consensus_secret(member_of(&member.consensus)))
        }));
        let approved =
            ApprovedDefinition::resharing(definition, approvals, before.definition()).unwrap();
        CeremonyContext::resharing(approved, round, before).unwrap()
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

/// The dealings in a log, in its order.
pub(crate) fn dealings(log: &[Vec<u8>], context: &CeremonyContext) -> Vec<PostedDealing> {
    let entries = log.iter().filter_map(|bytes| CeremonyEntry::decode(bytes, context).ok());
    let posted = |entry| match entry {
        CeremonyEntry::Dealing(posted) => Some(posted),
        _ => None,
    };
    entries.filter_map(posted).collect()
}

/// One machine with its disk.
pub(crate) struct Machine {
    pub(crate) member: u16,
    pub(crate) conduct: Conduct,
    pub(crate) ceremony: Ceremony,
    pub(crate) nonce: Option<DealingNonce>,
    pub(crate) membership: Option<Membership>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) restarts: usize,
    share: Option<ShareBytes>,
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

/// What an epoch leaves behind: its transcript, and every member's share.
pub(crate) struct Made {
    pub(crate) verified: VerifiedTranscript,
    pub(crate) shares: BTreeMap<u16, ShareBytes>,
}

impl Run {
    pub(crate) fn new(context: CeremonyContext, seed: u64, crashes: bool) -> Self {
        Self::with_shares(context, &BTreeMap::new(), seed, crashes)
    }

    /// A run whose dealers have these shares.
    pub(crate) fn with_shares(
        context: CeremonyContext,
        shares: &BTreeMap<u16, ShareBytes>,
        seed: u64,
        crashes: bool,
    ) -> Self {
        let keys = [context.dealing_definition(), context.definition()].map(|definition| {
            definition.members().iter().map(|member| member_of(&member.consensus))
        });
        let members: std::collections::BTreeSet<u16> = keys.into_iter().flatten().collect();
        let machines = members.into_iter().map(|member| {
            let share = shares.get(&member).copied();
            Machine {
                member,
                conduct: Conduct::Honest,
                ceremony: fresh(&context, member, share.as_ref(), 0),
                nonce: None,
                membership: None,
                outputs: Vec::new(),
                restarts: 0,
                share,
                posted: BTreeMap::new(),
            }
        });
        let machines = machines.collect();
        let (now, choices) = (Duration::from_secs(100), Choices::new(seed));
        Self { context, machines, log: Vec::new(), now, crashes, choices, submitted: Vec::new() }
    }

    /// The resharing from what an epoch left behind to these members.
    pub(crate) fn resharing(made: &Made, ids: &[u16], revealed_limit: u16, seed: u64) -> Self {
        let members = Members::after(&made.verified, ids);
        let context = members.resharing(&made.verified, revealed_limit, 1);
        Self::with_shares(context, &made.shares, seed, false)
    }

    pub(crate) fn with(mut self, member: u16, conduct: Conduct) -> Self {
        self.machine_mut(member).conduct = conduct;
        self
    }

    pub(crate) fn machine(&self, member: u16) -> &Machine {
        self.machines.iter().find(|machine| machine.member == member).unwrap()
    }

    fn machine_mut(&mut self, member: u16) -> &mut Machine {
        self.machines.iter_mut().find(|machine| machine.member == member).unwrap()
    }

    /// The index of a member as a player.
    pub(crate) fn index(&self, member: u16) -> SequencerIndex {
        let key = consensus_secret(member).public_key();
        self.context.definition().index_of(&key).unwrap()
    }

    /// The index of a member as a dealer.
    pub(crate) fn dealer(&self, member: u16) -> SequencerIndex {
        let key = consensus_secret(member).public_key();
        self.context.dealing_definition().index_of(&key).unwrap()
    }

    pub(crate) fn party(&self, member: u16) -> Party {
        let key = consensus_secret(member).public_key();
        let definition = self.context.dealing_definition();
        match definition.index_of(&key) {
            Some(index) => self.context.party(Role::Dealer, index).unwrap(),
            None => self.context.party(Role::Player, self.index(member)).unwrap(),
        }
    }

    pub(crate) fn view(&self, member: u16) -> View<'_> {
        View { context: &self.context, member, log: &self.log }
    }

    /// What the run made; every machine has the same transcript but for confirmations.
    pub(crate) fn made(&self) -> Made {
        let mut complete = self.machines.iter().filter_map(|machine| machine.ceremony.transcript());
        let transcript = complete.next_back().expect("complete");
        let verified = transcript.verify().expect("valid");
        let shares = self.machines.iter().filter_map(|machine| {
            let share = &machine.membership.as_ref()?.share;
            Some((machine.member, (share.index(), *share.expose_encoding())))
        });
        Made { verified, shares: shares.collect() }
    }

    /// Runs until nobody has anything to post or to wait for.
    pub(crate) fn finish(mut self) -> Self {
        for place in 0..self.machines.len() {
            self.drive(place, Input::Wake);
        }
        for _ in 0..10_000 {
            if self.submitted.is_empty() {
                let wake = |machine: &Machine| match machine.conduct {
                    Conduct::Silent => None,
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
        let share = machine.share.as_ref();
        machine.ceremony = match machine.nonce.clone() {
            None => fresh(&self.context, member, share, machine.restarts),
            Some(nonce) => Ceremony::resume(
                self.context.clone(),
                participant(&self.context, member, share),
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
        let machine = &self.machines[place];
        let view = self.view(machine.member);
        let entry = match &machine.conduct {
            Conduct::Honest => Some(entry),
            Conduct::Silent => None,
            Conduct::Rewritten(rewrite) => rewrite(&view, entry),
        };
        let Some(entry) = entry else { return };
        let bytes = entry.encode();
        // Invariant 1 of the ceremony: one place in the log, one entry, whatever crashed.
        let known = self.machines[place].posted.insert(slot(&entry), bytes.clone());
        assert!(known.is_none_or(|known| known == bytes), "two entries for {}", slot(&entry));
        self.submitted.push(bytes);
    }

    pub(crate) fn transcript(&self, member: u16) -> Option<Transcript> {
        self.machine(member).ceremony.transcript()
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

fn fresh(
    context: &CeremonyContext,
    member: u16,
    share: Option<&ShareBytes>,
    attempt: usize,
) -> Ceremony {
    let nonce = [member as u8 ^ (attempt as u8) << 4; 32];
    Ceremony::start(context.clone(), participant(context, member, share), nonce).unwrap()
}

fn slot(entry: &CeremonyEntry) -> String {
    match entry {
        CeremonyEntry::Dealing(_) => "dealing".to_owned(),
        CeremonyEntry::Acknowledgement(one) => format!("answer to {}", one.dealer),
        CeremonyEntry::Complaint(one) => format!("answer to {}", one.dealer),
        CeremonyEntry::DealerLog(_) => "log".to_owned(),
        CeremonyEntry::Close(close) => format!("close {:?}", close.phase),
        CeremonyEntry::Confirmation(_) => "confirmation".to_owned(),
    }
}
