//! What holds for a network's chain whoever feeds it: its numbers, and where a period may end.

use super::record::Boundary;

/// The numbers of a network's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Blocks between two checkpoints.
    pub checkpoint_every: u64,
    /// Blocks between two daily roots.
    pub root_interval: u64,
    /// Block of a daily accounting, modulo `root_interval`.
    pub root_offset: u64,
}

impl Rules {
    /// Opening label of the period that honeycomb numbering means by this block.
    pub fn label(&self, block: u64) -> u64 {
        block - (block.wrapping_sub(1)) % self.checkpoint_every
    }

    /// Whether the period with this opening label has the daily second run.
    pub fn has_second_run(&self, label: u64) -> bool {
        (label + 4) % self.root_interval == self.root_offset % self.root_interval
    }

    /// Whether honeycomb numbering can have sent this block.
    pub(super) fn is_honeycomb(&self, block: u64) -> bool {
        block % self.checkpoint_every <= 2
    }
}

/// The boundary rule of the seeds: a marker, last, of the block before the checkpoint.
pub(super) fn judge(
    last_is_marker: bool,
    any_marker: bool,
    marker_block: Option<u64>,
    checkpoint_block: u64,
) -> Boundary {
    if !any_marker {
        return Boundary::Invalid("missing_write_marker".into());
    }
    if !last_is_marker {
        return Boundary::Invalid("invalid_boundary".into());
    }
    match marker_block {
        Some(block) if block + 1 == checkpoint_block => Boundary::Valid,
        _ => Boundary::Invalid("write_marker_block_mismatch".into()),
    }
}
