//! Load: the mix of writes that a busy honeycomb makes, as frames built before any clock runs.
//!
//! [`Mix`] and [`Fields`] say what is written, [`Stream`] how it stands on the wire, [`socket`] carries it. A frame is
//! encoded down to its last byte beforehand, so that sending costs a `write` and nothing else.
//!
//! *Always holds:* the same seed gives the same bytes.

mod drive;
mod mix;
pub mod socket;
mod stream;

pub use drive::{Count, Driver, drive, drive_at_rate};
pub(crate) use mix::cid;
pub use mix::{Fields, Mix, Write};
pub use stream::{Blocks, Mark, Shape, Stream};
