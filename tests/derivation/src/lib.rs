//! Judges what is written for OP Stack rollups by a derivation pipeline of others.
//!
//! The judge is the test target `op_derivation`: kona's complete pipeline, from L1 blocks to
//! payload attributes, over chains in memory. It stands in a crate of its own because kona brings
//! alloy 1.8 beside 2.5 and takes a minute to compile: nothing else waits for it, and no change
//! of ours compiles it again.
