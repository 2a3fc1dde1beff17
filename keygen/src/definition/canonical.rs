//! The canonical bytes of a proposal.
//!
//! ```text
//! version 1: encode(fields of Proposal up to members)
//! version 2: encode(the same fields) ‖ encode(resharing)
//! ```

use std::fmt;

use fairveil_crypto::encoding::{self, DecodeError};
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Accounting, Blocks, Deadlines, MAX_BYTES, Member, Ordering, Proposal, RESHARING_VERSION,
    Resharing, Rollup,
};
use fairveil_crypto::Epoch;

pub(super) fn encode(proposal: &Proposal) -> Vec<u8> {
    encoding::encode(&Canonical(proposal.clone()))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Proposal, DecodeError> {
    encoding::decode::<Canonical>(bytes, MAX_BYTES).map(|Canonical(proposal)| proposal)
}

struct Canonical(Proposal);

/// What both versions begin with.
#[derive(Serialize, Deserialize)]
struct Fields {
    version: u8,
    epoch: Epoch,
    n: u16,
    f: u16,
    g: u16,
    revealed_limit: u16,
    ordering: Ordering,
    blocks: Blocks,
    deadlines: Deadlines,
    accounting: Option<Accounting>,
    rollups: Vec<Rollup>,
    members: Vec<Member>,
}

impl Serialize for Canonical {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Proposal {
            version,
            epoch,
            n,
            f,
            g,
            revealed_limit,
            ordering,
            blocks,
            deadlines,
            accounting,
            rollups,
            members,
            resharing,
        } = self.0.clone();
        let fields = Fields {
            version,
            epoch,
            n,
            f,
            g,
            revealed_limit,
            ordering,
            blocks,
            deadlines,
            accounting,
            rollups,
            members,
        };
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&fields)?;
        if let Some(resharing) = &resharing {
            tuple.serialize_element(resharing)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Canonical {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Canonical;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the fields of a proposal")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Canonical, A::Error> {
                let missing = || A::Error::custom("a proposal without fields");
                let fields: Fields = parts.next_element()?.ok_or_else(missing)?;
                let resharing: Option<Resharing> =
                    if fields.version == RESHARING_VERSION { parts.next_element()? } else { None };
                Ok(Canonical(Proposal {
                    version: fields.version,
                    epoch: fields.epoch,
                    n: fields.n,
                    f: fields.f,
                    g: fields.g,
                    revealed_limit: fields.revealed_limit,
                    ordering: fields.ordering,
                    blocks: fields.blocks,
                    deadlines: fields.deadlines,
                    accounting: fields.accounting,
                    rollups: fields.rollups,
                    members: fields.members,
                    resharing,
                }))
            }
        }
        deserializer.deserialize_tuple(2, Parts)
    }
}
