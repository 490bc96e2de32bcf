//! A state that a honeycomb says it has (`GET /state`). It names no batch, so nothing is made of it until a root proves it.
//!
//! What the stream wrote is known from the stream; every other key has been as it is since before the first batch, so it
//! does not matter when the state was read. What is claimed, with all that the stream wrote or removed laid over it, is the
//! document of the next daily root if it is true. When the CID is the announced one, that document is a base, taken at the
//! next start like one that the way back finds; when it is another, the claim waits for the next root.
//!
//! *Always holds:* a claim is shown to nobody and changes nothing; what becomes a base has the CID of a root.

use super::document::{Checkpoint, DocumentError, Documents};
use crate::data_dir;
use crate::projection::base::{self, BaseError};
use crate::projection::state::{Batch, Limit, StateError};
use honeygraph_protocols::document::RootWriter;
use honeygraph_protocols::json;
use honeygraph_protocols::op::{Effect, EffectReader, OpError};
use honeygraph_protocols::path::{NUMBER, Segment, decode_segment, encode_text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Largest claim, and largest document made of one, in bytes: both are held in memory.
const MOST_BYTES: u64 = 256 << 20;

/// Canonical texts of leaves by encoded path.
pub type Leaves = BTreeMap<Vec<u8>, Vec<u8>>;

/// Why a document is no state.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It is not what `GET /state` answers.
    #[error("expected {{\"state\":{{...}}}}: {0}")]
    Shape(#[from] serde_json::Error),
    /// It is no JSON as honeycomb understands it.
    #[error("the state is no JSON: {0}")]
    Json(#[from] json::JsonError),
    /// It is no map of leaves.
    #[error("the state: {0}")]
    State(#[from] OpError),
    /// More than is held in memory.
    #[error("the state has {0} bytes, more than {MOST_BYTES} are not taken: import a root document instead")]
    TooLarge(u64),
    /// It cannot be kept.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// `GET /state` of honeycomb.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    state: &'a RawValue,
}

/// The state in an answer of `GET /state`, in our form: whatever served it, numbers and strings may be printed otherwise.
pub fn state_text(answer: &[u8]) -> Result<Vec<u8>, ClaimError> {
    let answer: Answer = serde_json::from_slice(answer)?;
    let mut text = Vec::new();
    json::parse(answer.state.get().as_bytes())?.write_canonical(&mut text);
    Ok(text)
}

/// Leaves of a state in our form.
pub fn leaves(state: &[u8]) -> Result<Leaves, ClaimError> {
    let mut leaves = Leaves::new();
    EffectReader::default().state(state, |effect| {
        if let Effect::Put(path, text) = effect {
            leaves.insert(path.to_vec(), text.to_vec());
        }
    })?;
    Ok(leaves)
}

/// Keeps what a honeycomb claims until a root proves it; a node may run on the folder. Answers how many leaves it has.
pub fn keep(data_dir: &Path, network: &str, answer: &[u8]) -> Result<usize, ClaimError> {
    if answer.len() as u64 > MOST_BYTES {
        return Err(ClaimError::TooLarge(answer.len() as u64));
    }
    let state = state_text(answer)?;
    let count = leaves(&state)?.len();
    let path = data_dir::claimed_state(data_dir, network);
    data_dir::replace(&path, &state).map_err(|source| ClaimError::Io { path, source })?;
    Ok(count)
}

/// Where the claim of a network lies, and where a base goes that it turns out to be.
#[derive(Debug)]
pub struct Claim {
    /// The claim, if there is one.
    pub file: PathBuf,
    /// Folder of a base that is taken at the next start.
    pub found: PathBuf,
}

impl Claim {
    /// Tries the claim, if there is one, on a root: whether it is the state there. The file is gone then, and the base waits.
    pub(super) fn try_on(
        &self,
        documents: &Documents<'_>,
        at: &Batch,
        root: &Checkpoint,
    ) -> Result<bool, DocumentError> {
        let Some(label) = root.label else { return Ok(false) };
        let (network, hash) = (documents.network, &root.hash);
        let claimed = match self.read() {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(false),
            Err(error) => {
                tracing::warn!(network, "the state that honeycomb gave: {error}");
                return Ok(false);
            }
        };
        let Some(document) = documents.laid_over(at, label, &claimed)? else { return Ok(false) };
        match base::import(&self.found, &document, Some(hash.as_str())) {
            Ok(taken) => {
                let leaves = taken.leaves;
                tracing::warn!(network, %hash, label, leaves, "the state that honeycomb gave is proven by this root: the next start rebuilds the state on it");
                // Left behind it is tried on nothing: there is a base from the next start on.
                let _ = std::fs::remove_file(&self.file);
                Ok(true)
            }
            Err(BaseError::Hash { .. }) => {
                tracing::warn!(network, %hash, label, "the state that honeycomb gave is not what this root hashes");
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(network, %hash, label, "the state that honeycomb gave is proven and cannot be kept: {error}");
                Ok(false)
            }
        }
    }

    fn read(&self) -> Result<Option<Leaves>, ClaimError> {
        let io = |source| ClaimError::Io { path: self.file.clone(), source };
        let file = match std::fs::File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        };
        let mut state = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut state).map_err(io)?;
        if state.len() as u64 > MOST_BYTES {
            return Err(ClaimError::TooLarge(state.len() as u64));
        }
        leaves(&state).map(Some)
    }
}

impl Documents<'_> {
    /// The root document of the state at a batch, where keys of which the stream says nothing are as claimed. None where it
    /// cannot be made.
    fn laid_over(&self, at: &Batch, label: u64, claimed: &Leaves) -> Result<Option<Vec<u8>>, DocumentError> {
        let view = match self.snapshot.view(at.node) {
            Err(StateError::Gone(_)) => return Ok(None),
            view => view?,
        };
        // A document prints a number segment like the text of the same digits.
        let mut numbered: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (nth, leaf) in view.scan(&[], None).enumerate() {
            self.look_for_stop(nth)?;
            let (path, _) = leaf?;
            if path.contains(&NUMBER) {
                numbered.extend(as_text(&path));
            }
        }
        let any = Limit { leaves: 1, bytes: usize::MAX };
        let is_ours = |path: &Vec<u8>| -> Result<bool, StateError> {
            Ok(numbered.contains(path) || !view.versions(path, None, any)?.versions.is_empty())
        };
        let mut document = Vec::new();
        // What is longer is not kept: one piece beyond the bound shows that it was.
        let mut writer = RootWriter::new(label + 1, |piece: &[u8]| {
            if document.len() as u64 <= MOST_BYTES {
                document.extend_from_slice(piece);
            }
        });
        let mut theirs = claimed.iter().peekable();
        let mut ours = view.scan(&[], None).enumerate().peekable();
        loop {
            let next = match ours.peek() {
                Some((nth, Ok((path, _)))) => {
                    self.look_for_stop(*nth)?;
                    Some(path.to_vec())
                }
                _ => None,
            };
            if let Some((path, text)) = theirs.next_if(|(path, _)| next.as_ref().is_none_or(|next| *path <= next)) {
                if !is_ours(path)? && writer.leaf(path, text).is_err() {
                    return Ok(None);
                }
                continue;
            }
            let Some((_, leaf)) = ours.next() else { break };
            let (path, text) = leaf?;
            if writer.leaf(&path, &text).is_err() {
                return Ok(None);
            }
        }
        let whole = writer.finish().is_ok() && document.len() as u64 <= MOST_BYTES;
        Ok(whole.then_some(document))
    }
}

/// A path with its number segments as text.
fn as_text(path: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::with_capacity(path.len()), 0);
    while at < path.len() {
        let (segment, len) = decode_segment(&path[at..])?;
        match segment {
            Segment::Number(number) => {
                let mut text = Vec::new();
                number.write(&mut text);
                encode_text(&text, &mut out);
            }
            Segment::Text(_) => out.extend_from_slice(&path[at..at + len]),
        }
        at += len;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use honeygraph_protocols::path;

    #[test]
    fn a_claim_is_kept_in_our_form_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let count =
            keep(folder.path(), "a_", br#"{"state": {"b": {"x": 1.0, "y": [true]}, "a": "\u0041"}, "node": "z"}"#);
        assert_eq!(count.unwrap(), 3);
        let claim = Claim { file: data_dir::claimed_state(folder.path(), "a_"), found: folder.path().join("found") };
        let read = claim.read().unwrap().unwrap();
        let shown: Vec<_> =
            read.iter().map(|(at, text)| (path::display(&path::decode(at).unwrap()), text.clone())).collect();
        let is = |at: &str, text: &str| (at.to_owned(), text.as_bytes().to_vec());
        assert_eq!(shown, [is("a", "\"A\""), is("b/x", "1"), is("b/y/0", "true")]);
        for wrong in [&b"[]"[..], b"{\"state\":{", b"{\"state\":{\"a\":1e999}}", b"<html>"] {
            assert!(keep(folder.path(), "a_", wrong).is_err());
        }
        assert_eq!(claim.read().unwrap().unwrap(), read, "what was there stays");
        let none = Claim { file: folder.path().join("none"), found: folder.path().join("found") };
        assert!(none.read().unwrap().is_none());
    }
}
