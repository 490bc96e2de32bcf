//! What accounts vouch for: votes, bindings, the electorate, evidence, the own vote.
//!
//! A vote counts for an *account* of the electorate, through a peer that the account's own key has bound. How many peers
//! there are, and how many accounts outside the electorate, changes nothing.
//!
//! *Always holds:* no signature, no effect; peer ids never count; two votes of one peer key at one label are evidence that
//! anyone can check, and the account weighs nothing for a day; two peers of one account that disagree weigh nothing at
//! that label; the own vote is durable before it is sent, and there is one per label, ever.

pub mod agreement;
pub mod book;
pub mod bound;
pub mod electorate;
pub mod own;
pub mod task;
pub mod voting;

pub use book::{Input, Reception, VoteBook};
pub use own::OwnVotes;

#[cfg(test)]
mod tests;
