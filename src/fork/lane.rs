//! A lane: one feed's stream cut into periods, runs and pieces (`docs/decisions/0005-lanes-and-periods.md`).
//!
//! Owns the open batch and the position; decides where a period opens, what it is called, where a hole is. It knows
//! nothing of other lanes or of the chain.
//!
//! *Always holds:* an op's place is counted by us from the start of its period; the index is only the feed's hint. A
//! piece is handed out once, and its ops are acknowledged only with it.

mod announced;

use super::found::{Closed, Found, Resume};
use super::record::{Before, Close, OpenCause};
use super::rules::Rules;
use announced::{Announced, Armed};
use honeygraph_protocols::honeycomb::{HashText, Item, What};
use std::borrow::Cow;

/// Largest batch, in ops; a larger one closes the lane with `batch_too_large`.
pub const BATCH_MAX_OPS: u64 = 2_000_000;
/// Largest batch, in bytes of op texts.
pub const BATCH_MAX_BYTES: u64 = 256 << 20;
/// Open batches of a network may hold so many bytes together; beyond, the largest are spilled before they have a piece's
/// size.
pub const OPEN_BYTES: usize = 32 << 20;
/// The text of an op up to this size is kept to know its repetition by; of a longer one the hash is.
const LAST_TEXT_BYTES: usize = 1 << 10;
/// Among so many items of a period may be some that carry the label of the one before.
const START: u64 = 64;
/// An open batch is spilled to the journal in pieces of about this size, so that it costs bounded memory.
pub const PIECE_BYTES: usize = 1 << 20;

/// Where a lane stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Here {
    /// Which period of the lane.
    pub ordinal: u32,
    /// Opening label, when known.
    pub label: Option<u64>,
    /// Opening hash, when known.
    pub hash: Option<HashText>,
    /// Run.
    pub run: u32,
    /// Place of index 0 of this run.
    pub base: u64,
    /// Place of the next item.
    pub next: u64,
    /// Whether this is a period at all: false for what came before anything opened one.
    pub opened: bool,
    /// A lane that was joined in mid-period fell, and nobody can tell the daily second run from a rollover: it is no
    /// period until it says so itself.
    doubtful: bool,
    /// Hash of the period before, which the new period's ops may still carry.
    old_hash: Option<HashText>,
    /// Label of the period before, likewise.
    old_label: Option<u64>,
}

impl Here {
    /// Its label; one that was never told counts on from the period before (honeycomb numbering only).
    fn counted_label(&self, rules: &Rules) -> Option<u64> {
        self.label.or_else(|| self.old_label.map(|old| old + rules.checkpoint_every))
    }
}

/// The batch that is being received.
#[derive(Debug, Default)]
struct Open {
    seq: u64,
    index: Option<u64>,
    last_index: Option<u64>,
    /// Run in which it began.
    run: u32,
    texts: Vec<u8>,
    acks: Vec<Option<u64>>,
    /// Ops that repeat one of this piece: acknowledged with it.
    again: Vec<Option<u64>>,
    /// Ops and bytes of the whole batch, spilled pieces included.
    ops: u64,
    bytes: u64,
    /// Runs over the whole batch once a part of it was spilled.
    hasher: Option<blake3::Hasher>,
    /// It began behind a hole: its first part is somebody else's piece.
    behind_hole: bool,
    /// Label as the ops say (seed numbering).
    label: Option<u64>,
    /// A refused op voided it: the places lost so far. What follows up to the marker is skipped.
    void: Option<Lost>,
}

/// Places that a refused op cost.
#[derive(Debug, Clone, Copy)]
struct Lost {
    ordinal: u32,
    run: u32,
    from: u64,
    to: u64,
    askable: bool,
}

/// A lane.
#[derive(Debug)]
pub struct Lane {
    rules: Rules,
    seed: bool,
    here: Option<Here>,
    /// `lastIndex` of the feed's `sync_status`, if it said one.
    pub sync: Option<u64>,
    last: Option<u64>,
    /// Index with which the period began, where the index does not restart (seed numbering); else 0.
    offset: u64,
    /// Unnumbered items since the last index: the next one may or may not have counted them.
    loose: u64,
    /// What the last op is known by when it is repeated; empty after a marker.
    last_text: Vec<u8>,
    last_fork: Option<HashText>,
    /// The newest label that an item named.
    last_label: Option<u64>,
    armed: Option<Armed>,
    announced: Option<Announced>,
    /// Its first op writes the hash of a period that has another label: a restarted honeycomb writes it again.
    replays: bool,
    open: Open,
    marker: Option<Marker>,
    /// Last index that left in a closed piece.
    pub closed_index: Option<u64>,
}

/// The last write marker and whether ops came after it.
#[derive(Clone, Debug, PartialEq)]
struct Marker {
    block: Option<u64>,
}

impl Lane {
    /// A lane that has heard nothing.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            seed: false,
            here: None,
            sync: None,
            last: None,
            offset: 0,
            loose: 0,
            last_text: Vec::new(),
            last_fork: None,
            last_label: None,
            armed: None,
            announced: None,
            replays: false,
            open: Open::default(),
            marker: None,
            closed_index: None,
        }
    }

    /// A lane that begins anew for a socket whose lane turned out to have no place: what was open is asked for again.
    pub fn anew(old: &Self, rules: Rules) -> Self {
        let (announced, last_label) = (old.announced.clone(), old.last_label);
        Self { seed: old.seed, sync: old.sync, announced, last_label, ..Self::new(rules) }
    }

    /// Where it stands; none before its first op.
    pub fn here(&self) -> Option<&Here> {
        self.here.as_ref()
    }

    /// `seed` or `honeycomb`.
    pub fn numbering(&self) -> &'static str {
        if self.seed { "seed" } else { "honeycomb" }
    }

    /// Whether labels are block numbers as sent.
    pub fn is_seed(&self) -> bool {
        self.seed
    }

    /// Last index received.
    pub fn last_index(&self) -> Option<u64> {
        self.last
    }

    /// Ops received and not yet closed.
    pub fn open_ops(&self) -> u64 {
        self.open.ops
    }

    /// Memory that the open batch takes.
    pub fn open_bytes(&self) -> usize {
        let acks = self.open.acks.capacity() + self.open.again.capacity();
        self.open.texts.capacity() + acks * size_of::<Option<u64>>()
    }

    /// Hands out what the open batch holds, because others need the memory.
    pub fn spill_early(&mut self, out: &mut Vec<Found>) {
        if self.open.void.is_none() && !self.open.acks.is_empty() {
            self.spill(out);
        }
    }

    /// Place of the first op that was received and has not left in a piece.
    pub fn open_from(&self) -> Option<u64> {
        (!self.open.acks.is_empty()).then_some(self.open.seq)
    }

    /// Label that this block means here.
    pub fn label(&self, block: Option<u64>) -> Option<u64> {
        let block = block?;
        Some(if self.seed { block } else { self.rules.label(block) })
    }

    /// The lowest label that the socket may still say: labels do not go back, but the first items of a period carry the one
    /// before, also where the period's own is known already, from what the client showed or from a message that overtook
    /// them. What resumes further in has left it behind.
    pub fn lowest_label(&self) -> Option<u64> {
        let here = self.here.as_ref()?;
        let at_start = here.run == 0 && (self.last_label.is_some() || here.next - here.base < START);
        let Some(own) = here.label.filter(|_| at_start) else { return here.label.or(here.old_label) };
        let before = here.old_label.or_else(|| own.checked_sub(self.rules.checkpoint_every));
        self.last_label.max(before).map(|lowest| lowest.min(own))
    }

    /// The newest label that the socket has said.
    pub fn said_label(&self) -> Option<u64> {
        self.last_label
    }

    /// Stands at a place found from outside: the socket resumes there. `base` and `next` are places in the period.
    pub fn resume(&mut self, here: Resume) {
        self.closed_index = here.next.checked_sub(here.base + 1);
        (self.last, self.offset, self.loose) = (self.closed_index, 0, 0);
        self.open = Open::default();
        self.here = Some(Here {
            ordinal: here.ordinal,
            label: here.label,
            hash: here.hash,
            run: here.run,
            base: here.base,
            next: here.next,
            opened: here.opened,
            doubtful: false,
            old_hash: here.old.1,
            old_label: here.old.0,
        });
    }

    /// The feed has sent everything up to this index of the current run: what is not here is missing.
    pub fn reached(&mut self, index: u64, out: &mut Vec<Found>) {
        let Some(here) = &mut self.here else { return };
        let (ordinal, run, from) = (here.ordinal, here.run, here.next.saturating_sub(here.base));
        self.last = Some(index);
        if from <= index {
            here.next = here.base + index + 1;
            self.open.behind_hole = true;
            out.push(Found::Hole { ordinal, run, from, to: index, askable: true });
        }
    }

    /// A honeycomb that was restarted is recognised in a period: its index `offset` meant the start.
    pub fn recognised(&mut self, place: Resume, offset: u64) {
        let last = self.last;
        self.resume(place);
        (self.last, self.closed_index, self.offset) = (last, last, offset);
        self.open = Open::default();
    }

    /// The period in which it stands begins behind so many markers that were not sent on it.
    pub fn step_behind(&mut self, ordinal: u32, markers: u64) {
        if let Some(here) = self.here.as_mut().filter(|here| here.ordinal == ordinal) {
            (here.base, here.next) = (here.base + markers, here.next + markers);
            self.open.seq += markers;
        }
    }

    /// What the lane begins with is a period written again, of whose end nothing will tell: it opens none.
    pub fn begins_with_replay(&mut self) {
        self.replays = true;
    }

    /// Takes items of a live frame, stopping after the one that closes the lane. Finds go to `out`.
    pub fn take(&mut self, items: &[Item], texts: &[u8], out: &mut Vec<Found>) {
        for item in items {
            self.item(item, texts, out);
            if matches!(out.last(), Some(Found::TooLarge)) {
                return;
            }
        }
    }

    fn item(&mut self, item: &Item, texts: &[u8], out: &mut Vec<Found>) {
        self.renumber(item);
        self.enter(item, out);
        if !self.stand(item, texts, out) {
            return;
        }
        self.name(item, out);
        match &item.what {
            What::Op { text, .. } => self.push(item, &texts[text.clone()], out),
            What::Marker => self.mark(item, out),
            What::Refused(why) => self.refuse(item, why, out),
        }
        if let Some(fork) = &item.fork {
            self.last_fork = Some(fork.clone());
        }
        self.last_label = self.label(item.block).or(self.last_label);
    }

    /// Honeycomb numbering lasts while the blocks fit it, with one label a run (and the one before at its start).
    fn renumber(&mut self, item: &Item) {
        let Some(block) = item.block else { return };
        if self.seed {
            return;
        }
        let label = self.rules.label(block);
        let strays = match &self.here {
            Some(here) => {
                let falls = item.index.zip(self.last).is_some_and(|(index, last)| index < last);
                let other = |own| own != label && here.old_label != Some(label);
                // What a lane was joined in may begin with a marker of the period before.
                let strays = |own| other(own) && (here.opened || own > label);
                !falls && self.armed.is_none() && here.label.is_some_and(strays)
            }
            None => false,
        };
        self.seed = strays || !self.rules.is_honeycomb(block);
    }

    /// Opens a period where this item begins one.
    fn enter(&mut self, item: &Item, out: &mut Vec<Found>) {
        let at_start = item.index.is_none_or(|index| index == 0);
        let Some(here) = &self.here else {
            return self.begin(item, at_start, out);
        };
        let fell = item.index.zip(self.last).is_some_and(|(index, last)| index < last);
        // A period of a stream whose index does not restart begins at whatever index comes next.
        let goes_on = item.index.filter(|index| self.last.is_some_and(|last| last + 1 == *index));
        if let Some(armed) = &self.armed
            && (at_start
                || fell
                || (armed.cause == OpenCause::Checkpoint && (item.fork.is_none() || item.fork != here.hash)))
        {
            let armed = self.armed.take().expect("just seen");
            self.open_period(self.label(armed.block), Some(armed.hash), armed.cause, out);
            self.offset = goes_on.unwrap_or(0);
            return;
        }
        if fell {
            if self.is_second_run(here, item) {
                return self.second_run();
            }
            let doubtful = self.may_be_second_run(here, item);
            return self.fall(doubtful, out);
        }
        let changed = self.seed && here.hash.is_some() && item.fork.is_some() && here.hash != item.fork;
        if changed && here.opened {
            self.open_period(self.label(item.block), item.fork.clone(), OpenCause::HashChange, out);
            self.offset = goes_on.unwrap_or(0);
        }
    }

    /// The lane's first item: does it open a period by its own words?
    fn begin(&mut self, item: &Item, at_start: bool, out: &mut Vec<Found>) {
        // A restarted honeycomb writes an older period's hash again under its own.
        let own_hash = matches!(&item.what, What::Op { pending_hash: Some(hash), .. }
            if item.fork.as_ref().is_none_or(|fork| fork == hash));
        let plain = self.sync.is_none() && item.fork.is_some();
        if let Some(armed) = self.armed.take_if(|_| at_start) {
            return self.open_period(self.label(armed.block), Some(armed.hash), armed.cause, out);
        }
        if at_start && !self.replays && (own_hash || plain) {
            return self.open_period(self.label(item.block), None, OpenCause::Start, out);
        }
        let next = item.index.unwrap_or(0);
        let label = self.label(item.block);
        self.here = Some(Here {
            ordinal: 0,
            label,
            hash: None,
            run: 0,
            base: 0,
            next,
            opened: false,
            doubtful: false,
            old_hash: None,
            old_label: None,
        });
        out.push(Found::Opened {
            ordinal: 0,
            label,
            hash: None,
            cause: OpenCause::Resume,
            before: Before::Nothing,
            end: 0,
        });
    }

    /// Whether a fall is the daily one. A checkpoint message for a later label says nothing here: it comes after the new
    /// period's first ops, so where those are still to come it has overtaken them, and perhaps the second run too.
    fn is_second_run(&self, here: &Here, item: &Item) -> bool {
        let Some(label) = here.counted_label(&self.rules) else { return false };
        here.opened
            && here.run == 0
            && !self.seed
            && self.rules.has_second_run(label)
            && item.block.is_none_or(|block| self.rules.label(block) == label)
            && (item.fork.is_none() || here.hash.is_none() || item.fork == here.hash)
    }

    /// A lane that nothing has opened yet may have been joined in either run.
    fn may_be_second_run(&self, here: &Here, item: &Item) -> bool {
        let daily = self.last_label.is_none_or(|label| self.rules.has_second_run(label));
        let moved = item.block.is_some_and(|block| self.last_label.is_some_and(|last| self.rules.label(block) != last));
        !here.opened && !here.doubtful && !self.seed && daily && !moved
    }

    fn fall(&mut self, doubtful: bool, out: &mut Vec<Found>) {
        if !doubtful {
            return self.open_period(None, None, OpenCause::Fall, out);
        }
        let announced = self.announced.take();
        self.open_behind(Before::Nothing, None, None, OpenCause::Resume, out);
        self.announced = announced;
        let here = self.here.as_mut().expect("just opened");
        (here.opened, here.doubtful) = (false, true);
    }

    /// The index restarts, the period goes on; so does an open batch.
    pub fn second_run(&mut self) {
        let here = self.here.as_mut().expect("a lane that falls stands somewhere");
        here.run += 1;
        here.base = here.next;
        (self.last, self.offset) = (None, 0);
    }

    /// A socket resumes in a period that the lane has not come to yet: the one after where it stands or, for a lane that
    /// has none, its first. `before` says whether the end of the one before is known.
    pub fn open_next(&mut self, label: Option<u64>, hash: Option<HashText>, before: Before, out: &mut Vec<Found>) {
        let cause = if before == Before::Nothing { OpenCause::Start } else { OpenCause::Resume };
        self.open_behind(before, label, hash, cause, out);
        // Its first ops may carry the label of a period that this lane never saw.
        let every = self.rules.checkpoint_every;
        if let Some(here) = self.here.as_mut().filter(|here| here.old_label.is_none()) {
            here.old_label = label.and_then(|label| label.checked_sub(every));
        }
    }

    /// An answer brought the put that names a period of this lane.
    pub fn named_by_answer(&mut self, ordinal: u32, hash: &HashText) {
        if let Some(here) = self.here.as_mut().filter(|here| here.ordinal == ordinal && here.hash.is_none()) {
            here.hash = Some(hash.clone());
        }
    }

    /// The socket is gone: what was open was never acknowledged and is asked for again.
    pub fn cut(&mut self) {
        self.open = Open::default();
    }

    /// A period opens in the stream: the end of the one before was seen.
    fn open_period(&mut self, label: Option<u64>, hash: Option<HashText>, cause: OpenCause, out: &mut Vec<Found>) {
        let before = if self.here.is_some() { Before::Seen } else { Before::Nothing };
        self.open_behind(before, label, hash, cause, out);
    }

    fn open_behind(
        &mut self,
        before: Before,
        label: Option<u64>,
        hash: Option<HashText>,
        cause: OpenCause,
        out: &mut Vec<Found>,
    ) {
        self.close(Close::Rollover, None, None, out);
        let announced = self.take_announced();
        let (ordinal, end, old_hash, old_label) = match self.here.take() {
            Some(old) => {
                let hash = old.hash.or(self.last_fork.clone());
                // What came before anything opened a period may have begun under an older label.
                let newest = self.last_label.filter(|_| !old.opened);
                (old.ordinal + 1, old.next, hash, newest.or(old.label).or(old.old_label))
            }
            None => (0, 0, None, None),
        };
        let announced = announced.filter(|said| Some(&said.hash) != old_hash.as_ref());
        let (hash, label) = match (hash, &announced) {
            (None, Some(said)) => (Some(said.hash.clone()), label.or(self.label(Some(said.block)))),
            (hash, _) => (hash, label),
        };
        let announced = announced.filter(|said| Some(&said.hash) == hash.as_ref());
        self.here = Some(Here {
            ordinal,
            label,
            hash: hash.clone(),
            run: 0,
            base: 0,
            next: 0,
            opened: true,
            doubtful: false,
            old_hash,
            old_label,
        });
        (self.last, self.loose, self.marker, self.armed) = (None, 0, None, None);
        self.last_text.clear();
        self.offset = 0;
        out.push(Found::Opened { ordinal, label, hash, cause, before, end });
        out.extend(announced.and_then(Announced::kept));
    }

    /// Finds the item's place; false when it is a repetition and was dealt with.
    fn stand(&mut self, item: &Item, texts: &[u8], out: &mut Vec<Found>) -> bool {
        let Some(index) = item.index else {
            self.loose += 1;
            return true;
        };
        let loose = std::mem::take(&mut self.loose);
        let here = self.here.as_mut().expect("entered");
        let mut place = here.base + index.saturating_sub(self.offset);
        if place < here.next && place + loose >= here.next {
            here.base += here.next - place;
            place = here.next;
        }
        if place < here.next {
            self.again(item, texts, out);
            return false;
        }
        if place > here.next {
            let (ordinal, run, from, to) = (here.ordinal, here.run, here.next - here.base, place - 1 - here.base);
            // What is asked for by index must be found again by index.
            let askable = self.offset == 0;
            self.close(Close::Hole, None, None, out);
            out.push(Found::Hole { ordinal, run, from, to, askable });
            let here = self.here.as_mut().expect("entered");
            here.next = place;
            self.open.behind_hole = true;
        }
        self.last = Some(index);
        true
    }

    /// An item at a place that is taken. A repetition is acknowledged when what it repeats is.
    fn again(&mut self, item: &Item, texts: &[u8], out: &mut Vec<Found>) {
        if !self.repeats(item, texts) {
            return out.push(Found::Refused("index repeated with other content"));
        }
        let is_op = matches!(item.what, What::Op { .. });
        if is_op && self.open.void.is_none() && !self.open.acks.is_empty() {
            self.open.again.push(item.index);
        } else if self.open.void.is_none() {
            out.push(Found::Repeated(item.index.filter(|_| is_op)));
        }
    }

    fn repeats(&self, item: &Item, texts: &[u8]) -> bool {
        match &item.what {
            _ if item.index != self.last => false,
            What::Op { text, .. } => self.last_text == *known_by(&texts[text.clone()]),
            What::Marker => self.last_text.is_empty(),
            What::Refused(_) => false,
        }
    }

    /// The first word on the period's hash and label counts.
    fn name(&mut self, item: &Item, out: &mut Vec<Found>) {
        let label = self.label(item.block);
        let seed = self.seed;
        let Some(here) = &mut self.here else { return };
        if here.doubtful && !here.opened {
            let own_hash = matches!(&item.what, What::Op { pending_hash: Some(_), .. });
            let moved = label.is_some() && here.old_label.is_some() && label != here.old_label;
            here.opened = own_hash || moved;
        }
        if !here.opened {
            return;
        }
        let mut named = false;
        if here.hash.is_none() {
            // An op that still carries the block of the period before carries its hash, too.
            let stale = !seed && here.old_hash.is_none() && label.is_some() && label == here.old_label;
            let own = match &item.what {
                What::Op { pending_hash: Some(hash), .. } => Some(hash.clone()),
                _ if stale => {
                    here.old_hash.clone_from(&item.fork);
                    None
                }
                _ => item.fork.clone(),
            };
            here.hash = own.filter(|hash| Some(hash) != here.old_hash.as_ref());
            named = here.hash.is_some();
        }
        if here.label.is_none() && label.is_some() && (label != here.old_label || (seed && here.hash.is_some())) {
            here.label = label;
            named = true;
        }
        // Named by an op that still carries the block of the period before: labels follow each other.
        let every = self.rules.checkpoint_every;
        if named && here.label.is_none() && !seed && label.is_some() && label == here.old_label {
            here.label = label.map(|old| old + every);
        }
        if named {
            out.push(Found::Named { ordinal: here.ordinal, label: here.label, hash: here.hash.clone() });
        }
    }

    fn push(&mut self, item: &Item, text: &[u8], out: &mut Vec<Found>) {
        let place = self.advance();
        if self.skipped(place) {
            return;
        }
        if self.open.ops == 0 {
            self.begin_batch(place, item);
        }
        self.open.texts.extend_from_slice(text);
        self.open.acks.push(item.index);
        self.open.last_index = item.index;
        self.open.label = self.label(item.block).or(self.open.label);
        self.open.ops += 1;
        self.open.bytes += text.len() as u64;
        self.last_text.clear();
        self.last_text.extend_from_slice(&known_by(text));
        if self.open.ops > BATCH_MAX_OPS || self.open.bytes > BATCH_MAX_BYTES {
            return out.push(Found::TooLarge);
        }
        if self.open.texts.len() >= PIECE_BYTES {
            self.spill(out);
        }
    }

    fn begin_batch(&mut self, place: u64, item: &Item) {
        let run = self.here.as_ref().map_or(0, |here| here.run);
        (self.open.seq, self.open.index, self.open.run) = (place, item.index, run);
    }

    fn advance(&mut self) -> u64 {
        let here = self.here.as_mut().expect("entered");
        here.next += 1;
        here.next - 1
    }

    fn mark(&mut self, item: &Item, out: &mut Vec<Found>) {
        let place = self.advance();
        self.last_text.clear();
        if self.skipped(place) {
            return self.end_void(out);
        }
        if self.open.ops == 0 {
            self.begin_batch(place, item);
        }
        self.open.last_index = item.index.or(self.open.last_index);
        self.open.label = self.label(item.block).or(self.open.label);
        self.marker = Some(Marker { block: item.block });
        self.close(Close::Marker, item.block, item.prev.clone(), out);
    }

    /// Voids the open batch: its place, up to its marker, becomes a hole.
    fn refuse(&mut self, item: &Item, why: &'static str, out: &mut Vec<Found>) {
        let place = self.advance();
        if self.skipped(place) {
            return;
        }
        out.push(Found::Refused(why));
        let here = self.here.as_ref().expect("entered");
        let first = if self.open.ops > 0 { self.open.seq } else { place };
        let (ordinal, run, from) = (here.ordinal, here.run, first.saturating_sub(here.base));
        let lost = Lost { ordinal, run, from, to: place - here.base, askable: item.index.is_some() };
        self.open = Open { void: Some(lost), ..Open::default() };
    }

    /// Whether the open batch is void; then this place is lost too.
    fn skipped(&mut self, place: u64) -> bool {
        let base = self.here.as_ref().expect("entered").base;
        match &mut self.open.void {
            Some(lost) => {
                lost.to = place - base;
                true
            }
            None => false,
        }
    }

    fn end_void(&mut self, out: &mut Vec<Found>) {
        if let Some(Lost { ordinal, run, from, to, askable }) = std::mem::take(&mut self.open).void {
            out.push(Found::Hole { ordinal, run, from, to, askable });
        }
    }

    /// Hands out what was received so far of a batch that goes on.
    fn spill(&mut self, out: &mut Vec<Found>) {
        let mut hasher = self.open.hasher.take().unwrap_or_default();
        hasher.update(&self.open.texts);
        let whole = self.open.ops;
        let bytes = self.open.bytes;
        let behind_hole = self.open.behind_hole;
        self.emit(Close::More, None, None, None, out);
        let here = self.here.as_ref().expect("entered");
        let (seq, run) = (here.next, here.run);
        self.open = Open { seq, run, ops: whole, bytes, hasher: Some(hasher), behind_hole, ..Open::default() };
    }

    /// Closes the open batch, if there is anything to close.
    fn close(&mut self, close: Close, block: Option<u64>, prev: Option<HashText>, out: &mut Vec<Found>) {
        if self.open.void.is_some() {
            return self.end_void(out);
        }
        // A hole directly behind a spilled piece leaves nothing to hand out.
        let nothing = self.open.ops == 0 || (close == Close::Hole && self.open.acks.is_empty());
        if nothing && close != Close::Marker {
            self.open = Open::default();
            return;
        }
        let batch_hash = match self.open.hasher.take() {
            _ if self.open.behind_hole || close == Close::Hole => None,
            Some(mut hasher) => Some(*hasher.update(&self.open.texts).finalize().as_bytes()),
            None => Some(*blake3::hash(&self.open.texts).as_bytes()),
        };
        self.emit(close, block, prev, batch_hash, out);
        self.open = Open::default();
    }

    fn emit(
        &mut self,
        close: Close,
        block: Option<u64>,
        prev: Option<HashText>,
        batch_hash: Option<[u8; 32]>,
        out: &mut Vec<Found>,
    ) {
        let here = self.here.as_ref().expect("an open batch stands somewhere");
        let open = &mut self.open;
        let count = open.acks.len() as u32;
        let begins = !open.behind_hole && open.ops == u64::from(count);
        let mut acks = std::mem::take(&mut open.acks);
        acks.append(&mut open.again);
        self.closed_index = open.last_index.or(self.closed_index);
        out.push(Found::Closed(Closed {
            ordinal: here.ordinal,
            label: if self.seed { open.label } else { here.label },
            run: open.run,
            seq: open.seq,
            index: open.index,
            last_index: open.last_index,
            count,
            close,
            begins,
            texts: std::mem::take(&mut open.texts),
            batch_hash,
            acks,
            block,
            prev,
        }));
    }
}

/// What an op is known by when it comes again.
fn known_by(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() <= LAST_TEXT_BYTES { text.into() } else { blake3::hash(text).as_bytes().to_vec().into() }
}
