//! What a lane finds in its stream, and where it is told to go on: the words between a lane and the machine.

use super::record::{Before, Boundary, Close, OpenCause};
use honeygraph_protocols::honeycomb::HashText;

/// A piece ready for the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// Which period of the lane.
    pub ordinal: u32,
    /// Label of the batch.
    pub label: Option<u64>,
    /// Run.
    pub run: u32,
    /// Place of the first op.
    pub seq: u64,
    /// Index of the first item, as sent.
    pub index: Option<u64>,
    /// Index of the last item, as sent.
    pub last_index: Option<u64>,
    /// Ops.
    pub count: u32,
    /// How it ends.
    pub close: Close,
    /// Whether it begins a batch.
    pub begins: bool,
    /// Length-prefixed op texts.
    pub texts: Vec<u8>,
    /// `ops_hash` of the whole batch, when this is its last piece and it began in this lane's memory.
    pub batch_hash: Option<[u8; 32]>,
    /// Index of each op, to be acknowledged.
    pub acks: Vec<Option<u64>>,
    /// Block of the marker, as sent.
    pub block: Option<u64>,
    /// `prevCheckpointHash` of the marker.
    pub prev: Option<HashText>,
}

/// What a lane found in its stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A period begins; it is the current one from here on.
    Opened {
        /// Which period of the lane.
        ordinal: u32,
        /// Opening label.
        label: Option<u64>,
        /// Opening hash.
        hash: Option<HashText>,
        /// Why.
        cause: OpenCause,
        /// How the one before ended.
        before: Before,
        /// Place where the one before ended in the stream.
        end: u64,
    },
    /// A period's hash or label became known.
    Named {
        /// Which period of the lane.
        ordinal: u32,
        /// Opening label.
        label: Option<u64>,
        /// Opening hash.
        hash: Option<HashText>,
    },
    /// A piece is complete.
    Closed(Closed),
    /// These indexes of a run are missing.
    Hole {
        /// Which period of the lane.
        ordinal: u32,
        /// Run.
        run: u32,
        /// First missing index.
        from: u64,
        /// Last missing index.
        to: u64,
        /// Whether the feed numbers its ops, and so can be asked.
        askable: bool,
    },
    /// An item that repeats the one before it to the letter, which has left the lane already.
    Repeated(Option<u64>),
    /// An op was refused; one for each batch that it voids.
    Refused(&'static str),
    /// The batch is too large: the lane closes.
    TooLarge,
    /// The current period was announced closed by this checkpoint.
    Checkpoint {
        /// Block that it names.
        block: u64,
        /// Its hash.
        hash: HashText,
        /// Verdict on the boundary.
        boundary: Boundary,
        /// Whether it vouches for a period that is known.
        confirms: bool,
        /// The confirm form, saying that the hash is not the one that was expected.
        denied: bool,
    },
}

/// A place for a socket to resume at.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// Which period of the lane.
    pub ordinal: u32,
    /// Opening label.
    pub label: Option<u64>,
    /// Opening hash.
    pub hash: Option<HashText>,
    /// Run.
    pub run: u32,
    /// Place of index 0 of the run.
    pub base: u64,
    /// Place of the next item that we do not hold.
    pub next: u64,
    /// Whether something opened the period.
    pub opened: bool,
    /// Label and hash of the period before it, which its first ops may still carry.
    pub old: (Option<u64>, Option<HashText>),
}
