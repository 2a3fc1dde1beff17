//! Combining one point of every sequencer: `Σ Δ·λ_i·D_i`.
//!
//! The points are multiplied together by the integers that are left when a factor common to all
//! coefficients is taken out, so that all of them share the doublings; then the sum is multiplied
//! by the factor, once. Short integers are taken digit by digit in the non-adjacent form, without
//! any allocation; for long ones the odd multiples of every point up to 7 are made first, with one
//! inversion for all (Möller, "Algorithms for multi-exponentiation", SAC 2001, interleaving).

use super::integer::{Natural, Reduced, Sign};
use super::{DELTA, LagrangeError, all_small, check_distinct};
use crate::SequencerIndex;
use crate::bls12381::{self, Affine, Jacobian};
use crate::point::{GroupElement, UncheckedPoint};
use crate::scalar::Scalar;

/// Bits from which odd multiples pay: more than integers have in committees of up to 32.
const LONG: usize = 60;

/// Odd multiples that are made of every point: 1, 3, 5 and 7.
const ODD_MULTIPLES: usize = 4;

/// An odd digit, `±(2·half + 1)`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Digit {
    sign: Sign,
    half: usize,
}

/// How many bits a digit may span: the larger, the fewer there are, and the more multiples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// 1 and -1: every third place is a digit.
    Two,
    /// Up to 7: every fifth.
    Four,
}

/// Combines shares of one set of sequencers.
pub(crate) struct Combiner {
    /// For every place of the integers, from the top: members and their digits.
    rounds: Vec<Vec<(usize, Digit)>>,
    width: Width,
    members: usize,
    factor: Factor,
}

/// What all coefficients have in common.
enum Factor {
    /// The digits 1 and -1 of an integer, from the top: for indices up to 16.
    Digits(Vec<Option<Digit>>),
    /// Modulo r, for larger indices.
    Scalar(Scalar),
}

impl Combiner {
    /// The combiner of these members of a committee, in the order in which points will be given.
    pub(crate) fn new(indices: &[SequencerIndex]) -> Result<Self, LagrangeError> {
        check_distinct(indices)?;
        let Reduced { factor, integers } = Reduced::new(indices);
        let longest = integers.iter().map(|(_, integer)| integer.bits()).max().unwrap_or(0);
        let width = if longest < LONG { Width::Two } else { Width::Four };
        let digits: Vec<Vec<Option<Digit>>> =
            integers.iter().map(|(sign, integer)| signed_digits(*sign, integer, width)).collect();
        let length = digits.iter().map(Vec::len).max().unwrap_or(0);
        let round = |place: usize| {
            let digit = |(member, digits): (usize, &Vec<Option<Digit>>)| {
                digits.get(place).copied().flatten().map(|digit| (member, digit))
            };
            digits.iter().enumerate().filter_map(digit).collect()
        };
        let factor = match all_small(indices) {
            true => Factor::digits(&factor),
            false => Factor::scalar(&factor),
        };
        let rounds = (0..length).rev().map(round).collect();
        Ok(Self { rounds, width, members: indices.len(), factor })
    }

    /// The combination of the points that are given by their places in the set. Exact for points
    /// of the subgroup; what it is for others is not specified, and the caller's equations judge
    /// it.
    pub(crate) fn combine<'a>(&self, point: impl Fn(usize) -> &'a UncheckedPoint) -> GroupElement {
        let point = |member: usize| point(member).as_affine();
        let sum = match self.width {
            Width::Two => self.sum(|member, _| *point(member)),
            Width::Four => {
                let multiples = odd_multiples((0..self.members).map(point));
                self.sum(|member, half| multiples[ODD_MULTIPLES * member + half])
            }
        };
        self.factor.multiply_vartime(&sum)
    }

    /// The sum of the points times their integers, from their multiples by `2·half + 1`.
    fn sum(&self, multiple: impl Fn(usize, usize) -> Affine) -> GroupElement {
        let mut sum = GroupElement::infinity();
        for round in &self.rounds {
            sum = sum.double();
            for (member, digit) in round {
                let multiple = multiple(*member, digit.half);
                sum.add_affine(&match digit.sign {
                    Sign::Plus => multiple,
                    Sign::Minus => bls12381::negate_affine(multiple),
                });
            }
        }
        sum
    }
}

/// 1, 3, 5 and 7 times every point; infinity, which adds nothing, is all zero as elsewhere.
fn odd_multiples<'a>(points: impl ExactSizeIterator<Item = &'a Affine>) -> Vec<Affine> {
    let mut multiples: Vec<Jacobian> = Vec::with_capacity(ODD_MULTIPLES * points.len());
    for point in points {
        let mut multiple = bls12381::to_jacobian(point);
        let twice = bls12381::double(&multiple);
        multiples.push(multiple);
        for _ in 1..ODD_MULTIPLES {
            multiple = bls12381::add(&multiple, &twice);
            multiples.push(multiple);
        }
    }
    bls12381::to_affine_many(&multiples)
}

impl Factor {
    /// `Δ · Π prime^exponent`, where that is an integer: below 2^61, as coefficients are.
    fn digits(powers: &[(u64, i32)]) -> Self {
        let power =
            |(prime, exponent): &(u64, i32)| u128::from(*prime).pow(exponent.unsigned_abs());
        let product = |powers: &mut dyn Iterator<Item = &(u64, i32)>| powers.map(power).product();
        let above: u128 = product(&mut powers.iter().filter(|(_, exponent)| *exponent > 0));
        let below: u128 = product(&mut powers.iter().filter(|(_, exponent)| *exponent < 0));
        let factor = u64::try_from(u128::from(DELTA) * above / below);
        let factor = factor.expect("coefficients have at most 61 bits for indices up to 16");
        let mut digits = signed_digits(Sign::Plus, &Natural::from(factor), Width::Two);
        digits.reverse();
        Self::Digits(digits)
    }

    /// `Δ · Π prime^exponent mod r`.
    fn scalar(powers: &[(u64, i32)]) -> Self {
        let (mut above, mut below) = (Scalar::from_u128(DELTA.into()), Scalar::from_u128(1));
        for (prime, exponent) in powers {
            let side = if *exponent > 0 { &mut above } else { &mut below };
            let prime = Scalar::from_u128((*prime).into());
            (0..exponent.unsigned_abs()).for_each(|_| *side = side.multiply(&prime));
        }
        Self::Scalar(above.multiply(&below.invert_vartime()))
    }

    fn multiply_vartime(&self, sum: &GroupElement) -> GroupElement {
        let digits = match self {
            Self::Digits(digits) => digits,
            Self::Scalar(scalar) => return sum.multiply_vartime(scalar),
        };
        let mut product = GroupElement::infinity();
        for digit in digits {
            product = product.double();
            product = match digit.map(|digit| digit.sign) {
                Some(Sign::Plus) => product.add(sum),
                Some(Sign::Minus) => product.subtract(sum),
                None => product,
            };
        }
        product
    }
}

/// The non-adjacent form of a width, from the lowest place: of so many neighbours one at most is a
/// digit, all of them odd.
fn signed_digits(sign: Sign, number: &Natural, width: Width) -> Vec<Option<Digit>> {
    let width = match width {
        Width::Two => 2,
        Width::Four => 4,
    };
    let (mut digits, mut carry, limit) = (Vec::new(), 0, number.bits() + 1);
    while digits.len() < limit {
        let place = digits.len();
        if usize::from(number.bit(place)) == carry {
            // Both are 0, or both 1 and carried on.
            digits.push(None);
            continue;
        }
        let bits = (0..width).map(|bit| usize::from(number.bit(place + bit)) << bit);
        let window = bits.sum::<usize>() + carry;
        carry = window >> (width - 1);
        digits.push(Some(match carry {
            0 => Digit { sign, half: window / 2 },
            _ => Digit { sign: sign.opposite(), half: ((1 << width) - window) / 2 },
        }));
        digits.extend((1..width).map(|_| None));
    }
    while matches!(digits.last(), Some(None)) {
        digits.pop();
    }
    digits
}
