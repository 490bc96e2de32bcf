//! How many large requests are out at a time: as many as the line carries in the time that a request has.
//!
//! Without it a line that carries less never brings anything: each of the requests takes too long, ends by its time with the
//! most part of its answer come, and is asked for again.
//!
//! *Always holds:* between one and the most that it was made for; halved when several in a row are late, once for all that
//! were out together; one more for each windowful that came.

/// Share of late ones at which it is halved, by [`MEMORY`] the fifth in a row: a few silent peers are not the line.
const MANY: f64 = 0.25;
/// Requests that the share looks back on.
const MEMORY: f64 = 16.0;
/// What fails sooner than so was refused, and says nothing of the line, ms.
const LATE_MS: u64 = 5_000;

/// The window of one who fetches.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    size: usize,
    /// That came since it last grew.
    came: usize,
    /// Of the last requests, how many were late.
    late: f64,
    /// When it was last halved, ms.
    halved: u64,
}

impl Window {
    /// Open as wide as it gets.
    pub(super) fn new(most: usize) -> Self {
        Self { most, size: most, came: 0, late: 0.0, halved: 0 }
    }

    /// Requests that may be out.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// An answer came in its time.
    pub(super) fn came(&mut self) {
        self.late -= self.late / MEMORY;
        self.came += 1;
        if self.came >= self.size {
            (self.size, self.came) = ((self.size + 1).min(self.most), 0);
        }
    }

    /// A request that was made then has failed.
    pub(super) fn failed(&mut self, now: u64, asked: u64) {
        if asked < self.halved || now.saturating_sub(asked) < LATE_MS {
            return;
        }
        self.late += (1.0 - self.late) / MEMORY;
        if self.late >= MANY {
            *self = Self { size: (self.size / 2).max(1), came: 0, late: 0.0, halved: now, ..*self };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LATE_MS, Window};

    #[test]
    fn it_halves_once_for_what_was_out_and_grows_by_one_for_a_windowful_that_came() {
        let mut window = Window::new(32);
        assert_eq!(window.size(), 32);
        // Single late ones among many are the fault of their peers.
        for _ in 0..100 {
            (0..10).for_each(|_| window.came());
            window.failed(LATE_MS, 0);
        }
        (0..100).for_each(|_| window.failed(LATE_MS, 1));
        assert_eq!(window.size(), 32, "refused");
        (0..32).for_each(|_| window.failed(LATE_MS, 0));
        assert_eq!(window.size(), 16, "asked before it was halved");
        for asked in 1..40 {
            window.failed((asked + 1) * LATE_MS, asked * LATE_MS);
        }
        assert_eq!(window.size(), 1);
        window.came();
        assert_eq!(window.size(), 2);
        (0..2).for_each(|_| window.came());
        assert_eq!(window.size(), 3);
        (0..32 * 32).for_each(|_| window.came());
        assert_eq!(window.size(), 32);
    }
}
