//! Single members of a message: scalars as they stood on the wire.

use super::HashText;
use crate::json::{JsonError, Number, RawText, Scan};

/// A member's value, as far as a message's own members need it.
#[derive(Clone, Copy, Default)]
pub(super) enum Word<'a> {
    /// The message has no such member.
    #[default]
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    /// A fraction, or a number of 2^53 and beyond.
    OtherNumber,
    Text(RawText<'a>),
    /// An array or an object.
    Container,
}

/// A member of a type that it must not have.
pub(super) struct WrongType;

impl<'a> Word<'a> {
    /// Reads the value that comes next.
    #[inline]
    pub(super) fn read(scan: &mut Scan<'a>) -> Result<Self, JsonError> {
        match scan.next_token() {
            b'"' => scan.string().map(Self::Text),
            b'{' | b'[' => scan.skip_value().map(|()| Self::Container),
            b'n' => scan.literal(b"null").map(|()| Self::Null),
            b't' => scan.literal(b"true").map(|()| Self::Bool(true)),
            b'f' => scan.literal(b"false").map(|()| Self::Bool(false)),
            _ => {
                let (token, integer) = scan.number()?;
                Ok(match Number::from_token(token, integer) {
                    Some(Number::Int(int)) => Self::Int(int),
                    _ => Self::OtherNumber,
                })
            }
        }
    }

    /// Whether there is nothing: no member, or null.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// A count: an integer from 0 to below 2^53; none when missing or null.
    #[inline]
    pub(super) fn count(self) -> Result<Option<u64>, WrongType> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Int(int) => u64::try_from(int).map(Some).map_err(|_| WrongType),
            _ => Err(WrongType),
        }
    }

    /// A block number: a count for which 0 too is none.
    #[inline]
    pub(super) fn block(self) -> Result<Option<u64>, WrongType> {
        self.count().map(|block| block.filter(|&b| b != 0))
    }

    /// `true` or `false`; none when missing or null.
    pub(super) fn flag(self) -> Result<Option<bool>, WrongType> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Bool(flag) => Ok(Some(flag)),
            _ => Err(WrongType),
        }
    }

    /// A name of at most `max` bytes; none when missing, null or empty. Lone surrogates become U+FFFD: no name of
    /// ours has them, so it will match none.
    pub(super) fn name(self, max: usize) -> Result<Option<String>, WrongType> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Text(raw) => {
                let mut scratch = Vec::new();
                let bytes = raw.decode(&mut scratch);
                if bytes.len() > max {
                    return Err(WrongType);
                }
                Ok(Some(String::from_utf8_lossy(bytes).into_owned()).filter(|name| !name.is_empty()))
            }
            _ => Err(WrongType),
        }
    }

    /// Whether it is this text.
    #[inline]
    pub(super) fn is(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(raw) if !raw.escaped => raw.raw == text,
            Self::Text(raw) => raw.decode(&mut Vec::new()) == text,
            _ => false,
        }
    }
}

/// Hashes seen lately: ops of a period repeat the same two, which are kept once.
#[derive(Default)]
pub(super) struct Hashes {
    recent: Vec<HashText>,
    next: usize,
}

/// Hashes kept: the opening hash, the one before it, and room for a rollover.
const RECENT_HASHES: usize = 4;

impl Hashes {
    /// A hash; none when missing, null, 0 or empty.
    #[inline]
    pub(super) fn hash(&mut self, word: Word<'_>) -> Result<Option<HashText>, WrongType> {
        match word {
            Word::Missing | Word::Null | Word::Int(0) => Ok(None),
            Word::Text(raw) if raw.raw.is_empty() => Ok(None),
            Word::Text(raw) if !raw.escaped => self.keep(raw.raw).map(Some).ok_or(WrongType),
            Word::Text(raw) => self.keep(raw.decode(&mut Vec::new())).map(Some).ok_or(WrongType),
            _ => Err(WrongType),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<HashText> {
        if let Some(known) = self.recent.iter().find(|known| known.as_str().as_bytes() == bytes) {
            return Some(known.clone());
        }
        let hash = HashText::new(std::str::from_utf8(bytes).ok()?)?;
        if self.recent.len() < RECENT_HASHES {
            self.recent.push(hash.clone());
        } else {
            self.recent[self.next] = hash.clone();
            self.next = (self.next + 1) % RECENT_HASHES;
        }
        Some(hash)
    }
}
