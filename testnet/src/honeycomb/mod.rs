//! A scripted honeycomb node: writes a state of its own, hashes it into real checkpoints and speaks to honeygraph as
//! honeycomb's clients do (`docs/honeycomb.md`).
//!
//! The machine ([`Honeycomb`]) is pure and seeded: no clock, no I/O; [`live`] drives it over a WebSocket. The encodings
//! here (canonical text, leaf map, documents) are written a second time on purpose: they are what tests compare the
//! node's own with.
//!
//! *Always holds:* what is written is a function of the content seed and the block number alone, so a restarted
//! honeycomb and an honest twin write the same; [`Truth`] is what an honest network agreed on, whatever the wire did.

mod chain;
mod client;
mod config;
mod dice;
mod document;
mod fault;
mod leaves;
mod ledger;
pub mod live;
mod machine;
mod op;
mod script;
mod truth;

pub use chain::Chained;
pub use client::Sent;
pub use config::{AfterSave, Config, Profile, Start};
pub use document::cid_v0;
pub use fault::{Fault, NotAFault};
pub use leaves::Leaves;
pub use ledger::Ledger;
pub use machine::Honeycomb;
pub use op::Op;
pub use truth::{Batch, Close, Keep, Period, Truth};
