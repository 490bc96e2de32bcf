//! Gossip: what comes in waits for a word before it is passed on.

use super::{Rumour, Ticket as Named, Word};
use libp2p::PeerId;
use libp2p::gossipsub::{Message, MessageAcceptance, MessageId};

/// A message and who handed it to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) id: MessageId,
    pub(super) from: PeerId,
}

impl Word {
    pub(super) fn acceptance(self) -> MessageAcceptance {
        match self {
            Word::Pass => MessageAcceptance::Accept,
            Word::Keep => MessageAcceptance::Ignore,
            Word::Refuse => MessageAcceptance::Reject,
        }
    }
}

/// What a message says. Messages are signed, so each has an author.
pub(super) fn rumour(from: PeerId, id: MessageId, message: Message) -> Option<Rumour> {
    let ticket = Named(Ticket { id, from });
    Some(Rumour { from, author: message.source?, topic: message.topic.into_string(), data: message.data, ticket })
}
