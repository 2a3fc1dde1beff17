//! The block, and what a validator proposes, verifies and finalizes, on commonware
