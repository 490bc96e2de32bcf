//! Whether an answer is what was asked for. Pure, and the only way from an answer to a [`Checked`] batch.
//!
//! *Always holds:* a fault is proven by the answer and the question alone, so whoever answered pays for it, nobody else;
//! no answer is unpacked beyond the bounds of the protocol.

use crate::journal::Frame;
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op::{self, Op};
use honeygraph_protocols::swarm::blocks::{self, Batch, Header, Line, batch_ids_hash};
use honeygraph_protocols::swarm::names::NetworkName;

/// A batch whose ops are those of its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Its line.
    pub line: Line,
    /// Its id.
    pub id: BatchId,
    /// Its ops, as they are stored.
    pub frames: Vec<blocks::Frame>,
}

impl Checked {
    /// Bytes of its frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.bytes.len()).sum()
    }
}

/// What is wrong with an answer, in words.
pub type Fault = &'static str;

/// Whether these headers are a walk back from a checkpoint. `newest`: no label lies above it.
pub fn walk_back(network: &NetworkName, from: &HashText, below: Option<u64>, headers: &[Header]) -> Result<(), Fault> {
    let (mut close, mut below) = (from, below);
    for (nth, header) in headers.iter().enumerate() {
        if header.network != *network {
            return Err("a header of another network");
        }
        if header.close_hash != *close {
            return Err("a header that is not closed by the hash asked for");
        }
        if nth > 0 && headers[nth - 1].prev.as_ref() != Some(&header.open_hash) {
            return Err("a header that is not the one before");
        }
        if let (Some(label), Some(below)) = (header.label, below)
            && label.get() >= below
        {
            return Err("labels that do not fall");
        }
        below = header.label.map(|label| label.get()).or(below);
        close = &header.open_hash;
    }
    Ok(())
}

/// Whether these lines are all of a period's, and their ids.
pub fn lines(header: &Header, lines: &[Line]) -> Result<Vec<BatchId>, Fault> {
    let mut parent = Parent::Period(header.open_hash.clone());
    let (mut next, mut ops) = (0, 0);
    let mut ids = Vec::with_capacity(lines.len());
    for line in lines {
        if line.seq != next {
            return Err("batches that do not follow each other");
        }
        let id = line.id(&header.network, &header.open_hash, parent);
        (parent, next, ops) = (Parent::Batch(id), line.end(), ops + line.count);
        ids.push(id);
    }
    let whole = ids.len() == header.count as usize && ops == header.ops && ids.last() == Some(&header.last_batch_id);
    if whole && batch_ids_hash(&ids) == header.batch_ids_hash {
        Ok(ids)
    } else {
        Err("batches that are not the period's")
    }
}

/// Bytes of bodies that may still be unpacked.
#[derive(Debug)]
pub struct Room(usize);

impl Room {
    /// For one answer.
    pub const ANSWER: Self = Self(blocks::ANSWER_BODY_BYTES + blocks::FRAME_BODY_BYTES);
    /// For an answer whose first batch began in others: the largest batch that a lane takes comes on top.
    pub const CONTINUED: Self = Self(Self::ANSWER.0 + (256 << 20));
}

/// Whether these frames are the ops of a line: all of them.
pub fn body(line: &Line, frames: &[blocks::Frame], room: &mut Room) -> Result<(), Fault> {
    let mut hasher = blake3::Hasher::new();
    let mut ops = 0;
    let mut body = Vec::new();
    for frame in frames {
        let packed = Frame::new(&frame.bytes);
        let bytes = packed.body_bytes().map_err(|_| "a frame that is none")?;
        let left = room.0.checked_sub(bytes).filter(|_| bytes <= blocks::FRAME_BODY_BYTES);
        room.0 = left.ok_or("frames larger than any")?;
        body.clear();
        packed.unpack_into(&mut body).map_err(|_| "a frame that does not unpack")?;
        hasher.update(&body);
        let mut count = 0;
        for text in op::texts(&body) {
            text.and_then(Op::parse_text).map_err(|_| "a frame with something other than ops")?;
            count += 1;
        }
        if count != frame.count {
            return Err("a frame with more or fewer ops than it says");
        }
        ops += u64::from(count);
    }
    if ops == line.count && *hasher.finalize().as_bytes() == line.ops_hash {
        Ok(())
    } else {
        Err("ops that are not the batch's")
    }
}

/// Whether these batches are a whole period.
pub fn period(header: &Header, batches: Vec<Batch>) -> Result<Vec<Checked>, Fault> {
    let all: Vec<Line> = batches.iter().map(|batch| batch.line.clone()).collect();
    let ids = lines(header, &all)?;
    bodies(ids, batches, Room::ANSWER)
}

/// Whether these batches are a run of lines that are known, from `at` on, the last one perhaps not whole.
pub fn run(known: &[(Line, BatchId)], at: usize, batches: Vec<Batch>) -> Result<Vec<Checked>, Fault> {
    let known = known.get(at..at + batches.len()).ok_or("more batches than were asked for")?;
    if known.iter().zip(&batches).any(|((line, _), batch)| !is_same(line, &batch.line)) {
        return Err("batches that were not asked for");
    }
    bodies(known.iter().map(|(_, id)| *id).collect(), batches, Room::CONTINUED)
}

/// Whether these batches follow a batch of an open period (or begin it).
pub fn newest(
    network: &NetworkName,
    open: &HashText,
    after: Option<BatchId>,
    next: u64,
    batches: Vec<Batch>,
) -> Result<Vec<Checked>, Fault> {
    let mut parent = after.map_or_else(|| Parent::Period(open.clone()), Parent::Batch);
    let mut next = next;
    let mut ids = Vec::with_capacity(batches.len());
    for batch in &batches {
        if batch.line.seq != next {
            return Err("batches that do not follow each other");
        }
        let id = batch.line.id(network, open, parent);
        (parent, next) = (Parent::Batch(id), batch.line.end());
        ids.push(id);
    }
    bodies(ids, batches, Room::CONTINUED)
}

/// What a label says is not in an id.
fn is_same(known: &Line, line: &Line) -> bool {
    (known.seq, known.count, known.ops_hash) == (line.seq, line.count, line.ops_hash)
}

fn bodies(ids: Vec<BatchId>, batches: Vec<Batch>, mut room: Room) -> Result<Vec<Checked>, Fault> {
    let checked = ids.into_iter().zip(batches).map(|(id, batch)| {
        let frames = batch.frames.into_vec();
        body(&batch.line, &frames, &mut room)?;
        Ok(Checked { line: batch.line, id, frames })
    });
    checked.collect()
}
