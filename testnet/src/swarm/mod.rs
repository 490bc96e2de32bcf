//! The simulated swarm: the real peer books, planners and vote books of many nodes, on one thread, in virtual time, by a
//! seed.
//!
//! What goes wrong: messages lost, repeated, late and out of order; nodes that die and lose what was not durable;
//! partitions; peers that lie in every way that `peer::Lie` names, that are slow, that never answer; accounts that vote
//! twice or against themselves; many peers and accounts of one person.
//!
//! What it leaves uncovered: libp2p and the bytes of streams, tokio, the real core and journal (`core` is a model of what
//! the swarm sees of them), the proof of documents (a checkpoint's hash is a plain function of its batches here).
//!
//! *Always holds:* the same scenario and seed give the same run, which is checked; every rule is a file of its own in
//! [`invariants`].

pub mod cast;
pub mod core;
pub mod history;
pub mod invariants;
pub mod node;
pub mod peer;
pub mod scenario;
pub mod voter;
pub mod world;

pub use scenario::Scenario;
pub use world::{Outcome, run};
