//! A newcomer's way to a base: asks peers which pictures they have, takes the newest root that something vouches for, and
//! fetches its leaves from many of them at once.
//!
//! `machine` decides, `task` asks, hashes and writes.
//!
//! *Always holds:* nothing of a root is fetched that no anchor names (the operator's pin, the electorate, the own feed): it
//! is offered, and that is all; who pays for a wrong leaf is who sent it; what is fetched is a base at the next start.

pub mod machine;
pub mod task;
#[cfg(test)]
mod tests;
