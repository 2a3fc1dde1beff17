//! The secrets of simulated committees, all from one seed.
//!
//! People hold consensus keys; a term is a committee of some of them in one epoch. The committee key is
//! the same in all terms: a trusted dealer deals each term another polynomial with the same value at
//! zero, as resharing makes one.

use fairveil_consensus::Successor;
use fairveil_consensus::committee::{PublicKey, public_key};
use fairveil_crypto::committee::{Committee, threshold};
use fairveil_crypto::dealer::{Dealt, Polynomial, deal};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{
    ConsensusPublicKey, ConsensusSecret, Digest, Epoch, NetworkId, SequencerIndex,
};
use fairveil_sequencer::Secrets;

/// The first epoch of all simulated committees.
pub(crate) const EPOCH: Epoch = Epoch::new(1);

/// People and their committees, whose keys a trusted dealer made: what a simulation may do and nobody
/// else.
pub(crate) struct Keys {
    /// By position, in the order of their keys.
    people: Vec<ConsensusSecret>,
    terms: Vec<Term>,
    /// The network.
    pub(crate) network_id: NetworkId,
}

/// A committee of an epoch.
pub(crate) struct Term {
    /// Positions of its members among the people, ascending: in the order of their indices.
    pub(crate) members: Vec<usize>,
    /// What everybody knows.
    pub(crate) committee: Committee,
    polynomial: Polynomial,
}

impl Keys {
    /// The keys of `n` people who have these terms.
    pub(crate) fn new(seed: u64, n: u16, terms: &[Vec<usize>]) -> Self {
        let seed = hash(Tag::TestDealer, &[b"committee", &seed.to_be_bytes(), &n.to_be_bytes()]);
        let network = hash(Tag::TestDealer, &[b"network", seed.as_bytes()]);
        let Dealt { consensus_secrets: people, polynomial, .. } = deal(EPOCH, n, &seed.to_bytes());
        let mut keys = Self {
            people,
            terms: Vec::new(),
            network_id: NetworkId::from_bytes(network.to_bytes()),
        };
        for (number, members) in (0u64..).zip(terms) {
            let fresh = hash(Tag::TestDealer, &[seed.as_bytes(), &number.to_be_bytes()]);
            let t = threshold(members.len() as u16);
            let polynomial = match number {
                0 if members.len() == usize::from(n) => polynomial.clone(),
                _ => polynomial.reshared(t, &fresh.to_bytes()),
            };
            let epoch = Epoch::new(EPOCH.get() + number);
            let term = keys.term(epoch, members, polynomial);
            keys.terms.push(term);
        }
        keys
    }

    fn term(&self, epoch: Epoch, members: &[usize], polynomial: Polynomial) -> Term {
        let n = members.len() as u16;
        let shares = SequencerIndex::all(n)
            .map(|index| polynomial.key_share(index).public_key_share())
            .collect();
        let keys = members.iter().map(|person| self.identity(*person)).collect();
        let committee = Committee::new(epoch, polynomial.committee_key(), shares, keys)
            .expect("a dealer's committee is consistent");
        Term { members: members.to_vec(), committee, polynomial }
    }

    /// What everybody knows of the first term.
    pub(crate) fn committee(&self) -> &Committee {
        &self.terms[0].committee
    }

    /// The terms, in the order of their epochs.
    pub(crate) fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The term of an epoch.
    pub(crate) fn term_of(&self, epoch: Epoch) -> Option<&Term> {
        let at = epoch.get().checked_sub(EPOCH.get())?;
        self.terms.get(usize::try_from(at).ok()?)
    }

    /// The first epoch from this one on in which a person is a member.
    pub(crate) fn next_of(&self, person: usize, from: Epoch) -> Option<Epoch> {
        let epochs = self.terms.iter().map(|term| (term.committee.epoch(), term));
        let mut member = epochs.filter(|(_, term)| term.members.contains(&person));
        member.find(|(epoch, _)| *epoch >= from).map(|(epoch, _)| epoch)
    }

    /// A person's consensus key.
    pub(crate) fn identity(&self, person: usize) -> ConsensusPublicKey {
        self.people[person].public_key()
    }

    /// The same as the engine's.
    pub(crate) fn peer(&self, person: usize) -> PublicKey {
        public_key(&self.identity(person)).expect("a dealt key")
    }

    /// What the person at `position` knows in the first term.
    pub(crate) fn secrets(&self, position: usize) -> Secrets {
        self.secrets_in(EPOCH, position).expect("a member of the committee")
    }

    /// What a person knows in the term of an epoch, if it is a member.
    pub(crate) fn secrets_in(&self, epoch: Epoch, person: usize) -> Option<Secrets> {
        let term = self.term_of(epoch)?;
        let key_share = term.polynomial.key_share(term.index_of(person)?);
        Some(Secrets { consensus_seed: self.people[person].expose_seed(), key_share })
    }

    /// Who takes over in this epoch, by the ceremony with this id.
    pub(crate) fn successor(&self, epoch: Epoch, ceremony: Digest) -> Option<Successor> {
        let committee = &self.term_of(epoch)?.committee;
        Some(Successor {
            ceremony,
            keys: committee.consensus_keys().to_vec(),
            f: 1,
            g: 0,
            key_id: committee.key_id(),
            transcript: transcript(epoch),
        })
    }
}

impl Term {
    /// The index of a person in the term.
    pub(crate) fn index_of(&self, person: usize) -> Option<SequencerIndex> {
        let at = self.members.iter().position(|member| *member == person)?;
        SequencerIndex::from_position(at)
    }
}

/// Digest of the transcript that an epoch begins with.
pub(crate) fn transcript(epoch: Epoch) -> Digest {
    Digest::from_bytes([epoch.get() as u8; 32])
}
