//! A whole honeygraph network on one desk: scripted honeycombs, power cuts, real processes, simulation.
//!
//! *Always holds:* everything that decides is seeded and has no clock, so that a failure is repeated by its seed.

pub mod api;
pub mod asking;
pub mod feeding;
pub mod fetching;
pub mod gateway;
pub mod held;
pub mod hive;
pub mod honeycomb;
pub mod http;
pub mod load;
pub mod local;
pub mod measure;
pub mod neighbour;
pub mod powercut;
pub mod process;
pub mod recording;
pub mod sim;
pub mod swarm;

/// Whatever changes nothing for so long will not do what is waited for. Only a test that fails waits for its end, so it
/// is far beyond what a busy machine takes for anything.
pub const STILL: std::time::Duration = std::time::Duration::from_secs(120);
