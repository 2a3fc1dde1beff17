//! Turns the order logs of a quorum into one fair order
