//! Other nodes: who they are, what they have, what they vouch for.
//!
//! [`peers`] is the book of them, [`sync`] decides what is asked of whom, [`votes`] what accounts vouch for.
//!
//! *Always holds:* what decides is a pure machine; a peer pays only for what is proven.

pub mod peers;
pub mod sync;
pub mod votes;
