//! Points of G1 and their strict encodings.
//!
//! The encoding is the usual 48-byte compressed format of BLS12-381.
//!
//! # Invariants
//!
//! 1. A [`Point`] is in the subgroup of order r and not infinity. Its decoder refuses bytes that
//!    are not canonical, infinity, and points outside the subgroup, each with its own reason.
//! 2. An [`UncheckedPoint`] is on the curve and not infinity; only [`UncheckedPoint::check`]
//!    makes a [`Point`] of it.
//! 3. A `GroupElement` is an intermediate result and may be infinity, whose encoding is
//!    `c0 00..00`.

mod checked;

use std::fmt;
use std::sync::LazyLock;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bls12381::{self, Affine, Jacobian, Undecodable};
use crate::domain::Tag;
use crate::hex::{self, byte_newtype};
use crate::scalar::{Scalar, SecretScalar};

byte_newtype! {
    /// 48 bytes that may encode a point, as they travel.
    PointBytes(48),
}

impl Zeroize for PointBytes {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Bytes that are no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// The wrong number of bytes.
    #[error("point is {actual} bytes, 48 are needed")]
    Length {
        /// Bytes given.
        actual: usize,
    },
    /// The three flag bits do not belong to a compressed finite point or to infinity.
    #[error("flag bits do not fit a compressed point")]
    Flags,
    /// The point at infinity.
    #[error("point at infinity")]
    Infinity,
    /// The coordinate is not below the field's modulus.
    #[error("coordinate is not below the modulus")]
    NotCanonical,
    /// No point of the curve has this coordinate.
    #[error("not on the curve")]
    NotOnCurve,
    /// On the curve, but not in the subgroup of order r.
    #[error("not in the subgroup")]
    Subgroup,
}

/// A point of G1 that is not infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Point(Affine);

impl Point {
    /// The standard generator G.
    #[must_use]
    pub fn generator() -> Self {
        Self(bls12381::generator())
    }

    /// The second generator Ḡ, whose logarithm nobody knows.
    #[must_use]
    pub fn second_generator() -> Self {
        static GBAR: LazyLock<Affine> = LazyLock::new(|| {
            bls12381::to_affine(&bls12381::hash_to_curve(b"", Tag::Gbar.as_bytes()))
        });
        Self(*GBAR)
    }

    /// The point with this encoding.
    ///
    /// # Errors
    ///
    /// The first reason of [`PointError`] that applies.
    pub fn decode(bytes: &[u8]) -> Result<Self, PointError> {
        UncheckedPoint::decode(bytes)?.check()
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> PointBytes {
        PointBytes::from_bytes(bls12381::compress_affine(&self.0))
    }

    /// The 96 bytes x ‖ y of the uncompressed format, for comparison with other libraries.
    #[must_use]
    pub fn coordinates(&self) -> [u8; 96] {
        bls12381::serialize_affine(&self.0)
    }

    pub(crate) fn as_affine(&self) -> &Affine {
        &self.0
    }

    /// `secret · self`, in constant time.
    pub(crate) fn multiply(&self, secret: &SecretScalar) -> GroupElement {
        GroupElement(bls12381::multiply(&bls12381::to_jacobian(&self.0), secret.as_field()))
    }

    /// `number · self`.
    pub(crate) fn multiply_short_vartime(&self, number: u128) -> GroupElement {
        GroupElement(bls12381::multiply_short_vartime(&self.0, number))
    }

    /// `scalar · self`.
    #[cfg(any(test, feature = "dealer"))]
    pub(crate) fn multiply_vartime(&self, scalar: &Scalar) -> GroupElement {
        GroupElement::from(self).multiply_vartime(scalar)
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Point({})", self.encode())
    }
}

impl serde::Serialize for Point {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(self.encode().as_bytes(), serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Point {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: [u8; 48] = hex::deserialize(deserializer)?;
        Self::decode(&bytes).map_err(serde::de::Error::custom)
    }
}

/// A finite point of the curve that may be outside the subgroup.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UncheckedPoint(Affine);

impl UncheckedPoint {
    /// The point with this encoding, but for the subgroup.
    ///
    /// # Errors
    ///
    /// Any reason of [`PointError`] but the subgroup.
    pub fn decode(bytes: &[u8]) -> Result<Self, PointError> {
        const COMPRESSED: u8 = 0x80;
        const INFINITY: u8 = 0x40;
        let bytes: &[u8; 48] =
            bytes.try_into().map_err(|_| PointError::Length { actual: bytes.len() })?;
        if bytes[0] & COMPRESSED == 0 {
            return Err(PointError::Flags);
        }
        if bytes[0] & INFINITY != 0 {
            let canonical = *bytes == INFINITY_BYTES;
            return Err(if canonical { PointError::Infinity } else { PointError::Flags });
        }
        match bls12381::uncompress(bytes) {
            Ok(point) => Ok(Self(point)),
            Err(Undecodable::NotCanonical) => Err(PointError::NotCanonical),
            Err(Undecodable::NotOnCurve) => Err(PointError::NotOnCurve),
        }
    }

    /// The point, if it is in the subgroup.
    ///
    /// # Errors
    ///
    /// [`PointError::Subgroup`] if it is not.
    pub fn check(self) -> Result<Point, PointError> {
        if bls12381::in_subgroup(&self.0) { Ok(Point(self.0)) } else { Err(PointError::Subgroup) }
    }

    /// The point and `number` times it, if it is in the subgroup, for half of what both cost one
    /// after the other.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub(crate) fn check_and_multiply_vartime(
        self,
        number: u128,
    ) -> Result<(Point, GroupElement), PointError> {
        let multiple = checked::checked_multiple_vartime(&self.0, number);
        let multiple = multiple.ok_or(PointError::Subgroup)?;
        Ok((Point(self.0), GroupElement(multiple)))
    }

    pub(crate) fn as_affine(&self) -> &Affine {
        &self.0
    }
}

impl From<Point> for UncheckedPoint {
    fn from(point: Point) -> Self {
        Self(point.0)
    }
}

impl fmt::Debug for UncheckedPoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("UncheckedPoint(")?;
        hex::write(&bls12381::compress_affine(&self.0), out)?;
        out.write_str(")")
    }
}

/// A point that is as secret as the key share it was made with: wiped on drop, never printed.
pub(crate) struct SecretPoint(Affine);

impl SecretPoint {
    /// `secret · point`; none if the product is infinity, which no key share of an honest key
    /// generation yields.
    pub(crate) fn multiple(point: &Point, secret: &SecretScalar) -> Option<Self> {
        point.multiply(secret).to_point().map(|point| Self(point.0))
    }

    /// A copy for the proof of a share that is about to leave.
    pub(crate) fn publish(&self) -> Point {
        Point(self.0)
    }
}

impl Drop for SecretPoint {
    fn drop(&mut self) {
        self.0.x.l.zeroize();
        self.0.y.l.zeroize();
    }
}

impl ZeroizeOnDrop for SecretPoint {}

impl fmt::Debug for SecretPoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretPoint(<redacted>)")
    }
}

const INFINITY_BYTES: [u8; 48] = {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
};

/// A sum of points, which may be infinity.
#[derive(Clone, Copy)]
pub(crate) struct GroupElement(Jacobian);

impl GroupElement {
    pub(crate) fn infinity() -> Self {
        Self(Jacobian::default())
    }

    #[cfg(test)]
    pub(crate) fn new(element: Jacobian) -> Self {
        Self(element)
    }

    pub(crate) fn is_infinity(&self) -> bool {
        bls12381::is_infinity(&self.0)
    }

    pub(crate) fn encode(&self) -> PointBytes {
        PointBytes::from_bytes(bls12381::compress(&self.0))
    }

    pub(crate) fn double(&self) -> Self {
        Self(bls12381::double(&self.0))
    }

    pub(crate) fn add_affine(&mut self, point: &Affine) {
        bls12381::add_assign_affine(&mut self.0, point);
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        Self(bls12381::add(&self.0, &other.0))
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        Self(bls12381::add(&self.0, &bls12381::negate(other.0)))
    }

    /// The point, unless this is infinity. Only for sums of points of the subgroup.
    pub(crate) fn to_point(self) -> Option<Point> {
        (!self.is_infinity()).then(|| Point(bls12381::to_affine(&self.0)))
    }

    /// `scalar · self`. Only for sums of points of the subgroup.
    pub(crate) fn multiply_vartime(&self, scalar: &Scalar) -> Self {
        Self(bls12381::multiply(&self.0, &scalar.0))
    }

    /// `number · self`. Only for sums of points of the subgroup.
    pub(crate) fn multiply_short_vartime(&self, number: u128) -> Self {
        self.to_point().map_or(Self::infinity(), |point| point.multiply_short_vartime(number))
    }

    pub(crate) fn equals(&self, point: &Point) -> bool {
        bls12381::equal(&self.0, &bls12381::to_jacobian(&point.0))
    }

    pub(crate) fn equals_element(&self, other: &Self) -> bool {
        bls12381::equal(&self.0, &other.0)
    }

    /// The encodings of many elements with one inversion.
    pub(crate) fn encode_many(elements: &[Self]) -> Vec<PointBytes> {
        let points: Vec<Jacobian> = elements.iter().map(|element| element.0).collect();
        let encode = |point: &Affine| PointBytes::from_bytes(bls12381::compress_affine(point));
        bls12381::to_affine_many(&points).iter().map(encode).collect()
    }

    /// `Σ weight_j · point_j` with 128-bit weights.
    pub(crate) fn weighted_sum_vartime(points: &[Affine], weights: &[u128]) -> Self {
        let scalars: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        Self(bls12381::multi_scalar_vartime(points, &scalars, 128))
    }
}

impl From<&Point> for GroupElement {
    fn from(point: &Point) -> Self {
        Self(bls12381::to_jacobian(&point.0))
    }
}

/// A table for fast multiples of one point: 32 windows of 8 bits, signed digits.
///
/// 384 KiB; built in about 5 ms, then a multiple takes at most 32 additions and no doubling.
pub(crate) struct FixedBase(Vec<Affine>);

impl FixedBase {
    const WINDOW_BITS: usize = 8;
    /// The top one has 7 bits, so that nothing is carried out of it.
    const WINDOWS: usize = bls12381::SCALAR_BITS.div_ceil(Self::WINDOW_BITS);
    const ENTRIES: usize = 1 << (Self::WINDOW_BITS - 1);

    /// The table of a point.
    pub(crate) fn new(point: &Point) -> Self {
        let mut table = Vec::with_capacity(Self::WINDOWS * Self::ENTRIES);
        let mut base = point.0;
        for _ in 0..Self::WINDOWS {
            let mut multiple = bls12381::to_jacobian(&base);
            let mut window = Vec::with_capacity(Self::ENTRIES + 1);
            window.push(multiple);
            for _ in 1..Self::ENTRIES {
                bls12381::add_assign_affine(&mut multiple, &base);
                window.push(multiple);
            }
            window.push(bls12381::double(&multiple));
            let mut window = bls12381::to_affine_many(&window);
            base = window.pop().unwrap_or(base);
            table.extend_from_slice(&window);
        }
        Self(table)
    }

    /// `scalar` times the table's point.
    pub(crate) fn multiply_vartime(&self, scalar: &Scalar) -> GroupElement {
        let mut sum = Jacobian::default();
        let mut carry = 0;
        for (window, digit) in self.0.chunks_exact(Self::ENTRIES).zip(scalar.to_le_bytes()) {
            let digit = i32::from(digit) + carry;
            carry = i32::from(digit > Self::ENTRIES as i32);
            let digit = digit - carry * (2 * Self::ENTRIES as i32);
            match digit {
                0 => {}
                1.. => bls12381::add_assign_affine(&mut sum, &window[digit as usize - 1]),
                _ => {
                    let entry = window[digit.unsigned_abs() as usize - 1];
                    bls12381::add_assign_affine(&mut sum, &bls12381::negate_affine(entry));
                }
            }
        }
        GroupElement(sum)
    }

    /// The table of G.
    pub(crate) fn generator() -> &'static Self {
        static TABLE: LazyLock<FixedBase> = LazyLock::new(|| FixedBase::new(&Point::generator()));
        &TABLE
    }

    /// The table of Ḡ.
    pub(crate) fn second_generator() -> &'static Self {
        static TABLE: LazyLock<FixedBase> =
            LazyLock::new(|| FixedBase::new(&Point::second_generator()));
        &TABLE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn scalar() -> impl Strategy<Value = Scalar> {
        any::<[u8; 32]>().prop_map(|mut bytes| {
            bytes[0] &= 0x3f;
            Scalar::decode(&bytes).unwrap()
        })
    }

    #[test]
    fn fixed_base_agrees_at_the_edges() {
        let one = Scalar::from_u128(1);
        let edges = [
            Scalar::ZERO,
            one,
            one.negate(),
            Scalar::from_u128(127),
            Scalar::from_u128(128),
            Scalar::from_u128(129),
            Scalar::from_u128(256),
            Scalar::from_u128(u128::MAX),
            Scalar::from_u128(u128::MAX).negate(),
        ];
        for scalar in edges {
            let fast = FixedBase::generator().multiply_vartime(&scalar).encode();
            assert_eq!(fast, Point::generator().multiply_vartime(&scalar).encode());
        }
    }

    #[test]
    fn invariant_3_infinity_encodes_as_c0() {
        let infinity = GroupElement::infinity();
        assert_eq!(infinity.encode().as_bytes(), &INFINITY_BYTES);
        let generator = GroupElement::from(&Point::generator());
        let encodings = GroupElement::encode_many(&[infinity, generator, infinity]);
        assert_eq!(encodings[0].as_bytes(), &INFINITY_BYTES);
        assert_eq!(encodings[1], Point::generator().encode());
        assert_eq!(encodings[2].as_bytes(), &INFINITY_BYTES);
        assert!(generator.subtract(&generator).is_infinity());
        assert!(infinity.to_point().is_none());
    }

    #[test]
    fn weighted_sums_agree_with_single_multiples_at_every_size() {
        let points: Vec<Point> = (1..=70u128)
            .map(|n| Point::second_generator().multiply_short_vartime(n * n).to_point().unwrap())
            .collect();
        let affine: Vec<Affine> = points.iter().map(|point| *point.as_affine()).collect();
        let weights: Vec<u128> = (0..70).map(|n| u128::MAX / (3 * n + 1)).collect();
        for size in [1, 2, 3, 31, 32, 33, 70] {
            let sum = points[..size]
                .iter()
                .zip(&weights)
                .fold(GroupElement::infinity(), |sum, (point, weight)| {
                    sum.add(&point.multiply_short_vartime(*weight))
                });
            let fast = GroupElement::weighted_sum_vartime(&affine[..size], &weights[..size]);
            assert_eq!(fast.encode(), sum.encode(), "{size} points");
        }
        assert!(GroupElement::weighted_sum_vartime(&[], &[]).is_infinity());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn fixed_base_agrees_with_the_constant_time_multiple(scalar in scalar()) {
            let secret = SecretScalar::decode(&scalar.encode()).unwrap();
            let slow = Point::second_generator().multiply(&secret).encode();
            let fast = FixedBase::second_generator().multiply_vartime(&scalar).encode();
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn invariant_1_what_decodes_encodes_to_the_same_bytes(mut bytes: [u8; 48], scalar in scalar()) {
            bytes[0] = bytes[0] & 0x3f | 0x80;
            if let Ok(point) = UncheckedPoint::decode(&bytes) {
                prop_assert_eq!(bls12381::compress_affine(point.as_affine()), bytes);
            }
            if let Some(point) = Point::generator().multiply_vartime(&scalar).to_point() {
                prop_assert_eq!(Point::decode(point.encode().as_ref()), Ok(point));
            }
        }
    }
}
