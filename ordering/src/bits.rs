//! Sets of vertices and square relations over them, as words of 64 bits.

/// A set of vertex numbers below a fixed size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub(crate) fn empty(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)] }
    }

    pub(crate) fn full(size: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; size.div_ceil(64)] };
        if let Some(last) = bits.words.last_mut() {
            *last = tail_mask(size);
        }
        bits
    }

    /// None if a bit at or above `size` is set or the length is another one.
    pub(crate) fn from_words(words: Vec<u64>, size: usize) -> Option<Self> {
        let fits = words.len() == size.div_ceil(64)
            && words.last().is_none_or(|last| last & !tail_mask(size) == 0);
        fits.then_some(Self { words })
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn contains(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, at: usize) {
        self.words[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.words[at / 64] &= !(1 << (at % 64));
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn union(&mut self, other: &[u64]) {
        self.words.iter_mut().zip(other).for_each(|(word, more)| *word |= more);
    }

    pub(crate) fn subtract(&mut self, other: &[u64]) {
        self.words.iter_mut().zip(other).for_each(|(word, less)| *word &= !less);
    }

    pub(crate) fn intersect(&mut self, other: &[u64]) {
        self.words.iter_mut().zip(other).for_each(|(word, only)| *word &= only);
    }

    /// Members in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        members(&self.words)
    }
}

/// A relation: row a holds every b with a -> b.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    width: usize,
    words: Vec<u64>,
}

impl Matrix {
    pub(crate) fn empty(size: usize) -> Self {
        let width = size.div_ceil(64);
        Self { width, words: vec![0; size * width] }
    }

    pub(crate) fn row(&self, at: usize) -> &[u64] {
        &self.words[at * self.width..(at + 1) * self.width]
    }

    pub(crate) fn row_mut(&mut self, at: usize) -> &mut [u64] {
        &mut self.words[at * self.width..(at + 1) * self.width]
    }

    pub(crate) fn contains(&self, from: usize, to: usize) -> bool {
        self.row(from)[to / 64] >> (to % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, from: usize, to: usize) {
        self.row_mut(from)[to / 64] |= 1 << (to % 64);
    }

    pub(crate) fn remove(&mut self, from: usize, to: usize) {
        self.row_mut(from)[to / 64] &= !(1 << (to % 64));
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }
}

/// The set bits of a row, ascending.
pub(crate) fn members(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(at, &word)| BitsOf(word).map(move |bit| at * 64 + bit))
}

/// The set bits of one word, ascending.
pub(crate) struct BitsOf(pub(crate) u64);

impl Iterator for BitsOf {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

/// The valid bits of the last word of a row of `size` bits.
pub(crate) fn tail_mask(size: usize) -> u64 {
    match size % 64 {
        0 => u64::MAX,
        used => (1 << used) - 1,
    }
}

/// Whether a row has a member in a set.
pub(crate) fn meets(row: &[u64], set: &Bits) -> bool {
    row.iter().zip(set.words()).any(|(row, set)| row & set != 0)
}

/// The largest member of a row that is in a set.
pub(crate) fn last_common(row: &[u64], set: &Bits) -> Option<usize> {
    let words = row.iter().zip(set.words()).enumerate().rev();
    words
        .map(|(at, (row, set))| (at, row & set))
        .find(|(_, both)| *both != 0)
        .map(|(at, both)| at * 64 + 63 - both.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_has_no_bit_above_its_size() {
        for size in [0, 1, 63, 64, 65, 130] {
            let bits = Bits::full(size);
            assert_eq!(bits.count(), size);
            assert_eq!(bits.iter().collect::<Vec<_>>(), (0..size).collect::<Vec<_>>());
            assert_eq!(Bits::from_words(bits.words().to_vec(), size), Some(bits));
        }
        assert_eq!(Bits::from_words(vec![2], 1), None);
        assert_eq!(Bits::from_words(vec![1, 0], 1), None);
    }
}
