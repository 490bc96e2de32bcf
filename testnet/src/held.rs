//! What a data folder holds after its node died: read from a copy of the journal, as the node's own recovery will
//! find it, without touching the original.
//!
//! *Always holds:* reading changes nothing in the data folder.

use honeygraph::fork::record::{Chain, Lsn, Node, Record};
use honeygraph::journal::disk::real::RealDisk;
use honeygraph::journal::{Journal, JournalError, Options, folder};
use honeygraph_protocols::batch::BatchId;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Why a data folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// The journal itself.
    #[error("the journal of {network}: {cause}")]
    Journal {
        /// Network.
        network: String,
        /// What is wrong with it.
        cause: JournalError,
    },
    /// Copying it.
    #[error("copying the journal of {network}: {cause}")]
    Copy {
        /// Network.
        network: String,
        /// What went wrong.
        cause: std::io::Error,
    },
    /// A body that is no run of op texts.
    #[error("the body at {lsn} of {network} is no run of op texts")]
    Body {
        /// Network.
        network: String,
        /// Its record.
        lsn: Lsn,
    },
}

/// The ops of a network's journal, read on as it grows.
#[derive(Debug)]
pub struct Held {
    network: String,
    next: Lsn,
    /// Texts of all ops in pieces, chained or not.
    journalled: BTreeSet<Vec<u8>>,
    pieces: BTreeMap<Lsn, Vec<Vec<u8>>>,
    chain: BTreeMap<Node, Chain>,
    head: Option<Node>,
}

impl Held {
    /// Nothing read yet.
    pub fn new(network: impl Into<String>) -> Self {
        Self {
            network: network.into(),
            next: 1,
            journalled: BTreeSet::new(),
            pieces: BTreeMap::new(),
            chain: BTreeMap::new(),
            head: None,
        }
    }

    /// Reads what was added since it was read last. A network that has no journal yet holds nothing.
    pub fn read_on(&mut self, data_dir: &Path) -> Result<(), HeldError> {
        let journal = |cause| HeldError::Journal { network: self.network.clone(), cause };
        let from = folder(data_dir, &self.network).map_err(journal)?;
        if !from.is_dir() {
            return Ok(());
        }
        let copied = |cause| HeldError::Copy { network: self.network.clone(), cause };
        let copy = tempfile::tempdir().map_err(copied)?;
        let to = folder(copy.path(), &self.network).map_err(journal)?;
        copy_folder(&from, &to).map_err(copied)?;
        let opened = Journal::open(Arc::new(RealDisk), copy.path(), Options::new(&self.network));
        let (opened, _) = opened.map_err(journal)?;
        let reader = opened.reader();
        let mut records = reader.records(self.next);
        loop {
            let lsn = records.next();
            let journal = |cause| HeldError::Journal { network: self.network.clone(), cause };
            let Some(entry) = records.read().map_err(journal)? else { break };
            let body = match (&entry.frame, entry.record().map_err(journal)?) {
                (Some(frame), Record::Piece(_)) => frame.unpack().map_err(journal)?,
                (_, record) => {
                    self.take(lsn, record);
                    continue;
                }
            };
            self.take_piece(lsn, &body)?;
        }
        self.next = records.next();
        Ok(())
    }

    fn take_piece(&mut self, lsn: Lsn, body: &[u8]) -> Result<(), HeldError> {
        let texts = texts(body).ok_or_else(|| HeldError::Body { network: self.network.clone(), lsn })?;
        self.journalled.extend(texts.iter().cloned());
        self.pieces.insert(lsn, texts);
        Ok(())
    }

    fn take(&mut self, lsn: Lsn, record: Record) {
        match record {
            Record::Chain(chain) => {
                let node = Node { branch: chain.branch, version: lsn };
                if chain.head {
                    self.head = Some(node);
                }
                self.chain.insert(node, chain);
            }
            Record::Head(head) => self.head = Some(head.at),
            _ => {}
        }
    }

    /// Whether the journal holds an op with this text, chained or parked.
    pub fn has(&self, text: &str) -> bool {
        self.journalled.contains(text.as_bytes())
    }

    /// Records read.
    pub fn records(&self) -> u64 {
        self.next - 1
    }

    /// How often each op stands in the head's history.
    pub fn history(&self) -> BTreeMap<&[u8], u32> {
        let mut counts = BTreeMap::new();
        for chain in self.back_from(self.head) {
            for text in chain.pieces.iter().filter_map(|piece| self.pieces.get(piece)).flatten() {
                *counts.entry(text.as_slice()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// The batches of the head's history, oldest first.
    pub fn head_chain(&self) -> Vec<BatchId> {
        self.chain_to(self.head)
    }

    /// The batches of the history that ends with a batch, oldest first; none when nothing chained has this id.
    pub fn chain_of(&self, tip: &BatchId) -> Vec<BatchId> {
        self.chain_to(self.chain.iter().find(|(_, chain)| chain.id == *tip).map(|(node, _)| *node))
    }

    fn chain_to(&self, tip: Option<Node>) -> Vec<BatchId> {
        let mut ids: Vec<BatchId> = self.back_from(tip).map(|chain| chain.id).collect();
        ids.reverse();
        ids
    }

    fn back_from(&self, tip: Option<Node>) -> impl Iterator<Item = &Chain> {
        let at = |node: Node| self.chain.get(&node);
        std::iter::successors(tip.and_then(at), move |chain| chain.prev.and_then(at))
    }
}

fn texts(mut body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk() {
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(text.to_vec());
        body = rest;
    }
    body.is_empty().then_some(texts)
}

/// Copies the files of a folder; runs of zeros stay holes, for segments are mostly that.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let mut source = std::fs::File::open(entry.path())?;
        let mut target = std::fs::File::create(to.join(entry.file_name()))?;
        let length = source.metadata()?.len();
        let mut block = vec![0; 1 << 20];
        loop {
            let read = source.read(&mut block)?;
            if read == 0 {
                break;
            }
            if block[..read].iter().all(|byte| *byte == 0) {
                std::io::Seek::seek_relative(&mut target, read as i64)?;
            } else {
                target.write_all(&block[..read])?;
            }
        }
        target.set_len(length)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{copy_folder, texts};

    #[test]
    fn a_copy_is_equal_and_bodies_are_split() {
        let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let mut content = vec![0; 5 << 20];
        content[3 << 20] = 7;
        std::fs::write(from.path().join("1.seg"), &content).expect("written");
        copy_folder(from.path(), &to.path().join("copy")).expect("copied");
        assert!(std::fs::read(to.path().join("copy/1.seg")).expect("there") == content);
        assert_eq!(texts(b"\x01\0\0\0a\x02\0\0\0bc"), Some(vec![b"a".to_vec(), b"bc".to_vec()]));
        assert_eq!((texts(b"\x05\0\0\0a"), texts(b"\x01")), (None, None));
    }
}
