//! What the criterion benches measure, and what each is called.
//!
//! A name is `library::operation`, then a slash and its parameters:
//! `crypto::combine/shares=11 batch=512`. The benches run these tables and match on their kinds,
//! so that an operation of the plan can not be left out.

use fairveil_crypto::committee::threshold;

/// The size of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// Sequencers, each with its log; or registered rollups.
    pub n: u16,
    /// Ciphertexts of a batch, or ids, points or transactions.
    pub count: usize,
    /// Bytes of a plaintext; 0 where there is none.
    pub plaintext_bytes: usize,
}

impl Case {
    const fn new(n: u16, count: usize, plaintext_bytes: usize) -> Self {
        Self { n, count, plaintext_bytes }
    }
}

/// What of a case stands in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Sequencers.
    N,
    /// Shares that suffice.
    Shares,
    /// Order logs.
    Logs,
    /// Ciphertexts of a batch.
    Batch,
    /// Ids.
    Ids,
    /// Points.
    Points,
    /// Bytes of a plaintext.
    Bytes,
    /// Transactions of a rollup.
    Transactions,
    /// Registered rollups.
    Rollups,
}

impl Parameter {
    fn form(self, case: &Case) -> String {
        match self {
            Self::N => format!("n={}", case.n),
            Self::Shares => format!("shares={}", threshold(case.n)),
            Self::Logs => format!("logs={}", case.n),
            Self::Batch => format!("batch={}", case.count),
            Self::Ids => format!("ids={}", case.count),
            Self::Points => format!("points={}", case.count),
            Self::Bytes => format!("bytes={}", case.plaintext_bytes),
            Self::Transactions => format!("transactions={}", case.count),
            Self::Rollups => format!("rollups={}", case.n),
        }
    }
}

/// One operation with the sizes it is measured at.
#[derive(Clone, Copy, Debug)]
pub struct Operation<K: 'static> {
    /// Which, for the bench that runs it.
    pub kind: K,
    /// `library::operation`: criterion's group.
    pub name: &'static str,
    /// What of a case stands in the name.
    pub parameters: &'static [Parameter],
    /// The sizes.
    pub cases: &'static [Case],
}

impl<K> Operation<K> {
    /// The parameters of a case as they stand in its name.
    #[must_use]
    pub fn parameters(&self, case: &Case) -> String {
        let forms: Vec<String> = self.parameters.iter().map(|p| p.form(case)).collect();
        forms.join(" ")
    }

    /// The names of all cases.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.cases.iter().map(|case| format!("{}/{}", self.name, self.parameters(case)))
    }
}

/// Single operations on the curve and with hashes and signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    /// Constant time, 255 bits.
    PointMultiply,
    /// Variable time, 255 bits.
    PointMultiplyVartime,
    /// By the table of the generator.
    FixedBase,
    /// 128-bit weights.
    WeightedSum,
    /// With the check of the subgroup.
    PointDecode,
    /// Without it.
    PointDecodeUnchecked,
    /// Alone.
    SubgroupCheck,
    /// To a scalar.
    HashToScalar,
    /// SHA-256 with a tag.
    Hash,
    /// Of the first t sequencers.
    Coefficients,
    /// By a consensus key.
    Sign,
    /// By a consensus key.
    VerifySignature,
}

/// What a trader or a sequencer does with ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A trader seals.
    Seal,
    /// Admission.
    Verify,
    /// The products of the own share, before the order is final.
    Prepare,
    /// The own share with proof and signature.
    Share,
    /// Judging the share of one other: only when an opening failed.
    CheckShare,
    /// From t shares to plaintexts, with signatures, decoding and the check of what was opened.
    Combine,
    /// One ciphertext by its hint.
    OpenHint,
    /// Everything: verify, own share, combine.
    Open,
    /// The same where each of n servers combines 1/n and checks the others' hints.
    OpenDivided,
    /// What of a divided opening is left once the order is final.
    AfterFinality,
}

/// What `threshold_crypto` does, one ciphertext at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineStage {
    /// A trader seals.
    Seal,
    /// Its check of a ciphertext.
    Verify,
    /// The own share.
    Share,
    /// Judging the share of one other, which it does for every one.
    CheckShare,
    /// From t shares to the plaintext.
    Combine,
    /// Everything.
    Open,
    /// Everything, trusting that every share of others is right: a lower bound.
    OpenUnchecked,
}

/// The fair order, and plain transcriptions of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// Weights of all pairs of ids.
    PairWeights,
    /// The same by plain arrays.
    NaivePairWeights,
    /// The same by ordered maps, as the tests' transcription of the rule makes them.
    MapPairWeights,
    /// A block that brings new ids, up to their emission.
    Block,
    /// The same by plain transcription.
    NaiveBlock,
    /// A block as full as it may be, with many ids in flight.
    FullBlock,
    /// A block that makes a few of many ids solid: what it would take again and again.
    FewSolid,
}

/// What is done with released batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Ten blocks of transfers as frames for an OP Stack rollup.
    OpFrames,
    /// A height's judged order cut into batches, with its tree and root.
    Cut,
    /// The same where every rollup has a state: placed, simulated jointly, cut, and applied.
    Slot,
}

/// The simulation of a slot, on one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// Transfers, one per bundle, from raw bytes to the digest after the slot.
    Transfers,
    /// The same from recovered transactions.
    RecoveredTransfers,
    /// From raw bytes to recovered transactions.
    RecoverSenders,
    /// The senders' part of that by another library.
    BaselineRecoverSenders,
}

use Parameter::{Batch, Bytes, Ids, Logs, N, Points, Rollups, Shares, Transactions};

const ONE: &[Case] = &[Case::new(4, 1, 0)];
const TWO_SIZES: &[Case] = &[Case::new(4, 1, 512), Case::new(4, 1, 4_096)];
const COMMITTEES: &[Case] = &[Case::new(4, 1, 512), Case::new(16, 1, 512), Case::new(64, 1, 512)];
const BATCHES: &[Case] = &[
    Case::new(4, 32, 512),
    Case::new(16, 32, 512),
    Case::new(64, 32, 512),
    Case::new(4, 128, 512),
    Case::new(16, 128, 512),
    Case::new(64, 128, 512),
];

const fn operation<K: Copy>(
    kind: K,
    name: &'static str,
    parameters: &'static [Parameter],
    cases: &'static [Case],
) -> Operation<K> {
    Operation { kind, name, parameters, cases }
}

/// Primitives.
pub const PRIMITIVES: &[Operation<Primitive>] = &[
    operation(Primitive::PointMultiply, "crypto::point_multiply", &[Points], ONE),
    operation(Primitive::PointMultiplyVartime, "crypto::point_multiply_vartime", &[Points], ONE),
    operation(Primitive::FixedBase, "crypto::fixed_base", &[Points], ONE),
    operation(
        Primitive::WeightedSum,
        "crypto::weighted_sum",
        &[Points],
        &[Case::new(4, 32, 0), Case::new(4, 512, 0)],
    ),
    operation(Primitive::PointDecode, "crypto::point_decode", &[Points], ONE),
    operation(Primitive::PointDecodeUnchecked, "crypto::point_decode_unchecked", &[Points], ONE),
    operation(Primitive::SubgroupCheck, "crypto::subgroup_check", &[Points], ONE),
    operation(
        Primitive::HashToScalar,
        "crypto::hash_to_scalar",
        &[Bytes],
        &[Case::new(4, 1, 32), Case::new(4, 1, 1_024)],
    ),
    operation(
        Primitive::Hash,
        "crypto::hash",
        &[Bytes],
        &[Case::new(4, 1, 32), Case::new(4, 1, 1_024)],
    ),
    operation(
        Primitive::Coefficients,
        "crypto::coefficients",
        &[Shares],
        &[Case::new(4, 1, 0), Case::new(16, 1, 0), Case::new(64, 1, 0)],
    ),
    operation(Primitive::Sign, "crypto::sign", &[Bytes], &[Case::new(4, 1, 32)]),
    operation(
        Primitive::VerifySignature,
        "crypto::verify_signature",
        &[Bytes],
        &[Case::new(4, 1, 32)],
    ),
];

/// Stages of sealing and opening.
pub const STAGES: &[Operation<Stage>] = &[
    operation(Stage::Seal, "crypto::seal", &[Bytes], TWO_SIZES),
    operation(Stage::Verify, "crypto::verify", &[Bytes], TWO_SIZES),
    operation(
        Stage::Prepare,
        "crypto::prepare",
        &[Batch],
        &[Case::new(4, 32, 512), Case::new(4, 512, 512)],
    ),
    operation(
        Stage::Share,
        "crypto::share",
        &[Batch],
        &[Case::new(4, 32, 512), Case::new(4, 512, 512)],
    ),
    operation(
        Stage::CheckShare,
        "crypto::check_share",
        &[Batch],
        &[Case::new(4, 32, 512), Case::new(4, 128, 512)],
    ),
    operation(
        Stage::Combine,
        "crypto::combine",
        &[Shares, Batch],
        &[
            Case::new(4, 32, 512),
            Case::new(16, 32, 512),
            Case::new(64, 32, 512),
            Case::new(16, 512, 512),
        ],
    ),
    operation(Stage::OpenHint, "crypto::open_hint", &[Bytes], TWO_SIZES),
    operation(Stage::Open, "crypto::open", &[N, Batch], BATCHES),
    operation(
        Stage::OpenDivided,
        "crypto::open_divided",
        &[N, Batch],
        &[Case::new(4, 128, 512), Case::new(16, 128, 512), Case::new(64, 128, 512)],
    ),
    operation(
        Stage::AfterFinality,
        "crypto::after_finality",
        &[N, Batch],
        &[Case::new(5, 512, 512)],
    ),
];

/// The other side of the stages.
pub const BASELINE_STAGES: &[Operation<BaselineStage>] = &[
    operation(BaselineStage::Seal, "threshold_crypto::seal", &[Bytes], TWO_SIZES),
    operation(BaselineStage::Verify, "threshold_crypto::verify", &[Bytes], TWO_SIZES),
    operation(BaselineStage::Share, "threshold_crypto::share", &[Batch], &[Case::new(4, 1, 512)]),
    operation(
        BaselineStage::CheckShare,
        "threshold_crypto::check_share",
        &[Batch],
        &[Case::new(4, 1, 512)],
    ),
    operation(BaselineStage::Combine, "threshold_crypto::combine", &[Shares, Batch], COMMITTEES),
    operation(BaselineStage::Open, "threshold_crypto::open", &[N, Batch], COMMITTEES),
    operation(
        BaselineStage::OpenUnchecked,
        "threshold_crypto::open_unchecked",
        &[N, Batch],
        COMMITTEES,
    ),
];

const PAIRS: &[Case] = &[Case::new(24, 1_000, 0), Case::new(24, 5_000, 0)];
const NEW_IDS: &[Case] = &[Case::new(5, 200, 0)];

/// The order, each beside its transcription.
pub const ORDERING: &[Operation<Ordering>] = &[
    operation(Ordering::PairWeights, "ordering::pair_weights", &[Logs, Ids], PAIRS),
    operation(Ordering::NaivePairWeights, "naive::pair_weights", &[Logs, Ids], PAIRS),
    operation(Ordering::MapPairWeights, "naive::map_pair_weights", &[Logs, Ids], PAIRS),
    operation(Ordering::Block, "ordering::block", &[Logs, Ids], NEW_IDS),
    operation(Ordering::NaiveBlock, "naive::block", &[Logs, Ids], NEW_IDS),
    operation(Ordering::FullBlock, "ordering::full_block", &[Logs, Ids], PAIRS),
    operation(Ordering::FewSolid, "ordering::few_solid", &[Logs, Ids], &[Case::new(24, 4_000, 0)]),
];

/// Outputs for rollups.
pub const RELEASE: &[Operation<Release>] = &[
    operation(
        Release::OpFrames,
        "release::op_frames",
        &[Transactions],
        &[Case::new(4, 200, 0), Case::new(4, 2_000, 0)],
    ),
    operation(
        Release::Cut,
        "release::cut",
        &[Rollups, Ids],
        &[Case::new(1, 512, 0), Case::new(4, 512, 0), Case::new(16, 512, 0), Case::new(64, 512, 0)],
    ),
    operation(
        Release::Slot,
        "release::slot",
        &[Rollups, Ids],
        &[Case::new(1, 256, 0), Case::new(4, 256, 0), Case::new(16, 256, 0), Case::new(64, 256, 0)],
    ),
];

const TRANSFERS: &[Case] = &[Case::new(4, 2_000, 0)];

/// Simulation, beside the recovery of senders by `k256`.
pub const EXECUTION: &[Operation<Execution>] = &[
    operation(Execution::Transfers, "execution::transfers", &[Transactions], TRANSFERS),
    operation(
        Execution::RecoveredTransfers,
        "execution::recovered_transfers",
        &[Transactions],
        TRANSFERS,
    ),
    operation(Execution::RecoverSenders, "execution::recover_senders", &[Transactions], TRANSFERS),
    operation(
        Execution::BaselineRecoverSenders,
        "k256::recover_senders",
        &[Transactions],
        TRANSFERS,
    ),
];

/// The names of all benches.
#[must_use]
pub fn names() -> Vec<String> {
    let primitives = PRIMITIVES.iter().flat_map(Operation::names);
    let stages = STAGES.iter().flat_map(Operation::names);
    let baseline = BASELINE_STAGES.iter().flat_map(Operation::names);
    let ordering = ORDERING.iter().flat_map(Operation::names);
    let release = RELEASE.iter().flat_map(Operation::names);
    let execution = EXECUTION.iter().flat_map(Operation::names);
    let first = primitives.chain(stages).chain(baseline).chain(ordering);
    first.chain(release).chain(execution).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_word(text: &str) -> bool {
        let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(small)
    }

    fn has_the_form(name: &str) -> bool {
        let Some((path, parameters)) = name.split_once('/') else { return false };
        let Some((library, operation)) = path.split_once("::") else { return false };
        let parameter = |text: &str| {
            text.split_once('=').is_some_and(|(key, value)| {
                is_word(key) && value.parse::<usize>().is_ok_and(|value| value > 0)
            })
        };
        is_word(library) && is_word(operation) && parameters.split(' ').all(parameter)
    }

    #[test]
    fn names_have_the_form_and_are_unique() {
        let names = names();
        let unique: BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{names:#?}");
        for name in &names {
            assert!(has_the_form(name), "{name}");
        }
        assert!(names.iter().any(|name| name == "crypto::combine/shares=11 batch=512"));
        for wrong in ["combine", "crypto::combine", "crypto::combine/512", "crypto::a b/n=4"] {
            assert!(!has_the_form(wrong), "{wrong}");
        }
    }

    /// Every kind has one row of its table: criterion runs the tables, kind by kind.
    #[test]
    fn every_operation_is_there_once() {
        fn kinds<K: Copy + std::fmt::Debug>(table: &[Operation<K>]) -> BTreeSet<String> {
            let kinds: BTreeSet<String> =
                table.iter().map(|row| format!("{:?}", row.kind)).collect();
            assert_eq!(kinds.len(), table.len());
            assert!(table.iter().all(|row| !row.cases.is_empty()));
            kinds
        }
        let last = |kind: usize| kind + 1;
        assert_eq!(kinds(PRIMITIVES).len(), last(Primitive::VerifySignature as usize));
        assert_eq!(kinds(STAGES).len(), last(Stage::AfterFinality as usize));
        assert_eq!(kinds(BASELINE_STAGES).len(), last(BaselineStage::OpenUnchecked as usize));
        assert_eq!(kinds(ORDERING).len(), last(Ordering::FewSolid as usize));
        assert_eq!(kinds(RELEASE).len(), last(Release::Slot as usize));
        assert_eq!(kinds(EXECUTION).len(), last(Execution::BaselineRecoverSenders as usize));
    }
}
