//! What a corrupt sequencer can compute, whatever the protocol says: for the named adversaries of
//! simulations and demonstrations alone.
//!
//! The feature `adversaries` that this module stands behind is never in an operator's build.
//! Nothing here breaks the scheme: [`read`] needs t shares, and honest sequencers give theirs for
//! final orders only.

use crate::committee::{Committee, KeyShare};
use crate::lagrange::Combiner;
use crate::point::{SecretPoint, UncheckedPoint};
use crate::seal::{Opened, VerifiedCiphertext};
use crate::share::SignedShare;

/// Tries to open a ciphertext with the own key share and the shares that others made of one batch,
/// at whatever position of that batch it may stand.
///
/// `None` if there are fewer than t shares with the own one, or none of their positions is
/// that of the ciphertext.
#[must_use]
pub fn read(
    committee: &Committee,
    ciphertext: &VerifiedCiphertext,
    own: &KeyShare,
    others: &[&SignedShare],
) -> Option<Opened> {
    let others: Vec<&SignedShare> =
        others.iter().filter(|share| share.index != own.index()).copied().collect();
    let others = others.get(..usize::from(committee.t()).checked_sub(1)?)?;
    let product = SecretPoint::multiple(ciphertext.u(), own.secret())?.publish();
    let product = UncheckedPoint::decode(product.encode().as_bytes()).ok()?;
    let indices: Vec<_> =
        std::iter::once(own.index()).chain(others.iter().map(|share| share.index)).collect();
    let combiner = Combiner::new(&indices).ok()?;
    let positions = others.iter().map(|share| share.points.len()).min().unwrap_or(1);
    (0..positions).find_map(|position| {
        let mut points = vec![product];
        for share in others {
            points.push(share.decode_point(position).ok()?);
        }
        ciphertext.open_body(&combiner.combine(|member| &points[member]).encode()).ok()
    })
}
