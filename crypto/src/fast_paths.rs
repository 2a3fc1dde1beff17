//! Every fast path against plain arithmetic: double and add, one product after the other.
//!
//! A path is compared on at least 10,000 inputs from one seed, a quarter of them edge cases; a test
//! fails as well if an edge case was not met. An input is what a path is given many of: a sum of
//! 100 points counts as 100.

#![allow(clippy::unwrap_used)]

mod ciphertexts;
mod inputs;

use std::collections::BTreeSet;

use self::inputs::{
    INPUTS, Inputs, POINT_EDGES, number_edges, plain_multiple, plain_sum, point_of, scalar_edges,
};
use crate::SequencerIndex;
use crate::bls12381::{self, Affine, CURVE_PARAMETER};
use crate::lagrange::{Combiner, DELTA, LagrangeError};
use crate::point::{FixedBase, GroupElement, Point, PointError, UncheckedPoint};
use crate::scalar::{Scalar, SecretScalar};

/// r as little-endian bytes.
fn order() -> [u8; 32] {
    let mut bytes = Scalar::from_u128(1).negate().to_le_bytes();
    bytes[0] += 1;
    bytes
}

#[test]
fn multiples_of_fixed_points() {
    let mut inputs = Inputs::new("fixed base");
    let key = point_of(&inputs.scalar().add(&Scalar::from_u128(11)));
    let of_key = FixedBase::new(&key);
    let bases = [
        (Point::generator(), FixedBase::generator()),
        (Point::second_generator(), FixedBase::second_generator()),
        (key, &of_key),
    ];
    while inputs.compared < INPUTS {
        let scalar = inputs.scalar();
        let (point, table) = bases[inputs.below(bases.len())];
        let slow = plain_multiple(&bls12381::to_jacobian(point.as_affine()), &scalar.to_le_bytes());
        let fast = table.multiply_vartime(&scalar);
        assert!(fast.equals_element(&GroupElement::new(slow)), "{}", inputs.place());
        inputs.compared += 1;
    }
    inputs.finish(&scalar_edges());
}

#[test]
fn constant_time_multiples() {
    let mut inputs = Inputs::new("multiple");
    while inputs.compared < INPUTS {
        let (element, scalar) = (inputs.element(), inputs.scalar());
        let slow = plain_multiple(&element, &scalar.to_le_bytes());
        assert!(
            bls12381::equal(&bls12381::multiply(&element, &scalar.0), &slow),
            "{}",
            inputs.place()
        );
        if let Some(point) = GroupElement::new(element).to_point() {
            let secret = SecretScalar::decode(&scalar.encode()).unwrap();
            let fast = point.multiply(&secret);
            assert!(fast.equals_element(&GroupElement::new(slow)), "{}", inputs.place());
        }
        inputs.compared += 1;
    }
    let edges = scalar_edges().into_iter().chain(["infinity"]).collect::<Vec<_>>();
    inputs.finish(&edges);
}

#[test]
fn short_multiples() {
    let mut inputs = Inputs::new("short multiple");
    while inputs.compared < INPUTS {
        let (element, number) = (inputs.element(), inputs.number());
        let slow = GroupElement::new(plain_multiple(&element, &number.to_le_bytes()));
        let fast = GroupElement::new(element).multiply_short_vartime(number);
        assert!(fast.equals_element(&slow), "{}", inputs.place());
        inputs.compared += 1;
    }
    let edges = number_edges().into_iter().chain(["infinity"]).collect::<Vec<_>>();
    inputs.finish(&edges);
}

#[test]
fn the_endomorphism_multiplies_by_minus_the_square_of_the_parameter() {
    let mut inputs = Inputs::new("endomorphism");
    let square = u128::from(CURVE_PARAMETER) * u128::from(CURVE_PARAMETER);
    while inputs.compared < INPUTS {
        let point = inputs.point();
        let multiple = plain_multiple(&bls12381::to_jacobian(&point), &square.to_le_bytes());
        let mapped = bls12381::to_jacobian(&bls12381::endomorphism(&point));
        assert!(bls12381::equal(&mapped, &bls12381::negate(multiple)), "{}", inputs.place());
        inputs.compared += 1;
    }
    inputs.finish(&POINT_EDGES);
}

/// A finite point of the curve: of the subgroup, of a small order, or neither.
fn point_of_curve(inputs: &mut Inputs, outside: &[Affine]) -> Affine {
    let foreign = outside[inputs.below(outside.len())];
    match inputs.below(5) {
        0 => {
            inputs.count("outside the subgroup");
            foreign
        }
        1 => {
            inputs.count("of the subgroup, and a small order");
            let mut sum = bls12381::to_jacobian(&inputs.point());
            bls12381::add_assign_affine(&mut sum, &foreign);
            bls12381::to_affine(&sum)
        }
        _ => inputs.point(),
    }
}

/// Points outside the subgroup: any, and some of each order that is a prime factor of the cofactor,
/// `(z - 1)²/3 = 3 · (11 · 10177 · 859267 · 52437899)²`.
fn outside_the_subgroup(inputs: &mut Inputs) -> Vec<Affine> {
    const PRIMES: [u64; 5] = [3, 11, 10_177, 859_267, 52_437_899];
    let cofactor = (u128::from(CURVE_PARAMETER) + 1) * (u128::from(CURVE_PARAMETER) + 1) / 3;
    let mut points = Vec::new();
    while points.len() < 200 {
        let mut bytes = inputs.bytes::<48>();
        bytes[0] = bytes[0] & 0x3f | 0x80;
        let Ok(point) = UncheckedPoint::decode(&bytes) else { continue };
        points.push(*point.as_affine());
        let unrelated = plain_multiple(&bls12381::to_jacobian(point.as_affine()), &order());
        for prime in PRIMES {
            let rest = if prime == 3 { cofactor / 3 } else { cofactor / u128::from(prime).pow(2) };
            let mut small = plain_multiple(&unrelated, &rest.to_le_bytes());
            let up = plain_multiple(&small, &prime.to_le_bytes());
            if !bls12381::is_infinity(&up) {
                small = up;
            }
            if !bls12381::is_infinity(&small) {
                assert!(bls12381::is_infinity(&plain_multiple(&small, &prime.to_le_bytes())));
                points.push(bls12381::to_affine(&small));
            }
        }
    }
    let mut zero = [0; 48];
    zero[0] = 0x80;
    points.extend([*UncheckedPoint::decode(&zero).unwrap().as_affine(); 20]);
    points
}

#[test]
fn subgroup_checks_with_multiples() {
    let mut inputs = Inputs::new("subgroup check with a multiple");
    let outside = outside_the_subgroup(&mut inputs);
    while inputs.compared < INPUTS {
        let (point, number) = (point_of_curve(&mut inputs, &outside), inputs.number());
        let bytes = bls12381::compress_affine(&point);
        let checked = UncheckedPoint::decode(&bytes).unwrap().check_and_multiply_vartime(number);
        match checked {
            Ok((same, multiple)) => {
                assert!(bls12381::in_subgroup(&point), "{}", inputs.place());
                assert_eq!(same.encode().as_bytes(), &bytes, "{}", inputs.place());
                let slow = plain_multiple(&bls12381::to_jacobian(&point), &number.to_le_bytes());
                assert!(multiple.equals_element(&GroupElement::new(slow)), "{}", inputs.place());
            }
            Err(error) => {
                assert_eq!(error, PointError::Subgroup);
                assert!(!bls12381::in_subgroup(&point), "{}", inputs.place());
                inputs.count("refused");
            }
        }
        inputs.compared += 1;
    }
    let more = ["outside the subgroup", "of the subgroup, and a small order", "refused"];
    inputs.finish(&[&number_edges()[..], &POINT_EDGES, &more].concat());
}

#[test]
fn weighted_sums() {
    let mut inputs = Inputs::new("weighted sum");
    while inputs.compared < INPUTS {
        let largest = if inputs.is_edge() { 3 } else { 300 };
        let size = inputs.below(largest) + 1;
        let mut points: Vec<Affine> = (0..size).map(|_| inputs.point()).collect();
        let mut weights: Vec<u128> = (0..size).map(|_| inputs.number()).collect();
        if inputs.is_edge() {
            inputs.count("terms that cancel");
            points.push(bls12381::negate_affine(points[0]));
            weights.push(weights[0]);
        }
        let terms = points.iter().zip(weights.iter().map(|weight| weight.to_le_bytes().to_vec()));
        let slow = GroupElement::new(plain_sum(terms));
        let fast = GroupElement::weighted_sum_vartime(&points, &weights);
        assert!(fast.equals_element(&slow), "{}", inputs.place());
        if slow.is_infinity() {
            inputs.count("a sum at infinity");
        }
        inputs.compared += points.len();
    }
    assert!(GroupElement::weighted_sum_vartime(&[], &[]).is_infinity());
    let more = ["terms that cancel"];
    inputs.finish(&[&number_edges()[..], &POINT_EDGES, &more].concat());
}

#[test]
fn conversions_of_many() {
    let mut inputs = Inputs::new("encodings of many");
    while inputs.compared < INPUTS {
        let largest = if inputs.is_edge() { 3 } else { 200 };
        let elements: Vec<GroupElement> =
            (0..inputs.below(largest)).map(|_| GroupElement::new(inputs.element())).collect();
        let slow: Vec<_> = elements.iter().map(GroupElement::encode).collect();
        assert_eq!(GroupElement::encode_many(&elements), slow, "{}", inputs.place());
        inputs.compared += elements.len();
    }
    inputs.finish(&["infinity"]);
}

/// `Δ · Π j/(j-i)` by the formula.
fn plain_coefficient(index: u16, indices: &[u16]) -> Scalar {
    let scalar = |number: u16| Scalar::from_u128(number.into());
    let mut coefficient = Scalar::from_u128(DELTA.into());
    for other in indices.iter().filter(|other| **other != index) {
        let difference = scalar(*other).subtract(&scalar(index));
        coefficient = coefficient.multiply(&scalar(*other)).multiply(&difference.invert_vartime());
    }
    coefficient
}

fn compare_combination(inputs: &mut Inputs, numbers: &[u16]) {
    let indices: Vec<SequencerIndex> =
        numbers.iter().map(|number| SequencerIndex::new(*number).unwrap()).collect();
    let points: Vec<Affine> = numbers.iter().map(|_| inputs.point()).collect();
    let coefficients = numbers.iter().map(|number| plain_coefficient(*number, numbers));
    let terms = points.iter().zip(coefficients.map(|scalar| scalar.to_le_bytes().to_vec()));
    let slow = GroupElement::new(plain_sum(terms));
    let unchecked: Vec<UncheckedPoint> = points
        .iter()
        .map(|point| UncheckedPoint::decode(&bls12381::compress_affine(point)).unwrap())
        .collect();
    let fast = Combiner::new(&indices).unwrap().combine(|member| &unchecked[member]);
    assert!(fast.equals_element(&slow), "{}, indices {numbers:?}", inputs.place());
    inputs.compared += numbers.len();
}

/// A set of distinct indices up to `largest`, in any order.
fn index_set(inputs: &mut Inputs, largest: u16, size: usize) -> Vec<u16> {
    let mut numbers: Vec<u16> = (1..=largest).collect();
    for place in 0..size {
        let other = place + inputs.below(numbers.len() - place);
        numbers.swap(place, other);
    }
    numbers.truncate(size);
    numbers
}

#[test]
fn combinations() {
    let mut inputs = Inputs::new("combination");
    for mask in 1u16..1 << 5 {
        let numbers: Vec<u16> = (1..=5).filter(|number| mask >> (number - 1) & 1 == 1).collect();
        compare_combination(&mut inputs, &numbers);
    }
    let committees = [
        ("n = 1", 1),
        ("n = 4", 4),
        ("n = 7", 7),
        ("n = 16", 16),
        ("n = 17", 17),
        ("n = 20", 20),
        ("n = 33", 33),
        ("n = 64", 64),
        ("n = 128", 128),
    ];
    while inputs.compared < INPUTS {
        let (name, n) = committees[inputs.below(committees.len())];
        inputs.count(name);
        let size = match inputs.is_edge() {
            true => inputs.below(n.into()) + 1,
            false => usize::from(crate::committee::threshold(n)),
        };
        let numbers = index_set(&mut inputs, n, size);
        compare_combination(&mut inputs, &numbers);
    }
    let committees: Vec<&str> = committees.iter().map(|(name, _)| *name).collect();
    inputs.finish(&[&committees[..], &POINT_EDGES].concat());
}

#[test]
fn combinations_of_neighbours_up_to_the_largest_committee() {
    let mut inputs = Inputs::new("combination of neighbours");
    for n in [16, 17, 25, 32, 48, 64, 81, 100, 128] {
        let t = crate::committee::threshold(n);
        for first in [1, n - t + 1] {
            let numbers: Vec<u16> = (first..first + t).collect();
            compare_combination(&mut inputs, &numbers);
        }
    }
}

#[test]
fn repeated_indices_are_refused_wherever_they_stand() {
    let mut inputs = Inputs::new("repeated indices");
    let distinct: BTreeSet<SequencerIndex> = SequencerIndex::all(64).collect();
    for _ in 0..1_000 {
        let mut indices: Vec<SequencerIndex> = distinct.iter().copied().collect();
        let (from, to) = (inputs.below(64), inputs.below(64));
        let repeated = indices[from];
        indices[to] = repeated;
        match Combiner::new(&indices) {
            Ok(_) => assert_eq!(from, to),
            Err(error) => assert_eq!(error, LagrangeError::Repeated(repeated)),
        }
    }
}
