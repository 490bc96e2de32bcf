//! The thread that reads the journal ahead of the state, and makes ready what small batches write: the state's own thread
//! then only puts it into the store. While a feed catches up that is the longer half of the work, on another core.
//!
//! *Always holds:* records come in order, none beyond what is durable; what is read ahead is bounded.

use super::state::{BodyError, Leaves};
use super::task::{NICENESS, ProjectionError, step_back};
use crate::fork::record::{Lsn, Record};
use crate::journal::{Entry, Frame, JournalError, Kind, Reader};
use std::collections::VecDeque;
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Records of a chunk at most: with 10 ops to a batch as many rows as the state commits at once.
const CHUNK_RECORDS: usize = 512;
/// Bytes of a chunk at most, and one record.
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks that wait for the state.
const CHUNKS: usize = 4;
/// Bytes of packed bodies kept until their batch comes, mostly in the next record.
const FRAMES_BYTES: usize = 1 << 20;

/// A record on its way into the state.
pub(super) struct Next {
    pub lsn: Lsn,
    /// None where the state has nothing to do.
    pub record: Option<Record>,
    pub leaves: Option<Leaves>,
}

pub(super) type Chunk = Result<Vec<Next>, ProjectionError>;

/// The thread, until the state does not listen any more.
pub(super) struct Ahead {
    pub chunks: mpsc::Receiver<Chunk>,
    thread: JoinHandle<()>,
}

impl Ahead {
    /// Begins with record `from`.
    pub(super) fn start(reader: Reader, from: Lsn) -> Self {
        let (out, chunks) = mpsc::channel(CHUNKS);
        let runtime = Handle::current();
        let name = std::thread::current().name().unwrap_or("state").replace("state", "ahead");
        let run = move || {
            step_back(NICENESS);
            let mut durable = reader.durable();
            let mut source = Source { cursor: reader.records(from), reader, frames: Frames::default() };
            while let Some(chunk) = next_chunk(&mut source, &mut durable, &runtime, &out) {
                let failed = chunk.is_err();
                if out.blocking_send(chunk).is_err() || failed {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(run);
        Self { chunks, thread: thread.expect("threads are there: the state's own has just begun") }
    }

    /// Waits until the thread has ended.
    pub(super) fn stop(self) {
        drop(self.chunks);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits for records; none when nobody wants them any more.
fn next_chunk(
    source: &mut Source,
    durable: &mut watch::Receiver<Lsn>,
    runtime: &Handle,
    out: &mpsc::Sender<Chunk>,
) -> Option<Chunk> {
    loop {
        durable.mark_unchanged();
        match source.chunk() {
            Ok(chunk) if chunk.is_empty() => {}
            chunk => return Some(chunk),
        }
        let more = async {
            tokio::select! {
                () = out.closed() => false,
                changed = durable.changed() => changed.is_ok(),
            }
        };
        if !runtime.block_on(more) {
            return None;
        }
    }
}

/// The journal, read in order.
struct Source {
    cursor: crate::journal::Cursor,
    reader: Reader,
    frames: Frames,
}

impl Source {
    fn chunk(&mut self) -> Chunk {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < CHUNK_RECORDS && bytes < CHUNK_BYTES {
            let lsn = self.cursor.next();
            let failed = |source| ProjectionError::Journal { lsn, source };
            let Some(entry) = self.cursor.read().map_err(failed)? else { break };
            let (record, leaves) = read(&entry, &mut self.frames, &self.reader).map_err(failed)?;
            bytes += leaves.as_ref().map_or(0, Leaves::bytes);
            chunk.push(Next { lsn, record, leaves });
        }
        Ok(chunk)
    }
}

/// Reads a record, and what it writes.
fn read(
    entry: &Entry<'_>,
    frames: &mut Frames,
    reader: &Reader,
) -> Result<(Option<Record>, Option<Leaves>), JournalError> {
    match entry.kind {
        Kind::Piece => {
            if let Some(frame) = entry.frame {
                frames.keep(entry.lsn, frame.bytes());
            }
            Ok((None, None))
        }
        Kind::Branch | Kind::Head | Kind::Retired => Ok((Some(entry.record()?), None)),
        Kind::Opened
        | Kind::Named
        | Kind::Checkpoint
        | Kind::Gap
        | Kind::Same
        | Kind::Stands
        | Kind::Proof
        | Kind::Trust
        | Kind::Rebased
        | Kind::Agreed => Ok((None, None)),
        Kind::Chain => {
            let record = entry.record()?;
            let Record::Chain(chain) = &record else { return Ok((Some(record), None)) };
            let body = |piece| frames.body(piece, reader).map_err(BodyError::from);
            // What cannot be read the state tries itself, and says which record it was.
            let leaves = Leaves::of(entry.lsn, chain, body).unwrap_or(None);
            Ok((Some(record), leaves))
        }
    }
}

/// Packed bodies of the pieces passed last, oldest first.
#[derive(Default)]
struct Frames {
    frames: VecDeque<(Lsn, Vec<u8>)>,
    bytes: usize,
}

impl Frames {
    fn keep(&mut self, lsn: Lsn, frame: &[u8]) {
        if frame.len() > FRAMES_BYTES {
            return;
        }
        self.bytes += frame.len();
        self.frames.push_back((lsn, frame.to_vec()));
        while self.bytes > FRAMES_BYTES
            && let Some((_, oldest)) = self.frames.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    fn body(&self, lsn: Lsn, reader: &Reader) -> Result<Vec<u8>, JournalError> {
        match self.frames.binary_search_by_key(&lsn, |(lsn, _)| *lsn) {
            Ok(at) => Frame::new(&self.frames[at].1).unpack(),
            Err(_) => reader.body(lsn),
        }
    }
}
