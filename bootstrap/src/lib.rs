//! What a node must know before it has spoken to anyone: the networks that are built in (`networks/*.toml`), who it is,
//! the way to other machines, and where its first peers come from. And the boot node, which does nothing else.
//!
//! *Always holds:* a [`Network`] that exists has passed [`Network::check`]; what a stranger names leads to no private
//! address.

pub mod address;
pub mod boot;
pub mod cache;
pub mod client;
pub mod crowd;
pub mod identity;
pub mod meeting;
pub mod network;
pub mod source;
pub mod transport;

pub use network::{Network, NetworkError, NetworkFile};
