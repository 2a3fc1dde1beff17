//! The one binary of Fairveil.
fn main() {}
