//! What all feeds of the node may hold together: bytes of large frames, bytes of replies that wait to be read.
//!
//! *Always holds:* the sums are bounded whatever the number of sockets. A frame waits for its whole share before a byte
//! of it is read, so that two never wait for each other; of the replies those sockets lose theirs that hold more than an
//! equal share once the sum is too large.

use super::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// Bytes that every message may have without asking: what published clients pack into a live frame fits, and it is
/// little enough for each of [`MAX_SOCKETS`](super::upgrade::MAX_SOCKETS).
pub const FREE_BYTES: usize = 32 << 10;

/// A frame costs so many times its bytes while it is read: as it came, and as the parser's texts, items and scratch.
const PARSING: usize = 4;

/// One permit stands for this many bytes (permits are counted in 32 bits).
const GRAIN: usize = 1024;

/// The budget.
#[derive(Debug)]
pub struct Budget {
    frames: Arc<Semaphore>,
    frames_all: usize,
    replies: AtomicUsize,
    replies_all: usize,
    /// Sockets for which replies wait.
    holders: AtomicUsize,
}

impl Budget {
    /// A budget as the limits say.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let frames_all = limits.frames / GRAIN;
        Arc::new(Self {
            frames: Arc::new(Semaphore::new(frames_all)),
            frames_all,
            replies: AtomicUsize::new(0),
            replies_all: limits.replies,
            holders: AtomicUsize::new(0),
        })
    }

    /// Where permits for frames are waited for, first come first served.
    pub(super) fn frames(&self) -> Arc<Semaphore> {
        Arc::clone(&self.frames)
    }

    /// Permits for a message of this many bytes; the largest takes everything there is.
    pub(super) fn permits(&self, bytes: usize) -> u32 {
        bytes.saturating_mul(PARSING).div_ceil(GRAIN).min(self.frames_all) as u32
    }

    /// Bytes that large frames may still take.
    pub fn frames_free(&self) -> usize {
        self.frames.available_permits() * GRAIN
    }

    /// Bytes of replies that wait on all sockets.
    pub fn replies(&self) -> usize {
        self.replies.load(Relaxed)
    }
}

/// What one socket holds of the budget for replies; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Waiting {
    /// Nothing yet.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// This much waits now.
    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes == before {
            return;
        }
        // Wraps around for less: the sum stays right.
        self.budget.replies.fetch_add(bytes.wrapping_sub(before), Relaxed);
        match (before, bytes) {
            (0, _) => drop(self.budget.holders.fetch_add(1, Relaxed)),
            (_, 0) => drop(self.budget.holders.fetch_sub(1, Relaxed)),
            _ => {}
        }
    }

    /// Whether all sockets together hold too much, and this one more than its share of it.
    pub fn too_much(&self) -> bool {
        let (all, most) = (self.budget.replies(), self.budget.replies_all);
        all > most && self.bytes > most / self.budget.holders.load(Relaxed).max(1)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_is_too_large_takes_from_those_that_hold_most() {
        let budget = Budget::new(&Limits { replies: 900, ..Limits::default() });
        let mut waiting: Vec<Waiting> = (0..3).map(|_| Waiting::new(Arc::clone(&budget))).collect();
        for (socket, bytes) in waiting.iter_mut().zip([100, 300, 450]) {
            socket.set(bytes);
        }
        assert!(waiting.iter().all(|socket| !socket.too_much()), "850 are allowed");
        waiting[0].set(200);
        let losing: Vec<bool> = waiting.iter().map(Waiting::too_much).collect();
        assert_eq!(losing, [false, false, true], "shares of 300");
        waiting.pop();
        assert_eq!((budget.replies(), waiting[1].too_much()), (500, false));
        drop(waiting);
        assert_eq!((budget.replies(), budget.holders.load(Relaxed)), (0, 0));
    }

    #[test]
    fn the_largest_frame_fits_the_budget() {
        let limits = Limits::default();
        let budget = Budget::new(&limits);
        assert!(budget.permits(limits.after_identify) as usize <= budget.frames.available_permits());
        assert!(limits.frames >= limits.after_identify * PARSING, "and its parsed form too");
    }
}
