//! What the ops of a batch do to leaves.
//!
//! *Always holds:* the only place where the state reads op texts. The journal holds canonical ones only (its records are
//! checked before they are handed out), so their structure is read and not checked again.

pub use honeygraph_protocols::op::Effect;
use honeygraph_protocols::op::{self, EffectReader, OpError};

/// Calls `each` with what the ops of a piece do, in order.
pub fn effects(body: &[u8], mut each: impl FnMut(Effect<'_>)) -> Result<(), OpError> {
    let mut reader = EffectReader::default();
    for text in op::texts(body) {
        reader.read(text?, &mut each)?;
    }
    Ok(())
}
