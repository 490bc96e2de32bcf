//! How writes stand on the wire: periods, markers, checkpoints, frames, as honeycomb's clients send them.
//!
//! *Always holds:* indexes count ops and markers from 0 in each period; every op of the stream gets one ack, in order.

use super::mix::{Write, cid};
use super::socket::encode_text;

/// Which blocks the ops carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// Ops carry the block before the coming checkpoint, `sendCheckpoint` ends a period: the seeds' rules hold.
    Seed,
    /// Ops carry the block of the last checkpoint, a period begins with `put stats/pendingHash` and a marker and ends
    /// with the published `checkpoint`: what the published client sends.
    Honeycomb,
}

/// Shape of a stream.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Blocks and what goes with them.
    pub blocks: Blocks,
    /// Ops between two markers.
    pub per_marker: u64,
    /// Ops in a period; 0 for a period without end.
    pub per_period: u64,
    /// Ops and markers in a `batch` frame; 0 for a frame each.
    pub framed: usize,
    /// Whether `fork_start` opens the stream.
    pub fork_start: bool,
    /// `identify.token`
    pub token: &'static str,
    /// `identify.prefix`
    pub prefix: &'static str,
    /// Tells hashes of different streams apart.
    pub name: String,
}

impl Shape {
    /// What honeycomb's load looks like: 10 ops to a marker, 1,000 to a period, a frame each.
    pub fn usual(name: impl Into<String>) -> Self {
        Self {
            blocks: Blocks::Honeycomb,
            per_marker: 10,
            per_period: 1000,
            framed: 0,
            fork_start: false,
            token: "SPK",
            prefix: "spkccT_",
            name: name.into(),
        }
    }
}

/// Where something ends in the bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes up to and with it.
    pub end: usize,
    /// Ops up to it: so many acks answer the stream so far.
    pub ops: u64,
    /// Whether the frame that ends here ends with a marker.
    pub marker: bool,
}

/// Encoded frames in order.
#[derive(Debug)]
pub struct Stream {
    shape: Shape,
    /// The frames, encoded for the socket.
    pub bytes: Vec<u8>,
    /// The end of each frame.
    pub marks: Vec<Mark>,
    /// Ops in it, those included that open periods.
    pub ops: u64,
    block: u64,
    fork: String,
    prev: String,
    index: u64,
    since_marker: u64,
    since_period: u64,
    frame: Vec<String>,
    ends_with_marker: bool,
}

/// Block of the first checkpoint: one of the test chain.
const FIRST_BLOCK: u64 = 97_643_601;

/// When every frame was written, ms since the epoch: content must not depend on the clock.
const WRITTEN: u64 = 1_763_640_000_000;

impl Stream {
    /// A stream with its opening frames: `identify`, `sync_status`, and what opens the first period.
    pub fn new(shape: Shape) -> Self {
        Self::from_period(shape, 0)
    }

    /// The stream of a feed that joins when a later period begins: what another stream of the same name has there,
    /// hashes and indexes included, so that different writes are a fork.
    pub fn from_period(shape: Shape, period: u64) -> Self {
        let hash = |period: u64| cid(&format!("period {period} of {}", shape.name));
        let (fork, prev) = (hash(period + 1), hash(period));
        let mut stream = Self {
            bytes: Vec::new(),
            marks: Vec::new(),
            ops: 0,
            block: FIRST_BLOCK + 100 * period,
            fork,
            prev,
            index: 0,
            since_marker: 0,
            since_period: 0,
            frame: Vec::new(),
            ends_with_marker: false,
            shape,
        };
        let (token, prefix) = (stream.shape.token, stream.shape.prefix);
        stream.plain(&format!(
            "{{\"type\":\"identify\",\"source\":\"honeycomb-spkcc\",\"version\":\"v1.5.0-load\",\
             \"token\":\"{token}\",\"prefix\":\"{prefix}\"}}"
        ));
        stream.plain(&format!("{{\"type\":\"sync_status\",\"lastIndex\":0,\"token\":\"{token}\"}}"));
        stream.open(stream.shape.fork_start);
        stream
    }

    /// Block that the next op carries.
    pub fn block(&self) -> u64 {
        match self.shape.blocks {
            Blocks::Seed => self.block + 99,
            Blocks::Honeycomb => self.block,
        }
    }

    /// Token of its feed.
    pub fn token(&self) -> &'static str {
        self.shape.token
    }

    /// Label of the period that runs.
    pub fn label(&self) -> u64 {
        self.block
    }

    /// Takes the frames out that were built so far; the stream goes on behind them.
    pub fn take(&mut self) -> Vec<u8> {
        self.marks.clear();
        std::mem::take(&mut self.bytes)
    }

    /// Adds a write, and the marker or checkpoint that is due after it.
    pub fn push(&mut self, write: &Write) {
        self.op(write);
        self.since_marker += 1;
        self.since_period += 1;
        if self.since_marker >= self.shape.per_marker {
            self.marker();
        }
        if self.shape.per_period > 0 && self.since_period >= self.shape.per_period {
            self.roll_over();
        }
    }

    /// Ends the batch and the frame that are open.
    pub fn finish(&mut self) {
        if self.since_marker > 0 {
            self.marker();
        }
        self.flush();
    }

    /// Ends the period with a checkpoint and opens the next one.
    pub fn roll_over(&mut self) {
        self.finish();
        let next = self.block + 100;
        let hash = cid(&format!("period {} of {}", (next - FIRST_BLOCK) / 100 + 1, self.shape.name));
        let (kind, fork, token) = match self.shape.blocks {
            Blocks::Seed => ("sendCheckpoint", &self.fork, self.shape.token),
            Blocks::Honeycomb => ("checkpoint", &self.fork, self.shape.token),
        };
        let text = format!(
            "{{\"type\":\"{kind}\",\"blockNum\":{next},\"hash\":\"{hash}\",\"prevHash\":\"{fork}\",\
             \"timestamp\":{WRITTEN},\"token\":\"{token}\"}}"
        );
        self.plain(&text);
        self.prev = std::mem::replace(&mut self.fork, hash);
        (self.block, self.index, self.since_period) = (next, 0, 0);
        self.open(false);
    }

    fn open(&mut self, fork_start: bool) {
        if fork_start {
            let (fork, block) = (&self.fork, self.block);
            let text = format!(
                "{{\"type\":\"fork_start\",\"forkHash\":\"{fork}\",\"blockNum\":{block},\"timestamp\":{WRITTEN}}}"
            );
            self.plain(&text);
        }
        if self.shape.blocks == Blocks::Honeycomb {
            self.op(&Write::put(["stats", "pendingHash"], format!("\"{}\"", self.fork)));
            self.marker();
        }
    }

    fn op(&mut self, write: &Write) {
        let kind = if write.data.is_some() { "put" } else { "del" };
        let data = write.data.as_ref().map_or(String::new(), |data| format!(",\"data\":{data}"));
        let what = format!("\"path\":{}{data}", write.path_json());
        self.ops += 1;
        self.ends_with_marker = false;
        self.item(kind, &what);
    }

    fn marker(&mut self) {
        self.since_marker = 0;
        self.ends_with_marker = true;
        self.item("write_marker", "");
    }

    fn item(&mut self, kind: &str, what: &str) {
        let (index, block, fork, prev) = (self.index, self.block(), &self.fork, &self.prev);
        let comma = if what.is_empty() { "" } else { "," };
        self.index += 1;
        if self.shape.framed == 0 {
            let text = format!(
                "{{\"type\":\"{kind}\"{comma}{what},\"index\":{index},\"blockNum\":{block},\"forkHash\":\"{fork}\",\
                 \"prevCheckpointHash\":\"{prev}\",\"timestamp\":{WRITTEN}}}"
            );
            self.plain(&text);
            return;
        }
        // The published client drops the hashes in a batch.
        self.frame.push(format!("{{\"index\":{index},\"blockNum\":{block},\"opType\":\"{kind}\"{comma}{what}}}"));
        if self.frame.len() >= self.shape.framed {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let items = std::mem::take(&mut self.frame);
        if !items.is_empty() {
            let token = self.shape.token;
            self.plain(&format!("{{\"type\":\"batch\",\"operations\":[{}],\"token\":\"{token}\"}}", items.join(",")));
        }
    }

    fn plain(&mut self, text: &str) {
        encode_text(text, &mut self.bytes);
        let marker = std::mem::take(&mut self.ends_with_marker);
        self.marks.push(Mark { end: self.bytes.len(), ops: self.ops, marker });
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix::Mix;
    use super::super::socket::decode_for_test;
    use super::{Blocks, Shape, Stream};
    use serde_json::Value;

    fn frames(shape: Shape, ops: u64) -> (Stream, Vec<Value>) {
        let mut mix = Mix::new(1, 0.02);
        let mut stream = Stream::new(shape);
        for i in 0..ops {
            let write = mix.write(i, stream.block());
            stream.push(&write);
        }
        stream.finish();
        let frames =
            decode_for_test(&stream.bytes).iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        (stream, frames)
    }

    #[test]
    fn a_single_framed_stream_counts_its_places() {
        let (stream, frames) = frames(Shape::usual("t"), 2500);
        let of = |kind: &str| frames.iter().filter(|frame| frame["type"] == kind).count();
        // 2,500 writes, and an opening op in each of three periods.
        assert_eq!((of("put") + of("del"), stream.ops), (2503, 2503));
        assert_eq!((of("write_marker"), of("checkpoint")), (250 + 3, 2));
        let ops: Vec<_> = frames.iter().filter(|frame| frame["index"].is_u64()).collect();
        assert_eq!(ops[0]["path"], serde_json::json!(["stats", "pendingHash"]));
        assert_eq!(ops[0]["data"], ops[0]["forkHash"]);
        let second = ops.iter().skip(1).position(|op| op["index"] == 0).expect("a second period") + 1;
        assert_eq!(ops[second]["blockNum"], 97_643_701);
        assert_eq!(ops[second]["prevCheckpointHash"], ops[0]["forkHash"]);
        assert_eq!(stream.marks.last().map(|mark| (mark.end, mark.ops)), Some((stream.bytes.len(), 2503)));
        assert!(stream.marks.last().is_some_and(|mark| mark.marker));
    }

    #[test]
    fn a_batch_framed_stream_says_what_the_published_client_says() {
        let shape = Shape { framed: 100, blocks: Blocks::Seed, fork_start: true, ..Shape::usual("t") };
        let (stream, frames) = frames(shape, 1500);
        assert_eq!(stream.ops, 1500);
        assert_eq!(frames[2]["type"], "fork_start");
        let batches: Vec<_> = frames.iter().filter(|frame| frame["type"] == "batch").collect();
        let items = |frame: &&Value| frame["operations"].as_array().map_or(0, Vec::len);
        assert!(batches.iter().all(|frame| items(frame) <= 100));
        assert_eq!(batches.iter().map(items).sum::<usize>(), 1500 + 150);
        assert_eq!(batches[0]["operations"][0]["opType"], "put");
        assert_eq!(batches[0]["operations"][0]["forkHash"], Value::Null);
        assert!(frames.iter().any(|frame| frame["type"] == "sendCheckpoint"));
    }
}
