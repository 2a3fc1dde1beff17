//! The committed examples: that they are what the code makes, and that they do what they say.

#![allow(clippy::unwrap_used)]

mod arbitrage;
mod burn_and_mint;
mod contracts;
mod files;
mod joint;
mod readme;
mod vault;
mod vote;
