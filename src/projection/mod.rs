//! What the log means: everything that can be rebuilt from the journal.
//!
//! [`state`] is the store of leaves at every readable point of every fork, [`task`] the thread that feeds it from the
//! journal, [`verify`] the proof that it holds what the journal says.
//!
//! *Always holds:* a projection's cursor is in the same commit as what it stands for; nothing here is ever the only
//! copy of anything.

mod ahead;
pub mod base;
pub mod generation;
pub mod open;
pub mod picture;
mod scrub;
pub mod state;
pub mod task;
pub mod verify;
