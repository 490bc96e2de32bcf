//! Whether what this replica holds is what honeycomb hashed: the document of every closed period is made again, and its
//! CID compared with the hash that honeycomb announced.
//!
//! [`gateway`] fetches documents by CID, [`document`] makes them from the journal and the state, [`task`] is the thread that follows the chain and
//! tells the core what came out. What it means for readers and for the choice of the head is `fork::proofs`.
//!
//! *Always holds:* nothing here changes the chain or the state; a doubt is `unverifiable` with its reason, and only a
//! document that was made from everything it needs is a mismatch.

pub mod claimed;
pub mod document;
pub mod fill;
pub mod gateway;
pub mod source;
pub mod task;
pub mod walk;
