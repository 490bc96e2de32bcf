//! What happened in a run: a hash over everything, and the newest events in words.
//!
//! *Always holds:* equal runs have equal hashes; memory is bounded.

use std::collections::VecDeque;

/// The trace of a run.
#[derive(Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    recent: VecDeque<String>,
    keep: usize,
    /// Events so far.
    pub events: u64,
}

impl Trace {
    /// A trace that keeps so many of the newest events in words.
    pub fn new(keep: usize) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Something happened.
    pub fn note(&mut self, now: u64, what: String) {
        self.hash(&now.to_le_bytes());
        self.hash(what.as_bytes());
        self.events += 1;
        if self.recent.len() >= self.keep {
            self.recent.pop_front();
        }
        self.recent.push_back(format!("{:>6} {now:>8} {what}", self.events));
    }

    /// Something that belongs to the run and is not worth words.
    pub fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    /// The hash of everything so far.
    pub fn digest(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// The newest events, a line each.
    pub fn recent(&self) -> String {
        self.recent.iter().map(|line| format!("{line}\n")).collect()
    }
}
