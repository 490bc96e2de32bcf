//! The holes that are held, found by lane.
//!
//! *Always holds:* no lane takes more than its share of them, and none is held of a lane that is forgotten for longer than
//! somebody else needs the room: what one feed does costs the others neither time nor holes.

use super::questions::Hole;
use std::collections::{BTreeMap, BTreeSet};

/// Holes held over all lanes.
pub const HOLES_HELD: usize = 4_096;
/// Holes held of one lane; one that makes more loses the newest, which a resume and a restart find again.
pub const HOLES_PER_LANE: usize = 256;

/// The holes, by number.
#[derive(Debug, Default)]
pub(super) struct Holes {
    all: BTreeMap<u64, Hole>,
    of: BTreeMap<u64, BTreeSet<u64>>,
    tails: BTreeSet<u64>,
}

impl Holes {
    /// Whether this lane has no room for another one. Room that forgotten lanes take is freed first.
    pub fn is_full(&mut self, lane: u64, is_held: impl Fn(u64) -> bool) -> bool {
        if self.all.len() >= HOLES_HELD {
            let gone: Vec<u64> = self.of.keys().copied().filter(|lane| !is_held(*lane)).collect();
            for id in gone.iter().filter_map(|lane| self.of.remove(lane)).flatten() {
                self.all.remove(&id);
                self.tails.remove(&id);
            }
        }
        self.all.len() >= HOLES_HELD || self.of.get(&lane).is_some_and(|of| of.len() >= HOLES_PER_LANE)
    }

    /// Puts one in.
    pub fn insert(&mut self, id: u64, hole: Hole) {
        self.of.entry(hole.lane).or_default().insert(id);
        if hole.tail {
            self.tails.insert(id);
        }
        self.all.insert(id, hole);
    }

    /// Takes one out.
    pub fn remove(&mut self, id: &u64) -> Option<Hole> {
        let hole = self.all.remove(id)?;
        self.tails.remove(id);
        if let Some(of) = self.of.get_mut(&hole.lane) {
            of.remove(id);
            if of.is_empty() {
                self.of.remove(&hole.lane);
            }
        }
        Some(hole)
    }

    /// One.
    pub fn get(&self, id: &u64) -> Option<&Hole> {
        self.all.get(id)
    }

    /// One, to count its tries; its lane and kind stay.
    pub fn get_mut(&mut self, id: &u64) -> Option<&mut Hole> {
        self.all.get_mut(id)
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (&u64, &Hole)> {
        self.all.iter()
    }

    /// Those of a lane, by number.
    pub fn of(&self, lane: u64) -> impl Iterator<Item = (&u64, &Hole)> {
        let ids = self.of.get(&lane).into_iter().flatten();
        ids.filter_map(|id| self.all.get_key_value(id))
    }

    /// Ends of periods of unknown length.
    pub fn tails(&self) -> impl Iterator<Item = (&u64, &Hole)> {
        self.tails.iter().filter_map(|id| self.all.get_key_value(id))
    }
}
