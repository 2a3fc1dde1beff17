//! The methods of the trader interface and its error codes.

/// One method of the interface.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its positional parameters, in order.
    pub params: &'static [&'static str],
    /// Those that may be left out, after the others.
    pub optional: &'static [&'static str],
    /// What it answers, in a sentence.
    pub help: &'static str,
}

/// Every method that a sequencer serves.
pub const METHODS: &[Method] = &[
    Method {
        name: "fairveil_committee",
        params: &[],
        optional: &[],
        help: "network, committee key, members, height, committed time and recent block rate",
    },
    Method {
        name: "fairveil_submit",
        params: &["sealed"],
        optional: &["addressed"],
        help: "admits a sealed bundle and answers this sequencer's signed receipt",
    },
    Method {
        name: "fairveil_status",
        params: &["id"],
        optional: &[],
        help: "what became of a bundle, as this sequencer knows it",
    },
    Method {
        name: "fairveil_receipts",
        params: &["id"],
        optional: &[],
        help: "this sequencer's receipt for a bundle that it holds or held",
    },
    Method {
        name: "fairveil_release",
        params: &["id"],
        optional: &[],
        help: "the released legs of a bundle with certificates and Merkle proofs",
    },
    Method {
        name: "fairveil_account",
        params: &["chain_id", "address"],
        optional: &["slots"],
        help: "an account of a simulated rollup, after everything that is released here",
    },
    Method {
        name: "fairveil_revenue",
        params: &[],
        optional: &[],
        help: "what rollups and sequencers got of the fees of bundles, and where the rest is",
    },
    Method {
        name: "fairveil_balance",
        params: &["payer"],
        optional: &[],
        help: "what a payer has left, and what bundles cost",
    },
    Method {
        name: "fairveil_change_registry",
        params: &["change"],
        optional: &[],
        help: "takes a change of the rollups that a quorum approved, until a block announces it",
    },
    Method {
        name: "fairveil_reshare",
        params: &["resharing"],
        optional: &[],
        help: "takes an approved definition of the next epoch, until a block announces its ceremony",
    },
    Method {
        name: "fairveil_limits",
        params: &[],
        optional: &[],
        help: "every limit that can reject a submission, with its value now",
    },
];

/// JSON-RPC error codes.
pub mod code {
    /// The request isn't JSON.
    pub const PARSE: i64 = -32700;
    /// The request isn't a JSON-RPC 2.0 call.
    pub const REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD: i64 = -32601;
    /// Wrong number or kind of parameters.
    pub const PARAMS: i64 = -32602;
    /// This sequencer failed; its log says why.
    pub const INTERNAL: i64 = -32603;
    /// The bundle was rejected; `data` is a [`super::super::Rejected`].
    pub const REJECTED: i64 = -32001;
    /// Nothing is known of the id here.
    pub const UNKNOWN: i64 = -32002;
    /// The bundle isn't released yet.
    pub const NOT_RELEASED: i64 = -32003;
    /// The rollup isn't registered, or it isn't simulated.
    pub const NO_STATE: i64 = -32004;
    /// The network charges nothing.
    pub const NO_ACCOUNTING: i64 = -32005;
    /// The change of the rollups, or the resharing, can't be announced; the message says why.
    pub const REFUSED: i64 = -32006;
}
