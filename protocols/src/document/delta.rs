//! Delta documents: the ops between two checkpoints, and the deltas since the last root.

use crate::json::{self, Json, JsonError, Text, write_text};

/// An earlier delta of the same day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its hash.
    pub hash: String,
    /// Its block, as honeycomb counts it.
    pub hive_block: u64,
}

/// One entry of a delta's `ops`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeltaOp {
    /// Text of an op, as it stands in the document.
    Text(Vec<u8>),
    /// `"W"`, the end of a batch.
    Marker,
}

/// A delta document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The document's first element: the checkpoint's block plus one.
    pub number: u64,
    /// The deltas since the root, oldest first.
    pub chain: Vec<Link>,
    /// Ops and markers in order.
    pub ops: Vec<DeltaOp>,
    /// The root before `root`.
    pub prev_root: String,
    /// The root that `chain` and `ops` stand on.
    pub root: String,
}

/// Why bytes are not a checkpoint's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON.
    #[error("document: {0}")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("document: {0}")]
    Shape(&'static str),
}

impl Delta {
    /// The document's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = DeltaWriter::new(self.number, &self.chain, |piece: &[u8]| bytes.extend_from_slice(piece));
        for op in &self.ops {
            match op {
                DeltaOp::Text(text) => writer.op(text),
                DeltaOp::Marker => writer.marker(),
            }
        }
        writer.finish(&self.prev_root, &self.root);
        bytes
    }

    /// Reads a document. Op texts are taken as they are: whether each is an op is for [`crate::op::Op::parse_text`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let Json::Array(parts) = json::parse(bytes)? else { return Err(DocumentError::Shape("not a list")) };
        let [number, body] = <[Json; 2]>::try_from(parts).map_err(|_| DocumentError::Shape("not a pair"))?;
        let list = |key, what| match body.get(key) {
            Some(Json::Array(items)) => Ok(items),
            _ => Err(DocumentError::Shape(what)),
        };
        let chain = list("chain", "no chain")?.iter().map(link).collect::<Option<_>>();
        let ops = list("ops", "no ops")?.iter().map(delta_op).collect::<Option<_>>();
        Ok(Self {
            number: count(&number).ok_or(DocumentError::Shape("no number"))?,
            chain: chain.ok_or(DocumentError::Shape("bad link in chain"))?,
            ops: ops.ok_or(DocumentError::Shape("bad entry in ops"))?,
            prev_root: text(body.get("prev_root")).ok_or(DocumentError::Shape("no prev_root"))?,
            root: text(body.get("root")).ok_or(DocumentError::Shape("no root"))?,
        })
    }
}

fn count(value: &Json) -> Option<u64> {
    match value {
        Json::Int(int) => u64::try_from(*int).ok(),
        _ => None,
    }
}

fn text(value: Option<&Json>) -> Option<String> {
    match value? {
        Json::Text(text) => text.as_str().map(String::from),
        _ => None,
    }
}

fn link(value: &Json) -> Option<Link> {
    Some(Link { hash: text(value.get("hash"))?, hive_block: count(value.get("hive_block")?)? })
}

fn delta_op(value: &Json) -> Option<DeltaOp> {
    match value {
        Json::Text(text) if text.as_bytes() == b"W" => Some(DeltaOp::Marker),
        Json::Text(Text(bytes)) => Some(DeltaOp::Text(bytes.to_vec())),
        _ => None,
    }
}

/// Writes a delta document in pieces, for documents of any length.
pub struct DeltaWriter<Sink: FnMut(&[u8])> {
    sink: Sink,
    piece: Vec<u8>,
    first: bool,
}

impl<Sink: FnMut(&[u8])> DeltaWriter<Sink> {
    /// Begins a document; `number` is the checkpoint's block plus one.
    pub fn new(number: u64, chain: &[Link], mut sink: Sink) -> Self {
        let mut piece = format!("[{number},{{\"chain\":[").into_bytes();
        for (i, link) in chain.iter().enumerate() {
            piece.extend_from_slice(if i > 0 { b",{\"hash\":" } else { b"{\"hash\":" });
            write_text(link.hash.as_bytes(), &mut piece);
            piece.extend_from_slice(format!(",\"hive_block\":{}}}", link.hive_block).as_bytes());
        }
        piece.extend_from_slice(b"],\"ops\":[");
        sink(&piece);
        Self { sink, piece, first: true }
    }

    /// The next op, by its canonical text.
    pub fn op(&mut self, text: &[u8]) {
        self.entry(text);
    }

    /// The next marker.
    pub fn marker(&mut self) {
        self.entry(b"W");
    }

    fn entry(&mut self, text: &[u8]) {
        self.piece.clear();
        if !self.first {
            self.piece.push(b',');
        }
        self.first = false;
        write_text(text, &mut self.piece);
        (self.sink)(&self.piece);
    }

    /// Ends the document.
    pub fn finish(mut self, prev_root: &str, root: &str) {
        self.piece.clear();
        self.piece.extend_from_slice(b"],\"prev_root\":");
        write_text(prev_root.as_bytes(), &mut self.piece);
        self.piece.extend_from_slice(b",\"root\":");
        write_text(root.as_bytes(), &mut self.piece);
        self.piece.extend_from_slice(b"}]");
        (self.sink)(&self.piece);
    }
}
