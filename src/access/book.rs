//! What is known of accounts' keys, and for how long.
//!
//! *Always holds:* what is older than [`KEPT`] is not used; a signature that fails leads to at most one new question in
//! [`FRESH`], however often it is tried; at most [`MAX_ENTRIES`] accounts are known.

use honeygraph_protocols::auth::{Account, Authority};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long keys are believed: whoever changed a key at Hive waits no longer than this.
pub const KEPT: Duration = Duration::from_secs(3600);

/// How long it is believed that there is no such account.
pub const KEPT_ABSENT: Duration = Duration::from_secs(60);

/// After a signature that does not fit, keys older than this are asked for anew.
pub const FRESH: Duration = Duration::from_secs(60);

/// Accounts known. When it is full the one that was asked for longest ago goes.
pub const MAX_ENTRIES: usize = 4096;

#[derive(Clone, Debug)]
struct Entry {
    /// None: there is no such account.
    authority: Option<Authority>,
    at: Duration,
}

/// The book. Times are since any one moment.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<Account, Entry>,
}

impl Book {
    /// What is known of an account: none when it has to be asked for.
    pub fn known(&self, account: &Account, now: Duration) -> Option<Option<&Authority>> {
        let entry = self.entries.get(account)?;
        let kept = if entry.authority.is_some() { KEPT } else { KEPT_ABSENT };
        (now.saturating_sub(entry.at) < kept).then_some(entry.authority.as_ref())
    }

    /// Whether keys that did not fit may be asked for anew.
    pub fn may_be_old(&self, account: &Account, now: Duration) -> bool {
        self.entries.get(account).is_none_or(|entry| now.saturating_sub(entry.at) >= FRESH)
    }

    /// Writes down what was answered.
    pub fn learn(&mut self, account: Account, authority: Option<Authority>, now: Duration) {
        if self.entries.len() >= MAX_ENTRIES
            && !self.entries.contains_key(&account)
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.at).map(|(name, _)| name.clone())
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(account, Entry { authority, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards against: entries that never age.
    #[test]
    fn keys_are_believed_for_an_hour_at_most() {
        let (alice, second) = (Account::new("alice").unwrap(), Duration::from_secs(1));
        let key = "STM4zpmTePnD91Sra4iy1Cf8gSKK3fr9CbTyQjZn4Widrp6jPv2Cb".parse().unwrap();
        let authority = Authority::new(1, vec![(key, 1)]);
        let mut book = Book::default();
        assert!(book.known(&alice, second).is_none() && book.may_be_old(&alice, second));
        book.learn(alice.clone(), authority.clone(), second);
        assert_eq!(book.known(&alice, KEPT), Some(authority.as_ref()));
        assert_eq!(book.known(&alice, KEPT + second), None);
        assert!(!book.may_be_old(&alice, FRESH) && book.may_be_old(&alice, FRESH + second));
        book.learn(alice.clone(), None, second);
        assert_eq!(book.known(&alice, second), Some(None));
        assert_eq!(book.known(&alice, KEPT_ABSENT + second), None);
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = Book::default();
        let account = |n: usize| Account::new(&format!("a-{n}")).unwrap();
        for n in 0..MAX_ENTRIES + 10 {
            book.learn(account(n), None, Duration::from_secs(n as u64));
        }
        assert_eq!(book.entries.len(), MAX_ENTRIES);
        assert!(!book.entries.contains_key(&account(0)) && book.entries.contains_key(&account(MAX_ENTRIES)));
    }
}
