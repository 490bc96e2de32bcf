//! Honeygraph: peer-to-peer read replica for honeycomb token networks.
//!
//! The modules stand in the order in which data flows; a module may use those above it, never below
//! (`tests/architecture.rs` checks).

pub mod logging;
pub mod data_dir;
pub mod catalog;
pub mod access;
pub mod feed;
pub mod fork;
pub mod journal;
pub mod projection;
pub mod proof;
pub mod retention;
pub mod snapshots;
pub mod pictures;
pub mod swarm;
pub mod web;
pub mod config;
pub mod node;
pub mod cli;
