//! Changes of the rollups: what a block may announce.
//!
//! A change takes the approvals of a quorum of the committee that votes on the block, and has to be
//! one that the schedule admits at the block's height ([`fairveil_registry::schedule`]).

use std::sync::Arc;

use fairveil_crypto::committee::threshold;
use fairveil_registry::change::{ApprovedChange, RegistryChange};
use fairveil_registry::schedule::{Announcement, Schedule};

use super::{BlockFault, ChainState};
use crate::block::SystemEntry;

impl ChainState {
    /// The rollups at the tip, and the changes that are announced.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Whether the next block could announce this change.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn announces(&self, change: &ApprovedChange) -> Result<(), BlockFault> {
        let mut schedule = Schedule::clone(&self.schedule);
        schedule.advance(self.tip.height.next());
        // Signatures last: they cost most.
        schedule.check(&change.change, self.announcement())?;
        self.approved(change)
    }

    /// Those of these changes that the next block can announce, one after the other.
    #[must_use]
    pub fn announceable(&self, changes: Vec<ApprovedChange>, most: usize) -> Vec<ApprovedChange> {
        let mut schedule = Schedule::clone(&self.schedule);
        schedule.advance(self.tip.height.next());
        let block = self.announcement();
        let admits = |change: &ApprovedChange| {
            schedule.check(&change.change, block).is_ok()
                && self.approved(change).is_ok()
                && schedule.announce(&change.change, block).is_ok()
        };
        changes.into_iter().filter(admits).take(most).collect()
    }

    /// Goes on to the next height, and announces what its block carries.
    pub(super) fn announce(
        &mut self,
        system: &[SystemEntry],
    ) -> Result<Vec<RegistryChange>, BlockFault> {
        let block = self.announcement();
        let mut schedule = Schedule::clone(&self.schedule);
        let made = schedule.advance(block.height);
        self.forget_anchors(&made);
        let mut announced = Vec::new();
        for entry in system {
            let SystemEntry::RegistryChange(change) = entry else { continue };
            schedule.check(&change.change, block)?;
            self.approved(change)?;
            schedule.announce(&change.change, block)?;
            announced.push(change.change.clone());
        }
        self.schedule = Arc::new(schedule);
        Ok(announced)
    }

    fn approved(&self, change: &ApprovedChange) -> Result<(), BlockFault> {
        let keys = &self.parameters.given.keys;
        let quorum = threshold(self.parameters.given.committee.n());
        Ok(change.verify(keys, quorum)?)
    }

    fn announcement(&self) -> Announcement {
        Announcement { height: self.tip.height.next(), after_ms: self.tip.time_ms }
    }
}
