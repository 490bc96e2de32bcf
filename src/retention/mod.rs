//! What is kept of a network, and for how long: the operator's word, the oldest batch that it and everything else still
//! needs, and the removal of what is older.
//!
//! [`keep`] is the word, [`horizon`] the oldest batch, [`pieces`] what its successors name, [`plan`] what is worth doing,
//! [`room`] how long the disk will do, [`keeper`] the one that does it, [`task`] its thread.
//!
//! *Always holds:* nothing goes that the state or the prover has not passed, that a live fork or a checkpoint to be kept
//! needs, or that a durable floor does not make up for; without the operator's word nothing goes at all.

pub mod horizon;
pub mod keep;
pub mod keeper;
pub mod kept;
mod pieces;
pub mod plan;
pub mod room;
pub mod task;
#[cfg(test)]
mod tests;

pub use keep::Keep;
pub use kept::Kept;
