//! Honeycomb speaks: WebSocket in, one lane per source.
//!
//! [`session`] tasks own a socket each; what they hear goes to the network's core as [`message::ToCore`], what the core
//! wants said comes back as [`message::FromCore`] through the feed's outbox.
//!
//! *Always holds:* an ack leaves only after the journal has reported its LSN durable; a feed that does not read, or
//! speaks nonsense, costs bounded memory and harms nobody else.

pub mod budget;
pub mod counters;
mod gate;
mod inlet;
pub mod limits;
mod link;
pub mod message;
pub mod networks;
mod outgoing;
pub mod recording;
pub mod session;
pub mod upgrade;
mod wire;
