//! The secrets of simulated committees, all from one seed.
//!
//! People hold consensus keys; a term is a committee of some of them in one epoch. A committee that
//! never changes has its key from a trusted dealer. One that changes has it from a first ceremony
//! ([`super::ceremony`]), and every later term from a resharing that the sequencers carry out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fairveil_consensus::committee::{PublicKey, public_key};
use fairveil_crypto::committee::{Committee, KeyShare};
use fairveil_crypto::dealer::{Dealt, deal};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{
    ConsensusPublicKey, ConsensusSecret, Digest, Epoch, NetworkId, SequencerIndex,
};
use fairveil_keygen::VerifiedTranscript;
use fairveil_sequencer::Secrets;
use zeroize::Zeroizing;

use super::ceremony::Founding;
use super::traders::lock;

/// The first epoch of all simulated committees.
pub(crate) const EPOCH: Epoch = Epoch::new(1);

/// People, their committees, and what each of them keeps.
pub(crate) struct Keys {
    /// By position, in the order of their keys.
    people: Vec<ConsensusSecret>,
    /// In the order of their epochs: one more with every resharing.
    terms: Mutex<Vec<Arc<Term>>>,
    /// What each of the people keeps.
    safes: Vec<Mutex<Safe>>,
    /// What nobody may do and somebody did: two shares or two transcripts of one epoch.
    forks: Mutex<Vec<String>>,
    /// Shares that people got after their resharing was over.
    late: Mutex<u64>,
    /// The network.
    pub(crate) network_id: NetworkId,
}

/// A committee of an epoch.
pub(crate) struct Term {
    /// Positions of its members among the people, ascending: in the order of their indices.
    pub(crate) members: Vec<usize>,
    /// What everybody knows.
    pub(crate) committee: Committee,
    /// Digest of the transcript that the epoch begins with.
    pub(crate) transcript: Digest,
}

/// What a person keeps over a loss of power: key shares and transcripts, by epoch.
#[derive(Default)]
struct Safe {
    shares: BTreeMap<Epoch, Share>,
    transcripts: BTreeMap<Epoch, VerifiedTranscript>,
}

/// A key share's index and value.
type Share = (SequencerIndex, Zeroizing<[u8; 32]>);

impl Keys {
    /// The keys of `n` people who are one committee for ever, from a trusted dealer: what a simulation
    /// may have and nobody else.
    pub(crate) fn dealt(seed: u64, n: u16) -> Self {
        let Dealt { committee, consensus_secrets, key_shares, .. } = dealt(seed, n);
        let network = hash(Tag::TestDealer, &[b"network", seed_of(seed, n).as_bytes()]);
        let members = (0..usize::from(n)).collect();
        let term = Term { members, committee, transcript: Digest::from_bytes([1; 32]) };
        let keys = Self::of(consensus_secrets, NetworkId::from_bytes(network.to_bytes()), term);
        for (person, share) in key_shares.iter().enumerate() {
            keys.keep(person, EPOCH, share);
        }
        keys
    }

    /// The keys of `n` people of whom these made a committee key in a first ceremony.
    pub(crate) fn founded(seed: u64, n: u16, members: &[usize]) -> Self {
        let people = dealt(seed, n).consensus_secrets;
        let Founding { transcript, shares } = super::ceremony::found(&people, members);
        let term = Term {
            members: members.to_vec(),
            committee: transcript.committee().clone(),
            transcript: transcript.digest(),
        };
        let keys = Self::of(people, transcript.network_id(), term);
        for (person, share) in shares {
            keys.keep(person, EPOCH, &share);
            keys.complete(person, transcript.clone());
        }
        keys
    }

    fn of(people: Vec<ConsensusSecret>, network_id: NetworkId, first: Term) -> Self {
        let safes = people.iter().map(|_| Mutex::default()).collect();
        let terms = Mutex::new(vec![Arc::new(first)]);
        Self { people, terms, safes, forks: Mutex::default(), late: Mutex::default(), network_id }
    }

    /// The first term.
    pub(crate) fn first(&self) -> Arc<Term> {
        Arc::clone(&lock(&self.terms)[0])
    }

    /// The terms so far, in the order of their epochs.
    pub(crate) fn terms(&self) -> Vec<Arc<Term>> {
        lock(&self.terms).clone()
    }

    /// The term of an epoch, once somebody has its transcript.
    pub(crate) fn term_of(&self, epoch: Epoch) -> Option<Arc<Term>> {
        let at = epoch.get().checked_sub(EPOCH.get())?;
        lock(&self.terms).get(usize::try_from(at).ok()?).cloned()
    }

    /// A person's consensus secret.
    pub(crate) fn secret(&self, person: usize) -> ConsensusSecret {
        ConsensusSecret::from_seed(*self.people[person].expose_seed())
    }

    /// A person's consensus key.
    pub(crate) fn identity(&self, person: usize) -> ConsensusPublicKey {
        self.people[person].public_key()
    }

    /// The same as the engine's.
    pub(crate) fn peer(&self, person: usize) -> PublicKey {
        public_key(&self.identity(person)).expect("a dealt key")
    }

    /// The person with this key.
    pub(crate) fn person(&self, key: &ConsensusPublicKey) -> Option<usize> {
        self.people.iter().position(|secret| secret.public_key() == *key)
    }

    /// What a person starts a sequencer with in an epoch, if it kept a share of it.
    pub(crate) fn secrets_in(&self, epoch: Epoch, person: usize) -> Option<Secrets> {
        let key_share = self.share(epoch, person)?;
        Some(Secrets { consensus_seed: self.people[person].expose_seed(), key_share })
    }

    /// The share that a person kept of an epoch.
    pub(crate) fn share(&self, epoch: Epoch, person: usize) -> Option<KeyShare> {
        let safe = lock(&self.safes[person]);
        let (index, bytes) = safe.shares.get(&epoch)?;
        Some(KeyShare::decode(*index, &**bytes).expect("a share that was kept"))
    }

    /// A person keeps its share of an epoch.
    pub(crate) fn keep(&self, person: usize, epoch: Epoch, share: &KeyShare) {
        let kept = (share.index(), share.expose_encoding());
        let before = lock(&self.safes[person]).shares.insert(epoch, kept.clone());
        if before.is_some_and(|before| before != kept) {
            self.fork(format!("sequencer {} has two shares of epoch {epoch}", person + 1));
        }
    }

    /// The transcript that a person has of an epoch.
    pub(crate) fn transcript(&self, epoch: Epoch, person: usize) -> Option<VerifiedTranscript> {
        lock(&self.safes[person]).transcripts.get(&epoch).cloned()
    }

    /// The transcript that operators hand on, once one of them has it.
    pub(crate) fn published(&self, epoch: Epoch) -> Option<VerifiedTranscript> {
        (0..self.people.len()).find_map(|person| self.transcript(epoch, person))
    }

    /// A person has the transcript of an epoch: the first time, there is one more term.
    pub(crate) fn complete(&self, person: usize, transcript: VerifiedTranscript) {
        let (epoch, digest) = (transcript.definition().epoch(), transcript.digest());
        match self.term_of(epoch) {
            Some(term) if term.transcript == digest => {}
            Some(_) => {
                self.fork(format!("sequencer {} has another transcript of {epoch}", person + 1));
            }
            None => {
                let keys = transcript.definition().consensus_keys();
                let members = keys.iter().filter_map(|key| self.person(key)).collect();
                let committee = transcript.committee().clone();
                lock(&self.terms).push(Arc::new(Term { members, committee, transcript: digest }));
            }
        }
        lock(&self.safes[person]).transcripts.insert(epoch, transcript);
    }

    /// What nobody may do and somebody did.
    pub(crate) fn forks(&self) -> Vec<String> {
        lock(&self.forks).clone()
    }

    /// Somebody got its share of an epoch after the resharing was over.
    pub(crate) fn came_late(&self) {
        *lock(&self.late) += 1;
    }

    /// How many did.
    pub(crate) fn late(&self) -> u64 {
        *lock(&self.late)
    }

    fn fork(&self, what: String) {
        lock(&self.forks).push(what);
    }
}

impl Term {
    /// The index of a person in the term.
    pub(crate) fn index_of(&self, person: usize) -> Option<SequencerIndex> {
        let at = self.members.iter().position(|member| *member == person)?;
        SequencerIndex::from_position(at)
    }
}

fn seed_of(seed: u64, n: u16) -> Digest {
    hash(Tag::TestDealer, &[b"committee", &seed.to_be_bytes(), &n.to_be_bytes()])
}

fn dealt(seed: u64, n: u16) -> Dealt {
    deal(EPOCH, n, &seed_of(seed, n).to_bytes())
}
