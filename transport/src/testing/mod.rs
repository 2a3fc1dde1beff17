//! For tests of this crate and of those above it: a lossy proxy, and a peer without manners.

mod proxy;
mod raw;

pub use proxy::{Faults, LossyProxy};
pub use raw::{RawPeer, RawPeerError, first_packets};
