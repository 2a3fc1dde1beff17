//! What members that cheat in a ceremony post, well signed: for tests and simulations alone.

use fairveil_crypto::{ConsensusSecret, SequencerIndex};

use crate::context::{CeremonyContext, Role};
use crate::dealing::{DealingSecret, Header, seal_dealing};
use crate::entry::{Complaint, Dealing, PostedDealing};

/// A byte that every sealed dealing has.
const ANY_BYTE: usize = 60;

/// Ways to deal badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDealing {
    /// What is sealed does not open, for everybody to see.
    Sealed,
    /// What opens is no scalar.
    Scalar,
    /// What opens is another scalar.
    Mismatch,
}

/// Ways to complain without reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FalseComplaint {
    /// Shows another sealed dealing.
    Shown,
    /// Says that a good one is not well sealed.
    WellSealed,
    /// Shows a pad that is none.
    Proof,
    /// Opens a good dealing.
    Sound,
}

/// The dealing with bad parts for these players, signed by its dealer. Who is no player of the
/// ceremony gets nothing.
#[must_use]
pub fn deal_badly(
    context: &CeremonyContext,
    mut posted: PostedDealing,
    bad: BadDealing,
    victims: &[SequencerIndex],
    secret: &ConsensusSecret,
) -> PostedDealing {
    let public = &posted.public;
    for &receiver in victims {
        let header = Header {
            ceremony: context.id(),
            dealer: public.dealer,
            receiver,
            commitment: &public.commitment,
        };
        let Some(to) = context.member(Role::Player, receiver).map(|member| member.dealing) else {
            continue;
        };
        let seal = |value| seal_dealing(&to, &header, &[77; 32], value);
        let place = &mut posted.sealed[receiver.position()];
        let sealed = match bad {
            BadDealing::Sealed => {
                place[ANY_BYTE] ^= 1;
                None
            }
            BadDealing::Scalar => seal(&[0xff; 32]),
            BadDealing::Mismatch => seal(&[1; 32]),
        };
        if let Some(sealed) = sealed {
            *place = sealed;
        }
    }
    sign_dealing(context, posted, secret)
}

/// The dealing, signed anew.
#[must_use]
pub fn sign_dealing(
    context: &CeremonyContext,
    posted: PostedDealing,
    secret: &ConsensusSecret,
) -> PostedDealing {
    let PostedDealing { public, sealed } = posted;
    let public = Dealing::sign(context, public.dealer, public.commitment, &sealed, secret);
    PostedDealing { public, sealed }
}

/// A complaint without reason about a good dealing to this player; none from who is no player, or if
/// the dealing is not well sealed.
#[must_use]
pub fn complain_falsely(
    context: &CeremonyContext,
    posted: &PostedDealing,
    kind: FalseComplaint,
    secret: &ConsensusSecret,
    dealing: &DealingSecret,
) -> Option<Complaint> {
    let accuser = context.definition().index_of(&secret.public_key())?;
    let PostedDealing { public, sealed } = posted;
    let mut sealed = sealed.clone();
    let header = Header {
        ceremony: context.id(),
        dealer: public.dealer,
        receiver: accuser,
        commitment: &public.commitment,
    };
    let place = accuser.position();
    let mut pad = Some(dealing.pad(&header, sealed.get(place)?)?);
    match kind {
        FalseComplaint::Shown => {
            sealed[place][ANY_BYTE] ^= 1;
        }
        FalseComplaint::WellSealed => pad = None,
        FalseComplaint::Proof => {
            pad.iter_mut().for_each(|pad| pad.pad = public.commitment[0]);
        }
        FalseComplaint::Sound => {}
    }
    Some(Complaint::sign(context, accuser, public, &sealed, pad, secret))
}
