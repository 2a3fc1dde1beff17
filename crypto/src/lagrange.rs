//! Lagrange coefficients at zero, scaled by Δ = 15! (crypto.md 2).
//!
//! # Invariants
//!
//! 1. For indices up to 16 every `Δ·λ_i` is an integer of at most 61 bits; it is computed exactly.
//! 2. For larger indices it is the scalar `Δ·λ_i mod r`.

use crate::SequencerIndex;
use crate::bls12381::{self, Affine};
use crate::point::{GroupElement, UncheckedPoint};
use crate::scalar::Scalar;

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
    for (position, index) in indices.iter().enumerate() {
        if indices[..position].contains(index) {
            return Err(LagrangeError::Repeated(*index));
        }
    }
    let small = indices.iter().all(|index| index.get() <= SMALL_INDEX);
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

/// Combines shares of one set of sequencers: `Σ Δ·λ_i·D_i`.
pub(crate) enum Combiner {
    Small(SmallCombiner),
    Large(LargeCombiner),
}

impl Combiner {
    /// The combiner of these sequencers, in the order in which points will be given.
    pub(crate) fn new(indices: &[SequencerIndex]) -> Result<Self, LagrangeError> {
        let coefficients = coefficients(indices)?;
        let integers: Option<Vec<i64>> = coefficients
            .iter()
            .map(|coefficient| match coefficient {
                Coefficient::Integer(number) => Some(*number),
                Coefficient::Scalar(_) => None,
            })
            .collect();
        Ok(match integers {
            Some(integers) => Self::Small(SmallCombiner::new(&integers)),
            None => Self::Large(LargeCombiner::new(&coefficients)),
        })
    }

    /// The combination of one point of every sequencer. Exact for points of the subgroup; what it
    /// is for others is not specified, and the caller's equations judge it.
    pub(crate) fn combine(&self, points: &[UncheckedPoint]) -> GroupElement {
        match self {
            Self::Small(combiner) => combiner.combine(points),
            Self::Large(combiner) => combiner.combine(points),
        }
    }
}

/// Coefficients that are small integers times a common factor, which takes most of their bits:
/// the points are multiplied by the small ones together, then the sum by the factor.
pub(crate) struct SmallCombiner {
    /// For every bit of the small integers, from the top: points to add and to subtract.
    rounds: Vec<Vec<(usize, Sign)>>,
    /// The signed digits of the factor, from the top.
    factor: Vec<Option<Sign>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

impl SmallCombiner {
    fn new(coefficients: &[i64]) -> Self {
        let magnitudes = coefficients.iter().map(|number| number.unsigned_abs());
        let factor = magnitudes.fold(0, greatest_common_divisor).max(1);
        let reduced = |number: i64| signed_digits(number / factor.cast_signed());
        let digits: Vec<Vec<Option<Sign>>> = coefficients.iter().copied().map(reduced).collect();
        let bits = digits.iter().map(Vec::len).max().unwrap_or(0);
        let round = |bit: usize| {
            let digit = |(position, digits): (usize, &Vec<Option<Sign>>)| {
                digits.get(bit).copied().flatten().map(|sign| (position, sign))
            };
            digits.iter().enumerate().filter_map(digit).collect()
        };
        let mut factor = signed_digits(factor.cast_signed());
        factor.reverse();
        Self { rounds: (0..bits).rev().map(round).collect(), factor }
    }

    fn combine(&self, points: &[UncheckedPoint]) -> GroupElement {
        let mut sum = GroupElement::infinity();
        for round in &self.rounds {
            sum = sum.double();
            for (position, sign) in round {
                let point = *points[*position].as_affine();
                sum.add_affine(&match sign {
                    Sign::Plus => point,
                    Sign::Minus => bls12381::negate_affine(point),
                });
            }
        }
        let mut product = GroupElement::infinity();
        for digit in &self.factor {
            product = product.double();
            product = match digit {
                Some(Sign::Plus) => product.add(&sum),
                Some(Sign::Minus) => product.subtract(&sum),
                None => product,
            };
        }
        product
    }
}

/// Coefficients modulo r, each as the shorter of itself and its negative.
pub(crate) struct LargeCombiner {
    negative: Vec<bool>,
    magnitudes: Vec<u8>,
    bits: usize,
}

impl LargeCombiner {
    fn new(coefficients: &[Coefficient]) -> Self {
        let signed = coefficients.iter().map(|coefficient| {
            let scalar = coefficient.to_scalar();
            let (positive, negative) = (scalar.to_le_bytes(), scalar.negate().to_le_bytes());
            let shorter = negative.iter().rev().lt(positive.iter().rev());
            (shorter, if shorter { negative } else { positive })
        });
        let (negative, magnitudes): (Vec<bool>, Vec<[u8; 32]>) = signed.unzip();
        let bits = magnitudes.iter().map(bit_length).max().unwrap_or(0);
        let bytes = bits.div_ceil(8);
        Self {
            negative,
            magnitudes: magnitudes
                .iter()
                .flat_map(|magnitude| &magnitude[..bytes])
                .copied()
                .collect(),
            bits,
        }
    }

    fn combine(&self, points: &[UncheckedPoint]) -> GroupElement {
        let signed = |(point, negative): (&UncheckedPoint, &bool)| match negative {
            true => bls12381::negate_affine(*point.as_affine()),
            false => *point.as_affine(),
        };
        let points: Vec<Affine> = points.iter().zip(&self.negative).map(signed).collect();
        GroupElement::sum_vartime(&points, &self.magnitudes, self.bits)
    }
}

const fn greatest_common_divisor(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { greatest_common_divisor(right, left % right) }
}

/// The non-adjacent form, from the lowest bit: no two neighbours are digits.
fn signed_digits(number: i64) -> Vec<Option<Sign>> {
    let mut number = i128::from(number);
    let mut digits = Vec::new();
    while number != 0 {
        let digit = match number.rem_euclid(4) {
            1 => Some(Sign::Plus),
            3 => Some(Sign::Minus),
            _ => None,
        };
        number -= match digit {
            Some(Sign::Plus) => 1,
            Some(Sign::Minus) => -1,
            None => 0,
        };
        number /= 2;
        digits.push(digit);
    }
    digits
}

fn bit_length(magnitude: &[u8; 32]) -> usize {
    magnitude
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |position| 8 * position + (8 - magnitude[position].leading_zeros() as usize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::point::Point;

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
        fn both_combiners_agree(numbers in proptest::collection::btree_set(1u16..=16, 1..=11)) {
            let numbers: Vec<u16> = numbers.into_iter().collect();
            let indices = indices(&numbers);
            let points: Vec<UncheckedPoint> = (1..=numbers.len() as u128)
                .map(|number| Point::second_generator().multiply_short_vartime(number * number))
                .map(|element| UncheckedPoint::from(element.to_point().unwrap()))
                .collect();
            let coefficients = coefficients(&indices).unwrap();
            let large = LargeCombiner::new(&coefficients).combine(&points);
            let small = Combiner::new(&indices).unwrap();
            prop_assert!(matches!(small, Combiner::Small(_)));
            prop_assert!(small.combine(&points).equals_element(&large));
            let slow = points.iter().zip(&coefficients).fold(
                GroupElement::infinity(),
                |sum, (point, coefficient)| {
                    let point = point.check().unwrap();
                    sum.add(&point.multiply_vartime(&coefficient.to_scalar()))
                },
            );
            prop_assert!(slow.equals_element(&large));
        }

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
