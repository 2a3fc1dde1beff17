//! What is measured beside what. The benches run this list and `ratios` reads its results, so
//! neither can forget a row.

/// What the one side is called.
pub const OURS: &str = "fairveil";
/// The other side, as its interface requires it.
pub const THRESHOLD_CRYPTO: &str = "threshold_crypto";
/// The other side, trusting that every share of others is right. It would not notice one that is
/// not, and give a wrong plaintext: a lower bound for the baseline.
pub const UNCHECKED: &str = "threshold_crypto, shares unchecked";
/// Pair weights by plain arrays.
pub const NAIVE_WEIGHTS: &str = "naive pair weights";
/// The whole order by plain transcription.
pub const NAIVE_ORDER: &str = "naive order";

/// What a time is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// One ciphertext of a batch.
    Ciphertext,
    /// Everything that is handled together.
    Run,
}

/// The size of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Sequencers, each with its log.
    pub n: u16,
    /// Ciphertexts of a batch, or ids.
    pub count: usize,
    /// Bytes of a plaintext; 0 where there is none.
    pub plaintext_bytes: usize,
}

impl Case {
    const fn new(n: u16, count: usize, plaintext_bytes: usize) -> Self {
        Self { n, count, plaintext_bytes }
    }

    /// The name of its folder.
    #[must_use]
    pub fn name(&self) -> String {
        format!("n{}-{}-{}B", self.n, self.count, self.plaintext_bytes)
    }
}

/// One operation with its cases and what stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Criterion's group.
    pub name: &'static str,
    /// What its times are given for.
    pub per: Per,
    /// The sizes it is measured at.
    pub cases: &'static [Case],
    /// The other sides.
    pub baselines: &'static [&'static str],
}

const ONE_CIPHERTEXT: &[Case] =
    &[Case::new(4, 1, 512), Case::new(16, 1, 512), Case::new(64, 1, 512), Case::new(4, 1, 4_096)];

/// A trader seals.
pub const SEAL: Operation = Operation {
    name: "seal",
    per: Per::Ciphertext,
    cases: ONE_CIPHERTEXT,
    baselines: &[THRESHOLD_CRYPTO],
};

/// Admission of a ciphertext.
pub const VERIFY: Operation = Operation {
    name: "verify",
    per: Per::Ciphertext,
    cases: ONE_CIPHERTEXT,
    baselines: &[THRESHOLD_CRYPTO],
};

/// The own decryption share; ours with its proof and signature.
pub const SHARE: Operation = Operation {
    name: "share",
    per: Per::Ciphertext,
    cases: &[Case::new(4, 32, 512), Case::new(16, 32, 512), Case::new(64, 32, 512)],
    baselines: &[THRESHOLD_CRYPTO],
};

/// Judging the share of one other: ours only when an opening failed, the other side always.
pub const CHECK_SHARE: Operation = Operation {
    name: "check share",
    per: Per::Ciphertext,
    cases: &[Case::new(4, 32, 512), Case::new(4, 128, 512)],
    baselines: &[THRESHOLD_CRYPTO],
};

/// From t shares to plaintexts; ours with signatures, decoding and the check of what it opened.
pub const COMBINE: Operation = Operation {
    name: "combine",
    per: Per::Ciphertext,
    cases: &[Case::new(4, 32, 512), Case::new(16, 32, 512), Case::new(64, 32, 512)],
    baselines: &[UNCHECKED],
};

/// Everything that one server does to open: verify, own share, the shares of others, combine.
pub const OPEN: Operation = Operation {
    name: "open",
    per: Per::Ciphertext,
    cases: &[
        Case::new(4, 32, 512),
        Case::new(16, 32, 512),
        Case::new(64, 32, 512),
        Case::new(4, 128, 512),
        Case::new(16, 128, 512),
        Case::new(64, 128, 512),
        Case::new(4, 32, 4_096),
    ],
    baselines: &[THRESHOLD_CRYPTO, UNCHECKED],
};

/// The same where each of n servers combines 1/n of the batch and checks the others' hints.
pub const OPEN_DIVIDED: Operation = Operation {
    name: "open, divided",
    per: Per::Ciphertext,
    cases: &[Case::new(4, 128, 512), Case::new(16, 128, 512), Case::new(64, 128, 512)],
    baselines: &[THRESHOLD_CRYPTO, UNCHECKED],
};

/// What of a divided opening is left once the order is final.
pub const AFTER_FINALITY: Operation = Operation {
    name: "after finality, divided",
    per: Per::Ciphertext,
    cases: &[Case::new(5, 512, 512)],
    baselines: &[THRESHOLD_CRYPTO],
};

/// Weights of all pairs of ids.
pub const PAIR_WEIGHTS: Operation = Operation {
    name: "pair weights",
    per: Per::Run,
    cases: &[Case::new(24, 1_000, 0), Case::new(24, 5_000, 0)],
    baselines: &[NAIVE_WEIGHTS],
};

/// A block that brings new ids, up to their emission.
pub const SMALL_BLOCK: Operation = Operation {
    name: "block",
    per: Per::Run,
    cases: &[Case::new(5, 200, 0)],
    baselines: &[NAIVE_ORDER],
};

/// A block as full as it may be, with many ids in flight. Beside it the weights alone.
pub const LARGE_BLOCK: Operation = Operation {
    name: "block, ids in flight",
    per: Per::Run,
    cases: &[Case::new(24, 5_000, 0)],
    baselines: &[NAIVE_WEIGHTS],
};

/// Everything, in the order of the table.
pub const OPERATIONS: &[Operation] = &[
    SEAL,
    VERIFY,
    SHARE,
    CHECK_SHARE,
    COMBINE,
    OPEN,
    OPEN_DIVIDED,
    AFTER_FINALITY,
    PAIR_WEIGHTS,
    SMALL_BLOCK,
    LARGE_BLOCK,
];
