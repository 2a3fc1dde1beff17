//! Bytes, varints and bits, read and written.

use crate::packed::PackError;

/// Longest varint of 64 bits.
const MAX_VARINT_BYTES: u32 = 10;

/// Bytes that grow; bits begin at a byte and end with one.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 if it is full.
    used: u32,
}

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.used = 0;
    }

    /// Seven bits a byte, the least first.
    pub(super) fn varint(&mut self, mut value: u64) {
        self.used = 0;
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// The low `count` bits, the least first.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        for at in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> at & 1) as u8) << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// value >> parameter as so many zeros and a one, then the low bits.
    pub(super) fn rice(&mut self, value: u64, parameter: u32) {
        for _ in 0..value >> parameter {
            self.bits(0, 1);
        }
        self.bits(1, 1);
        self.bits(value, parameter);
    }
}

/// Bits that [`Writer::rice`] writes.
pub(super) fn rice_bits(value: u64, parameter: u32) -> u64 {
    (value >> parameter) + 1 + u64::from(parameter)
}

/// What is left to read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits used of the first byte.
    used: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Bytes that nothing was read of.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - usize::from(self.used > 0)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        self.align();
        let (first, rest) = self.bytes.split_first_chunk::<N>().ok_or(PackError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(super) fn varint(&mut self) -> Result<u64, PackError> {
        let mut value = 0u64;
        for at in 0..MAX_VARINT_BYTES {
            let [byte] = self.bytes::<1>()?;
            let part = u64::from(byte & 0x7f);
            if part << (7 * at) >> (7 * at) != part {
                return Err(PackError::Number);
            }
            value |= part << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(PackError::Number)
    }

    /// A varint that is at most this.
    pub(super) fn count(&mut self, limit: usize) -> Result<usize, PackError> {
        let actual = self.varint()?;
        let small = usize::try_from(actual).ok().filter(|actual| *actual <= limit);
        small.ok_or(PackError::Count { actual, limit })
    }

    pub(super) fn bits(&mut self, count: u32) -> Result<u64, PackError> {
        let mut value = 0;
        for at in 0..count {
            let first = *self.bytes.first().ok_or(PackError::Truncated)?;
            value |= u64::from(first >> self.used & 1) << at;
            self.used += 1;
            if self.used == 8 {
                self.align();
            }
        }
        Ok(value)
    }

    /// A number of [`Writer::rice`] that is at most `limit`.
    pub(super) fn rice(&mut self, parameter: u32, limit: u64) -> Result<u64, PackError> {
        let mut high = 0u64;
        while self.bits(1)? == 0 {
            high += 1;
            if high > limit >> parameter {
                return Err(PackError::Number);
            }
        }
        Ok(high << parameter | self.bits(parameter)?)
    }

    /// Goes on at the next byte.
    pub(super) fn align(&mut self) {
        if self.used > 0 {
            self.bytes = &self.bytes[1..];
            self.used = 0;
        }
    }
}

/// 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in vec((any::<u64>(), 0u64..5_000, 0u32..16), 0..20), signed in any::<i64>(),
        ) {
            let mut writer = Writer::default();
            for (wide, small, parameter) in &numbers {
                writer.varint(*wide);
                writer.rice(*small, *parameter);
                writer.rice(*small / 2, *parameter);
                writer.bytes(&[7, 8]);
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for (wide, small, parameter) in numbers {
                prop_assert_eq!(reader.varint(), Ok(wide));
                prop_assert_eq!(reader.rice(parameter, 5_000), Ok(small));
                prop_assert_eq!(reader.rice(parameter, 5_000), Ok(small / 2));
                prop_assert_eq!(reader.bytes::<2>(), Ok([7, 8]));
            }
            prop_assert_eq!(reader.left(), 0);
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn the_length_of_a_code_is_known_before() {
        for value in [0, 1, 7, 64, 1_000] {
            for parameter in 0..12 {
                let mut writer = Writer::default();
                writer.rice(value, parameter);
                assert_eq!(rice_bits(value, parameter).div_ceil(8), writer.finish().len() as u64);
            }
        }
    }
}
