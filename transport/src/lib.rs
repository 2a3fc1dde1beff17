//! Moves bounded, authenticated messages between sequencers, and from traders, over QUIC
