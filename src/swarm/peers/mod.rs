//! The book of peers: where they are reached, how well they served, what they did wrong.
//!
//! Two accounts that are never mixed: *reliability* says whom to ask first (time-outs and failures lower it, nobody is
//! banned by it), *penalties* say whom to stop talking to (only for what is proven).
//!
//! *Always holds:* bounded; a ban ends; a peer that the operator trusts is never banned by the node; time is passed in.

pub mod book;
pub mod limits;
pub mod penalty;
pub mod reliability;
mod stored;

pub use book::{PeerBook, Source};
pub use penalty::{Offence, Tolerance};
pub use stored::BookError;

#[cfg(test)]
mod tests;
