//! What honeygraph nodes say to each other: status, blocks and pictures by request and answer, heads and votes by gossip.
//!
//! One file per protocol, with its id, version, limits and checks. Messages are postcard: the journal writes it already,
//! it is the smallest of the forms at hand, and a frame of the journal passes through it in one copy. It names no fields,
//! so a message never changes: a new form is a new version with a new id, and two nodes speak the newest that both know
//! ([`negotiate`]).
//!
//! *Always holds:* decoding never panics and never holds more than a small multiple of its cap; what was decoded has
//! passed every check that needs no other message; what is signed or gossiped has exactly one form ([`wire`]).

pub mod binding;
pub mod blocks;
pub mod heads;
pub mod keys;
pub mod names;
pub mod pictures;
pub mod status;
pub mod votes;
pub mod wire;

/// The first of our ids, which we list in the order in which we would rather speak them, that the other side knows, too.
pub fn negotiate<'a>(ours: &[&'a str], theirs: &[&str]) -> Option<&'a str> {
    ours.iter().find(|id| theirs.contains(id)).copied()
}
