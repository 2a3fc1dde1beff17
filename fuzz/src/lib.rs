//! The targets of `fairveil-tests` under libFuzzer, one binary each.
//!
//! Every binary writes its seeds into `corpus/NAME` before it begins, where cargo-fuzz and `run.sh`
//! look for them.

use std::fs;
use std::path::{Path, PathBuf};

use fairveil_tests::targets::{Target, find};

pub use libfuzzer_sys;

/// The main program of a target's binary.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::write_seeds($name), |bytes: &[u8]| {
            $crate::run($name, bytes);
        });
    };
}

/// Runs one input.
pub fn run(name: &str, bytes: &[u8]) {
    let _ = (named(name).run)(bytes);
}

/// Writes the target's seeds into its corpus.
///
/// # Panics
///
/// If they can't be written.
pub fn write_seeds(name: &str) {
    let folder = corpus(name);
    fs::create_dir_all(&folder).expect("the corpus can be made");
    for (number, seed) in (named(name).seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:02}")), seed).expect("a seed can be written");
    }
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

fn named(name: &str) -> &'static Target {
    find(name).expect("every binary is named after a target")
}
