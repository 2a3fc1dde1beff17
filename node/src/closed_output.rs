//! Standard output whose reader goes away, as `head` does: the process ends quietly.
//!
//! `println!` panics then. On the main thread that panic unwinds, so that child processes and
//! temporary folders end too; on any other thread it ends the process.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    process, thread,
};

use crate::cli::exit;

/// What `run` returns, or the exit code of an output that was closed.
pub(crate) fn noticed(run: impl FnOnce() -> u8) -> u8 {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_closed(info.payload()) {
            usual(info);
        } else if thread::current().name() != Some("main") {
            process::exit(exit::CLOSED_OUTPUT.into());
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(code) => code,
        Err(payload) if is_closed(&*payload) => exit::CLOSED_OUTPUT,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Whether a panic is that of `println!` without a reader.
fn is_closed(payload: &(dyn Any + Send)) -> bool {
    payload.downcast_ref::<String>().is_some_and(|text| {
        text.starts_with("failed printing to stdout") && text.contains("Broken pipe")
    })
}
