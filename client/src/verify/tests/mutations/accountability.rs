//! Changed traces and proofs of omission.

use fairveil_crypto::certificate::Emission;

use super::*;
use crate::censorship::tests::PROOF;
use crate::trace::TraceFile;

/// The first height's order, and receipts of two members for two of its bundles.
pub(super) fn trace() -> File {
    let signed = |sequencer, number: usize| {
        WORLD.receipt(sequencer, SCENE.id(number), Place::Position(number as u64))
    };
    let receipts = vec![signed(4, 0), signed(4, 1), signed(5, 1), signed(5, 0)];
    let orders = vec![SCENE.orders[0].clone()];
    File::Trace(Box::new(TraceFile { network_id: network_id(), receipts, orders }))
}

pub(super) fn censorship() -> File {
    File::Censorship(Box::new(PROOF.clone()))
}

pub(super) fn accountability_mutations() -> Vec<Mutation> {
    let id = |number| SCENE.id(number);
    vec![
        json(
            "trace: other network",
            &trace(),
            |v| v["network_id"] = strangers().to_string().into(),
            |_| format!("of network {}, expected {}", strangers(), network_id()),
        ),
        json(
            "trace: other position",
            &trace(),
            |v| v["receipts"][3]["body"]["place"]["position"] = 9.into(),
            |_| {
                format!(
                    "the trace: receipt 4, of bundle {}: sequencer 5 did not sign this: at \
                     position 9, height 3, time 1000 ms (1 faults in all)",
                    id(0)
                )
            },
        ),
        json(
            "trace: two ids exchanged",
            &trace(),
            |v| list(&mut v["orders"][0]["emission"]["cohorts"][0]).swap(0, 1),
            |v| {
                let order = &v["orders"][0];
                let emission: Emission = typed(&order["emission"]);
                let actual = result_root(&emission, &typed(&order["state_digest"]));
                format!(
                    "the trace: order certificate 1, of height 1: result root is {actual}, the \
                     last header has {} (1 faults in all)",
                    at(order, "/headers/1/result_root")
                )
            },
        ),
        json(
            "censorship: 255 heights",
            &censorship(),
            |v| drop(list(&mut v["orders"]).pop()),
            |_| "the order is shown to height 258, it is needed to height 259",
        ),
        json(
            "censorship: a height left out",
            &censorship(),
            |v| drop(list(&mut v["orders"]).remove(7)),
            |_| "height 9 follows height 7, height 8 is missing",
        ),
        json(
            "censorship: begins late",
            &censorship(),
            |v| drop(list(&mut v["orders"]).remove(0)),
            |_| "the first order is of height 2, it is needed from height 1 on",
        ),
        json(
            "censorship: one receipt",
            &censorship(),
            |v| drop(list(&mut v["receipts"]).pop()),
            |_| "receipts of 1 distinct sequencers, 2 are needed",
        ),
        json(
            "censorship: other height of a receipt",
            &censorship(),
            |v| v["receipts"][1]["body"]["height"] = 2.into(),
            |_| "receipt 2: sequencer 2 did not sign this: at position 4, height 2, time 1000 ms",
        ),
        json(
            "censorship: other id",
            &censorship(),
            |v| v["sealed"]["id"] = id(2).to_string().into(),
            |_| format!("`id` is {}, the sealed bundle's is {}", id(2), id(0)),
        ),
        json(
            "censorship: an emission left out",
            &censorship(),
            |v| list(&mut v["orders"][3]["emission"]["cohorts"]).clear(),
            |v| {
                let order = &v["orders"][3];
                let emission: Emission = typed(&order["emission"]);
                let actual = result_root(&emission, &typed(&order["state_digest"]));
                format!(
                    "order certificate 4, of height 4: result root is {actual}, the last header \
                     has {}",
                    at(order, "/headers/0/result_root")
                )
            },
        ),
    ]
}
