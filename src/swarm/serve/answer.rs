//! Answers to what peers ask of blocks: headers, lines, batches.
//!
//! *Always holds:* an answer ends at about 1 MiB of frames, or at 64 MiB of what they unpack to, and whoever asked comes on;
//! what is asked for by its id is served only when our own header has that id; what is not here is `NotHeld`, whatever was
//! asked.

use super::Held;
use super::period::{Closed, Headers, History, is_whole};
use crate::fork::record::{Node, Record};
use crate::journal::{Frame as Packed, JournalError};
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::{Named, Snapshot};
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{
    ANSWER_BODY_BYTES, ANSWER_BYTES, Answer, Batch as Sent, BatchesWanted, Frame, HeadersWanted, Line, LinesWanted,
    MAX_BATCHES, MAX_FRAMES, MAX_HEADERS, MAX_LINES, MAX_PERIOD_BATCHES, NewestWanted, PeriodId, Request, Walk,
};
use honeygraph_protocols::swarm::names::Label;
use honeygraph_protocols::swarm::wire::List;

/// Why there is no answer, for reasons of our own.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not hold at a place what the state says is there.
    #[error("record {0} of the journal is no batch's")]
    NoChain(u64),
}

/// Answers one question.
pub fn answer(held: &Held, headers: &mut Headers, request: &Request) -> Result<Answer, ServeError> {
    let mut serving = Serving { held, headers, snapshot: held.state.snapshot() };
    match request {
        Request::Headers(wanted) => serving.headers(wanted),
        Request::Lines(wanted) => serving.lines(wanted),
        Request::Batches(wanted) => serving.batches(wanted),
        Request::Newest(wanted) => serving.newest(wanted),
    }
}

/// One answer, as of one commit of the state.
struct Serving<'a> {
    held: &'a Held,
    headers: &'a mut Headers,
    snapshot: Snapshot<Fjall>,
}

impl Serving<'_> {
    fn closed(&mut self, tip: Node, open: &HashText) -> Result<Option<Closed>, StateError> {
        let (network, rules, snapshot) = (&self.held.network, self.held.rules, &self.snapshot);
        self.headers.closed(History { network, rules, snapshot, tip }, open)
    }

    /// Histories that hold the period with this opening hash, the head's first.
    fn tips_with(&self, open: &HashText) -> Result<Vec<Node>, StateError> {
        let mut tips = Vec::new();
        if let Some(head) = self.snapshot.head()?
            && self.snapshot.period(head.node, open.as_str())?.is_some()
        {
            tips.push(head.node);
        }
        match self.snapshot.named(open.as_str())? {
            Named::One(fork) => tips.extend(fork.tip.map(|tip| tip.batch.node)),
            Named::Several(forks) => tips.extend(forks.into_iter().filter_map(|fork| Some(fork.tip?.batch.node))),
            Named::Unknown => {}
        }
        Ok(tips)
    }

    fn opening(&self, node: Option<Node>) -> Result<Option<HashText>, StateError> {
        Ok(match node {
            Some(node) => self.snapshot.batch(node)?.map(|batch| batch.period),
            None => None,
        })
    }

    fn headers(&mut self, wanted: &HeadersWanted) -> Result<Answer, ServeError> {
        let most = usize::from(wanted.most).clamp(1, MAX_HEADERS);
        let Some(tip) = self.tips_with(&wanted.from)?.first().copied() else { return Ok(Answer::NotHeld) };
        let mut open = match wanted.walk {
            Walk::Forward => Some(wanted.from.clone()),
            Walk::Back => self.opening_before(tip, &wanted.from)?,
        };
        let mut found = Vec::new();
        while let Some(hash) = open.take().filter(|_| found.len() < most) {
            let Some(Closed { header, before, next }) = self.closed(tip, &hash)? else { break };
            found.push(header);
            open = self.opening(match wanted.walk {
                Walk::Forward => Some(next),
                Walk::Back => before,
            })?;
        }
        Ok(Answer::Headers(List::first_of(found)))
    }

    /// Opening hash of the period before the one that opens with this.
    fn opening_before(&mut self, tip: Node, open: &HashText) -> Result<Option<HashText>, StateError> {
        let Some(found) = self.all_of(tip, open)? else { return Ok(None) };
        self.opening(found.first().and_then(|first| first.prev))
    }

    fn all_of(&mut self, tip: Node, open: &HashText) -> Result<Option<Vec<Batch>>, StateError> {
        let found = self.snapshot.batches_of(tip, open.as_str(), MAX_PERIOD_BATCHES as usize)?;
        self.headers.looked += found.as_ref().map_or(MAX_PERIOD_BATCHES as usize, Vec::len) as u64;
        Ok(found)
    }

    /// The batches of a closed period, when our own header of it has this id.
    fn period(&mut self, open: &HashText, id: PeriodId) -> Result<Option<Vec<Batch>>, StateError> {
        for tip in self.tips_with(open)? {
            if self.closed(tip, open)?.is_some_and(|closed| closed.header.id() == id) {
                return self.all_of(tip, open);
            }
        }
        Ok(None)
    }

    fn lines(&mut self, wanted: &LinesWanted) -> Result<Answer, ServeError> {
        let Some(found) = self.period(&wanted.open, wanted.period)? else { return Ok(Answer::NotHeld) };
        let rest = found.iter().skip(wanted.skip as usize).take(MAX_LINES);
        let lines = rest.map(|batch| self.line(batch)).collect::<Result<Vec<Line>, ServeError>>()?;
        Ok(Answer::Lines(List::first_of(lines)))
    }

    /// A batch's line. What its ops hash to is in its chain record alone.
    fn line(&self, batch: &Batch) -> Result<Line, ServeError> {
        let version = batch.node.version;
        let Record::Chain(chain) = self.held.journal.record(version)? else { return Err(ServeError::NoChain(version)) };
        Ok(Line {
            seq: batch.seq,
            count: batch.count,
            marker: batch.marker,
            label: batch.label.and_then(Label::new),
            ops_hash: chain.ops_hash,
        })
    }

    fn batches(&mut self, wanted: &BatchesWanted) -> Result<Answer, ServeError> {
        let Some(found) = self.period(&wanted.open, wanted.period)? else { return Ok(Answer::NotHeld) };
        let inside = found.iter().filter(|batch| (wanted.from..wanted.to).contains(&batch.seq));
        self.filled(inside, wanted.skip)
    }

    /// The batches of a period of the head's history behind one of them.
    fn newest(&mut self, wanted: &NewestWanted) -> Result<Answer, ServeError> {
        let Some(head) = self.snapshot.head()? else { return Ok(Answer::NotHeld) };
        let found = self.all_of(head.node, &wanted.open)?;
        let Some(found) = found.filter(|found| is_whole(found)) else { return Ok(Answer::NotHeld) };
        let behind = match wanted.after {
            None => 0,
            Some(digest) => match found.iter().position(|batch| *batch.id.digest() == digest) {
                Some(at) => at + 1,
                None => return Ok(Answer::NotHeld),
            },
        };
        self.filled(found[behind..].iter(), wanted.skip)
    }

    /// As many of these batches as fit into an answer, the first without the frames that are passed over.
    fn filled<'b>(&self, batches: impl Iterator<Item = &'b Batch>, mut skip: u32) -> Result<Answer, ServeError> {
        let (mut sent, mut bytes, mut bodies) = (Vec::new(), 0, 0);
        for batch in batches.take(MAX_BATCHES) {
            let mut frames = Vec::new();
            let mut more = false;
            for lsn in &batch.pieces {
                let (piece, body) = self.held.journal.piece(*lsn)?;
                let Some(body) = body.filter(|_| piece.count > 0) else { continue };
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                // At least one frame goes into an answer, so that whoever asks comes on.
                let unpacked = Packed::new(&body).body_bytes()?;
                let full = bytes + body.len() > ANSWER_BYTES || bodies + unpacked > ANSWER_BODY_BYTES;
                if (full && bytes > 0) || frames.len() == MAX_FRAMES {
                    more = true;
                    break;
                }
                (bytes, bodies) = (bytes + body.len(), bodies + unpacked);
                frames.push(Frame { count: piece.count, bytes: body });
            }
            skip = 0;
            if more && frames.is_empty() {
                break;
            }
            sent.push(Sent { line: self.line(batch)?, frames: List::first_of(frames), more });
            if more || bytes >= ANSWER_BYTES {
                break;
            }
        }
        Ok(Answer::Batches(List::first_of(sent)))
    }
}
