//! The rollups of a network, their slots, and how that list changes while the network runs.
//!
//! | module | |
//! |---|---|
//! | [`registry`] | the rollups that hold at a height |
//! | [`anchor`] | blocks of rollups that others feed too, over whose states is simulated |
//! | [`slot`] | the common period of the rollups' blocks |
//! | [`change`] | join, pause, resume, leave: what a committee's quorum approves |
//! | [`schedule`] | the registry that holds, and the changes that are announced |

#![forbid(unsafe_code)]

pub mod anchor;
pub mod change;
pub mod registry;
pub mod schedule;
pub mod slot;
