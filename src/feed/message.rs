//! What a feed and the core of its network tell each other.

use honeygraph_protocols::honeycomb::{Checkpoint, HashText, Ops};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A socket's number, unique while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub u64);

/// Who speaks, for status and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FeedInfo {
    /// Remote address.
    pub remote: String,
    /// `identify.source`
    pub source: Option<String>,
    /// `identify.version`
    pub version: Option<String>,
    /// Token as identified.
    pub token: String,
}

/// Capacity of a feed's outbox, in messages. When it is full the client does not read: the core drops the feed's
/// outbox, the session closes the socket, its ops stay.
pub const OUTBOX_CAPACITY: usize = 64 * 1024;

/// What a feed tells its network's core. Messages of one feed arrive in order.
#[derive(Debug)]
pub enum ToCore {
    /// A socket chose this network.
    Open {
        /// The socket.
        feed: FeedId,
        /// Who it is.
        info: FeedInfo,
        /// Where answers go.
        outbox: mpsc::Sender<FromCore>,
    },
    /// It said something. What it weighs counts against the network's intake until the [`Load`] is dropped.
    Said(FeedId, Said, Load),
    /// The socket is gone (or has chosen another network).
    Gone(FeedId),
}

/// Room that a message takes in its network's intake ([`super::networks::INTAKE_BYTES`]), and in the node's budget if it
/// came in a large frame: the core drops it once it has dealt with the message, so that waiting messages are bounded in
/// bytes as well as in number.
#[derive(Debug, Default)]
pub struct Load(pub Option<OwnedSemaphorePermit>, pub Option<OwnedSemaphorePermit>);

/// What matters to a lane in what a feed said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// `sync_status`: answered with the durable last index.
    SyncStatus {
        /// Last index the client ever sent; 0 for a new process.
        last_index: u64,
    },
    /// `subscribe`: like `sync_status` without the answer.
    Subscribe {
        /// Last index, if it said one.
        last_index: Option<u64>,
    },
    /// Ops and markers.
    Ops(Ops),
    /// A checkpoint message.
    Checkpoint(Checkpoint),
    /// `fork_start`
    ForkStart {
        /// Opening hash.
        hash: Option<HashText>,
        /// Block as sent.
        block: Option<u64>,
    },
    /// `fork_detected`
    ForkDetected {
        /// Hash it leaves.
        old: Option<HashText>,
        /// Hash it goes to.
        new: Option<HashText>,
        /// Block as sent.
        block: Option<u64>,
    },
}

/// What the core wants said to a feed. Sent as soon as it is decided; the session holds back what carries an `lsn`
/// until the journal is durable up to there, and keeps the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromCore {
    /// `ack` for each of these ops, in order; `None` is an op without index.
    Acks {
        /// Durable from here on.
        lsn: u64,
        /// Index of each op; markers are not in it.
        indexes: Vec<Option<u64>>,
    },
    /// `sync_status{lastIndex,status:"synced"}`
    SyncStatus {
        /// Durable from here on.
        lsn: u64,
        /// The durable last index.
        last_index: u64,
    },
    /// `request_missing{from,to}`
    Ask {
        /// First index.
        from: u64,
        /// Last index.
        to: u64,
    },
    /// `error{error}`
    Error(String),
    /// Close the socket with this code and reason.
    Close {
        /// WebSocket close code.
        code: u16,
        /// Reason, at most 123 bytes.
        reason: &'static str,
    },
}
