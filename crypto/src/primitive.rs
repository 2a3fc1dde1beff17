//! Single operations on the curve, for benches alone: what the others are counted in.
//!
//! Behind the feature `dealer`, never in an operator's build.

use crate::bls12381::Affine;
use crate::point::{FixedBase, GroupElement, Point};
use crate::scalar::{Scalar, SecretScalar};

/// A result that nobody looks at, so that no encoding of it is paid for.
#[derive(Clone, Copy)]
pub struct Element(GroupElement);

impl Element {
    /// Whether two results are the same point.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.0.equals_element(&other.0)
    }
}

/// `secret · point` in constant time, 255 bits: one multiplication of blst (`blst_p1_mult`).
#[must_use]
pub fn multiply(point: &Point, secret: &SecretScalar) -> Element {
    Element(point.multiply(secret))
}

/// `scalar · point` in variable time.
#[must_use]
pub fn multiply_vartime(point: &Point, scalar: &Scalar) -> Element {
    Element(point.multiply_vartime(scalar))
}

/// `scalar · G` by the table of G.
#[must_use]
pub fn multiply_generator(scalar: &Scalar) -> Element {
    Element(FixedBase::generator().multiply_vartime(scalar))
}

/// `Σ weight · point` with weights of 128 bits.
#[must_use]
pub fn weighted_sum(points: &[Point], weights: &[u128]) -> Element {
    let points: Vec<Affine> = points.iter().map(|point| *point.as_affine()).collect();
    Element(GroupElement::weighted_sum_vartime(&points, weights))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_way_to_multiply_gives_the_same_point() {
        let mut bytes = [0; 32];
        bytes[16..].copy_from_slice(&u128::MAX.to_be_bytes());
        let (secret, scalar) =
            (SecretScalar::decode(&bytes).unwrap(), Scalar::decode(&bytes).unwrap());
        let generator = Point::generator();
        let slow = multiply(&generator, &secret);
        assert!(slow.equals(&multiply_vartime(&generator, &scalar)));
        assert!(slow.equals(&multiply_generator(&scalar)));
        assert!(slow.equals(&weighted_sum(&[generator], &[u128::MAX])));
        assert!(!slow.equals(&weighted_sum(&[generator], &[1])));
    }
}
