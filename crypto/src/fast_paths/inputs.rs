//! Random inputs with edge cases among them, and the plain arithmetic that judges.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::bls12381::{self, Affine, CURVE_PARAMETER, Jacobian};
use crate::point::Point;
use crate::scalar::Scalar;

/// Inputs of every path, at least.
pub(super) const INPUTS: usize = 10_000;

const SEED: u64 = 0x2026_1128;

/// One in so many inputs is an edge case.
const EDGE_RATE: u64 = 4;

/// How often every edge case must have been drawn in the end.
const EDGE_MINIMUM: usize = 10;

const NUMBERS: [(&str, u128); 15] = [
    ("0", 0),
    ("1", 1),
    ("2", 2),
    ("3", 3),
    ("7", 7),
    ("8", 8),
    ("9", 9),
    ("255", 255),
    ("|z| - 1", CURVE_PARAMETER as u128 - 1),
    ("|z|", CURVE_PARAMETER as u128),
    ("|z| + 1", CURVE_PARAMETER as u128 + 1),
    ("2^64", 1 << 64),
    ("2^127", 1 << 127),
    ("2^128 - 2", u128::MAX - 1),
    ("2^128 - 1", u128::MAX),
];

/// Points are drawn as sums of two of these.
const POOL: usize = 128;

/// A source of inputs that says where it is when something fails.
pub(super) struct Inputs {
    rng: ChaCha20Rng,
    path: &'static str,
    pool: Vec<Affine>,
    last_point: Affine,
    drawn: BTreeMap<&'static str, usize>,
    /// Inputs that were compared so far.
    pub(super) compared: usize,
}

impl Inputs {
    pub(super) fn new(path: &'static str) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(SEED);
        let last_point = bls12381::generator();
        let (drawn, compared) = (BTreeMap::new(), 0);
        let mut inputs = Self { rng, path, pool: Vec::new(), last_point, drawn, compared };
        let generator = bls12381::to_jacobian(&last_point);
        inputs.pool = (0..POOL)
            .map(|_| bls12381::to_affine(&plain_multiple(&generator, &inputs.bytes::<31>())))
            .collect();
        inputs
    }

    /// What to print when a comparison fails.
    pub(super) fn place(&self) -> String {
        format!("{}: seed {SEED:#x}, after {} inputs", self.path, self.compared)
    }

    /// Asserts that enough was compared and that all of these edge cases were among it.
    pub(super) fn finish(&self, edges: &[&'static str]) {
        assert!(self.compared >= INPUTS, "{}", self.place());
        for edge in edges {
            let drawn = self.drawn.get(edge).copied().unwrap_or(0);
            assert!(drawn >= EDGE_MINIMUM, "{}: {edge} was drawn {drawn} times", self.place());
        }
    }

    pub(super) fn count(&mut self, edge: &'static str) {
        *self.drawn.entry(edge).or_default() += 1;
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.rng.next_u64() % limit as u64) as usize
    }

    pub(super) fn is_edge(&mut self) -> bool {
        self.rng.next_u64().is_multiple_of(EDGE_RATE)
    }

    /// A number of 128 bits.
    pub(super) fn number(&mut self) -> u128 {
        if self.is_edge() {
            let (name, number) = NUMBERS[self.below(NUMBERS.len())];
            self.count(name);
            return number;
        }
        u128::from_le_bytes(self.bytes())
    }

    /// A scalar: the edges are those of [`Self::number`], their negatives, and some of φ.
    pub(super) fn scalar(&mut self) -> Scalar {
        if !self.is_edge() {
            let mut bytes = self.bytes::<32>();
            bytes[0] &= 0x3f;
            return Scalar::decode(&bytes).unwrap();
        }
        let square = u128::from(CURVE_PARAMETER) * u128::from(CURVE_PARAMETER);
        let edges = [
            ("r - 1", Scalar::from_u128(1).negate()),
            ("r - 2", Scalar::from_u128(2).negate()),
            ("r - 2^128 + 1", Scalar::from_u128(u128::MAX).negate()),
            ("z²", Scalar::from_u128(square)),
            ("z² - 1", Scalar::from_u128(square - 1)),
            ("r - z²", Scalar::from_u128(square).negate()),
        ];
        let choice = self.below(edges.len() + NUMBERS.len());
        let (name, scalar) = match edges.get(choice) {
            Some(edge) => *edge,
            None => {
                let (name, number) = NUMBERS[choice - edges.len()];
                (name, Scalar::from_u128(number))
            }
        };
        self.count(name);
        scalar
    }

    /// A finite point of the subgroup: the edges meet what was drawn before.
    pub(super) fn point(&mut self) -> Affine {
        if self.is_edge() {
            let (name, point) = match self.below(4) {
                0 => ("the point before", self.last_point),
                1 => ("the point before, negated", bls12381::negate_affine(self.last_point)),
                2 => ("the generator", bls12381::generator()),
                _ => {
                    let twice = bls12381::double(&bls12381::to_jacobian(&self.last_point));
                    ("the point before, doubled", bls12381::to_affine(&twice))
                }
            };
            self.count(name);
            self.last_point = point;
            return point;
        }
        let element = self.element_of_pool();
        let sum = bls12381::is_infinity(&element);
        self.last_point = if sum { bls12381::generator() } else { bls12381::to_affine(&element) };
        self.last_point
    }

    /// An element of the subgroup whose z is anything, or infinity.
    pub(super) fn element(&mut self) -> Jacobian {
        if self.is_edge() && self.is_edge() {
            self.count("infinity");
            return Jacobian::default();
        }
        self.element_of_pool()
    }

    fn element_of_pool(&mut self) -> Jacobian {
        let (one, other) = (self.below(POOL), self.below(POOL));
        let mut sum = bls12381::to_jacobian(&self.pool[one]);
        bls12381::add_assign_affine(&mut sum, &self.pool[other]);
        sum
    }
}

/// The names of the edge cases of [`Inputs::number`].
pub(super) fn number_edges() -> Vec<&'static str> {
    NUMBERS.iter().map(|(name, _)| *name).collect()
}

/// The names of the edge cases of [`Inputs::scalar`].
pub(super) fn scalar_edges() -> Vec<&'static str> {
    let more = ["r - 1", "r - 2", "r - 2^128 + 1", "z²", "z² - 1", "r - z²"];
    number_edges().into_iter().chain(more).collect()
}

/// The names of the edge cases of [`Inputs::point`].
pub(super) const POINT_EDGES: [&str; 4] =
    ["the point before", "the point before, negated", "the generator", "the point before, doubled"];

/// Double and add, over the bits of little-endian bytes.
pub(super) fn plain_multiple(point: &Jacobian, number: &[u8]) -> Jacobian {
    let mut product = Jacobian::default();
    for byte in number.iter().rev() {
        for bit in (0..8).rev() {
            product = bls12381::double(&product);
            if byte >> bit & 1 == 1 {
                product = bls12381::add(&product, point);
            }
        }
    }
    product
}

/// One product after the other, added up.
pub(super) fn plain_sum<'a>(terms: impl Iterator<Item = (&'a Affine, Vec<u8>)>) -> Jacobian {
    terms.fold(Jacobian::default(), |sum, (point, number)| {
        bls12381::add(&sum, &plain_multiple(&bls12381::to_jacobian(point), &number))
    })
}

/// The point of this multiple of the generator.
pub(super) fn point_of(scalar: &Scalar) -> Point {
    let generator = bls12381::to_jacobian(&bls12381::generator());
    let multiple = plain_multiple(&generator, &scalar.to_le_bytes());
    Point::decode(&bls12381::compress(&multiple)).unwrap()
}
