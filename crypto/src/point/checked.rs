//! The check of the subgroup and a short multiple of the same point, from the same doublings.
//!
//! A finite point P of the curve has order r if and only if `φ(P) + z²·P = 0`, with the parameter z
//! of the curve and the endomorphism `φ(x, y) = (βx, y)` (Scott, "A note on group membership tests
//! for G1, G2 and GT on BLS pairing-friendly curves", IACR ePrint 2021/1130): on the subgroup φ is
//! the multiplication by -z², and the kernel of φ + z² has as many elements as the norm of that
//! endomorphism is, `z⁴ - z² + 1 = r`, so no others.
//!
//! The check doubles P 63 times for `|z|·P`, and that as often for `z²·P`. With
//! `number = low + high·|z|` the multiple is the sum of some `2^i·P` and some `2^i·|z|·P`, which
//! are there: those with the same digit are added up, and the sums multiplied by their digits at
//! the end (Yao, "On the evaluation of powers", SIAM Journal on Computing 5, 1976). So the multiple
//! costs some 30 additions and one doubling.
//!
//! Everything is exact for every point of the curve, and takes time that depends on the number.

use crate::bls12381::{self, Affine, CURVE_PARAMETER, Jacobian};

/// `number · point`, if the point is in the subgroup.
pub(super) fn checked_multiple_vartime(point: &Affine, number: u128) -> Option<Jacobian> {
    let mut sums = DigitSums::default();
    let (low, high) = (number % u128::from(CURVE_PARAMETER), number / u128::from(CURVE_PARAMETER));
    let once = sums.double_along(bls12381::to_jacobian(point), low);
    let mut twice = sums.double_along(once, high);
    bls12381::add_assign_affine(&mut twice, &bls12381::endomorphism(point));
    bls12381::is_infinity(&twice).then(|| sums.total())
}

/// For every odd digit d up to 7 the sum of what is to be multiplied by d.
#[derive(Default)]
struct DigitSums([Jacobian; 4]);

impl DigitSums {
    /// Digits are odd and less than half of this in magnitude, and at most every fourth of a
    /// number is not zero.
    const BASE: u128 = 16;

    /// Adds `number · point`, and returns `|z| · point`, from the same doublings.
    fn double_along(&mut self, point: Jacobian, mut number: u128) -> Jacobian {
        let (mut power, mut parameter) = (point, CURVE_PARAMETER);
        let mut multiple = Jacobian::default();
        loop {
            if parameter & 1 == 1 {
                add_vartime(&mut multiple, &power);
            }
            number = self.take_digit(number, &power) / 2;
            parameter /= 2;
            if number == 0 && parameter == 0 {
                return multiple;
            }
            power = bls12381::double(&power);
        }
    }

    /// Adds the lowest digit of a number times the point, and returns the number without it.
    fn take_digit(&mut self, number: u128, point: &Jacobian) -> u128 {
        let digit = number % Self::BASE;
        if digit.is_multiple_of(2) {
            number
        } else if digit < Self::BASE / 2 {
            add_vartime(&mut self.0[digit as usize / 2], point);
            number - digit
        } else {
            let digit = Self::BASE - digit;
            add_vartime(&mut self.0[digit as usize / 2], &bls12381::negate(*point));
            number + digit
        }
    }

    /// `S_1 + 3·S_3 + 5·S_5 + 7·S_7` as `(S_1 + S_3 + S_5 + S_7) + 2·((S_3 + S_5 + S_7) + ...)`.
    fn total(&self) -> Jacobian {
        let (mut suffix, mut suffixes) = (Jacobian::default(), Jacobian::default());
        for sum in self.0[1..].iter().rev() {
            suffix = bls12381::add(&suffix, sum);
            suffixes = bls12381::add(&suffixes, &suffix);
        }
        suffix = bls12381::add(&suffix, &self.0[0]);
        bls12381::add(&suffix, &bls12381::double(&suffixes))
    }
}

/// Adds, without arithmetic where the sum is infinity.
fn add_vartime(sum: &mut Jacobian, point: &Jacobian) {
    *sum = if bls12381::is_infinity(sum) { *point } else { bls12381::add(sum, point) };
}
