//! Rule 6: what left about decryption shares, against the votes that had left before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairveil_crypto::certificate::batch_id;
use fairveil_crypto::share::SignedShare;
use fairveil_crypto::{BatchId, BlockDigest, BundleId, Height};

use super::Case;
use crate::committee::keys::Term;
use crate::committee::trace::Sent;

impl Case<'_> {
    /// Rule 6. A height is final no sooner than a quorum has sent its votes to finalize its block
    /// or a later one. A run may be cut while a height becomes final: votes for a block that is on no
    /// disk yet, once all others are final, are for the next height.
    pub(super) fn shares(&mut self) {
        let mut heights: BTreeMap<BlockDigest, u64> =
            self.headers.iter().map(|(height, (digest, _))| (*digest, *height)).collect();
        // After an epoch's end too: they make the end final.
        for (block, height) in self.honest.iter().flat_map(|view| &view.certified) {
            heights.entry(*block).or_insert(*height);
        }
        let batches = self.batches();
        let stored = self.headers.keys().next_back().copied().unwrap_or(0);
        let honest = self.given.plan.honest();
        let mut votes: BTreeMap<BlockDigest, BTreeSet<usize>> = BTreeMap::new();
        let (mut final_height, mut shares, mut hints) = (0, 0, 0);
        let mut wrong = Vec::new();
        for (member, sent) in &self.given.trace {
            let who = member + 1;
            match sent {
                Sent::Finalize(block) => {
                    let voters = votes.entry(*block).or_default();
                    voters.insert(*member);
                    let next = || (final_height >= stored).then_some(final_height + 1);
                    if let Some(height) = heights.get(block).copied().or_else(next)
                        && voters.len() >= self.quorum_at(height.min(stored))
                    {
                        heights.insert(*block, height);
                        final_height = final_height.max(height);
                    }
                }
                Sent::Share { height, batch, share } if honest.contains(member) => {
                    wrong.extend(self.of_its_epoch(*member, *height, share));
                    shares += 1;
                    if *height > final_height {
                        wrong.push(format!(
                            "sequencer {who} sent a share of height {height} when {final_height} \
                             was final"
                        ));
                    }
                    if *height <= stored && batches.get(height) != Some(batch) {
                        wrong.push(format!(
                            "sequencer {who} sent a share of another order than that of {height}"
                        ));
                    }
                }
                Sent::Hints { height } if honest.contains(member) => {
                    hints += 1;
                    if *height > final_height {
                        wrong.push(format!(
                            "sequencer {who} sent hints of height {height} when {final_height} \
                             was final"
                        ));
                    }
                }
                Sent::Unreadable if honest.contains(member) => {
                    wrong.push(format!("sequencer {who} sent what nobody reads"));
                }
                Sent::Share { .. } | Sent::Hints { .. } | Sent::Request | Sent::Unreadable => {}
            }
        }
        wrong.extend(self.read_early());
        self.counts.insert("shares_sent".into(), shares);
        self.counts.insert("hints_sent".into(), hints);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// The committee that owns a height.
    fn term_at(&self, height: u64) -> Option<Arc<Term>> {
        let (_, header) = self.headers.get(&height)?;
        self.given.keys.term_of(header.epoch)
    }

    /// Votes that make a block of this height final.
    fn quorum_at(&self, height: u64) -> usize {
        self.term_at(height).map_or(usize::MAX, |term| term.committee.quorum().into())
    }

    /// Rule 17: whether a share is its sender's in the epoch of the height that it names.
    fn of_its_epoch(&self, member: usize, height: u64, share: &SignedShare) -> Option<String> {
        let who = member + 1;
        let wrong =
            || format!("sequencer {who} sent a share of height {height} from another epoch");
        let term = self.term_at(height)?;
        let own = term.index_of(member) == Some(share.index);
        let signed = share.verify_signature(&term.committee, &share.batch).is_ok();
        (!(own && signed)).then(wrong)
    }

    /// What an adversary could open before the block that orders it was proposed.
    fn read_early(&self) -> Vec<String> {
        let attacks = self.given.overviews.iter().flatten();
        let read = attacks.filter_map(|overview| overview.attack.as_ref()).flat_map(|a| &a.read);
        let early = |(id, at): &&(BundleId, u64)| {
            let header = self.spots.get(id).and_then(|(spot, _)| self.headers.get(&spot.height));
            header.is_none_or(|(_, header)| *at < header.time_ms)
        };
        let say =
            |(id, at): &(BundleId, u64)| format!("{id} was read at {at} ms, before its order");
        read.filter(early).map(say).collect()
    }

    /// What may be opened at each height.
    fn batches(&self) -> BTreeMap<u64, BatchId> {
        let network = &self.given.keys.network_id;
        self.emissions
            .iter()
            .filter_map(|(height, emission)| {
                let (block, _) = self.headers.get(height)?;
                let ids = emission.to_open();
                Some((*height, batch_id(network, Height::new(*height), block, &ids)))
            })
            .collect()
    }
}
