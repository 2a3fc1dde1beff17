//! Tests that need the private rules, and builders that several tests share.
#![allow(clippy::unwrap_used)]

mod bounds;
mod counterexamples;
mod epochs;
mod mutants;
mod random;
mod signed;
