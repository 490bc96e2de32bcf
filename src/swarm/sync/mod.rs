//! The sync planner of one network: what is asked of whom, what is believed, what is handed to the core.
//!
//! From an *anchor* (a checkpoint's hash that an attacker cannot mint: a pin, one that the electorate vouches for, the own
//! feed's) headers are walked back to what is held here; then bodies are fetched, oldest first, in a bounded window, from
//! many peers at once; each is checked against its header, and the newest period's document against the anchor (which
//! proves the day's checkpoints with it), before anything leaves the planner. When nothing else is to be
//! fetched, what came before our own beginning is, by the same way. Beside it, in turns of its own, the open period is
//! followed from the peers that the operator or the electorate vouches for.
//!
//! *Always holds:* without an anchor nothing is fetched; what was not checked is not supplied; a range that failed is asked
//! for again until it is there, and is shown meanwhile; a peer is penalised only by its own answer, or by a header that it
//! gave and that was proven false; a time-out costs a peer its turn and nothing else.

mod asks;
pub mod chance;
pub mod check;
pub mod diverge;
mod fetch;
pub mod gaps;
mod leg;
pub mod live;
pub mod message;
mod past;
pub mod planner;
pub mod progress;
mod since;
mod walk;

pub use message::{Effect, Failure, Input, Own, Supply, Verdict};
pub use planner::{Config, Planner};
pub use progress::Progress;

#[cfg(test)]
mod tests;
