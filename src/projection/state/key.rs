//! Keys of the state store (golden bytes in the tests below).
//!
//! The first byte is the table. A leaf's row is `r ++ path ++ 00 ++ !branch ++ !version`: newer branches and newer
//! versions come first, and the 00, smaller than any segment's type byte, puts a path's own rows before those below
//! it. As a path's encoding delimits itself, a row is parsed from its end.
//!
//! *Always holds:* order of keys is order of paths, then newest first.

use crate::fork::record::{BranchNo, Lsn, Node};
use honeygraph_protocols::batch::BatchId;

/// Tables, by the first byte of the key.
pub mod table {
    /// Format version of the store.
    pub const FORMAT: u8 = b'v';
    /// LSN applied.
    pub const CURSOR: u8 = b'c';
    /// Where the head stands.
    pub const HEAD: u8 = b'h';
    /// Branches: parent, cut, floor.
    pub const BRANCH: u8 = b'b';
    /// Points kept beside the branches' ranges.
    pub const KEPT: u8 = b'k';
    /// Last batch of each branch.
    pub const TIP: u8 = b't';
    /// Batches by branch and version.
    pub const BATCH: u8 = b'n';
    /// Batches by id.
    pub const ID: u8 = b'i';
    /// First and last batch of a label on a branch.
    pub const LABEL: u8 = b'l';
    /// First and last batch of a period on a branch.
    pub const PERIOD: u8 = b'p';
    /// Leaves.
    pub const ROW: u8 = b'r';
    /// How far the sweep has come.
    pub const SWEEP: u8 = b's';
    /// Hash of the base that the state was made with.
    pub const BASE: u8 = b'f';
    /// Batches with which the base was applied.
    pub const BASED: u8 = b'g';
}

/// Bytes of a row's key behind the path.
pub const SUFFIX: usize = 1 + 4 + 8;

/// Longest encoded path that fits a key of the store (65,535 bytes). Longer ones are refused where ops come in.
pub const MAX_PATH: usize = 65_535 - 1 - SUFFIX;

/// Writes the key of the row of `path` at `node`.
pub fn row(path: &[u8], node: Node, out: &mut Vec<u8>) {
    out.clear();
    out.push(table::ROW);
    out.extend_from_slice(path);
    out.push(0);
    out.extend_from_slice(&(!node.branch).to_be_bytes());
    out.extend_from_slice(&(!node.version).to_be_bytes());
}

/// Parses a row's key into its path and place.
pub fn parse_row(key: &[u8]) -> Option<(&[u8], Node)> {
    let (path, suffix) = key.split_at_checked(key.len().checked_sub(SUFFIX)?)?;
    let branch = BranchNo::from_be_bytes(suffix[1..5].try_into().ok()?);
    let version = Lsn::from_be_bytes(suffix[5..].try_into().ok()?);
    let node = Node { branch: !branch, version: !version };
    (suffix[0] == 0).then_some((path.strip_prefix(&[table::ROW])?, node))
}

/// First key behind all rows of `path` itself (rows below it come later).
pub fn behind_rows(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(table::ROW);
    out.extend_from_slice(path);
    out.push(1);
}

/// First key behind everything at or below `path`, and behind the table for the root.
pub fn behind_prefix(path: &[u8]) -> Vec<u8> {
    let mut key = vec![table::ROW];
    key.extend_from_slice(path);
    after(key)
}

/// First key that does not start with `prefix` (which is never all ff: it starts with a table's byte).
pub fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.last() == Some(&0xff) {
        prefix.pop();
    }
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

/// Key of a table that has one row.
pub fn single(table: u8) -> [u8; 1] {
    [table]
}

/// Key of a branch in [`table::BRANCH`] or [`table::TIP`].
pub fn branch(table: u8, branch: BranchNo) -> [u8; 5] {
    let mut key = [table; 5];
    key[1..].copy_from_slice(&branch.to_be_bytes());
    key
}

/// Key of a place in [`table::BATCH`] or [`table::KEPT`], oldest first.
pub fn node(table: u8, node: Node) -> [u8; 13] {
    let mut key = [table; 13];
    key[1..5].copy_from_slice(&node.branch.to_be_bytes());
    key[5..].copy_from_slice(&node.version.to_be_bytes());
    key
}

/// Parses what [`node`] wrote.
pub fn parse_node(key: &[u8]) -> Option<Node> {
    let key: &[u8; 13] = key.try_into().ok()?;
    let branch = BranchNo::from_be_bytes(key[1..5].try_into().ok()?);
    Some(Node { branch, version: Lsn::from_be_bytes(key[5..].try_into().ok()?) })
}

/// Parses what [`branch`] wrote.
pub fn parse_branch(key: &[u8]) -> Option<BranchNo> {
    let key: &[u8; 5] = key.try_into().ok()?;
    Some(BranchNo::from_be_bytes(key[1..].try_into().ok()?))
}

/// Key of a batch id on a branch; the value is its newest version there.
pub fn id(id: &BatchId, branch: BranchNo) -> Vec<u8> {
    let mut key = id_prefix(id);
    key.extend_from_slice(&branch.to_be_bytes());
    key
}

/// Prefix of all branches that hold a batch id.
pub fn id_prefix(id: &BatchId) -> Vec<u8> {
    let mut key = Vec::with_capacity(37);
    key.push(table::ID);
    key.extend_from_slice(id.digest());
    key
}

/// Key of a label on a branch, smallest label first.
pub fn label(branch: BranchNo, label: u64) -> [u8; 13] {
    node(table::LABEL, Node { branch, version: label })
}

/// Key of a period on a branch.
pub fn period(hash: &str, branch: BranchNo) -> Vec<u8> {
    let mut key = period_prefix(hash);
    key.extend_from_slice(&branch.to_be_bytes());
    key
}

/// Prefix of all branches that hold batches of a period.
pub fn period_prefix(hash: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(hash.len() + 6);
    key.push(table::PERIOD);
    key.push(hash.len() as u8); // HashText::MAX_BYTES is 128
    key.extend_from_slice(hash.as_bytes());
    key
}

/// The branch at the end of a key of [`table::ID`] or [`table::PERIOD`].
pub fn tail_branch(key: &[u8]) -> Option<BranchNo> {
    Some(BranchNo::from_be_bytes(*key.last_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_row_key() {
        let mut key = Vec::new();
        row(b"\x02ab\x00", Node { branch: 1, version: 0x0102 }, &mut key);
        let golden = b"r\x02ab\x00\x00\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xfe\xfd";
        assert_eq!(key, golden);
        assert_eq!(parse_row(&key), Some((&b"\x02ab\x00"[..], Node { branch: 1, version: 0x0102 })));
        assert_eq!(parse_row(&key[..SUFFIX]), None);
        assert_eq!(parse_row(b"short"), None);
    }

    #[test]
    fn golden_index_keys() {
        let place = Node { branch: 1, version: 2 };
        assert_eq!(node(table::BATCH, place), *b"n\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(parse_node(&node(table::BATCH, place)), Some(place));
        assert_eq!(branch(table::TIP, 3), *b"t\0\0\0\x03");
        assert_eq!(label(1, 2), *b"l\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(period("Qm", 7), b"p\x02Qm\0\0\0\x07");
        assert_eq!(tail_branch(&period("Qm", 7)), Some(7));
        assert_eq!(id(&BatchId::from_digest([9; 32]), 1).len(), 37);
    }

    #[test]
    fn newest_first_and_own_rows_before_those_below() {
        let (mut newer, mut older, mut below, mut behind) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        row(b"\x02a\x00", Node { branch: 1, version: 9 }, &mut newer);
        row(b"\x02a\x00", Node { branch: 0, version: 99 }, &mut older);
        row(b"\x02a\x00\x02b\x00", Node { branch: 5, version: 100 }, &mut below);
        behind_rows(b"\x02a\x00", &mut behind);
        assert!(newer < older && older < behind && behind < below && below < behind_prefix(b"\x02a\x00"));
        assert_eq!(after(b"r\x01\xff\xff".to_vec()), b"r\x02");
    }
}
