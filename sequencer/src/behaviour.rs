//! Honest, or a named adversary.
//!
//! The adversaries are real sequencers that leave the protocol at one place each; everything else
//! they do honestly, so that what is measured is the attack and not an outage. They are started by
//! tests, by the simulation and by `fairveil dev`, never by a configuration file.

/// How a sequencer behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// As the protocol says.
    #[default]
    Honest,
    /// Signs a second chain for its order log and shows it to half of its peers.
    Equivocator,
    /// Reports what it received in a piece in reverse order.
    Reverser,
    /// Reports ids of bundles that nobody holds.
    Phantom,
    /// Signs wrong decryption shares.
    BadSharer,
    /// Never sends its decryption shares.
    ShareWithholder,
    /// Never reports a bundle, and as a leader carries no other sequencer's new ids.
    Censor,
    /// Reverses its log, puts its own bundles first, and asks for shares before finality.
    FrontRunner,
    /// Tells members that join, or missed something, of another beginning of the epoch and of other
    /// entries of the resharing, and serves wrong bytes.
    FalseWitness,
}

impl Behaviour {
    /// Whether the order of new entries is turned around before they are logged.
    pub(crate) fn reverses(self) -> bool {
        matches!(self, Self::Reverser | Self::FrontRunner)
    }
}
