//! Where a subscriber stands, in words that every node understands: ids of batches, never numbers of this node.
//!
//! A batch id names content at a place, not a history: within a period each id stands on the one before it, a period's
//! first stands on the period's hash alone. So a history is named by its last batch and by the last batches of the
//! periods before. A cursor carries the first, samples of what lies behind it (so that a node that does not have the
//! last batch finds the newest that it has), and digests over all period ends in between.
//!
//! Bytes: version, flags (1: there is a last batch; 2: the state there has its base), the last batch (32), how many samples of its period, these (16 each, at distances 1, 4, 16, ...), how
//! many period ends are known (2), and for each of 1, 4, 16, ... up to that the end (16) and the digest (8) over the ends
//! from there to the next. In base64, for URLs.
//!
//! *Always holds:* two histories that differ in a period whose end a cursor covers are told apart, if the node holds
//! that period; what a node cannot check is from before its own beginning.

use crate::fork::record::Node;
use crate::projection::state::kv::Kv;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError};
use data_encoding::BASE64URL_NOPAD;
use honeygraph_protocols::batch::BatchId;
use std::collections::VecDeque;

/// The only version so far.
const VERSION: u8 = 1;
const HAS_HEAD: u8 = 1;
const BASED: u8 = 2;
/// Batches of the period that a trail remembers: the last sample, and the batch itself.
const INSIDE: usize = 257;
/// Period ends that a trail remembers: most of a day.
const ENDS: usize = 255;
/// Distances of the samples.
const SAMPLES: [usize; 5] = [1, 4, 16, 64, 256];
/// Longest cursor, as text.
const MAX_TEXT: usize = 512;
/// Places of one batch, or of one sample, that are looked at.
const MAX_PLACES: usize = 64;

type Sample = [u8; 16];
type Digest = [u8; 8];

/// A place in a history, as a subscriber gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last batch; none before the first.
    head: Option<BatchId>,
    /// Whether the base was under the state there.
    based: bool,
    inside: Vec<Sample>,
    /// Period ends that whoever wrote it knew.
    known: usize,
    ends: Vec<(Sample, Digest)>,
}

/// What a node makes of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Before the first batch.
    Nothing,
    /// At this batch.
    At(Node),
    /// Behind this batch, on a way that is not known here.
    Behind(Node),
    /// Nothing of it is known here.
    Unknown,
    /// It is from before the base was put under the state.
    Baseless,
}

impl Cursor {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = (text.len() <= MAX_TEXT).then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok())??;
        let mut bytes = bytes.as_slice();
        let mut take = |many: usize| {
            let (taken, rest) = bytes.split_at_checked(many)?;
            bytes = rest;
            Some(taken)
        };
        if take(1)? != [VERSION] {
            return None;
        }
        let flags = take(1)?[0];
        let head = match flags & HAS_HEAD {
            0 => None,
            _ => Some(BatchId::from_digest(take(32)?.try_into().ok()?)),
        };
        let many = usize::from(take(1)?[0]);
        let inside = (0..many.min(SAMPLES.len() + 1)).map(|_| take(16)?.try_into().ok()).collect::<Option<Vec<_>>>()?;
        let known = usize::from(u16::from_be_bytes(take(2)?.try_into().ok()?));
        let mut ends = Vec::new();
        for _ in starts(known) {
            ends.push((take(16)?.try_into().ok()?, take(8)?.try_into().ok()?));
        }
        let fits = bytes.is_empty() && flags & !(HAS_HEAD | BASED) == 0 && many <= SAMPLES.len() && known <= ENDS;
        fits.then_some(Self { head, based: flags & BASED > 0, inside, known, ends })
    }

    /// The text form.
    pub fn text(&self) -> String {
        let flags = if self.head.is_some() { HAS_HEAD } else { 0 } | if self.based { BASED } else { 0 };
        let mut bytes = vec![VERSION, flags];
        bytes.extend(self.head.iter().flat_map(|id| id.digest()));
        bytes.push(self.inside.len() as u8);
        bytes.extend(self.inside.iter().flatten());
        bytes.extend((self.known as u16).to_be_bytes());
        for (end, digest) in &self.ends {
            bytes.extend(end);
            bytes.extend(digest);
        }
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Looks for it among the histories that are held.
    pub fn find<K: Kv>(&self, snapshot: &Snapshot<K>) -> Result<Found, StateError> {
        let Some(head) = &self.head else { return Ok(Found::Nothing) };
        let here = self.same(snapshot, head.digest(), 0)?;
        if !self.based && here.iter().any(|at| snapshot.based(*at).is_some()) {
            return Ok(Found::Baseless);
        }
        if let [at] = here[..] {
            return Ok(Found::At(at));
        }
        if !here.is_empty() {
            return Ok(shared(snapshot, &here));
        }
        let inside = self.inside.iter().map(|sample| (sample, 0));
        let ends = starts(self.known).zip(&self.ends).map(|(nth, (sample, _))| (sample, nth));
        for (sample, nth) in inside.chain(ends) {
            let here = self.same(snapshot, sample, nth)?;
            if !self.based && here.iter().any(|at| snapshot.based(*at).is_some()) {
                return Ok(Found::Baseless);
            }
            if !here.is_empty() {
                return Ok(shared(snapshot, &here));
            }
        }
        Ok(Found::Unknown)
    }

    /// The places of the batches that begin with `id` and have the same past; `nth` is which period end the batch is (0:
    /// it lies in the last period).
    fn same<K: Kv>(&self, snapshot: &Snapshot<K>, id: &[u8], nth: usize) -> Result<Vec<Node>, StateError> {
        let mut found = Vec::new();
        for place in snapshot.places_of(id, MAX_PLACES)? {
            let Some(batch) = snapshot.batch(place)? else { continue };
            let mut ends = Vec::with_capacity(ENDS);
            ends.extend((nth > 0).then_some(batch.id));
            let wanted = self.known.saturating_sub(nth.saturating_sub(1));
            ends_before(snapshot, batch, wanted, &mut ends)?;
            if self.agrees(&ends, nth.max(1)) {
                found.push(place);
            }
        }
        Ok(found)
    }

    /// Whether these period ends, of which the first is the `first`th, are those of the cursor, as far as both know.
    fn agrees(&self, ends: &[BatchId], first: usize) -> bool {
        starts(self.known).zip(&self.ends).all(|(start, (sample, digest))| {
            let Some(from) = start.checked_sub(first).filter(|from| *from < ends.len()) else { return true };
            let upto = (start * 4 - 1).min(self.known) - first;
            sample_of(&ends[from]) == *sample && (upto >= ends.len() || digest_of(&ends[from..=upto]) == *digest)
        })
    }
}

/// Of several places that may be meant, what all of them stand behind.
fn shared<K: Kv>(snapshot: &Snapshot<K>, places: &[Node]) -> Found {
    let mut chains = places.iter().map(|place| snapshot.chain(*place));
    let first = chains.next().unwrap_or_default();
    let all =
        chains.try_fold(first, |all, chain| Some(snapshot.chain(crate::projection::state::common(&all, &chain)?)));
    all.and_then(|all| all.first().copied()).map_or(Found::Unknown, Found::Behind)
}

/// Which period ends are sampled.
fn starts(known: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |nth| Some(nth * 4)).take_while(move |nth| *nth <= known)
}

fn sample_of(id: &BatchId) -> Sample {
    *id.digest().first_chunk().expect("16 of 32 bytes")
}

fn digest_of(ends: &[BatchId]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    ends.iter().for_each(|end| {
        hasher.update(end.digest());
    });
    *hasher.finalize().as_bytes().first_chunk().expect("8 of 32 bytes")
}

/// Appends the last batches of the periods before that of `batch`, newest first, until there are `wanted`.
fn ends_before<K: Kv>(
    snapshot: &Snapshot<K>,
    batch: Batch,
    wanted: usize,
    ends: &mut Vec<BatchId>,
) -> Result<(), StateError> {
    let mut at = batch;
    while ends.len() < wanted {
        let first = if at.first_of_period { at } else { snapshot.first_of_period(&at)? };
        let Some(before) = first.prev else { return Ok(()) };
        let Some(before) = snapshot.batch(before)? else { return Ok(()) };
        // The period goes on over a fork inside it.
        if first.first_of_period {
            ends.push(before.id);
        }
        at = before;
    }
    Ok(())
}

/// What a cursor is made of, carried along a history.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    based: bool,
    /// Batches of the period, newest last.
    inside: VecDeque<BatchId>,
    /// Period ends, newest first.
    ends: VecDeque<BatchId>,
    /// Samples and digests of them.
    marks: Vec<(Sample, Digest)>,
}

impl Trail {
    /// The trail that ends at a batch.
    pub fn read<K: Kv>(snapshot: &Snapshot<K>, at: Option<Node>) -> Result<Self, StateError> {
        let mut trail = Self::default();
        let Some(mut batch) = at.map(|at| snapshot.batch(at)).transpose()?.flatten() else { return Ok(trail) };
        trail.based = snapshot.based(batch.node).is_some();
        trail.inside.push_front(batch.id);
        while trail.inside.len() < INSIDE && !batch.first_of_period {
            let Some(before) = batch.prev.map(|prev| snapshot.batch(prev)).transpose()?.flatten() else { break };
            trail.inside.push_front(before.id);
            batch = before;
        }
        let mut ends = Vec::with_capacity(ENDS);
        ends_before(snapshot, batch, ENDS, &mut ends)?;
        trail.ends = ends.into();
        trail.mark();
        Ok(trail)
    }

    /// Goes on to the next batch.
    pub fn push(&mut self, batch: &Batch) {
        if batch.first_of_period {
            if let Some(end) = self.inside.back().copied() {
                self.ends.push_front(end);
                self.ends.truncate(ENDS);
                self.mark();
            }
            self.inside.clear();
        }
        self.inside.push_back(batch.id);
        if self.inside.len() > INSIDE {
            self.inside.pop_front();
        }
    }

    fn mark(&mut self) {
        let ends = &*self.ends.make_contiguous();
        let mark = |start: usize| {
            let upto = (start * 4 - 1).min(ends.len());
            (sample_of(&ends[start - 1]), digest_of(&ends[start - 1..upto]))
        };
        self.marks = starts(ends.len()).map(mark).collect();
    }

    /// The cursor there.
    pub fn cursor(&self) -> Cursor {
        let back = |distance: &usize| self.inside.len().checked_sub(distance + 1).map(|at| sample_of(&self.inside[at]));
        Cursor {
            head: self.inside.back().copied(),
            based: self.based,
            inside: SAMPLES.iter().map_while(back).collect(),
            known: self.ends.len(),
            ends: self.marks.clone(),
        }
    }
}
