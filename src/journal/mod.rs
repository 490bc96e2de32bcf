//! The durable log: one journal per network, the only truth; everything downstream can be rebuilt from it.
//!
//! Append-only segment files `<data>/journal/<network>/<first LSN>.seg` of checked, chained records, written by one
//! thread with group commit ([`Journal`], [`Appender`]), read by anybody up to what is durable ([`Reader`]).
//! A `tip` file beside them tells a lost tail from a short log. The oldest segments may be removed ([`trim`]): then the
//! journal stands on a [`Floor`], and a `first` file says where it begins.
//!
//! *Always holds:* an LSN that was published as durable survives a power cut; records come back in the order and with
//! the bytes they were appended; what is damaged is refused with its place and never skipped; a log never ends
//! silently before a record that is known to have been durable.

mod codec;
pub mod disk;
mod error;
pub mod exchange;
pub mod extents;
mod first;
mod floor;
mod frame;
mod group;
pub mod ledger_file;
mod log;
pub mod packed;
mod reader;
mod scan;
mod segment;
mod shared;
mod store;
mod survey;
pub mod task;
#[cfg(test)]
mod tests;
mod tip;
pub mod trim;
pub mod verify;
mod whole;
mod writer;

pub use codec::{Kind, MAX_META_BYTES};
pub use error::JournalError;
pub use floor::{Floor, FloorWriter};
pub use frame::{Frame, MAX_BODY_BYTES, MAX_FRAME_BYTES};
pub use log::{Cut, Journal, Options, Recovered, SEGMENT_BYTES, folder};
pub use reader::{Cursor, Reader};
pub use scan::Entry;
pub use segment::FORMAT_VERSION;
pub use shared::State;
pub use writer::Appender;
