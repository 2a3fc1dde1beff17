//! Cubic, that lets a goodbye through.
//!
//! QUIC's CONNECTION_CLOSE is not subject to congestion control, but quinn-proto up to 0.11.19
//! holds it back like data while a stream has something to send and the window is full. A closed
//! connection reads no acknowledgements any more, so the window stays full: the peer is never told,
//! and learns of the end from its idle timeout. [`close`] opens the window first; after that the
//! connection sends nothing but its goodbye. (Reported as quinn issue 2785 and mended by 2787, which
//! no release has yet: with one that does, this module can go.)
//!
//! Invariants:
//!
//! 1. Whoever closes a connection of this crate does it by [`close`].
//! 2. Until then the window is Cubic's.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use quinn::{
    Connection, VarInt,
    congestion::{Controller, ControllerFactory, CubicConfig},
};
use quinn_proto::RttEstimator;

/// Larger than what may ever be in flight, and so large that quinn does not pace it.
const OPEN_WINDOW_BYTES: u64 = 1 << 40;

/// Makes the controllers of an endpoint's connections.
#[derive(Debug, Default)]
pub(crate) struct ClosableCubic(Arc<CubicConfig>);

struct Closable {
    cubic: Box<dyn Controller>,
    closing: Arc<AtomicBool>,
}

/// Closes a connection so that the peer hears it whatever is on the way.
pub(crate) fn close(connection: &Connection, code: VarInt, reason: &[u8]) {
    // A copy of the controller's state, with the same flag.
    if let Ok(state) = connection.congestion_state().into_any().downcast::<Closable>() {
        state.closing.store(true, Ordering::Release);
    }
    connection.close(code, reason);
}

impl ControllerFactory for ClosableCubic {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let cubic = self.0.clone().build(now, current_mtu);
        Box::new(Closable { cubic, closing: Arc::default() })
    }
}

impl Controller for Closable {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.closing.load(Ordering::Acquire) { OPEN_WINDOW_BYTES } else { self.cubic.window() }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { cubic: self.cubic.clone_box(), closing: self.closing.clone() })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
