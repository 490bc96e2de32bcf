//! What the planner hears and what it wants done.

use super::check::Checked;
use crate::swarm::peers::Offence;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, Header, PeriodId, Request};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::Label;
use honeygraph_protocols::swarm::status::{Checkpoint, Head, NetworkStatus};

/// Number of a request, unique in the life of a planner.
pub type AskId = u64;

/// What is held here. Asked while the planner decides; its answers may not change meanwhile.
pub trait Own {
    /// Whether a chained period is opened by this hash, or closed by it.
    fn reaches(&self, hash: &HashText) -> bool;
    /// Whether a chained period of any history is opened by this hash, or closed by it: nothing is fetched for its sake.
    fn holds(&self, hash: &HashText) -> bool {
        self.reaches(hash)
    }
    /// Whether a peer's head is a batch of our own head's history.
    fn has(&self, head: &Head) -> bool {
        self.newest(&head.period.hash).is_some_and(|(_, next)| head.next <= next)
    }
    /// What our head's history begins with, where something may lie before it that is not here.
    fn begins(&self) -> Option<Checkpoint> {
        None
    }
    /// Whether nothing is chained at all.
    fn is_empty(&self) -> bool;
    /// Last chained batch, and place after it, of the period that this hash opens and nothing closes yet.
    fn newest(&self, open: &HashText) -> Option<(BatchId, u64)>;
    /// How many closed periods the head's history has.
    fn checkpoints(&self) -> u64;
    /// Opening hash of the nth of them, counted from the oldest.
    fn checkpoint(&self, nth: u64) -> Option<HashText>;
}

/// What the planner hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// A peer is connected.
    Connected(PeerKey),
    /// It is not any more. What it was asked has failed.
    Gone(PeerKey),
    /// What a peer says that it has.
    Status(PeerKey, Box<NetworkStatus>),
    /// Where a peer's head stands, by gossip: newer than its status.
    Head(PeerKey, Box<Head>),
    /// The operator trusts this peer, or the electorate is bound to it: what it says of the open period is followed.
    Witness(PeerKey, bool),
    /// Somebody vouches for this checkpoint.
    Anchor(Checkpoint),
    /// Nobody does any longer.
    AnchorGone(HashText),
    /// An answer came.
    Answer(AskId, Box<Answer>),
    /// None came, or none that could be read.
    Failed(AskId, Failure),
    /// The core has taken what [`Effect::Supply`] gave it under this number, durably.
    Taken(u64),
    /// It has refused it: nothing of it counts as supplied.
    Refused(u64),
    /// The document of a period was recomputed: of one that was to be proven, or by the core of one that was supplied.
    Proven(PeriodId, Verdict),
    /// Whether a base may be on its way: a history that begins with it waits for it.
    Picture(bool),
    /// The operator wants it now: pauses between tries end.
    AtOnce,
    /// Time has passed.
    Tick,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// In time.
    Timeout,
    /// The connection is gone, or could not be made.
    Disconnected,
    /// Bytes came that are no answer.
    Undecodable,
    /// More bytes came than any answer has.
    Oversize,
}

/// What recomputing a period's document gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The hash that closes it.
    Holds,
    /// Another hash: what was supplied is not what that hash names.
    Differs,
    /// It cannot be said here.
    Unknown,
}

/// Batches for the core, in order, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Supply {
    /// Number by which it is taken.
    pub ticket: u64,
    /// Opening hash of their period.
    pub open: HashText,
    /// Its opening label.
    pub label: Option<Label>,
    /// Opening hash of the period before it; none where a history begins, or where nobody has said it.
    pub prev: Option<HashText>,
    /// Whether a history begins with their period, as far as its givers know one.
    pub begins: bool,
    /// It is of a history that leads to our beginning, which is the period that this hash opens.
    pub leads_to: Option<HashText>,
    /// The closed period; none for batches of an open one.
    pub period: Option<Box<Header>>,
    /// The batch of their period that they follow; none: they begin it.
    pub after: Option<BatchId>,
    /// The batches.
    pub batches: Vec<Checked>,
    /// Whether the last of them is the period's last.
    pub last: bool,
    /// Who gave them.
    pub from: PeerKey,
}

/// What the planner wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask a peer.
    Ask {
        /// Number under which the answer is given.
        id: AskId,
        /// Whom.
        peer: PeerKey,
        /// What.
        request: Request,
    },
    /// Give these to the core.
    Supply(Box<Supply>),
    /// Recompute the document of a period from its batches and the walk behind it, and compare it with the hash that
    /// closes it: [`Input::Proven`] says what came out. Nothing of the walk is supplied before.
    Prove {
        /// The period.
        period: Box<Header>,
        /// All of its batches.
        batches: Vec<Checked>,
        /// The walk behind it, newest first: opening checkpoints of it and of the periods before, two days at most.
        behind: Vec<Checkpoint>,
    },
    /// Note how well a peer served.
    Outcome {
        /// The peer.
        peer: PeerKey,
        /// Whether well.
        good: bool,
    },
    /// Note what was proven against a peer.
    Penalty {
        /// The peer.
        peer: PeerKey,
        /// What.
        offence: Offence,
        /// In words, with the place.
        what: String,
    },
}
