//! How well a peer serves: an exponential moving average of what became of our requests.
//!
//! *Always holds:* between 0 and 1; what a peer did not earn brings it back to [`FORGIVEN`] at most.

/// Weight of the newest outcome.
const ALPHA: f64 = 0.1;
/// Above it a peer is asked first: six failures in a row lead below.
const PREFERRED: f64 = 0.5;
/// Below it a peer is dead: it is only probed.
const DEAD: f64 = 0.1;
/// A peer that nobody asks gets as much better as by one success each so many ms.
const FORGETS_MS: u64 = 15 * 60 * 1_000;
/// How far forgetting alone leads: worth asking, not preferred.
const FORGIVEN: f64 = PREFERRED;
/// Steps of forgetting that matter: after them nothing changes any more.
const STEPS: u64 = 64;

/// The average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    value: f64,
    /// Until when time has been taken into account, ms.
    at: u64,
}

impl Reliability {
    /// Of a peer that was never asked.
    pub fn new(now: u64) -> Self {
        Self { value: 1.0, at: now }
    }

    pub(super) fn stored(value: f64, at: u64) -> Self {
        Self { value: if value.is_finite() { value.clamp(0.0, 1.0) } else { FORGIVEN }, at }
    }

    /// A request was answered well, or was not.
    pub fn note(&mut self, now: u64, good: bool) {
        self.value = ALPHA * f64::from(u8::from(good)) + (1.0 - ALPHA) * self.value(now);
        self.at = self.at.max(now);
    }

    /// As of now.
    pub fn value(&self, now: u64) -> f64 {
        let steps = (now.saturating_sub(self.at) / FORGETS_MS).min(STEPS);
        let mut value = self.value;
        for _ in 0..steps {
            if value >= FORGIVEN {
                break;
            }
            value = (value + ALPHA * (1.0 - value)).min(FORGIVEN);
        }
        value
    }

    /// Whether it is asked before others.
    pub fn is_preferred(&self, now: u64) -> bool {
        self.value(now) > PREFERRED
    }

    /// Whether it is asked at all; if not, it is probed.
    pub fn is_alive(&self, now: u64) -> bool {
        self.value(now) >= DEAD
    }
}
