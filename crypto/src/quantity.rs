//! Counters of the protocol, one type per unit, without conversion from plain integers.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The first value, 0.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(u64::MAX);

            /// The value with this number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next value; the largest value is its own successor.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The value before this one, if there is one.
            #[must_use]
            pub const fn previous(self) -> Option<Self> {
                match self.0.checked_sub(1) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// This value plus `distance`, at most the largest value.
            #[must_use]
            pub const fn saturating_add(self, distance: u64) -> Self {
                Self(self.0.saturating_add(distance))
            }

            /// This value minus `distance`, at least 0.
            #[must_use]
            pub const fn saturating_sub(self, distance: u64) -> Self {
                Self(self.0.saturating_sub(distance))
            }

            /// How far this value is above `earlier`; 0 if it is not.
            #[must_use]
            pub const fn distance_from(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

counters! {
    /// One committee's period.
    Epoch,
    /// One leader's attempt.
    View,
    /// One final block; global, goes on over epochs.
    Height,
}

/// A member of a committee: 1 + the rank of its consensus public key; also its share index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequencerIndex(NonZeroU16);

impl SequencerIndex {
    /// The index with this number, from 1; 0 is no index.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The index of the member at this place, from 0, of a sorted list.
    #[must_use]
    pub fn from_position(position: usize) -> Option<Self> {
        u16::try_from(position).ok()?.checked_add(1).and_then(Self::new)
    }

    /// The number, from 1.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The place in a list of all members, from 0.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The indices 1..=n.
    pub fn all(n: u16) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        (0..n).map(|position| Self(NonZeroU16::MIN.saturating_add(position)))
    }

    /// The index as the 4 bytes big-endian that are hashed.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 4] {
        (self.0.get() as u32).to_be_bytes()
    }
}

impl fmt::Display for SequencerIndex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for SequencerIndex {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
