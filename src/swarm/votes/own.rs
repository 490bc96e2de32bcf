//! The own votes: what this node said, kept so that it never says two things.
//!
//! The order is: decide, store, then sign and send. A node that dies between any two of these either never said it or says
//! the same again.
//!
//! *Always holds:* what [`OwnVotes::stored`] gives is durable; a label that was voted for is never voted for otherwise; a
//! label older than those remembered is never voted for at all.

use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::Label;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Own votes remembered: a week of checkpoints.
const REMEMBERED: usize = 2_048;

/// A vote that this node may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnVote {
    /// Block of the checkpoint.
    pub label: Label,
    /// Its hash.
    pub hash: HashText,
    /// Its number: grows with each vote.
    pub n: u64,
}

/// The own votes of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnVotes {
    votes: BTreeMap<Label, (HashText, u64)>,
    n: u64,
    /// Labels up to here are forgotten, so nothing is said about them.
    forgotten: Option<Label>,
    #[serde(skip)]
    unsaid: Vec<OwnVote>,
}

impl OwnVotes {
    /// Of a node that cannot tell what it said: it says nothing any more.
    pub fn silent() -> Self {
        Self { forgotten: Label::new(Label::MAX), ..Self::default() }
    }

    /// The checkpoint at this label was recomputed here to this hash, which is the own feed's. True: the votes are to be
    /// stored, and then [`Self::stored`] to be called.
    pub fn verified(&mut self, label: Label, hash: &HashText) -> bool {
        if self.votes.contains_key(&label) || self.forgotten.is_some_and(|forgotten| label <= forgotten) {
            return false;
        }
        self.n += 1;
        self.votes.insert(label, (hash.clone(), self.n));
        self.unsaid.push(OwnVote { label, hash: hash.clone(), n: self.n });
        while self.votes.len() > REMEMBERED {
            self.forgotten = self.votes.pop_first().map(|(label, _)| label).max(self.forgotten);
        }
        true
    }

    /// What this node said, or would say, at a label.
    pub fn at(&self, label: Label) -> Option<&HashText> {
        self.votes.get(&label).map(|(hash, _)| hash)
    }

    /// What was decided before this is durable: it may be said.
    pub fn stored(&mut self) -> Vec<OwnVote> {
        std::mem::take(&mut self.unsaid)
    }

    /// The newest votes, to be said again to whoever comes later.
    pub fn newest(&self, most: usize) -> Vec<OwnVote> {
        let said = self.votes.iter().rev().filter(|(label, _)| !self.unsaid.iter().any(|vote| vote.label == **label));
        said.take(most).map(|(label, (hash, n))| OwnVote { label: *label, hash: hash.clone(), n: *n }).collect()
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend(postcard::to_stdvec(self).expect("votes have no unrepresentable value"));
        bytes
    }

    /// The votes that these bytes are. None: they are not; a node that cannot tell what it said says nothing.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (votes, rest): (Self, _) = postcard::take_from_bytes(bytes.strip_prefix(&[1])?).ok()?;
        rest.is_empty().then_some(votes)
    }
}
