//! Checkpoint documents of honeycomb (deltas and roots) and their CIDv0.
//!
//! A root is `[n,{state}]`, a delta `[n,{"chain":[…],"ops":[…],"prev_root":…,"root":…}]`, where n is the checkpoint's
//! block plus one; both are stable JSON without blanks, and their CIDv0 is the checkpoint's hash.
//!
//! *Always holds:* documents are written in pieces, never held whole; where honeycomb's own tree builder would choke,
//! the writer says [`Unverifiable`] and gives no hash.

mod cid;
mod delta;
pub mod leaves;
mod root;

pub use cid::{CidV0, cid_v0};
pub use delta::{Delta, DeltaOp, DeltaWriter, DocumentError, Link};
pub use root::{Root, RootWriter, Unverifiable, root_bytes};
