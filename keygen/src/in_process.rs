//! A ceremony with a list in the place of its chain: for tests and simulations alone.

use std::time::Duration;

use fairveil_crypto::committee::KeyShare;

use crate::{Ceremony, Input, Output, Record, Transcript};

/// What it made.
pub struct Made {
    /// The agreed entries, in their order.
    pub entries: Vec<Vec<u8>>,
    /// The transcript.
    pub transcript: Transcript,
    /// The key shares, by index.
    pub shares: Vec<KeyShare>,
}

/// Runs these machines, without time passing, until nobody has anything to post. None if they made no key.
#[must_use]
pub fn run(machines: &mut [Ceremony]) -> Option<Made> {
    let (mut entries, mut shares, mut done) = (Vec::<Vec<u8>>::new(), Vec::new(), 0);
    let mut next = Some(Input::Wake);
    while let Some(input) = next.take() {
        for machine in &mut *machines {
            for output in machine.handle(Duration::ZERO, input.clone()) {
                match output {
                    Output::Post(entry) => entries.push(entry.encode()),
                    Output::Persist(Record::Membership(made)) => shares.push(made.share),
                    _ => {}
                }
            }
        }
        if let Some(entry) = entries.get(done) {
            next = Some(Input::Agreed { height: done as u64, entries: vec![entry.clone()] });
            done += 1;
        }
    }
    shares.sort_by_key(KeyShare::index);
    let transcript = machines.first()?.transcript()?;
    Some(Made { entries, transcript, shares })
}
