//! The simulated ground: scripted honeycombs, the real parser, the real fork machine, the real journal and the real
//! state, on one thread, in virtual time, by a seed.
//!
//! What goes wrong: torn and lost writes, power cut at any write (also while a node recovers), a full disk, a failed
//! write or sync, the state losing its newest commits, killed nodes; sockets that die with frames on the wire, some of
//! which the node still reads; restarted honeycombs, lost, repeated and swapped ops, twins of another pace, a twin that
//! disagrees from some period on, a liar about checkpoint hashes; an operator who rolls back.
//!
//! What it leaves uncovered: fjall (the state lies in the in-memory store, which loses whole commits from its end, as
//! fjall promises to; that fjall keeps its promise, and that its compaction and our tuning of it are right, is for the
//! tests on real disks: `tests/kills.rs` and `honeygraph verify`), threads and tokio (the journal's writer thread, the
//! sessions, back-pressure), WebSocket framing and time-outs of sockets, and clocks that go back.
//!
//! *Always holds:* the same seed gives the same run, which is checked; every rule is a file of its own in
//! [`invariants`]. How to replay a seed: `docs/testnet.md`.

pub mod cast;
pub mod chance;
pub mod feeder;
pub mod histories;
pub mod invariants;
pub mod node;
mod trace;
pub mod world;

pub use world::{Outcome, run};

/// The network of the simulation.
pub const NETWORK: &str = "spkcc_";
