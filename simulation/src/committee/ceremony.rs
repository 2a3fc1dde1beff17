//! The committee keys of a network that changes: a first ceremony in one process, and what each person
//! contributes to the resharings, honestly or not.
//!
//! The machines are the key generation's own; the sequencers carry the resharings out as the node's do
//! ([`fairveil_sequencer::resharing`]). Only the safes are the simulation's.

mod liar;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use fairveil_consensus::Resharing;
use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{ConsensusSecret, Epoch, Height};
use fairveil_keygen::definition::{Blocks, Deadlines, Ordering};
use fairveil_keygen::{
    Approval, ApprovedDefinition, Blame, Ceremony, CeremonyContext, DealingSecret, Definition,
    Member, Membership, NetworkPublicKey, Participant, Proposal, Status, Transcript,
    VerifiedTranscript, in_process,
};
use fairveil_sequencer::renewal::{Renewal, Resharings};
use fairveil_sequencer::resharing::{Custody, KeygenResharings, announcement};

use self::liar::Liar;
pub(crate) use self::liar::Lie;
use super::epochs::Succession;
use super::keys::{EPOCH, Keys};
use super::traders::lock;

/// How long each step of a ceremony may take: a committee that lost a member for a moment waits for it.
const DEADLINES: Deadlines =
    Deadlines { deal_ms: 1_500, acknowledge_ms: 2_500, log_ms: 3_500, confirm_ms: 5_000 };
/// Members whose shares may be revealed: one that is away, or a liar.
const REVEALED_LIMIT: u16 = 1;

/// What a first ceremony leaves behind.
pub(crate) struct Founding {
    /// Its transcript.
    pub(crate) transcript: VerifiedTranscript,
    /// The shares, by person.
    pub(crate) shares: BTreeMap<usize, KeyShare>,
}

/// Blames that honest people saw in resharings: who was named.
pub(crate) type Blamed = Arc<Mutex<Vec<usize>>>;

/// A first ceremony of these people, with a list in the place of their chain.
pub(crate) fn found(people: &[ConsensusSecret], members: &[usize]) -> Founding {
    let definition = Definition::new(proposal(people, members, EPOCH)).expect("a definition");
    let approvals: Vec<_> =
        members.iter().map(|person| Approval::new(&definition, &people[*person])).collect();
    let approved = ApprovedDefinition::new(definition, approvals).expect("approved by all");
    let context = CeremonyContext::first(approved, 1).expect("a first ceremony");
    let machine = |person: &usize| {
        let participant = Participant {
            consensus: copied(&people[*person]),
            dealing: Some(dealing(&people[*person], EPOCH)),
            share: None,
        };
        let nonce = hash(Tag::TestDealer, &[b"nonce", people[*person].public_key().as_bytes()]);
        Ceremony::start(context.clone(), participant, nonce.to_bytes()).expect("a participant")
    };
    let mut machines: Vec<_> = members.iter().map(machine).collect();
    let made = in_process::run(&mut machines).expect("nobody is missing");
    let transcript = made.transcript.verify().expect("valid");
    Founding { transcript, shares: members.iter().copied().zip(made.shares).collect() }
}

/// The definition of the epoch after `before`, approved by everybody.
pub(crate) fn continued(
    keys: &Keys,
    before: &VerifiedTranscript,
    members: &[usize],
    boundary: Height,
) -> ApprovedDefinition {
    let people: Vec<_> =
        (0..super::epochs::PEOPLE.into()).map(|person| keys.secret(person)).collect();
    let epoch = before.definition().epoch().next();
    let resharing = fairveil_keygen::Resharing {
        network_id: before.network_id(),
        predecessor: before.definition().digest(),
        boundary,
    };
    let proposal =
        Proposal { version: 2, resharing: Some(resharing), ..proposal(&people, members, epoch) };
    let definition = Definition::new(proposal).expect("a definition");
    let old = before.definition().consensus_keys();
    let approves = |person: &&ConsensusSecret| {
        let key = person.public_key();
        old.contains(&key) || definition.index_of(&key).is_some()
    };
    let approvals: Vec<_> =
        people.iter().filter(approves).map(|one| Approval::new(&definition, one)).collect();
    ApprovedDefinition::resharing(definition, approvals, before.definition()).expect("approved")
}

/// What a block announces of a round of it.
pub(crate) fn announced(
    approved: &ApprovedDefinition,
    round: u64,
    before: &VerifiedTranscript,
) -> Resharing {
    let context = CeremonyContext::resharing(approved.clone(), round, before);
    announcement(&context.expect("a resharing")).expect("a small committee")
}

fn proposal(people: &[ConsensusSecret], members: &[usize], epoch: Epoch) -> Proposal {
    let member = |person: usize| {
        let at = |port: u16| (Ipv4Addr::LOCALHOST, port + person as u16);
        let address = |port| format!("{}:{}", at(port).0, at(port).1).parse().expect("an address");
        Member {
            name: format!("person-{}", person + 1),
            consensus: people[person].public_key(),
            network: network(&people[person]),
            dealing: dealing(&people[person], epoch).public_key(),
            peer_address: address(4_000),
            trader_address: address(5_000),
            rpc_address: address(6_000),
        }
    };
    Proposal {
        version: 1,
        epoch,
        n: members.len() as u16,
        f: 1,
        g: 0,
        revealed_limit: REVEALED_LIMIT,
        ordering: Ordering::default(),
        blocks: Blocks::default(),
        deadlines: DEADLINES,
        accounting: None,
        rollups: Vec::new(),
        members: members.iter().map(|person| member(*person)).collect(),
        resharing: None,
    }
}

/// The dealing key of a person for the ceremony that makes an epoch.
fn dealing(person: &ConsensusSecret, epoch: Epoch) -> DealingSecret {
    let items: [&[u8]; 3] = [b"dealing", &*person.expose_seed(), &epoch.get().to_be_bytes()];
    DealingSecret::from_seed(&hash(Tag::TestDealer, &items).to_bytes())
}

/// The network key of a person: no ceremony uses it.
fn network(person: &ConsensusSecret) -> NetworkPublicKey {
    let seed = hash(Tag::TestDealer, &[b"network", &*person.expose_seed()]);
    let secret = ConsensusSecret::from_seed(seed.to_bytes());
    NetworkPublicKey::from_bytes(secret.public_key().to_bytes())
}

fn copied(secret: &ConsensusSecret) -> ConsensusSecret {
    ConsensusSecret::from_seed(*secret.expose_seed())
}

/// A person's side of the resharings.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) keys: Arc<Keys>,
    pub(crate) person: usize,
    pub(crate) blamed: Blamed,
}

impl Custody for Own {
    fn participant(&self, context: &CeremonyContext) -> Result<Participant, String> {
        let (consensus, epoch) = (self.keys.secret(self.person), context.definition().epoch());
        let plays = context.definition().index_of(&consensus.public_key()).is_some();
        let before = context.dealing_definition().epoch();
        Ok(Participant {
            dealing: plays.then(|| dealing(&consensus, epoch)),
            share: self.keys.share(before, self.person),
            consensus,
        })
    }

    fn keep(&self, membership: &Membership) -> io::Result<()> {
        self.keys.keep(self.person, membership.epoch, &membership.share);
        Ok(())
    }

    fn complete(&self, transcript: &Transcript) -> io::Result<()> {
        let epoch = transcript.definition.epoch;
        let known = self.keys.published(epoch).filter(|one| one.digest() == transcript.digest);
        let verified = match known {
            Some(verified) => verified,
            None => transcript.verify().map_err(io::Error::other)?,
        };
        self.keys.complete(self.person, verified);
        Ok(())
    }

    fn blamed(&self, _: &CeremonyContext, blame: &Blame) {
        lock(&self.blamed).extend(self.keys.person(&blame.culprit.consensus));
    }

    fn observe(&self, _: &CeremonyContext, _: &Status) {}
}

/// The resharing after an epoch, as a person takes part in it.
pub(crate) struct Part {
    honest: KeygenResharings,
    own: Own,
    succession: Succession,
}

impl Part {
    /// With the transcript of the epoch before.
    pub(crate) fn new(before: VerifiedTranscript, own: Own, succession: Succession) -> Self {
        let honest = KeygenResharings::new(before, Arc::new(own.clone()));
        Self { honest, own, succession }
    }
}

impl Resharings for Part {
    fn accepts(&self, resharing: &Resharing) -> bool {
        self.honest.accepts(resharing)
    }

    fn take_part(
        &self,
        resharing: &Resharing,
        journal: Option<Vec<u8>>,
        random: [u8; 32],
    ) -> Result<Box<dyn Renewal>, String> {
        let machine = self.honest.take_part(resharing, journal, random)?;
        let context = self.honest.context(resharing).map_err(|error| error.to_string())?;
        let epoch = context.definition().epoch();
        let Some(lie) = self.succession.lie(epoch, resharing.round, self.own.person) else {
            return Ok(machine);
        };
        let secret = self.own.keys.secret(self.own.person);
        Ok(Box::new(Liar::new(machine, context, lie, dealing(&secret, epoch), secret)))
    }
}
