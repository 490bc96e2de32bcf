//! Walking along histories: the events that lead from one point to another.
//!
//! *Always holds:* a step is bounded in events and bytes; after it the walker stands where its last event says. What
//! cannot be told change by change is told as a `reset`: read the state anew at the batch it names, and go on from there.

use super::changes::{self, Missing};
use super::cursor::Trail;
use super::event::{Alive, Event};
use super::way::{Stretch, Way, way};
use crate::fork::record::{Lsn, Node};
use crate::fork::status::Status;
use crate::journal::JournalError;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError};
use crate::web::Networked;
use crate::web::answer::ApiError;
use crate::web::point::Point;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

/// Events of one step.
const STEP_EVENTS: usize = 64;
/// Bytes of one step, and one event: what a subscriber that catches up may have waiting.
const STEP_BYTES: usize = 64 << 10;
/// Records of the journal that a subscriber may be behind: more, and reading the state anew is the shorter way.
pub const MAX_BEHIND: Lsn = 1_000_000;

/// Why a subscriber has to read the state anew.
pub const FIRST: &str = "first";
/// Nothing of its cursor is known here.
pub const UNKNOWN: &str = "unknown";
const APART: &str = "apart";
const TOO_FAR: &str = "too_far";
const TOO_LARGE: &str = "too_large";
const GONE: &str = "gone";
/// The base was put under the state there.
pub const BASE: &str = "base";

/// What events are made from.
pub struct Teller {
    /// Network.
    pub network: String,
    /// What the API knows of it.
    pub of: Networked,
    /// Bytes of events and frames.
    pub alive: Alive,
}

/// A place on the way.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    /// The last batch that was told; none before the first.
    pub at: Option<Node>,
    trail: Trail,
}

impl Walker {
    /// At a batch.
    pub fn at(snapshot: &Snapshot<Fjall>, at: Option<Node>) -> Result<Self, StateError> {
        Ok(Self { at, trail: Trail::read(snapshot, at)? })
    }

    /// The cursor there.
    pub fn cursor(&self) -> Arc<str> {
        self.trail.cursor().text().into()
    }
}

impl Teller {
    /// The next events on the way to `to`; none when the walker stands there.
    pub fn step(&self, walker: &mut Walker, to: Node) -> Result<Vec<Event>, ApiError> {
        if walker.at == Some(to) {
            return Ok(Vec::new());
        }
        let snapshot = self.of.state.snapshot();
        let (here, there) = (walker.at.map(|at| snapshot.chain(at)), snapshot.chain(to));
        let (undo, forward) = match way(here.as_deref(), &there) {
            Way::Apart => return self.leap(walker, &snapshot, to, to, APART),
            Way::Along { undo, forward } => (undo, forward),
        };
        let records: Lsn = forward.iter().map(|stretch| stretch.upto - stretch.after).sum();
        if records > MAX_BEHIND {
            return self.leap(walker, &snapshot, to, to, TOO_FAR);
        }
        let mut events = Vec::new();
        if let Some(undo) = undo {
            *walker = Walker::at(&snapshot, Some(undo))?;
            events.push(self.event("undo", walker, &snapshot, to, b"", None)?);
        }
        let mut bytes = 0;
        for Stretch { branch, after, upto } in forward {
            for batch in snapshot.batches(branch, after + 1, upto) {
                if events.len() >= STEP_EVENTS || bytes >= STEP_BYTES {
                    return Ok(events);
                }
                let event = self.batch(walker, &snapshot, to, batch?)?;
                bytes += event.bytes();
                let leapt = event.name == "reset";
                events.push(event);
                if leapt {
                    return Ok(events);
                }
            }
        }
        Ok(events)
    }

    /// What one batch changed.
    fn batch(
        &self,
        walker: &mut Walker,
        snapshot: &Snapshot<Fjall>,
        to: Node,
        batch: Batch,
    ) -> Result<Event, ApiError> {
        // A subscriber cannot read anew at a point that is no longer kept.
        let kept = |at: Node| snapshot.readable(at).map(|kept| if kept { Ok(at) } else { Err(to) });
        if snapshot.based(batch.node) == Some(batch.node) {
            return match kept(batch.node)? {
                Ok(at) => self.reset(walker, snapshot, (at, to), BASE),
                Err(to) => self.reset(walker, snapshot, (to, to), GONE),
            };
        }
        let changes = match changes::read(snapshot, &self.of.journal, &batch) {
            Ok(changes) => changes,
            Err(Missing::TooMany) => {
                return match kept(batch.node)? {
                    Ok(at) => self.reset(walker, snapshot, (at, to), TOO_LARGE),
                    Err(to) => self.reset(walker, snapshot, (to, to), GONE),
                };
            }
            Err(Missing::State(StateError::Gone(_)) | Missing::Journal(JournalError::Trimmed { .. })) => {
                return self.reset(walker, snapshot, (to, to), GONE);
            }
            Err(error) => return Err(ApiError::internal(&error)),
        };
        walker.at = Some(batch.node);
        walker.trail.push(&batch);
        let members = format!(r#","count":{},"timestamp":{}"#, batch.count, batch.at_ms);
        self.event("new", walker, snapshot, to, members.as_bytes(), Some(changes))
    }

    fn leap(
        &self,
        walker: &mut Walker,
        snapshot: &Snapshot<Fjall>,
        at: Node,
        to: Node,
        why: &str,
    ) -> Result<Vec<Event>, ApiError> {
        Ok(vec![self.reset(walker, snapshot, (at, to), why)?])
    }

    /// The state is to be read anew at a batch.
    fn reset(
        &self,
        walker: &mut Walker,
        snapshot: &Snapshot<Fjall>,
        (at, to): (Node, Node),
        why: &str,
    ) -> Result<Event, ApiError> {
        *walker = Walker::at(snapshot, Some(at))?;
        self.event("reset", walker, snapshot, to, format!(r#","reason":"{why}""#).as_bytes(), None)
    }

    /// An event at the walker's place, which lies on the history of `history`.
    fn event(
        &self,
        name: &'static str,
        walker: &Walker,
        snapshot: &Snapshot<Fjall>,
        history: Node,
        more: &[u8],
        changes: Option<changes::Changes>,
    ) -> Result<Event, ApiError> {
        let mut members = self.described(snapshot, history, walker.at)?;
        members.extend_from_slice(more);
        Ok(Event::new(name, (walker.at, walker.cursor()), members, changes, &self.alive))
    }

    /// An event that moves nobody, at a place with its cursor; it says what every answer from `about` says.
    pub fn beside(
        &self,
        name: &'static str,
        (at, cursor): (Option<Node>, Arc<str>),
        about: Option<Node>,
        more: &[u8],
    ) -> Result<Event, ApiError> {
        let mut members = match at {
            None => self.described_nothing(),
            Some(history) => self.described(&self.of.state.snapshot(), history, about)?,
        };
        members.extend_from_slice(more);
        Ok(Event::new(name, (at, cursor), members, None, &self.alive))
    }

    fn described(&self, snapshot: &Snapshot<Fjall>, history: Node, batch: Option<Node>) -> Result<Vec<u8>, ApiError> {
        let Some(batch) = batch.map(|at| snapshot.batch(at)).transpose()?.flatten() else {
            return Ok(self.described_nothing());
        };
        let mut members = Vec::with_capacity(256);
        Point::at(&self.network, &self.of, snapshot.clone(), history, batch)?.describe(&mut members);
        Ok(members)
    }

    /// A network without a batch.
    fn described_nothing(&self) -> Vec<u8> {
        let network = &self.network;
        format!(
            r#""network":"{network}","fork":null,"batch":null,"label":null,"complete":false,"verified":false,"final":false"#
        )
        .into_bytes()
    }

    /// The members of a `gap`, and what makes it another than the one before; both empty when nothing is missing.
    pub fn gaps(status: &Status) -> (Vec<u8>, Vec<u8>) {
        let open: Vec<_> = status.gaps.iter().filter(|gap| gap.phase != "accepted").collect();
        let mut key = Vec::new();
        for gap in &open {
            // Writing to memory cannot fail.
            let _ = write!(key, "{} {} {} {};", gap.gap.id, gap.phase, gap.gap.from, gap.gap.to);
        }
        status.parked.reasons.iter().for_each(|(reason, _)| key.extend_from_slice(reason.as_bytes()));
        let about = json!({ "gaps": open, "parked": status.parked }).to_string();
        (format!(",{}", &about[1..about.len() - 1]).into_bytes(), key)
    }

    /// Whether a batch is on the history that ends at a node.
    pub fn is_on(&self, batch: Node, history: Node) -> bool {
        let links = self.of.state.snapshot().chain(history);
        links.iter().any(|link| link.branch == batch.branch && batch.version <= link.version)
    }

    /// The last batch that is confirmed on the history that ends at a node, and the members that say by whom: the one
    /// place where confirmation enters the stream.
    pub fn confirmed(&self, history: Node) -> Result<Option<(Node, Vec<u8>)>, ApiError> {
        let snapshot = self.of.state.snapshot();
        let proven = Arc::clone(&self.of.status.borrow().proven);
        let Some((next, confirmed)) = proven.confirmed(&snapshot.chain(history)) else { return Ok(None) };
        let Some(last) = snapshot.batch(next)?.and_then(|next| next.prev) else { return Ok(None) };
        let (hash, by) = (json!(confirmed.hash), confirmed.by().word());
        let members = format!(r#","checkpoint":{{"hash":{hash},"label":{}}},"by":"{by}""#, json!(confirmed.label));
        Ok(Some((last, members.into_bytes())))
    }
}
