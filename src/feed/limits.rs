//! What a session allows its peer.
//!
//! *Always holds:* every figure has a reason and a bound; tests use smaller ones.

use crate::access::dialogue::PATIENCE;
use std::time::Duration;

/// What a session allows its peer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message before `identify`, in bytes.
    pub before_identify: usize,
    /// Largest message after `identify`, in bytes.
    pub after_identify: usize,
    /// Replies that may lie unread, in bytes, before a socket that takes none is closed.
    pub unread: usize,
    /// How long a socket may take nothing while more than `unread` waits for it.
    pub stuck: Duration,
    /// Silence after which we ping; the same again, and the socket is given up.
    pub ping: Duration,
    /// Bytes, as they weigh while they are understood, of large frames on all sockets.
    pub frames: usize,
    /// Bytes of replies that may wait on all sockets.
    pub replies: usize,
    /// How long a large frame may take, beside a second for each MiB: others may wait for its room.
    pub frame: Duration,
    /// How long a stranger may take to prove who it is.
    pub prove: Duration,
    /// How long a session that leaves its network waits for the last replies.
    pub leave: Duration,
    /// How long a closed socket may take to read the reason.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            before_identify: 1 << 20,
            after_identify: 64 << 20,
            unread: 1 << 20,
            stuck: Duration::from_secs(5),
            frames: 256 << 20,
            replies: 64 << 20,
            frame: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            prove: PATIENCE,
            leave: Duration::from_secs(5),
            linger: Duration::from_secs(2),
        }
    }
}
