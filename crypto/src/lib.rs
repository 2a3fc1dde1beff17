//! Encrypts to a committee, opens with a quorum, signs, hashes, and encodes bytes in exactly one way
