//! Lagrange coefficients at zero, scaled by Δ = 15! (crypto.md 2).
//!
//! # Invariants
//!
//! 1. For indices up to 16 every `Δ·λ_i` is an integer of at most 61 bits; it is computed exactly.
//! 2. For larger indices it is the scalar `Δ·λ_i mod r`.
//! 3. Combining equals the sum of one product after the other for points of the subgroup.

mod combiner;
mod integer;

use crate::SequencerIndex;
use crate::scalar::Scalar;

pub(crate) use self::combiner::Combiner;

/// Δ = 15!, the factor in every committee key.
pub const DELTA: u64 = 1_307_674_368_000;

/// The largest index for which coefficients are small integers.
const SMALL_INDEX: u16 = 16;

/// Indices that no polynomial can be interpolated at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LagrangeError {
    /// An index stands twice.
    #[error("index {0} stands twice")]
    Repeated(SequencerIndex),
}

/// One coefficient `Δ·λ_i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coefficient {
    /// Exact, for indices up to 16.
    Integer(i64),
    /// Modulo r, for larger indices.
    Scalar(Scalar),
}

impl Coefficient {
    /// The coefficient modulo r.
    #[must_use]
    pub fn to_scalar(self) -> Scalar {
        match self {
            Self::Scalar(scalar) => scalar,
            Self::Integer(number) => {
                let magnitude = Scalar::from_u128(number.unsigned_abs().into());
                if number < 0 { magnitude.negate() } else { magnitude }
            }
        }
    }
}

/// `Δ·λ_i` for every index of a set, in the order given.
///
/// # Errors
///
/// If an index stands twice.
pub fn coefficients(indices: &[SequencerIndex]) -> Result<Vec<Coefficient>, LagrangeError> {
    check_distinct(indices)?;
    let small = all_small(indices);
    Ok(indices
        .iter()
        .map(|index| {
            let others = indices.iter().filter(|other| *other != index).map(|other| other.get());
            if small {
                Coefficient::Integer(integer_coefficient(index.get(), others))
            } else {
                Coefficient::Scalar(scalar_coefficient(index.get(), others))
            }
        })
        .collect())
}

fn check_distinct(indices: &[SequencerIndex]) -> Result<(), LagrangeError> {
    let stands_before =
        |(position, index): &(usize, &SequencerIndex)| indices[..*position].contains(index);
    match indices.iter().enumerate().find(stands_before) {
        Some((_, index)) => Err(LagrangeError::Repeated(*index)),
        None => Ok(()),
    }
}

fn all_small(indices: &[SequencerIndex]) -> bool {
    indices.iter().all(|index| index.get() <= SMALL_INDEX)
}

/// Below 2^63: numerators stay under 15! · 16!, and the quotient under 2^61.
fn integer_coefficient(index: u16, others: impl Iterator<Item = u16>) -> i64 {
    let (mut numerator, mut denominator) = (i128::from(DELTA), 1);
    for other in others {
        numerator *= i128::from(other);
        denominator *= i128::from(other) - i128::from(index);
    }
    i64::try_from(numerator / denominator).expect("at most 61 bits for indices up to 16")
}

fn scalar_coefficient(index: u16, others: impl Iterator<Item = u16>) -> Scalar {
    let scalar = |number: u16| Scalar::from_u128(number.into());
    let (mut numerator, mut denominator) = (Scalar::from_u128(DELTA.into()), scalar(1));
    for other in others {
        numerator = numerator.multiply(&scalar(other));
        denominator = denominator.multiply(&scalar(other).subtract(&scalar(index)));
    }
    numerator.multiply(&denominator.invert_vartime())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn indices(numbers: &[u16]) -> Vec<SequencerIndex> {
        numbers.iter().map(|number| SequencerIndex::new(*number).unwrap()).collect()
    }

    #[test]
    fn repeated_indices_are_refused() {
        let repeated = SequencerIndex::new(2).unwrap();
        assert_eq!(coefficients(&indices(&[1, 2, 2])), Err(LagrangeError::Repeated(repeated)));
    }

    #[test]
    fn invariant_1_the_largest_coefficient_has_at_most_61_bits() {
        let mut largest = 0;
        for mask in 1u32..1 << 16 {
            let numbers = (1..=16).filter(|number| mask >> (number - 1) & 1 == 1);
            for index in numbers.clone() {
                let others = numbers.clone().filter(|other| *other != index);
                let (mut numerator, mut denominator) = (i128::from(DELTA), 1i128);
                others.clone().for_each(|other| {
                    numerator *= i128::from(other);
                    denominator *= i128::from(other) - i128::from(index);
                });
                assert_eq!(numerator % denominator, 0);
                largest = largest.max(integer_coefficient(index, others).unsigned_abs());
            }
        }
        assert!(largest < 1 << 61, "{largest}");
    }

    proptest! {
        #[test]
        fn both_forms_agree(mut numbers in proptest::collection::btree_set(1u16..=16, 1..=11)) {
            let small: Vec<u16> = numbers.iter().copied().collect();
            let integers = coefficients(&indices(&small)).unwrap();
            for (index, integer) in small.iter().zip(integers) {
                let others = small.iter().copied().filter(|other| other != index);
                prop_assert_eq!(integer.to_scalar(), scalar_coefficient(*index, others));
            }
            numbers.insert(17);
            let large: Vec<u16> = numbers.into_iter().collect();
            let sum = coefficients(&indices(&large)).unwrap().into_iter().fold(
                Scalar::ZERO,
                |sum, coefficient| sum.add(&coefficient.to_scalar()),
            );
            // Coefficients at zero of the constant polynomial 1 sum up to 1, times Δ.
            prop_assert_eq!(sum, Scalar::from_u128(DELTA.into()));
        }
    }
}
