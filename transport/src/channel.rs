//! The channels between two sequencers, with their priorities and limits.
//!
//! Every channel has a stream of its own in each direction, so that a stalled channel never
//! stalls another; the sender's QUIC stack serves the channel with the highest priority first.
//! The table below is the only place where a limit of a channel is written down.
//!
//! Invariants:
//!
//! 1. Two channels never share an id or a priority.
//! 2. A message of at most [`INLINE_BYTES`] travels on the channel's own stream, in order; a
//!    larger one on a stream of its own, of which [`Channel::large_streams`] may be in flight.
//! 3. Any message of any channel fits the flow control window of one stream, so that a receiver
//!    that waits for a whole message never waits for its own credit.
//! 4. A queue has room for at least one largest message of its channel.

/// Messages up to this size share the stream of their channel; larger ones get one each.
pub const INLINE_BYTES: usize = 64 * 1024;

/// Number of channels.
pub const CHANNELS: usize = 8;

/// One kind of traffic between two sequencers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Votes of the consensus engine.
    Votes = 1,
    /// Certificates of the consensus engine.
    Certificates = 2,
    /// The engine's requests for certificates, and the answers.
    Resolver = 3,
    /// Decryption shares.
    Shares = 4,
    /// Fragments and heads of the order logs.
    Fragments = 5,
    /// Proposed blocks.
    Blocks = 6,
    /// Sealed bundles, relayed and fetched.
    Bundles = 7,
    /// Old blocks for a sequencer that catches up.
    Backfill = 8,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The arriving message is dropped and counted: it would be stale by the time it is read.
    Drop,
    /// The stream is no longer read, so that QUIC's flow control stops the peer.
    Wait,
}

/// Bound of one queue: of one peer, one channel and one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBound {
    /// Largest number of messages.
    pub messages: usize,
    /// Largest sum of their sizes.
    pub bytes: usize,
}

struct Row {
    channel: Channel,
    name: &'static str,
    priority: i32,
    max_message_bytes: usize,
    large_streams: usize,
    queue: QueueBound,
    when_full: WhenFull,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

const fn queue(messages: usize, bytes: usize) -> QueueBound {
    QueueBound { messages, bytes }
}

const TABLE: [Row; CHANNELS] = [
    Row {
        channel: Channel::Votes,
        name: "votes",
        priority: 40,
        max_message_bytes: 8 * KIB,
        large_streams: 0,
        queue: queue(1024, MIB),
        when_full: WhenFull::Drop,
    },
    Row {
        channel: Channel::Certificates,
        name: "certificates",
        priority: 30,
        max_message_bytes: 64 * KIB,
        large_streams: 0,
        queue: queue(256, MIB),
        when_full: WhenFull::Drop,
    },
    Row {
        channel: Channel::Resolver,
        name: "resolver",
        priority: 20,
        max_message_bytes: 64 * KIB,
        large_streams: 0,
        queue: queue(256, MIB),
        when_full: WhenFull::Drop,
    },
    Row {
        channel: Channel::Shares,
        name: "shares",
        priority: 15,
        max_message_bytes: MIB + 64 * KIB,
        large_streams: 2,
        queue: queue(512, 4 * MIB),
        when_full: WhenFull::Drop,
    },
    Row {
        channel: Channel::Fragments,
        name: "fragments",
        priority: 12,
        max_message_bytes: 256 * KIB,
        large_streams: 2,
        queue: queue(512, 2 * MIB),
        when_full: WhenFull::Drop,
    },
    Row {
        channel: Channel::Blocks,
        name: "blocks",
        priority: 10,
        max_message_bytes: MIB + 64 * KIB,
        large_streams: 4,
        queue: queue(32, 4 * MIB),
        when_full: WhenFull::Wait,
    },
    Row {
        channel: Channel::Bundles,
        name: "bundles",
        priority: 5,
        max_message_bytes: 256 * KIB,
        large_streams: 4,
        queue: queue(2048, 4 * MIB),
        when_full: WhenFull::Wait,
    },
    Row {
        channel: Channel::Backfill,
        name: "backfill",
        priority: 0,
        max_message_bytes: MIB + 128 * KIB,
        large_streams: 2,
        queue: queue(64, 4 * MIB),
        when_full: WhenFull::Wait,
    },
];

impl Channel {
    /// Every channel, the most urgent first.
    pub const ALL: [Self; CHANNELS] = {
        let mut all = [Self::Votes; CHANNELS];
        let mut at = 0;
        while at < CHANNELS {
            all[at] = TABLE[at].channel;
            at += 1;
        }
        all
    };

    /// The id on the wire.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The channel with this id on the wire.
    pub const fn from_id(id: u8) -> Option<Self> {
        if id == 0 || id as usize > CHANNELS { None } else { Some(TABLE[id as usize - 1].channel) }
    }

    /// Position in [`Channel::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// Name in metrics and logs.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Priority of its streams: a higher one is always served first.
    pub const fn priority(self) -> i32 {
        self.row().priority
    }

    /// Largest message; sending or receiving a larger one is an error.
    pub const fn max_message_bytes(self) -> usize {
        self.row().max_message_bytes
    }

    /// How many messages over [`INLINE_BYTES`] may be in flight to one peer.
    pub const fn large_streams(self) -> usize {
        self.row().large_streams
    }

    /// Bound of each queue of this channel, outgoing and incoming.
    pub const fn queue(self) -> QueueBound {
        self.row().queue
    }

    /// What a full incoming queue does. A full outgoing queue always drops.
    pub const fn when_full(self) -> WhenFull {
        self.row().when_full
    }

    const fn row(self) -> &'static Row {
        &TABLE[self.index()]
    }
}

/// Large messages in flight on all channels of one connection and direction.
pub(crate) const LARGE_STREAMS: usize = {
    let mut sum = 0;
    let mut at = 0;
    while at < CHANNELS {
        sum += TABLE[at].large_streams;
        at += 1;
    }
    sum
};

/// One stream per channel, and the one that carries the greeting.
pub(crate) const UNI_STREAMS: usize = CHANNELS + 1;

/// Flow control credit of one stream.
pub(crate) const STREAM_WINDOW_BYTES: usize = 1280 * KIB;

/// Flow control credit of one connection: every stream may be full at once, so that a channel
/// that is not read never takes the credit of another.
pub(crate) const CONNECTION_WINDOW_BYTES: usize =
    (UNI_STREAMS + LARGE_STREAMS) * STREAM_WINDOW_BYTES;

const _: () = {
    let mut at = 0;
    while at < CHANNELS {
        let row = &TABLE[at];
        assert!(row.channel as usize == at + 1, "ids count from one, in the order of the table");
        assert!(at == 0 || TABLE[at - 1].priority > row.priority, "priorities fall strictly");
        assert!(row.max_message_bytes + 64 <= STREAM_WINDOW_BYTES, "a message fits a stream");
        assert!(row.max_message_bytes <= row.queue.bytes, "a message fits its queue");
        assert!(row.queue.messages > 0, "a queue holds something");
        assert!(
            (row.max_message_bytes > INLINE_BYTES) == (row.large_streams > 0),
            "large streams where there are large messages"
        );
        at += 1;
    }
    assert!(CONNECTION_WINDOW_BYTES < u32::MAX as usize, "windows are QUIC varints");
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 1.
    #[test]
    fn ids_are_a_bijection() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_id(channel.id()), Some(channel));
            assert_eq!(Channel::ALL[channel.index()], channel);
        }
        assert_eq!(Channel::from_id(0), None);
        assert_eq!(Channel::from_id(9), None);
        assert_eq!(Channel::from_id(255), None);
    }

    #[test]
    fn priorities_are_those_of_the_design() {
        let expected = [
            (Channel::Votes, 40),
            (Channel::Certificates, 30),
            (Channel::Resolver, 20),
            (Channel::Shares, 15),
            (Channel::Fragments, 12),
            (Channel::Blocks, 10),
            (Channel::Bundles, 5),
            (Channel::Backfill, 0),
        ];
        assert_eq!(Channel::ALL.map(|channel| (channel, channel.priority())), expected);
    }
}
