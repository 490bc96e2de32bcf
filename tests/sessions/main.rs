//! Sessions: what a honeycomb node says to the feed port and what it is answered, against real sockets. The network's
//! core is the strict one of `core.rs`; in `node.rs` it is a whole node's.

mod access;
mod budgets;
mod core;
mod fixtures;
mod hostile;
mod node;
mod speaking;
