//! 32-byte identities, one type per meaning: a block digest is never taken for a bundle id.

crate::hex::byte_newtype! {
    /// A hash by [`crate::domain::hash`] without a more special meaning.
    Digest(32),
    /// A network: the digest of its first definition, never changed by resharing or new epochs.
    NetworkId(32),
    /// A sealed bundle: `keccak256(header ‖ ciphertext)`; the signature is not covered.
    BundleId(32),
    /// A committee key: `H(tag, P)`.
    KeyId(32),
    /// A block: the domain hash of its header.
    BlockDigest(32),
    /// A batch of ciphertexts that are opened together at one height.
    BatchId(32),
}
