//! What the keeper shows of a network's journal.

use crate::fork::record::Lsn;
use serde::Serialize;

/// What is kept, and how long the disk will do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kept {
    /// The operator's word.
    pub retention: String,
    /// First record of the journal.
    pub first: Lsn,
    /// Bytes of the journal's files, the floor too.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Version of the oldest batch that has to be kept; none while that is all.
    pub oldest: Option<Lsn>,
    /// When that batch was chained, ms since the epoch.
    pub oldest_at_ms: Option<u64>,
    /// What keeps more than the operator's word asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// Record at which the floor stands.
    pub floor: Option<Lsn>,
    /// Bytes a day by which the journal grows; none until that is known.
    pub bytes_a_day: Option<u64>,
    /// Bytes that the journal may take: the budget, or what the disk has room for.
    pub limit: Option<u64>,
    /// Days until it has taken them; none when it does not get there, or nobody knows.
    pub days_until_full: Option<f64>,
    /// What the operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}
