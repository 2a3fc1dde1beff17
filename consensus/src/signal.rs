//! Waiting for a condition that other tasks bring about.
//!
//! # Invariants
//!
//! 1. Whoever waits tests its condition once more after every change that followed its last test.
//! 2. A change wakes in the order in which the waits began, so that a simulation replays. (tokio's
//!    `watch` wakes in a random order.)

use std::pin::pin;

use tokio::sync::Notify;

/// Wakes whoever waits for a change.
#[derive(Debug, Default)]
pub struct Signal(Notify);

impl Signal {
    /// Lets everybody who waits test again.
    pub fn changed(&self) {
        self.0.notify_waiters();
    }

    /// What `ready` finds: now, or after the first change that lets it find something.
    ///
    /// May be dropped at any point.
    pub async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut change = pin!(self.0.notified());
            // Before the test: a change during it is not missed.
            change.as_mut().enable();
            if let Some(found) = ready() {
                return found;
            }
            change.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    /// Notes that it was woken.
    struct Bell {
        name: usize,
        rung: Arc<Mutex<Vec<usize>>>,
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.rung.lock().unwrap().push(self.name);
        }
    }

    #[test]
    fn invariant_1_a_change_during_the_test_is_seen() {
        let signal = Signal::default();
        let mut tests = 0;
        let found = block_on(signal.until(|| {
            tests += 1;
            signal.changed();
            (tests == 3).then_some("found")
        }));
        assert_eq!(found, "found");
    }

    #[test]
    fn invariant_2_waits_are_woken_in_their_order() {
        let signal = Signal::default();
        let rung = Arc::new(Mutex::new(Vec::new()));
        let mut waits: Vec<_> = (0..40).map(|_| Box::pin(signal.until(|| None::<()>))).collect();
        for (name, wait) in waits.iter_mut().enumerate() {
            let bell = Arc::new(Bell { name, rung: Arc::clone(&rung) }).into();
            assert!(wait.poll_unpin(&mut std::task::Context::from_waker(&bell)).is_pending());
        }
        drop(waits.remove(7));
        signal.changed();
        let expected: Vec<_> = (0..40).filter(|name| *name != 7).collect();
        assert_eq!(*rung.lock().unwrap(), expected);
    }
}
