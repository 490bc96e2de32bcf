//! How messages become bytes: postcard, behind a length where they travel on a stream.
//!
//! *Always holds:* a message longer than its cap is neither written nor read; bytes behind it are refused; a list longer
//! than it may be is refused at its first item too many, and nothing is reserved by what a length claims.

use serde::de::{DeserializeOwned, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// Bytes of the length in front of a message on a stream (u32, little endian).
pub const PREFIX: usize = 4;
/// Items for which a list reserves memory before they have come.
const RESERVED: usize = 64;

/// Why bytes are not a message. The sender's fault, always.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than this message may be.
    #[error("{what}: {bytes} bytes, at most {cap} are taken")]
    TooLong {
        /// Message.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most that is taken.
        cap: usize,
    },
    /// Not this message, or a field out of its range.
    #[error("{what}: malformed ({why})")]
    Malformed {
        /// Message.
        what: &'static str,
        /// What the reader says.
        why: String,
    },
    /// Bytes behind the message.
    #[error("{what}: {bytes} bytes behind it")]
    Trailing {
        /// Message.
        what: &'static str,
        /// How many.
        bytes: usize,
    },
    /// Fields that contradict each other.
    #[error("{what}: {why}")]
    Contradiction {
        /// Message.
        what: &'static str,
        /// Which.
        why: &'static str,
    },
    /// The same message could be written shorter or otherwise.
    #[error("{0}: not in its canonical form")]
    NotCanonical(&'static str),
}

/// A message of the swarm.
pub trait Message: Serialize + DeserializeOwned {
    /// Its name in errors.
    const WHAT: &'static str;
    /// Most bytes of one.
    const CAP: usize;

    /// What its fields' own ranges do not say.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Its bytes. None: it is longer than it may be, or contradicts itself; whoever made it has to make less of it.
    fn encode(&self) -> Option<Vec<u8>> {
        self.check().ok()?;
        let bytes = postcard::to_stdvec(self).ok()?;
        (bytes.len() <= Self::CAP).then_some(bytes)
    }

    /// The message that these bytes are, all of them.
    fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let what = Self::WHAT;
        if bytes.len() > Self::CAP {
            return Err(Refused::TooLong { what, bytes: bytes.len(), cap: Self::CAP });
        }
        let malformed = |error: postcard::Error| Refused::Malformed { what, why: error.to_string() };
        let (message, rest): (Self, _) = postcard::take_from_bytes(bytes).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(Refused::Trailing { what, bytes: rest.len() });
        }
        message.check().map_err(|why| Refused::Contradiction { what, why })?;
        Ok(message)
    }

    /// Like [`Self::decode`], for what is gossiped: bytes that are not the message's own would pass every filter of
    /// repeated messages once more for each way to write them.
    fn decode_canonical(bytes: &[u8]) -> Result<Self, Refused> {
        let message = Self::decode(bytes)?;
        if message.encode().is_some_and(|own| own == bytes) {
            Ok(message)
        } else {
            Err(Refused::NotCanonical(Self::WHAT))
        }
    }
}

/// The length that stands before a message on a stream.
pub fn prefix<M: Message>(encoded: &[u8]) -> [u8; PREFIX] {
    debug_assert!(encoded.len() <= M::CAP);
    u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Length of the message behind this prefix. Judged before a byte is reserved for it.
pub fn length<M: Message>(prefix: [u8; PREFIX]) -> Result<usize, Refused> {
    let bytes = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if bytes > M::CAP {
        return Err(Refused::TooLong { what: M::WHAT, bytes, cap: M::CAP });
    }
    Ok(bytes)
}

/// A list of at most `MAX` items.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// Takes a list; none if it is too long.
    pub fn new(items: Vec<T>) -> Option<Self> {
        (items.len() <= MAX).then_some(Self(items))
    }

    /// Takes as many as it may have.
    pub fn first_of(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().take(MAX).collect())
    }

    /// The items.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let claimed = items.size_hint().unwrap_or(0);
                if claimed > MAX {
                    return Err(A::Error::invalid_length(claimed, &self));
                }
                let mut list = Vec::with_capacity(claimed.min(RESERVED));
                while let Some(item) = items.next_element()? {
                    if list.len() >= MAX {
                        return Err(A::Error::invalid_length(list.len() + 1, &self));
                    }
                    list.push(item);
                }
                Ok(list)
            }
        }
        from.deserialize_seq(Items::<T, MAX>(PhantomData)).map(Self)
    }
}

pub mod batch_id {
    //! A batch id as the 32 bytes of its digest (for `#[serde(with)]`).
    use crate::batch::BatchId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// As 32 bytes.
    pub fn serialize<S: Serializer>(id: &BatchId, to: S) -> Result<S::Ok, S::Error> {
        id.digest().serialize(to)
    }

    /// From 32 bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BatchId, D::Error> {
        <[u8; 32]>::deserialize(from).map(BatchId::from_digest)
    }
}
