//! Every target of the fuzz table on its seeds and on mutations of them.
//!
//! What libFuzzer finds in minutes is in `fuzz/`; this is the part of it that every test run does.
//! A failure prints the input in hex.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use fairveil_tests::targets::{TARGETS, Target, Verdict, find};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Inputs per target, where a run takes microseconds.
const CASES: u32 = 512;
/// Inputs per target, where it takes milliseconds.
const FEW_CASES: u32 = 64;

macro_rules! mutators {
    ($($name:ident)*) => {
        /// The targets that have a test here.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                check(find(stringify!($name)).unwrap());
            }
        )*
    };
}

mutators! {
    points_and_scalars ciphertext sealed_bundle signed_share certificates
    bundle_message bundle stored_values texts pool
    order_evidence order_snapshot order
    definition ceremony_entry transcript blame keystore ceremony
    registry_change
    opening_message fault_evidence release release_proof transaction batcher_frames opener adoption
    block chain_snapshot chain_state
    log_message known_logs
    client_file client_answer
}

#[test]
fn every_target_has_a_test_and_a_binary() {
    let table: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(table.len(), TARGETS.len(), "a name stands for one target");
    assert_eq!(NAMES.iter().copied().collect::<BTreeSet<_>>(), table);

    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &table {
        let path = format!("fuzz_targets/{name}.rs");
        let source = std::fs::read_to_string(fuzz.join(&path)).unwrap();
        assert!(source.contains(&format!("target!(\"{name}\")")), "{path}");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{path}\"")), "{path}");
    }
    let binaries = std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(binaries, table.len());
}

/// An input, shown in hex.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Flip {
        at: Index,
        mask: u8,
    },
    Insert {
        at: Index,
        bytes: Vec<u8>,
    },
    Delete {
        at: Index,
        length: Index,
    },
    Truncate {
        at: Index,
    },
    Repeat {
        at: Index,
        length: Index,
    },
    /// The beginning of this input with the end of another.
    Splice {
        at: Index,
        other: Index,
        from: Index,
    },
    /// What may be a length, of 1, 2, 4 or 8 bytes in either order.
    Length {
        at: Index,
        width: Index,
        value: Index,
        reversed: bool,
    },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 1u8..).prop_map(|(at, mask)| Mutation::Flip { at, mask }),
        1 => (at(), vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Mutation::Insert { at, bytes }),
        1 => (at(), at()).prop_map(|(at, length)| Mutation::Delete { at, length }),
        1 => at().prop_map(|at| Mutation::Truncate { at }),
        1 => (at(), at()).prop_map(|(at, length)| Mutation::Repeat { at, length }),
        1 => (at(), at(), at())
            .prop_map(|(at, other, from)| Mutation::Splice { at, other, from }),
        1 => (at(), at(), at(), any::<bool>()).prop_map(|(at, width, value, reversed)| {
            Mutation::Length { at, width, value, reversed }
        }),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |at: &Index, length: usize| at.index(length + 1);
        let length = bytes.len();
        match self {
            Self::Flip { at, mask } => {
                if let Some(byte) = bytes.get_mut(place(at, length)) {
                    *byte ^= mask;
                }
            }
            Self::Insert { at, bytes: more } => {
                let at = place(at, length);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Delete { at, length: count } => {
                let at = place(at, length);
                bytes.drain(at..at + place(count, (length - at).min(64)));
            }
            Self::Truncate { at } => bytes.truncate(place(at, length)),
            Self::Repeat { at, length: count } => {
                let at = place(at, length);
                let slice = bytes[at..at + place(count, (length - at).min(256))].to_vec();
                bytes.splice(at..at, slice);
            }
            Self::Splice { at, other, from } => {
                let other = other.get(seeds);
                bytes.truncate(place(at, length));
                bytes.extend_from_slice(&other[place(from, other.len())..]);
            }
            Self::Length { at, width, value, reversed } => {
                let at = place(at, length);
                let width = *width.get(&[1, 2, 4, 8]);
                let values = [0, 1, 0x7f, 0x80, 0xffff, 1 << 20, u64::MAX >> 1, u64::MAX];
                let mut field = value.get(&values).to_le_bytes()[..width].to_vec();
                if *reversed {
                    field.reverse();
                }
                let end = (at + width).min(length);
                bytes.splice(at..end, field);
            }
        }
    }
}

fn mutated(seeds: &[Vec<u8>]) -> impl Strategy<Value = Bytes> + '_ {
    (any::<Index>(), vec(mutation(), 1..6)).prop_map(|(seed, mutations)| {
        let mut bytes = seed.get(seeds).clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes, seeds));
        Bytes(bytes)
    })
}

#[expect(clippy::disallowed_methods, reason = "a slow target gets fewer inputs")]
fn check(target: &Target) {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    for (number, seed) in seeds.iter().enumerate() {
        assert_eq!((target.run)(seed), Verdict::Accepted, "seed {number} of {}", target.name);
    }
    let began = Instant::now();
    for seed in &seeds {
        let _ = (target.run)(seed);
    }
    let slow = began.elapsed().as_micros() > 1_000 * seeds.len() as u128;
    let cases = if slow { FEW_CASES } else { CASES };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let run = |input: Bytes| {
        (target.run)(&input.0);
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(&mutated(&seeds), run) {
        panic!("{}: {failure}", target.name);
    }
    assert_eq!((target.run)(&[]), Verdict::Refused);
}
