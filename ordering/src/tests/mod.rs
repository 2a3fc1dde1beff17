//! Tests that need the private rules, and builders that several tests share.
#![allow(clippy::unwrap_used)]

mod bounds;
mod counterexamples;
mod epochs;
mod lemmas;
mod liveness;
mod mutants;
mod page;
mod random;
mod signed;
mod soft_cap;
