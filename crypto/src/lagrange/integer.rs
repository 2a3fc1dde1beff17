//! Lagrange coefficients as a common factor times integers without a common divisor.
//!
//! `λ_i = Π j/(j-i)` is a product of powers of primes up to the largest index. What all λ_i have in
//! common, numerators and denominators, goes into the factor; what is left are integers that are
//! far shorter than scalars: about 17 bits for n = 16, 100 for n = 64, 215 for n = 128.

use crate::SequencerIndex;
use crate::committee::MAX_SEQUENCERS;

/// A natural number of any size, in limbs from the lowest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u64>);

impl Natural {
    fn one() -> Self {
        Self(vec![1])
    }

    fn multiply(&mut self, number: u64) {
        let mut carry = 0;
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(number) + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
        if carry > 0 {
            self.0.push(carry as u64);
        }
    }

    pub(super) fn bit(&self, position: usize) -> bool {
        self.0.get(position / 64).is_some_and(|limb| limb >> (position % 64) & 1 == 1)
    }

    /// Bits up to the highest that is set.
    pub(super) fn bits(&self) -> usize {
        let top = self.0.iter().rposition(|limb| *limb != 0);
        top.map_or(0, |top| 64 * top + 64 - self.0[top].leading_zeros() as usize)
    }
}

impl From<u64> for Natural {
    fn from(number: u64) -> Self {
        Self(vec![number])
    }
}

/// Whether a coefficient is below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Plus => Self::Minus,
            Self::Minus => Self::Plus,
        }
    }
}

/// `λ_i = Π prime^exponent · integer_i`.
pub(super) struct Reduced {
    /// Primes with exponents, which may be negative.
    pub(super) factor: Vec<(u64, i32)>,
    /// In the order of the indices.
    pub(super) integers: Vec<(Sign, Natural)>,
}

impl Reduced {
    /// The coefficients at zero of distinct indices.
    pub(super) fn new(indices: &[SequencerIndex]) -> Self {
        let numbers: Vec<usize> = indices.iter().map(|index| index.get().into()).collect();
        let largest = numbers.iter().copied().max().unwrap_or(0);
        debug_assert!(largest <= MAX_SEQUENCERS, "the table of exponents grows as the square");
        let exponents = Exponents::new(largest);
        let coefficients: Vec<Vec<i32>> =
            numbers.iter().map(|number| exponents.of_coefficient(*number, &numbers)).collect();
        let least = |place: usize| coefficients.iter().map(|powers| powers[place]).min();
        let factor: Vec<(u64, i32)> = exponents
            .primes
            .iter()
            .enumerate()
            .map(|(place, prime)| (*prime as u64, least(place).unwrap_or(0)))
            .collect();
        let integer = |(number, powers): (&usize, &Vec<i32>)| {
            let mut integer = Natural::one();
            for ((prime, least), power) in factor.iter().zip(powers) {
                (*least..*power).for_each(|_| integer.multiply(*prime));
            }
            // The factors j - i with j < i are the negative ones.
            let below = numbers.iter().filter(|other| *other < number).count();
            (if below.is_multiple_of(2) { Sign::Plus } else { Sign::Minus }, integer)
        };
        let integers = numbers.iter().zip(&coefficients).map(integer).collect();
        Self { factor, integers }
    }
}

/// The exponents of primes in small numbers.
struct Exponents {
    primes: Vec<usize>,
    /// By number, then by prime.
    of_number: Vec<Vec<i32>>,
}

impl Exponents {
    fn new(largest: usize) -> Self {
        let is_prime = |number: &usize| {
            (2..*number)
                .take_while(|divisor| divisor * divisor <= *number)
                .all(|divisor| !number.is_multiple_of(divisor))
        };
        let primes: Vec<usize> = (2..=largest).filter(is_prime).collect();
        let of_number =
            |number: usize| primes.iter().map(|prime| exponent(*prime, number)).collect();
        Self { of_number: (0..=largest).map(of_number).collect(), primes }
    }

    /// Of `Π j/(j-i)` over all j of a set but i.
    fn of_coefficient(&self, index: usize, indices: &[usize]) -> Vec<i32> {
        let mut sum = vec![0; self.primes.len()];
        for other in indices.iter().copied().filter(|other| *other != index) {
            let denominator = &self.of_number[other.abs_diff(index)];
            for ((sum, above), below) in sum.iter_mut().zip(&self.of_number[other]).zip(denominator)
            {
                *sum += above - below;
            }
        }
        sum
    }
}

/// How often a prime divides a number; 0 for 0.
fn exponent(prime: usize, mut number: usize) -> i32 {
    let mut exponent = 0;
    while number > 0 && number.is_multiple_of(prime) {
        number /= prime;
        exponent += 1;
    }
    exponent
}
