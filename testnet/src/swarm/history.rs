//! Made-up histories, and what an honest peer answers out of one.
//!
//! A checkpoint's hash is a function of what it closes, as honeycomb's are: [`closing`] is "recomputing the document".
//!
//! *Always holds:* a function of network, seed and length; two histories that fork share every byte before the fork.

use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op;
use honeygraph_protocols::swarm::blocks::{
    self, Answer, Batch, CloseKind, Frame, Header, Line, MAX_BATCHES, Request, Walk, batch_ids_hash,
};
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use honeygraph_protocols::swarm::status::{Base, Checkpoint, Head, Held, NetworkStatus};
use honeygraph_protocols::swarm::wire::List;

/// Blocks of a period.
pub const EVERY: u64 = 100;
/// Ops of a frame: a batch with more has several.
const OPS_OF_FRAME: u64 = 1_000;

/// A period with all that is in it.
#[derive(Clone, Debug)]
pub struct Period {
    /// Its header.
    pub header: Header,
    /// Its batches.
    pub batches: Vec<Batch>,
    /// Their ids.
    pub ids: Vec<BatchId>,
}

/// How long and how wide a history is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Closed periods.
    pub periods: u64,
    /// Batches of each.
    pub batches: u64,
    /// Ops of each of those.
    pub ops: u64,
}

/// A history: closed periods and an open one.
#[derive(Clone, Debug)]
pub struct History {
    /// The network.
    pub network: NetworkName,
    /// Closed, oldest first.
    pub periods: Vec<Period>,
    /// The open one: opening hash, label, batches and their ids.
    pub open: (HashText, Label, Vec<Batch>, Vec<BatchId>),
    /// Bytes of frames at which an answer ends.
    pub answer_bytes: usize,
}

/// The hash that closes a period.
pub fn closing(open: &HashText, ids: &[BatchId]) -> HashText {
    let mut hasher = blake3::Hasher::new();
    hasher.update(open.as_str().as_bytes());
    hasher.update(&batch_ids_hash(ids));
    HashText::new(&format!("Qm{}", &hasher.finalize().to_hex()[..44])).expect("short")
}

/// A batch with ops of its own, and its id.
pub fn batch(
    network: &NetworkName,
    open: &HashText,
    before: Option<(BatchId, u64)>,
    ops: u64,
    salt: u64,
) -> (Batch, BatchId) {
    let seq = before.map_or(0, |(_, next)| next);
    let mut hasher = blake3::Hasher::new();
    let mut frames = Vec::new();
    for first in (0..ops).step_by(OPS_OF_FRAME as usize) {
        let count = OPS_OF_FRAME.min(ops - first);
        let mut body = Vec::new();
        for nth in first..first + count {
            let text = format!("{{\"data\":{salt},\"path\":[\"k\",\"{seq}-{nth}\"],\"type\":\"put\"}}");
            op::push_text(text.as_bytes(), &mut body);
        }
        hasher.update(&body);
        let bytes = zstd::bulk::compress(&body, 1).expect("memory");
        frames.push(Frame { count: count as u32, bytes });
    }
    let ops_hash = *hasher.finalize().as_bytes();
    let line = Line { seq, count: ops, marker: true, label: None, ops_hash };
    let parent = before.map_or_else(|| Parent::Period(open.clone()), |(id, _)| Parent::Batch(id));
    let id = line.id(network, open, parent);
    (Batch { line, frames: List::first_of(frames), more: false }, id)
}

/// A closed period.
pub fn period(
    network: &NetworkName,
    open: &HashText,
    label: u64,
    prev: Option<HashText>,
    size: Size,
    salt: u64,
) -> Period {
    let (mut batches, mut ids): (Vec<Batch>, Vec<BatchId>) = (Vec::new(), Vec::new());
    for nth in 0..size.batches.max(1) {
        let before = ids.last().copied().zip(batches.last().map(|batch: &Batch| batch.line.end()));
        let (made, id) = batch(network, open, before, size.ops, salt + nth);
        batches.push(made);
        ids.push(id);
    }
    let header = Header {
        network: network.clone(),
        open_hash: open.clone(),
        label: Label::new(label),
        prev,
        close_hash: closing(open, &ids),
        close_kind: CloseKind::Delta,
        count: ids.len() as u32,
        ops: size.ops * ids.len() as u64,
        last_batch_id: *ids.last().expect("one at least"),
        batch_ids_hash: batch_ids_hash(&ids),
    };
    Period { header, batches, ids }
}

impl History {
    /// A history.
    pub fn new(network: &str, size: Size, salt: u64) -> Self {
        let network = NetworkName::new(network).expect("a name");
        let genesis = HashText::new(&format!("genesis:{network}")).expect("short");
        let open = (genesis, Label::new(1).expect("small"), Vec::new(), Vec::new());
        let mut history = Self { network, periods: Vec::new(), open, answer_bytes: blocks::ANSWER_BYTES };
        (0..size.periods).for_each(|_| history.grow(size, salt));
        history
    }

    /// One more closed period.
    pub fn grow(&mut self, size: Size, salt: u64) {
        let nth = self.periods.len() as u64;
        let prev = self.periods.last().map(|period| period.header.open_hash.clone());
        let made = period(&self.network, &self.open.0, 1 + nth * EVERY, prev, size, salt + nth * 1_000);
        self.open =
            (made.header.close_hash.clone(), Label::new(1 + (nth + 1) * EVERY).expect("small"), Vec::new(), Vec::new());
        self.periods.push(made);
    }

    /// One more batch of the open period.
    pub fn extend(&mut self, ops: u64, salt: u64) {
        let before = self.open.3.last().copied().zip(self.open.2.last().map(|batch| batch.line.end()));
        let (made, id) = batch(&self.network, &self.open.0, before, ops, salt);
        self.open.2.push(made);
        self.open.3.push(id);
    }

    /// The first so many periods of it, with nothing in the open one.
    pub fn first(&self, periods: usize) -> Self {
        let mut first = self.clone();
        if let Some(next) = self.periods.get(periods) {
            first.periods.truncate(periods);
            first.open = (next.header.open_hash.clone(), next.header.label.expect("labelled"), Vec::new(), Vec::new());
        }
        first
    }

    /// The same up to so many periods, then as many others.
    pub fn forked(&self, after: usize, size: Size, salt: u64) -> Self {
        let mut fork = self.first(after);
        (after..self.periods.len()).for_each(|_| fork.grow(size, salt));
        fork
    }

    /// The checkpoint that closes the newest closed period.
    pub fn newest(&self) -> Checkpoint {
        Checkpoint { hash: self.open.0.clone(), label: Some(self.open.1) }
    }

    /// What an honest peer says of itself.
    pub fn status(&self) -> NetworkStatus {
        let checkpoint = |header: &Header| Checkpoint { hash: header.open_hash.clone(), label: header.label };
        let held = self.periods.first().zip(self.periods.last()).map(|(from, to)| Held {
            from: checkpoint(&from.header),
            to: checkpoint(&to.header),
            periods: self.periods.len() as u32,
        });
        NetworkStatus {
            network: self.network.clone(),
            base: Base::Genesis,
            held: List::first_of(held),
            head: self.head(),
            verified: Some(self.newest()).filter(|_| !self.periods.is_empty()),
            confirmed: None,
        }
    }

    /// Where its head stands.
    pub fn head(&self) -> Option<Head> {
        let last = self.open.3.last().copied().zip(self.open.2.last());
        match last {
            Some((batch, line)) => Some(Head { period: self.newest(), next: line.line.end(), batch }),
            None => {
                let period = self.periods.last()?;
                let of = Checkpoint { hash: period.header.open_hash.clone(), label: period.header.label };
                Some(Head { period: of, next: period.batches.last()?.line.end(), batch: period.header.last_batch_id })
            }
        }
    }

    /// What an honest peer answers.
    pub fn answer(&self, request: &Request) -> Answer {
        if *request.network() != self.network {
            return Answer::NotHeld;
        }
        let held = |open: &HashText, id| {
            self.periods.iter().find(|period| period.header.open_hash == *open && period.header.id() == id)
        };
        match request {
            Request::Headers(wanted) => self.headers(&wanted.from, wanted.walk, usize::from(wanted.most)),
            Request::Lines(wanted) => match held(&wanted.open, wanted.period) {
                Some(period) => {
                    let lines = period.batches.iter().skip(wanted.skip as usize).map(|batch| batch.line.clone());
                    Answer::Lines(List::first_of(lines.take(self.lines_at_once())))
                }
                None => Answer::NotHeld,
            },
            Request::Batches(wanted) => match held(&wanted.open, wanted.period) {
                Some(period) => {
                    let from = period.batches.iter().filter(|batch| (wanted.from..wanted.to).contains(&batch.line.seq));
                    self.fill(from, wanted.skip)
                }
                None => Answer::NotHeld,
            },
            Request::Newest(wanted) => {
                let batches = self.opened_by(&wanted.open);
                let Some((batches, ids)) = batches else { return Answer::NotHeld };
                let skip = match wanted.after {
                    None => 0,
                    Some(after) => match ids.iter().position(|id| *id.digest() == after) {
                        Some(at) => at + 1,
                        None => return Answer::NotHeld,
                    },
                };
                self.fill(batches.iter().skip(skip), wanted.skip)
            }
        }
    }

    fn opened_by(&self, open: &HashText) -> Option<(&Vec<Batch>, &Vec<BatchId>)> {
        if self.open.0 == *open {
            return Some((&self.open.2, &self.open.3));
        }
        let period = self.periods.iter().find(|period| period.header.open_hash == *open)?;
        Some((&period.batches, &period.ids))
    }

    fn headers(&self, from: &HashText, walk: Walk, most: usize) -> Answer {
        let most = most.clamp(1, blocks::MAX_HEADERS);
        let at = |which: fn(&Header) -> &HashText| self.periods.iter().position(|period| which(&period.header) == from);
        let headers: Vec<Header> = match walk {
            Walk::Back => match at(|header| &header.close_hash) {
                Some(at) => self.periods[..=at].iter().rev().take(most).map(|period| period.header.clone()).collect(),
                None => return Answer::NotHeld,
            },
            Walk::Forward => match at(|header| &header.open_hash) {
                Some(at) => self.periods[at..].iter().take(most).map(|period| period.header.clone()).collect(),
                None => return Answer::NotHeld,
            },
        };
        Answer::Headers(List::first_of(headers))
    }

    fn lines_at_once(&self) -> usize {
        (self.answer_bytes / 64).max(1)
    }

    /// As many as fit into an answer, the last perhaps not whole.
    fn fill<'a>(&self, batches: impl Iterator<Item = &'a Batch>, skip: u32) -> Answer {
        let (mut filled, mut bytes) = (Vec::new(), 0);
        for (nth, batch) in batches.take(MAX_BATCHES).enumerate() {
            let skip = if nth == 0 { skip as usize } else { 0 };
            let (mut frames, mut more) = (Vec::new(), false);
            for frame in batch.frames.iter().skip(skip) {
                if bytes >= self.answer_bytes && !(frames.is_empty() && filled.is_empty()) {
                    more = true;
                    break;
                }
                bytes += frame.bytes.len();
                frames.push(frame.clone());
            }
            let begun = !frames.is_empty() || batch.frames.is_empty();
            if begun {
                filled.push(Batch { line: batch.line.clone(), frames: List::first_of(frames), more });
            }
            if more || !begun || bytes >= self.answer_bytes {
                break;
            }
        }
        Answer::Batches(List::first_of(filled))
    }
}
