//! A leg: the periods between an anchor and what is held here.
//!
//! *Always holds:* each slot's header is closed by the opening hash of the slot after it, the newest by the anchor; who
//! gave a header is remembered with it; at most [`HEADERS_HELD`] are held, and of more those behind the newest are let go
//! and walked again later, never the oldest, which are needed first.

use super::asks::AskId;
use super::check::Checked;
use super::message::Effect;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Frame, Header, Line, PeriodId};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::status::Checkpoint;
use std::collections::{BTreeSet, VecDeque};

/// Headers held: more than half a year, about 25 MB.
pub(super) const HEADERS_HELD: usize = 65_536;
/// Checkpoints that a document names, at most: those of two days.
const BEHIND: usize = 576;
/// Bytes of the newest period's frames that are held until it is proven; one that is longer proves itself in the core.
pub(super) const PROVEN_BYTES: usize = 64 << 20;
/// A period with more ops is fetched by its lines and then in parts: the whole would not fit into one answer.
pub(super) const LONG_OPS: u64 = 8_192;

/// A period on its way.
#[derive(Debug)]
pub(super) struct Slot {
    pub header: Header,
    pub id: PeriodId,
    /// Who gave this header.
    pub claimed: Vec<PeerKey>,
    pub job: Job,
    /// Peers that do not have it, or whose answer was not it.
    pub lacks: BTreeSet<PeerKey>,
    pub tries: u32,
    /// Not asked for before, ms.
    pub not_before: u64,
    /// Requests for it that are out.
    pub out: Vec<AskId>,
}

/// How far a period is.
#[derive(Debug)]
pub(super) enum Job {
    /// To be asked for as a whole.
    Whole,
    /// To be asked for by its lines.
    Lines { of: Option<PeerKey>, lines: Vec<Line> },
    /// Its lines are known; batches before `at` were supplied.
    Parts(Parts),
    /// Checked, and waiting for its turn.
    Ready { batches: Vec<Checked>, from: PeerKey },
    /// All of it was given to the core.
    Supplied,
}

/// A long period.
#[derive(Debug)]
pub(super) struct Parts {
    pub known: Vec<(Line, BatchId)>,
    pub at: usize,
    /// Frames of the batch at `at`, which was too long for one answer, and who gave them.
    pub begun: Vec<Frame>,
    pub begun_by: Option<PeerKey>,
    /// Checked and waiting for their turn.
    pub ready: Vec<Checked>,
    pub from: Option<PeerKey>,
}

impl Slot {
    pub(super) fn new(header: Header, claimed: Vec<PeerKey>) -> Self {
        let long = header.ops > LONG_OPS;
        Self {
            id: header.id(),
            job: if long { Job::Lines { of: None, lines: Vec::new() } } else { Job::Whole },
            header,
            claimed,
            lacks: BTreeSet::new(),
            tries: 0,
            not_before: 0,
            out: Vec::new(),
        }
    }

    /// Whether something of it can be asked for now.
    pub(super) fn wants(&self, now: u64, to_be_proven: bool) -> bool {
        let open = match &self.job {
            Job::Whole | Job::Lines { .. } => true,
            // One part at a time: the next one is asked for when the core has room for this one. What is to be proven has
            // to be there as a whole.
            Job::Parts(parts) => (to_be_proven || parts.ready.is_empty()) && parts.at < parts.known.len(),
            Job::Ready { .. } | Job::Supplied => false,
        };
        open && self.out.is_empty() && self.not_before <= now
    }
}

impl Slot {
    /// All of its batches, when they are there.
    fn whole(&self) -> Option<&[Checked]> {
        match &self.job {
            Job::Ready { batches, .. } => Some(batches),
            Job::Parts(parts) if parts.at >= parts.known.len() => Some(&parts.ready),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.job {
            Job::Parts(parts) => parts.ready.iter().map(Checked::bytes).sum(),
            _ => 0,
        }
    }
}

/// Whether the newest period of a leg is what the anchor names. If it is, so is what its document names: the day's
/// checkpoints, the root and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// It is on its way.
    Awaited,
    /// It is being recomputed.
    Asked,
    /// It is, or nobody can say here.
    Passed,
}

/// One step of the walk: the same question to a few peers.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Out.
    pub asked: Vec<(AskId, PeerKey)>,
    /// Answers that are a walk.
    pub answers: Vec<(PeerKey, Vec<Header>)>,
    /// When the first of them came, ms.
    pub first_at: u64,
    /// Peers that have nothing here.
    pub lacks: BTreeSet<PeerKey>,
    pub tries: u32,
    pub not_before: u64,
}

/// Where the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalkState {
    /// Going back.
    Going,
    /// It has come to what is held here, or to where every peer's history begins.
    Arrived,
}

/// A leg.
#[derive(Debug)]
pub(super) struct Leg {
    pub target: Checkpoint,
    /// The target is what our own history begins with.
    pub is_past: bool,
    /// Newest first.
    pub slots: VecDeque<Slot>,
    /// Hash from which the walk goes on.
    pub from: HashText,
    /// Labels lie below this one.
    pub below: Option<u64>,
    pub state: WalkState,
    pub step: Step,
    pub top: Top,
    /// Headers of this walk so far, and the first of them.
    pub walked: u64,
    pub first: Option<PeriodId>,
}

impl Leg {
    pub(super) fn new(target: Checkpoint) -> Self {
        let from = target.hash.clone();
        let below = target.label.map(|label| label.get());
        Self {
            target,
            is_past: false,
            slots: VecDeque::new(),
            from,
            below,
            state: WalkState::Going,
            step: Step::default(),
            top: Top::Awaited,
            walked: 0,
            first: None,
        }
    }

    /// Takes headers behind those that are there.
    pub(super) fn extend(&mut self, headers: Vec<(Header, Vec<PeerKey>)>) {
        for (header, claimed) in headers {
            self.from = header.open_hash.clone();
            self.below = header.label.map(|label| label.get()).or(self.below);
            let slot = Slot::new(header, claimed);
            (self.walked, self.first) = (self.walked + 1, self.first.or(Some(slot.id)));
            self.slots.push_back(slot);
            if self.slots.len() > HEADERS_HELD {
                self.slots.remove(1);
            }
        }
        self.step = Step::default();
    }

    /// The newest period, when it is there as a whole and is to be proven.
    pub(super) fn newest_to_prove(&mut self) -> Option<Effect> {
        if self.state != WalkState::Arrived || self.top != Top::Awaited {
            return None;
        }
        let slot = self.slots.front()?;
        if slot.bytes() > PROVEN_BYTES {
            self.top = Top::Passed;
            return None;
        }
        let batches = slot.whole()?.to_vec();
        let opening = |slot: &Slot| Checkpoint { hash: slot.header.open_hash.clone(), label: slot.header.label };
        let behind = self.slots.iter().take(BEHIND).map(opening).collect();
        self.top = Top::Asked;
        Some(Effect::Prove { period: Box::new(slot.header.clone()), batches, behind })
    }

    pub(super) fn slot(&mut self, id: &PeriodId) -> Option<&mut Slot> {
        self.slots.iter_mut().rev().find(|slot| slot.id == *id)
    }
}
