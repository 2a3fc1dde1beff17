//! Feldman's check: whether a value lies on a polynomial that its dealer committed to.
//!
//! ```text
//! commitment = C_0, ..., C_{t-1} = a_0·G, ..., a_{t-1}·G
//! the value v of index i lies on it if and only if v·G = Σ i^k·C_k
//! ```
//!
//! In variable time: for values that are public, such as a dealing that was opened by a complaint.

use crate::SequencerIndex;
use crate::point::{FixedBase, GroupElement, Point};
use crate::scalar::Scalar;

/// Whether `value` is what the commitment promises to `index`.
#[must_use]
pub fn is_committed_vartime(commitment: &[Point], index: SequencerIndex, value: &Scalar) -> bool {
    let step = |sum: GroupElement, point: &Point| {
        let mut next = sum.multiply_short_vartime(index.get().into());
        next.add_affine(point.as_affine());
        next
    };
    let promised = commitment.iter().rev().fold(GroupElement::infinity(), step);
    FixedBase::generator().multiply_vartime(value).equals_element(&promised)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_value_on_the_polynomial_is_committed_and_no_other() {
        let coefficients = [5u128, 7, 11].map(Scalar::from_u128);
        let commitment = coefficients
            .map(|scalar| FixedBase::generator().multiply_vartime(&scalar).to_point().unwrap());
        for i in 1..=9u16 {
            let index = SequencerIndex::new(i).unwrap();
            let i = u128::from(i);
            let value = 5 + 7 * i + 11 * i * i;
            let holds =
                |value, index| is_committed_vartime(&commitment, index, &Scalar::from_u128(value));
            assert!(holds(value, index));
            assert!(!holds(value + 1, index));
            assert!(!holds(value, SequencerIndex::new(i as u16 + 1).unwrap()));
        }
        let first = SequencerIndex::new(1).unwrap();
        assert!(is_committed_vartime(&[], first, &Scalar::ZERO));
        assert!(!is_committed_vartime(&commitment[..1], first, &Scalar::ZERO));
    }
}
