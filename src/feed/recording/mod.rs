//! A feed's traffic as a file: what sockets said, when, and in which order the core heard it.
//!
//! A [`Tap`](tap::Tap) stands in each network's [`Port`](super::networks::Port); while somebody records, sessions tell it
//! what passes. [`mod@file`] is the form on disk, which is also what travels to whoever records; [`parts`] are its files.
//!
//! *Always holds:* the order of a recording is the order in which the core heard it, over all sockets; of the headers
//! only the path, `X-Token` and `X-Client-Type` are in it, of the frames none that authenticates; recording never
//! makes a feed wait.

pub mod file;
pub mod parts;
pub mod tap;

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

/// Something that happened on a socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Microseconds since the recording began.
    pub after_us: u64,
    /// The socket's number in the node that recorded.
    pub socket: u64,
    /// Happened.
    pub what: Happened,
}

/// Happened happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// The recording begins; always the first.
    Began(Began),
    /// A socket chose the network, or spoke for the first time since the recording began.
    Opened(Opened),
    /// It said this; the flag is for binary frames.
    Heard(Bytes, bool),
    /// The node said this to it: a question, an answer to `sync_status`, an error.
    Said(String),
    /// The node acknowledged so many of its ops, in one go. (One frame for each would be half of the file.)
    Acked(u32),
    /// It is gone, or has chosen another network.
    Closed(String),
    /// Whoever recorded took less than came: from here on something is missing.
    Lost,
}

/// Happened a recording says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// Network.
    pub network: String,
    /// Version of the node that recorded.
    pub software: String,
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// Whether the network had no batch yet: only then a replay into a fresh node gives the same ids and state.
    pub fresh: bool,
}

/// How a socket was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Path of its request, without the query.
    pub path: String,
    /// `X-Token`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `X-Client-Type`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// It had spoken before: its `identify` follows, what else it said is not in the recording.
    #[serde(default)]
    pub joined: bool,
}
