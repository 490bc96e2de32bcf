//! How long the disk will do: pure.

use super::Keep;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * 3600 * 1000;
/// A rate over less time says nothing.
const LEAST_MS: u64 = 10 * 60 * 1000;

/// What is known of the journal's growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes of the journal now.
    pub bytes: u64,
    /// Bytes that came in within `ms`.
    pub came: u64,
    /// See `came`.
    pub ms: u64,
}

impl Growth {
    /// Bytes a day; none while too little is known.
    pub fn a_day(&self) -> Option<u64> {
        let rate = u128::from(self.came) * u128::from(DAY_MS) / u128::from(self.ms.max(1));
        (self.ms >= LEAST_MS).then_some(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// Days until the journal has `limit` bytes. None when it does not get there: it stands still, or what retention keeps
    /// of it (the last `window_ms`, if that is known) is less.
    pub fn days_until(&self, limit: u64, keep: Keep, window_ms: Option<u64>) -> Option<f64> {
        if self.bytes >= limit {
            return Some(0.0);
        }
        let rate = self.a_day().filter(|rate| *rate > 0)? as f64;
        let window_ms = match keep {
            Keep::Full => None,
            Keep::Days(days) => Some(days.saturating_mul(DAY_MS)),
            Keep::Checkpoints(_) => window_ms,
        };
        let plateau = window_ms.map(|window| rate * window as f64 / DAY_MS as f64);
        (plateau.is_none_or(|plateau| plateau >= limit as f64)).then_some((limit - self.bytes) as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_and_a_window_that_fits_never_fills() {
        let growth = Growth { bytes: 100, came: 50, ms: DAY_MS / 2 };
        assert_eq!(growth.a_day(), Some(100));
        assert_eq!(growth.days_until(400, Keep::Full, None), Some(3.0));
        assert_eq!(growth.days_until(100, Keep::Days(1), None), Some(0.0));
        assert_eq!(growth.days_until(400, Keep::Days(3), None), None);
        assert_eq!(growth.days_until(400, Keep::Days(4), None), Some(3.0));
        assert_eq!(growth.days_until(400, Keep::Checkpoints(9), Some(DAY_MS)), None);
        assert_eq!(growth.days_until(400, Keep::Checkpoints(9), None), Some(3.0));
        let young = Growth { ms: 1000, ..growth };
        assert_eq!((young.a_day(), young.days_until(400, Keep::Full, None)), (None, None));
        assert_eq!(Growth { came: 0, ..growth }.days_until(400, Keep::Full, None), None);
    }
}
