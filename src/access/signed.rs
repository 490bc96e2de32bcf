//! Signed requests: when they were signed, and that each is done once.
//!
//! *Always holds:* a request that was taken is not taken again, however often it is sent; requests remembered are bounded
//! by [`MAX_REMEMBERED`], and when there is no room nothing is taken.

use honeygraph_protocols::auth::Account;
use std::collections::BTreeSet;

/// How far the time of a request may be from ours, in either direction: clocks differ, and nobody should sign for next week.
pub const WINDOW_MS: u64 = 5 * 60 * 1000;

/// Requests remembered: more than 200 a second for as long as one can be repeated.
pub const MAX_REMEMBERED: usize = 1 << 17;

/// Why a signed request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Signed too long ago, or before this process was there to remember what it had taken.
    Old,
    /// Signed for a time that is not yet.
    Ahead,
    /// Taken before.
    Replayed,
    /// Too many are remembered.
    Full,
}

/// Digest of an account and the text that it signed.
type Seen = [u8; 32];

/// What was taken.
#[derive(Debug)]
pub struct Once {
    /// Nothing signed before is taken: what was taken before this process nobody remembers.
    since_ms: u64,
    /// By the time that they were signed for, the oldest first.
    by_time: BTreeSet<(u64, Seen)>,
    most: usize,
}

impl Default for Once {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Once {
    /// Remembers from now on.
    pub fn new(since_ms: u64) -> Self {
        Self { since_ms, by_time: BTreeSet::new(), most: MAX_REMEMBERED }
    }

    /// Whether a request signed for `timestamp` may be looked at at all.
    pub fn timely(&self, timestamp: u64, now_ms: u64) -> Result<(), NotTaken> {
        if timestamp > now_ms.saturating_add(WINDOW_MS) {
            Err(NotTaken::Ahead)
        } else if timestamp < now_ms.saturating_sub(WINDOW_MS).max(self.since_ms) {
            Err(NotTaken::Old)
        } else {
            Ok(())
        }
    }

    /// Takes a request whose signature is good. By what was signed, not by the signature: the key's owner can make many of
    /// one text.
    pub fn take(&mut self, account: &Account, text: &str, timestamp: u64, now_ms: u64) -> Result<(), NotTaken> {
        self.timely(timestamp, now_ms)?;
        while let Some(oldest) = self.by_time.first().copied()
            && oldest.0 < now_ms.saturating_sub(WINDOW_MS)
        {
            self.by_time.remove(&oldest);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(account.as_str().as_bytes()).update(&[0]).update(text.as_bytes());
        let seen = (timestamp, *hasher.finalize().as_bytes());
        if self.by_time.contains(&seen) {
            return Err(NotTaken::Replayed);
        }
        if self.by_time.len() >= self.most {
            return Err(NotTaken::Full);
        }
        self.by_time.insert(seen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Account {
        Account::new("alice").unwrap()
    }

    /// Row 29: the old server took a request as often as it came, and from any time to come. Guards against: what is forgotten
    /// is what came first, not what cannot come again.
    #[test]
    fn a_request_is_taken_once_and_in_its_time() {
        let now = 10_000_000;
        let mut once = Once::new(1_000);
        assert_eq!(once.take(&alice(), "a", now, now), Ok(()));
        assert_eq!(once.take(&alice(), "a", now, now + WINDOW_MS), Err(NotTaken::Replayed));
        assert_eq!(once.take(&alice(), "a", now, now + WINDOW_MS + 1), Err(NotTaken::Old));
        assert_eq!(once.take(&alice(), "b", now + WINDOW_MS, now), Ok(()));
        assert_eq!(once.take(&alice(), "b", now + WINDOW_MS, now + 2 * WINDOW_MS), Err(NotTaken::Replayed));
        assert_eq!(once.take(&alice(), "c", now + WINDOW_MS + 1, now), Err(NotTaken::Ahead));
        assert_eq!(once.take(&alice(), "c", u64::MAX, now), Err(NotTaken::Ahead));
        assert_eq!(once.take(&Account::new("bob").unwrap(), "b", now + WINDOW_MS, now), Ok(()));
        assert_eq!(once.take(&alice(), "later", now + 3 * WINDOW_MS, now + 3 * WINDOW_MS), Ok(()));
        assert_eq!(once.by_time.len(), 1, "what cannot come again is forgotten");
    }

    #[test]
    fn what_was_signed_before_the_start_is_not_taken() {
        let mut once = Once::new(1_000_000);
        assert_eq!(once.take(&alice(), "a", 999_999, 1_000_000), Err(NotTaken::Old));
        assert_eq!(once.take(&alice(), "a", 1_000_000, 1_000_000), Ok(()));
    }

    #[test]
    fn without_room_nothing_is_taken() {
        let mut once = Once { most: 2, ..Once::new(0) };
        for text in ["a", "b"] {
            assert_eq!(once.take(&alice(), text, 1, 1), Ok(()));
        }
        assert_eq!(once.take(&alice(), "c", 1, 1), Err(NotTaken::Full));
        assert_eq!(once.take(&alice(), "a", 1, 1), Err(NotTaken::Replayed));
        assert_eq!(once.take(&alice(), "c", 2 + WINDOW_MS, 2 + WINDOW_MS), Ok(()));
    }
}
