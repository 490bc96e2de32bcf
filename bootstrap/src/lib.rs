//! What a node must know before it has spoken to anyone.
//!
//! Today: the networks that are built in (`networks/*.toml`). First peers come here with the swarm.
//!
//! *Always holds:* a [`Network`] that exists has passed [`Network::check`].

pub mod network;

pub use network::{Network, NetworkError, NetworkFile};
