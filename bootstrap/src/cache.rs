//! Peers of earlier runs, in a file: where a node begins that has lost sight of everybody it was told of.
//!
//! *Always holds:* at most [`MAX_PEERS`] peers, with at most [`MAX_PER_PEER`] addresses each. The file is a cache: one
//! that cannot be read or written costs a slower start, nothing else.

use crate::address::{self, MAX_PER_PEER};
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Peers kept. Beyond it the one whose last success is oldest goes.
pub const MAX_PEERS: usize = 512;
/// Longest file read, in bytes: twice what a full one takes.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// A peer as it was last known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Where it was reached, or said it could be.
    pub addresses: Vec<Multiaddr>,
    /// Reliability, 0 to 1.
    pub score: f64,
    /// When it last answered, ms since the epoch; 0: never.
    pub last_success_ms: u64,
}

/// The peers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cache(BTreeMap<PeerId, Known>);

#[derive(Serialize, Deserialize)]
struct Line {
    peer: String,
    addresses: Vec<String>,
    score: f64,
    last_success_ms: u64,
}

impl Cache {
    /// What the file holds; what cannot be understood in it is left out.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        match fs::File::open(path) {
            Ok(file) => file.take(MAX_FILE_BYTES).read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let lines: Vec<Line> = serde_json::from_slice(&text).map_err(io::Error::other)?;
        let mut cache = Self::default();
        for line in lines {
            let Ok(peer) = line.peer.parse::<PeerId>() else { continue };
            let addresses = line.addresses.iter().filter_map(|text| address::parse(text).ok()).collect();
            cache.put(peer, Known { addresses, score: line.score, last_success_ms: line.last_success_ms });
        }
        Ok(cache)
    }

    /// Writes the file aside and renames it.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = |addresses: &[Multiaddr]| addresses.iter().map(Multiaddr::to_string).collect();
        let lines: Vec<Line> = self
            .0
            .iter()
            .map(|(peer, known)| Line {
                peer: peer.to_string(),
                addresses: text(&known.addresses),
                score: known.score,
                last_success_ms: known.last_success_ms,
            })
            .collect();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let aside = path.with_extension("new");
        fs::write(&aside, serde_json::to_vec(&lines).map_err(io::Error::other)?)?;
        fs::rename(&aside, path)
    }

    /// Notes a peer; its newest addresses come first.
    pub fn put(&mut self, peer: PeerId, known: Known) {
        let held = self.0.entry(peer).or_default();
        let mut addresses = known.addresses;
        addresses.append(&mut held.addresses);
        let mut kept: Vec<Multiaddr> = Vec::new();
        for address in addresses.into_iter().map(|address| address::with_peer(address, peer)) {
            if kept.len() < MAX_PER_PEER && !kept.contains(&address) {
                kept.push(address);
            }
        }
        let last_success_ms = known.last_success_ms.max(held.last_success_ms);
        let score = if known.score.is_finite() { known.score.clamp(0.0, 1.0) } else { 0.0 };
        *held = Known { addresses: kept, score, last_success_ms };
        if self.0.len() > MAX_PEERS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, known)| known.last_success_ms).map(|(peer, _)| *peer)
        {
            self.0.remove(&oldest);
        }
    }

    /// The peers, those that answered last first.
    pub fn peers(&self) -> Vec<(PeerId, &Known)> {
        let mut peers: Vec<(PeerId, &Known)> = self.0.iter().map(|(peer, known)| (*peer, known)).collect();
        peers.sort_by_key(|(peer, known)| (std::cmp::Reverse(known.last_success_ms), *peer));
        peers
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(address: &str, last_success_ms: u64) -> Known {
        Known { addresses: vec![address::parse(address).unwrap()], score: 0.5, last_success_ms }
    }

    #[test]
    fn it_comes_back_from_its_file_and_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swarm/peers.json");
        assert!(Cache::load(&path).unwrap().is_empty(), "no file is no error");
        let mut cache = Cache::default();
        let newest = PeerId::random();
        for at in 0..MAX_PEERS as u64 + 10 {
            cache.put(PeerId::random(), known("/ip4/8.8.8.8/tcp/1", at));
        }
        cache.put(newest, known("/ip4/8.8.4.4/tcp/1", 1 << 40));
        for port in 1..100 {
            cache.put(newest, known(&format!("/ip4/8.8.4.4/tcp/{port}"), 5));
        }
        // Guards against: the newest was thrown out instead of the oldest.
        assert_eq!(cache.len(), MAX_PEERS);
        assert_eq!(cache.peers()[0].0, newest);
        assert_eq!(cache.peers()[0].1.addresses.len(), MAX_PER_PEER);
        cache.save(&path).unwrap();
        assert_eq!(Cache::load(&path).unwrap(), cache);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_a_damaged_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.json");
        fs::write(&path, "{").unwrap();
        assert!(Cache::load(&path).is_err());
        let line = r#"{"peer":"x","addresses":[],"score":1,"last_success_ms":1}"#;
        fs::write(&path, format!("[{line}]")).unwrap();
        assert!(Cache::load(&path).unwrap().is_empty());
    }
}
