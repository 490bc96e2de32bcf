//! Names that travel: networks, accounts, programs; and block numbers.
//!
//! *Always holds:* a value of these types has passed its check, wherever it came from.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Why a text is not such a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct NotAName(&'static str);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that fits.
            pub fn new(text: &str) -> Option<Self> {
                let fits: fn(&[u8]) -> bool = $fits;
                fits(text.as_bytes()).then(|| Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAName;
            fn try_from(text: String) -> Result<Self, NotAName> {
                Self::new(&text).ok_or(NotAName($what))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// Name of a network, such as `spkcc_`: 2 to 32 letters, digits, `_` and `-`, the last of them `_`.
    NetworkName,
    "the name of a network",
    |text| {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (2..=32).contains(&text.len())
            && text.first().is_some_and(u8::is_ascii_alphanumeric)
            && text.last() == Some(&b'_')
            && text.iter().all(word)
    }
);

name!(
    /// Name of an account on Hive: 3 to 16 lower-case letters, digits, dots and dashes, the first a letter.
    AccountName,
    "the name of an account",
    |text| {
        let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        (3..=16).contains(&text.len()) && text.first().is_some_and(u8::is_ascii_lowercase) && text.iter().all(word)
    }
);

name!(
    /// Name and version of a program, such as `honeygraph/0.1.0`: at most 64 printable ASCII characters.
    Software,
    "the name of a program",
    |text| text.len() <= 64 && text.iter().all(|byte| (b' '..=b'~').contains(byte))
);

/// A block number: below 2^53, as JavaScript counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Label(u64);

impl Label {
    /// The largest.
    pub const MAX: u64 = (1 << 53) - 1;

    /// Takes a number up to [`Self::MAX`].
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Label {
    type Error = NotAName;
    fn try_from(number: u64) -> Result<Self, NotAName> {
        Self::new(number).ok_or(NotAName("a block number"))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
