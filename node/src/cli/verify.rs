//! The command lines of `fairveil verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `fairveil verify`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Verify {
    /// The ceremony's transcript.
    #[arg(long, env = "FAIRVEIL_TRANSCRIPT", value_name = "FILE", required = true)]
    pub(crate) transcript: Option<PathBuf>,
    /// The network id that the transcript must have.
    #[arg(long, env = "FAIRVEIL_NETWORK", required = true)]
    pub(crate) network: Option<String>,
    /// Receipts, order certificates, releases, batches, evidence, blame, fraud and censorship
    /// proofs, traces; kinds are recognised. A trace has the exit code of `fairveil verify
    /// fairness`.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<VerifyCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Lists every pair of bundles that receipts of f+1 members or more contradict, and what that
    /// shows; exit code 1 if something does not verify, or somebody must have lied; otherwise 5 if
    /// heights are missing between others, or nothing was compared.
    Fairness {
        #[command(flatten)]
        pinned: Pinned,
        /// Receipts and order certificates of a run: files of kind trace, receipts or order; may be
        /// repeated.
        #[arg(long = "trace", value_name = "FILE", required = true, num_args = 1..)]
        traces: Vec<PathBuf>,
    },
    /// Proves that a bundle with receipts of f+1 members was ordered at no height up to 256 after
    /// them, while its window was open.
    Censorship {
        #[command(flatten)]
        pinned: Pinned,
        /// The receipts for it, as `bundle submit` keeps them.
        #[arg(long, value_name = "FILE")]
        receipts: PathBuf,
        /// The sealed bundle.
        #[arg(long, value_name = "FILE")]
        sealed: PathBuf,
        /// The order of every height from the bundle's `valid_from` on: files of kind trace, as
        /// `bundle trace` writes them, or order; may be repeated.
        #[arg(long = "order", value_name = "FILE", required = true, num_args = 1..)]
        orders: Vec<PathBuf>,
        /// Where to write the proof, which `fairveil verify` judges by itself.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What is believed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pinned {
    /// The ceremony's transcript.
    #[arg(long, env = "FAIRVEIL_TRANSCRIPT", value_name = "FILE")]
    pub(crate) transcript: PathBuf,
    /// The network id that the transcript must have.
    #[arg(long, env = "FAIRVEIL_NETWORK")]
    pub(crate) network: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Top};

    const PINNED: [&str; 4] = ["--transcript", "t.json", "--network", "0x1"];

    fn parsed(arguments: &[&str]) -> Option<Verify> {
        let line = ["fairveil", "verify"].iter().chain(arguments);
        match Cli::try_parse_from(line).ok()?.command {
            Top::Verify(verify) => Some(verify),
            _ => None,
        }
    }

    #[test]
    fn files_and_subcommands_are_told_apart() {
        let files = parsed(&[&PINNED[..], &["a.json", "b.json"]].concat()).unwrap();
        assert_eq!((files.files.len(), files.command.is_none()), (2, true));
        assert_eq!(files.transcript, Some("t.json".into()));
        let named = parsed(&[&PINNED[..], &["fairness"]].concat()).unwrap();
        assert_eq!(named.files, [PathBuf::from("fairness")], "a file of this name");
        let trace = ["--trace", "one.json", "two.json", "--trace", "three.json"];
        let fairness = parsed(&[&["fairness"][..], &PINNED, &trace].concat()).unwrap();
        let Some(VerifyCommand::Fairness { pinned, traces }) = fairness.command else { panic!() };
        assert_eq!((traces.len(), pinned.network), (3, "0x1".to_owned()));
        let proof = ["--receipts", "r", "--sealed", "s", "--order", "a", "b"];
        let proof = parsed(&[&["censorship"][..], &PINNED, &proof].concat()).unwrap();
        let Some(VerifyCommand::Censorship { orders, .. }) = proof.command else { panic!() };
        assert_eq!(orders.len(), 2);
    }

    #[test]
    fn nothing_that_is_needed_may_be_missing() {
        assert!(parsed(&[]).is_none());
        assert!(parsed(&PINNED).is_none());
        assert!(parsed(&["a.json"]).is_none());
        assert!(parsed(&[&["fairness"][..], &PINNED].concat()).is_none());
        assert!(parsed(&["fairness", "--trace", "one.json"]).is_none());
        assert!(parsed(&[&["censorship"][..], &PINNED].concat()).is_none());
        assert!(
            parsed(&[&["fairness"][..], &PINNED, &["--trace", "a", "--files", "b"]].concat())
                .is_none()
        );
    }
}
