//! What a feed says beside its ops: `fork_start` and the forms of the checkpoint message.
//!
//! *Always holds:* nothing announced moves the lane before an op that can begin a period; a checkpoint whose boundary is
//! not kept vouches for nothing.

use super::super::found::Found;
use super::super::record::{Boundary, Close, OpenCause};
use super::super::rules::judge;
use super::{Here, Lane};
use honeygraph_protocols::honeycomb::{Checkpoint, HashText};

/// Announced, and to happen at the next op that can begin a period.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Armed {
    pub(super) hash: HashText,
    /// As sent: what label it means is known when the period opens.
    pub(super) block: Option<u64>,
    pub(super) cause: OpenCause,
}

/// A checkpoint that was announced before the first op of the period that it opens.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) hash: HashText,
    pub(super) block: u64,
    boundary: Boundary,
}

impl Announced {
    /// The period that it names has opened: the feed vouches for it.
    pub(super) fn kept(self) -> Option<Found> {
        let Self { hash, block, boundary } = self;
        let valid = !matches!(boundary, Boundary::Invalid(_));
        valid.then_some(Found::Checkpoint { block, hash, boundary, confirms: true, denied: false })
    }
}

impl Lane {
    /// What was announced for the period that opens now. A message overtakes the ops that wait behind it, so that one for
    /// a later period may be here already: it waits for that one.
    pub(super) fn take_announced(&mut self) -> Option<Announced> {
        let counted = self.here.as_ref().filter(|_| !self.seed).and_then(|here| here.counted_label(&self.rules));
        let due = counted.map(|label| label + self.rules.checkpoint_every);
        let announced = self.announced.as_ref().map(|said| self.rules.label(said.block));
        let waits = due.zip(announced).is_some_and(|(due, announced)| announced > due);
        let late = due.zip(announced).is_some_and(|(due, announced)| announced < due);
        if waits { None } else { self.announced.take().filter(|_| !late) }
    }

    /// `fork_start`: a period with this hash opens at the lane's next index 0.
    pub fn fork_start(&mut self, hash: Option<HashText>, block: Option<u64>) {
        let Some(hash) = hash else { return };
        self.armed = Some(Armed { hash, block, cause: OpenCause::ForkStart });
    }

    /// A checkpoint message: names, confirms, or announces the end of the current period.
    pub fn checkpoint(&mut self, message: &Checkpoint, out: &mut Vec<Found>) {
        let (Some(hash), Some(block)) = (message.hash.clone(), message.block) else { return };
        let seed = self.seed;
        let label = if seed { block } else { self.rules.label(block) };
        let known = self.here.as_ref().is_some_and(|here| [&here.hash, &here.old_hash].contains(&&Some(hash.clone())));
        if known || message.matches.is_some() {
            let denied = message.matches == Some(false);
            return out.push(Found::Checkpoint {
                block,
                hash,
                boundary: Boundary::Open,
                confirms: known && !denied,
                denied,
            });
        }
        let rules = self.rules;
        let names = |here: &&mut Here| {
            let own = if seed { here.label } else { here.counted_label(&rules) };
            here.opened && here.hash.is_none() && own.is_none_or(|own| own == label)
        };
        if let Some(here) = self.here.as_mut().filter(names) {
            here.hash = Some(hash.clone());
            here.label = here.label.or(Some(label));
            out.push(Found::Named { ordinal: here.ordinal, label: here.label, hash: here.hash.clone() });
            return out.push(Found::Checkpoint {
                block,
                hash,
                boundary: Boundary::Open,
                confirms: true,
                denied: false,
            });
        }
        // Late word on a period that is over (or another word on this one) announces nothing.
        if self.here.as_ref().is_some_and(|here| here.opened && here.label.is_some_and(|own| own >= label)) {
            return out.push(Found::Checkpoint {
                block,
                hash,
                boundary: Boundary::Open,
                confirms: false,
                denied: false,
            });
        }
        let boundary = self.boundary(block);
        // A lane whose index does not restart has no fall to wait for.
        if seed || (self.loose > 0 && self.here.is_some()) {
            self.close(Close::Rollover, None, None, out);
            self.armed = Some(Armed { hash: hash.clone(), block: Some(block), cause: OpenCause::Checkpoint });
        }
        self.announced = Some(Announced { hash: hash.clone(), block, boundary: boundary.clone() });
        out.push(Found::Checkpoint { block, hash, boundary, confirms: false, denied: false });
    }

    /// The seeds' rule, where the lane stands now.
    fn boundary(&self, checkpoint_block: u64) -> Boundary {
        if !self.seed {
            return Boundary::Open;
        }
        let any_marker = self.marker.is_some();
        judge(
            any_marker && self.open.ops == 0,
            any_marker,
            self.marker.as_ref().and_then(|m| m.block),
            checkpoint_block,
        )
    }
}
