//! `fairveil keygen verify`: what a transcript proves.

use std::path::Path;

use fairveil_keygen::{
    Transcript, VerifiedTranscript, definition::short_digest,
    transcript::MAX_BYTES as MAX_TRANSCRIPT_BYTES,
};
use serde_json::json;

use super::super::{disk, error::CommandError, network::network_id};
use crate::cli::exit;

/// A transcript that verifies, and founds the network if one is given.
pub(super) fn verified(
    path: &Path,
    network: Option<&str>,
) -> Result<VerifiedTranscript, CommandError> {
    let expected = network.map(network_id).transpose()?;
    let bytes = disk::read(path, MAX_TRANSCRIPT_BYTES)?;
    Transcript::from_json(&bytes)
        .and_then(|transcript| transcript.verify())
        .and_then(|verified| match &expected {
            Some(expected) => verified.of_network(expected),
            None => Ok(verified),
        })
        .map_err(|error| CommandError::Check(format!("{}: {error}", path.display())))
}

/// Verifies a transcript and prints what it proves.
pub(super) fn verify(path: &Path, network: Option<&str>, json: bool) -> Result<u8, CommandError> {
    let verified = verified(path, network)?;
    let committee = verified.committee();
    let (result, confirmed) = (verified.result(), verified.confirmed().len());
    if json {
        let epochs: Vec<_> = verified
            .epochs()
            .map(|epoch| {
                let (definition, committee) = (epoch.definition(), epoch.committee());
                let names: Vec<_> =
                    definition.members().iter().map(|member| member.name.as_str()).collect();
                json!({
                    "epoch": epoch.epoch(), "definition": definition.digest(), "n": committee.n(),
                    "t": committee.t(), "members": names, "transcript": epoch.digest(),
                    "effective_threshold": epoch.result().effective_threshold,
                    "boundary": definition.resharing().map(|resharing| resharing.boundary),
                })
            })
            .collect();
        let value = json!({
            "network_id": verified.network_id(), "committee_key": result.committee_key,
            "key_id": committee.key_id(), "epoch": committee.epoch(), "n": committee.n(),
            "t": committee.t(), "effective_threshold": result.effective_threshold,
            "revealed": result.revealed, "confirmed": confirmed, "digest": verified.digest(),
            "pinned": network.is_some(), "epochs": epochs,
        });
        println!("{value}");
        return Ok(exit::OK);
    }
    println!("network       {}", verified.network_id());
    println!("committee key {}", result.committee_key);
    println!("key id        {}", committee.key_id());
    for epoch in verified.epochs().filter(|_| committee.epoch().get() > 1) {
        let definition = epoch.definition();
        let names: Vec<_> =
            definition.members().iter().map(|member| member.name.as_str()).collect();
        println!(
            "epoch {}       {} ({})",
            epoch.epoch(),
            names.join(", "),
            short_digest(&definition.digest())
        );
    }
    println!(
        "any {} of {} open together; {confirmed} members confirmed their shares",
        committee.t(),
        committee.n()
    );
    if !result.revealed.is_empty() {
        println!(
            "the shares of {} members were revealed: {} of the others open it together",
            result.revealed.len(),
            result.effective_threshold
        );
    }
    if network.is_none() {
        println!("Nothing was pinned: compare the network id with one from whom you trust.");
    }
    Ok(exit::OK)
}
