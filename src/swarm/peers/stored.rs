//! The book on disk: what is worth knowing after a restart.
//!
//! *Always holds:* a version in front; a file that is not ours is refused, and the node starts with an empty book.

use super::book::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_PEERS, Peer, PeerBook, Source};
use super::penalty::Penalties;
use super::reliability::Reliability;
use honeygraph_protocols::swarm::keys::PeerKey;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Longest file read, in bytes: twice what a full one takes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Version of the form.
const VERSION: u8 = 1;
/// Reliability is written in steps of this.
const STEPS: f64 = 10_000.0;

/// Why bytes are no book. Who reads them starts with an empty one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// Written by another version.
    #[error("peer book of version {0:?}, this program reads {VERSION}")]
    Version(Option<u8>),
    /// Damaged.
    #[error("peer book damaged: {0}")]
    Damaged(String),
    /// It cannot be read.
    #[error("peer book: {0}")]
    Read(String),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: PeerKey,
    addresses: Vec<(String, Source)>,
    last_success: Option<u64>,
    reliability: u16,
    at: u64,
    points: u32,
    points_at: u64,
    bans: u32,
    banned_until: u64,
    seen: u64,
}

impl PeerBook {
    /// The book in a file; an empty one where there is none.
    pub fn load(path: &Path) -> Result<Self, BookError> {
        let read = |file: fs::File| {
            let mut bytes = Vec::new();
            file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        };
        match fs::File::open(path).and_then(read) {
            Ok(bytes) => Self::from_bytes(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(BookError::Read(error.to_string())),
        }
    }

    /// Writes the file aside and renames it.
    pub fn save(&self, now: u64, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let aside = path.with_extension("new");
        fs::write(&aside, self.to_bytes(now))?;
        fs::rename(&aside, path)
    }

    /// The bytes. Who is trusted is not in them: that is configuration.
    pub fn to_bytes(&self, now: u64) -> Vec<u8> {
        let entry = |(key, peer): (&PeerKey, &Peer)| Entry {
            key: *key,
            addresses: peer.addresses.clone(),
            last_success: peer.last_success,
            reliability: (peer.reliability.value(now) * STEPS).round() as u16,
            at: now,
            points: peer.penalties.points,
            points_at: peer.penalties.at,
            bans: peer.penalties.bans,
            banned_until: peer.penalties.until,
            seen: peer.seen,
        };
        let entries: Vec<Entry> = self.peers.iter().map(entry).collect();
        let mut bytes = vec![VERSION];
        bytes.extend(postcard::to_stdvec(&entries).expect("a book has no unrepresentable value"));
        bytes
    }

    /// The book that these bytes are.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BookError> {
        let rest = bytes.strip_prefix(&[VERSION]).ok_or(BookError::Version(bytes.first().copied()))?;
        let (entries, behind): (Vec<Entry>, _) =
            postcard::take_from_bytes(rest).map_err(|error| BookError::Damaged(error.to_string()))?;
        if !behind.is_empty() || entries.len() > MAX_PEERS {
            return Err(BookError::Damaged("bytes behind it, or too many peers".into()));
        }
        let mut book = Self::default();
        for entry in entries {
            let mut peer = Peer::new(entry.seen);
            peer.addresses = entry.addresses;
            peer.addresses.retain(|(address, _)| address.len() <= MAX_ADDRESS_BYTES);
            peer.addresses.truncate(MAX_ADDRESSES);
            peer.last_success = entry.last_success;
            peer.reliability = Reliability::stored(f64::from(entry.reliability) / STEPS, entry.at);
            let Entry { points, points_at: at, bans, banned_until: until, .. } = entry;
            peer.penalties = Penalties { points, at, bans, until };
            book.peers.insert(entry.key, peer);
        }
        Ok(book)
    }
}
