//! The ledger as bytes, so that a start need not read the whole journal.
//!
//! A copy of what the journal says up to one record; losing it costs time, nothing else.
//!
//! *Always holds:* a snapshot is used whole or not at all: a foreign format, a wrong crc or a short file is none.

use super::ledger::Ledger;

/// First bytes of a snapshot.
const MAGIC: [u8; 4] = *b"HGLS";
/// Format of the ledger's bytes. Another one is not read: the journal is.
pub const FORMAT: u8 = 5;
/// Bytes before the ledger: magic, format, crc32c of the rest.
const HEAD_BYTES: usize = 9;

/// Why a ledger cannot be turned into bytes: a bug.
#[derive(Debug, thiserror::Error)]
#[error("snapshot of the ledger: {0}")]
pub struct SnapshotError(#[from] postcard::Error);

/// The bytes of a ledger.
pub fn to_bytes(ledger: &Ledger) -> Result<Vec<u8>, SnapshotError> {
    let mut head = MAGIC.to_vec();
    head.extend([FORMAT, 0, 0, 0, 0]);
    let mut bytes = postcard::to_extend(ledger, head)?;
    let crc = crc32c::crc32c(&bytes[HEAD_BYTES..]);
    bytes[5..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// The ledger that these bytes hold; none when they are not a whole snapshot of this format.
pub fn from_bytes(bytes: &[u8]) -> Option<Ledger> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
    let crc = u32::from_le_bytes(head[5..].try_into().ok()?);
    if head[..4] != MAGIC || head[4] != FORMAT || crc != crc32c::crc32c(body) {
        return None;
    }
    postcard::from_bytes(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::record::{Before, Branch, BranchCause, Chain, Close, OpenCause, Opened, Piece, Record};
    use honeygraph_protocols::batch::{BatchId, Parent};
    use honeygraph_protocols::honeycomb::HashText;

    fn ledger() -> Ledger {
        let hash = HashText::new("QmA").expect("short");
        let opened = Opened {
            lane: 3,
            ordinal: 0,
            label: Some(101),
            hash: Some(hash.clone()),
            cause: OpenCause::Start,
            before: Before::Nothing,
            end: 0,
        };
        let piece = |seq| Piece {
            lane: 3,
            ordinal: 0,
            label: Some(101),
            run: 0,
            seq,
            index: Some(seq),
            count: 2,
            close: Close::Marker,
            begins: true,
            ops_hash: [seq as u8; 32],
            at_ms: 5,
        };
        let chain = Chain {
            branch: 0,
            prev: None,
            period: hash.clone(),
            opening_label: Some(101),
            label: Some(101),
            seq: 0,
            count: 2,
            marker: true,
            parent: Parent::Period(hash),
            id: BatchId::from_digest([7; 32]),
            ops_hash: [0; 32],
            pieces: vec![2],
            head: true,
            hole: false,
            at_ms: 6,
        };
        let records = [
            Record::Opened(opened),
            Record::Piece(piece(0)),
            Record::Branch(Branch { branch: 0, parent: None, cause: BranchCause::First }),
            Record::Chain(chain),
            Record::Piece(piece(5)),
        ];
        let mut ledger = Ledger::default();
        for (lsn, record) in (1..).zip(&records) {
            ledger.apply(lsn, record);
        }
        ledger
    }

    #[test]
    fn a_ledger_comes_back_equal() {
        let ledger = ledger();
        assert_eq!(ledger.lsn, 5);
        assert_eq!(from_bytes(&to_bytes(&ledger).expect("a plain value")), Some(ledger));
    }

    #[test]
    fn half_a_snapshot_is_none() {
        let bytes = to_bytes(&ledger()).expect("a plain value");
        for end in 0..bytes.len() {
            assert_eq!(from_bytes(&bytes[..end]), None);
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            assert_eq!(from_bytes(&bytes), None, "byte {at}");
        }
    }
}
