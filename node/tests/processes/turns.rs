//! How many networks the tests run at a time.
//!
//! Five sequencers wait more than they compute, so some networks share the cores; what drives one as
//! hard as it can has all of them. Who stands at the turnstile goes before all behind, so that who
//! needs all places is not overtaken for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Networks beside each other on the smallest machine, of 2 cores.
const PLACES: usize = 3;

static TURNSTILE: Mutex<()> = Mutex::new(());
static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

/// What a test holds while it runs a network.
#[must_use]
pub(crate) struct Turn(usize);

/// Waits until there is room beside others.
pub(crate) fn beside_others() -> Turn {
    take(1)
}

/// Waits until no other test runs a network, and keeps the others waiting.
pub(crate) fn alone() -> Turn {
    take(PLACES)
}

fn take(places: usize) -> Turn {
    let _turn = lock(&TURNSTILE);
    let taken = LEFT.wait_while(lock(&TAKEN), |taken| *taken + places > PLACES);
    *taken.unwrap_or_else(PoisonError::into_inner) += places;
    Turn(places)
}

/// A test that failed leaves the numbers as they should be.
fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&TAKEN) -= self.0;
        LEFT.notify_all();
    }
}
