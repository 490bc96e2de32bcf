//! Values of the state store: leaves, and the index of batches, branches, labels and periods (golden bytes below).
//!
//! Numbers are LEB128 varints; a batch is written relative to its own place, as most of it is near.
//!
//! *Always holds:* what [`Batch::encode`] and its like write, their `decode` reads back equal; bytes that no writer
//! wrote are refused, never guessed.

use super::kv::Slice;
use crate::fork::record::{BranchCause, BranchNo, Chain, Lsn, Node};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;

/// First byte of a row that says: nothing here from now on.
pub const TOMBSTONE: u8 = 0;
/// First byte of a row that holds a leaf; its canonical text follows.
pub const LEAF: u8 = 1;

/// The row's value for a leaf.
pub fn leaf(text: &[u8]) -> Slice {
    let mut value = Vec::with_capacity(1 + text.len());
    value.push(LEAF);
    value.extend_from_slice(text);
    value.into()
}

/// The row's value for a removed leaf.
pub fn tombstone() -> Slice {
    Slice::from([TOMBSTONE])
}

/// A row's value: the leaf's text, or none for a tombstone; an error for anything else.
#[allow(clippy::result_unit_err, reason = "the caller knows the key and says what is damaged")]
pub fn parse_leaf(value: &[u8]) -> Result<Option<&[u8]>, ()> {
    match value.split_first() {
        Some((&LEAF, text)) => Ok(Some(text)),
        Some((&TOMBSTONE, [])) => Ok(None),
        _ => Err(()),
    }
}

/// A chained batch as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Branch and version.
    pub node: Node,
    /// Its id.
    pub id: BatchId,
    /// The batch before it.
    pub prev: Option<Node>,
    /// Opening hash of its period.
    pub period: HashText,
    /// Opening label of its period.
    pub opening_label: Option<u64>,
    /// Its own label.
    pub label: Option<u64>,
    /// Place of its first op in the period.
    pub seq: u64,
    /// Ops, the marker not counted.
    pub count: u64,
    /// Whether a marker closed it (else a rollover did).
    pub marker: bool,
    /// Whether its parent as hashed is the period's hash (else the batch before it).
    pub first_of_period: bool,
    /// Whether nothing before it on its chain was given up.
    pub unbroken: bool,
    /// Where its ops are in the journal, in order.
    pub pieces: Vec<Lsn>,
    /// When it was chained, ms since the epoch.
    pub at_ms: u64,
}

/// How a batch's row names its period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeriodAt {
    /// Here: the first batch of the period on its branch.
    Here(HashText, Option<u64>),
    /// In the row of this version on the same branch.
    Version(Lsn),
}

/// The last batch of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The batch.
    pub batch: Batch,
    /// Batches on the branch itself.
    pub batches: u64,
    /// Ops on the branch itself.
    pub operations: u64,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRow {
    /// Branch and cut.
    pub parent: Option<Node>,
    /// Why it was born.
    pub cause: BranchCause,
    /// Whether its points can be read (from birth until it is retired).
    pub live: bool,
    /// Oldest version that can be read along its chain.
    pub floor: Lsn,
    /// Its first batch: version and id. The id is the fork's.
    pub first: Option<(Lsn, BatchId)>,
}

/// First and last batch of a label or period on one branch, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Version of the first.
    pub first: Lsn,
    /// Version of the last.
    pub last: Lsn,
    /// How many.
    pub batches: u64,
}

const MARKER: u8 = 1;
const FIRST_OF_PERIOD: u8 = 2;
const UNBROKEN: u8 = 4;
const HAS_LABEL: u8 = 8;
const PERIOD_HERE: u8 = 16;
const HAS_OPENING_LABEL: u8 = 32;
/// Two bits: how the batch before is named.
const PREV_SHIFT: u8 = 6;
const PREV_NONE: u8 = 0;
const PREV_SAME_BRANCH: u8 = 1;
const PREV_OTHER_BRANCH: u8 = 2;

impl Batch {
    /// What the index keeps of a chain record at `version`.
    pub fn of(chain: &Chain, version: Lsn, unbroken: bool) -> Self {
        Self {
            node: Node { branch: chain.branch, version },
            id: chain.id,
            prev: chain.prev,
            period: chain.period.clone(),
            opening_label: chain.opening_label,
            label: chain.label,
            seq: chain.seq,
            count: chain.count,
            marker: chain.marker,
            first_of_period: matches!(chain.parent, honeygraph_protocols::batch::Parent::Period(_)),
            unbroken,
            pieces: chain.pieces.clone(),
            at_ms: chain.at_ms,
        }
    }

    /// Bytes of its row; the period is named by `period_at`.
    pub fn encode(&self, period_at: &PeriodAt, out: &mut Vec<u8>) {
        let version = self.node.version;
        let prev = match self.prev {
            None => PREV_NONE,
            Some(prev) if prev.branch == self.node.branch => PREV_SAME_BRANCH,
            Some(_) => PREV_OTHER_BRANCH,
        };
        let mut flags = prev << PREV_SHIFT;
        let mut flag = |set: bool, bit: u8| flags |= if set { bit } else { 0 };
        flag(self.marker, MARKER);
        flag(self.first_of_period, FIRST_OF_PERIOD);
        flag(self.unbroken, UNBROKEN);
        flag(self.label.is_some(), HAS_LABEL);
        flag(matches!(period_at, PeriodAt::Here(..)), PERIOD_HERE);
        flag(matches!(period_at, PeriodAt::Here(_, Some(_))), HAS_OPENING_LABEL);
        out.push(flags);
        out.extend_from_slice(self.id.digest());
        if let Some(at) = self.prev {
            if prev == PREV_OTHER_BRANCH {
                put(out, u64::from(at.branch));
            }
            put(out, version.wrapping_sub(at.version));
        }
        match period_at {
            PeriodAt::Here(hash, opening_label) => {
                put_text(out, hash.as_str());
                opening_label.iter().for_each(|label| put(out, *label));
            }
            PeriodAt::Version(at) => put(out, version.wrapping_sub(*at)),
        }
        self.label.iter().for_each(|label| put(out, *label));
        put(out, self.seq);
        put(out, self.count);
        put(out, self.pieces.len() as u64);
        self.pieces.iter().for_each(|piece| put(out, version.wrapping_sub(*piece)));
        put(out, self.at_ms);
    }

    /// Reads a row. The period's hash is the row's own or still to be looked up; then `period` is `placeholder`.
    pub fn decode(node: Node, bytes: &[u8]) -> Option<(Fields, PeriodAt)> {
        let mut bytes = Bytes(bytes);
        let found = Fields::read(node, &mut bytes)?;
        bytes.0.is_empty().then_some(found)
    }
}

/// A batch's row without its period's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    node: Node,
    id: BatchId,
    prev: Option<Node>,
    label: Option<u64>,
    seq: u64,
    count: u64,
    flags: u8,
    pieces: Vec<Lsn>,
    at_ms: u64,
}

impl Fields {
    fn read(node: Node, bytes: &mut Bytes<'_>) -> Option<(Self, PeriodAt)> {
        let flags = bytes.byte()?;
        let id = BatchId::from_digest(bytes.digest()?);
        let prev = match flags >> PREV_SHIFT {
            PREV_NONE => None,
            PREV_SAME_BRANCH => Some(node.branch),
            PREV_OTHER_BRANCH => Some(BranchNo::try_from(bytes.number()?).ok()?),
            _ => return None,
        };
        let back = |bytes: &mut Bytes<'_>| Some(node.version.wrapping_sub(bytes.number()?));
        let prev = match prev {
            None => None,
            Some(branch) => Some(Node { branch, version: back(bytes)? }),
        };
        let optional = |bytes: &mut Bytes<'_>, bit: u8| match flags & bit {
            0 => Some(None),
            _ => bytes.number().map(Some),
        };
        let period = match flags & PERIOD_HERE {
            0 => PeriodAt::Version(back(bytes)?),
            _ => PeriodAt::Here(HashText::new(bytes.text()?)?, optional(bytes, HAS_OPENING_LABEL)?),
        };
        let label = optional(bytes, HAS_LABEL)?;
        let (seq, count) = (bytes.number()?, bytes.number()?);
        let many = usize::try_from(bytes.number()?).ok().filter(|many| *many <= bytes.0.len())?;
        let pieces = (0..many).map(|_| back(bytes)).collect::<Option<_>>()?;
        let at_ms = bytes.number()?;
        Some((Self { node, id, prev, label, seq, count, flags, pieces, at_ms }, period))
    }

    /// The batch, its period's name added.
    pub fn with_period(self, period: HashText, opening_label: Option<u64>) -> Batch {
        Batch {
            node: self.node,
            id: self.id,
            prev: self.prev,
            period,
            opening_label,
            label: self.label,
            seq: self.seq,
            count: self.count,
            marker: self.flags & MARKER != 0,
            first_of_period: self.flags & FIRST_OF_PERIOD != 0,
            unbroken: self.flags & UNBROKEN != 0,
            pieces: self.pieces,
            at_ms: self.at_ms,
        }
    }

    /// Its label.
    pub fn label(&self) -> Option<u64> {
        self.label
    }
}

impl Tip {
    /// Bytes of its row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        put(&mut out, self.batch.node.version);
        put(&mut out, self.batches);
        put(&mut out, self.operations);
        let period = PeriodAt::Here(self.batch.period.clone(), self.batch.opening_label);
        self.batch.encode(&period, &mut out);
        out
    }

    /// Reads the row of `branch`.
    pub fn decode(branch: BranchNo, bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let version = bytes.number()?;
        let (batches, operations) = (bytes.number()?, bytes.number()?);
        let (fields, period) = Fields::read(Node { branch, version }, &mut bytes)?;
        let PeriodAt::Here(hash, opening_label) = period else { return None };
        let batch = fields.with_period(hash, opening_label);
        bytes.0.is_empty().then_some(Self { batch, batches, operations })
    }
}

impl BranchRow {
    /// Bytes of its row.
    pub fn encode(&self) -> Vec<u8> {
        let cause = match self.cause {
            BranchCause::First => 0,
            BranchCause::Fork => 1,
            BranchCause::Rollback => 2,
            BranchCause::Hole => 3,
        };
        let flags = u8::from(self.live) | u8::from(self.parent.is_some()) << 1 | u8::from(self.first.is_some()) << 2;
        let mut out = vec![flags, cause];
        put(&mut out, self.floor);
        if let Some(parent) = self.parent {
            put(&mut out, u64::from(parent.branch));
            put(&mut out, parent.version);
        }
        if let Some((version, id)) = &self.first {
            put(&mut out, *version);
            out.extend_from_slice(id.digest());
        }
        out
    }

    /// Reads a row.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let flags = bytes.byte()?;
        let cause = match bytes.byte()? {
            0 => BranchCause::First,
            1 => BranchCause::Fork,
            2 => BranchCause::Rollback,
            3 => BranchCause::Hole,
            _ => return None,
        };
        let floor = bytes.number()?;
        let parent = match flags & 2 {
            0 => None,
            _ => Some(Node { branch: bytes.number()?.try_into().ok()?, version: bytes.number()? }),
        };
        let first = match flags & 4 {
            0 => None,
            _ => Some((bytes.number()?, BatchId::from_digest(bytes.digest()?))),
        };
        bytes.0.is_empty().then_some(Self { parent, cause, live: flags & 1 != 0, floor, first })
    }
}

impl Span {
    /// Bytes of its row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        put(&mut out, self.first);
        put(&mut out, self.last);
        put(&mut out, self.batches);
        out
    }

    /// Reads a row.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let span = Self { first: bytes.number()?, last: bytes.number()?, batches: bytes.number()? };
        bytes.0.is_empty().then_some(span)
    }
}

/// Bytes of a place.
pub fn encode_node(node: Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    put(&mut out, u64::from(node.branch));
    put(&mut out, node.version);
    out
}

/// Reads a place.
pub fn decode_node(bytes: &[u8]) -> Option<Node> {
    let mut bytes = Bytes(bytes);
    let node = Node { branch: bytes.number()?.try_into().ok()?, version: bytes.number()? };
    bytes.0.is_empty().then_some(node)
}

/// Appends a varint.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|moved| moved >> shift == bits)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, many: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(many)?;
        self.0 = rest;
        Some(taken)
    }

    fn digest(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let many = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(many)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        Batch {
            node: Node { branch: 2, version: 300 },
            id: BatchId::from_digest([7; 32]),
            prev: Some(Node { branch: 2, version: 298 }),
            period: HashText::new("Qm1").unwrap(),
            opening_label: Some(101),
            label: Some(101),
            seq: 11,
            count: 10,
            marker: true,
            first_of_period: false,
            unbroken: true,
            pieces: vec![290, 299],
            at_ms: 1_000,
        }
    }

    #[test]
    fn golden_batch() {
        let mut bytes = Vec::new();
        batch().encode(&PeriodAt::Version(172), &mut bytes);
        let mut golden = vec![0b0100_1101];
        golden.extend_from_slice(&[7; 32]);
        golden.extend_from_slice(&[2, 0x80, 1, 101, 11, 10, 2, 10, 1, 0xe8, 7]);
        assert_eq!(bytes, golden);
        let (fields, at) = Batch::decode(batch().node, &bytes).unwrap();
        assert_eq!(at, PeriodAt::Version(172));
        assert_eq!(fields.with_period(batch().period, batch().opening_label), batch());
    }

    #[test]
    fn golden_leaf_and_small_rows() {
        assert_eq!(&*leaf(b"\"x\""), b"\x01\"x\"");
        assert_eq!(&*tombstone(), b"\0");
        assert_eq!(parse_leaf(&leaf(b"5")), Ok(Some(&b"5"[..])));
        assert_eq!(parse_leaf(&tombstone()), Ok(None));
        assert_eq!(parse_leaf(&Slice::from(b"\x02")), Err(()));
        let span = Span { first: 1, last: 300, batches: 2 };
        assert_eq!(span.encode(), [1, 0xac, 2, 2]);
        assert_eq!(Span::decode(&span.encode()), Some(span));
        let node = Node { branch: 3, version: 129 };
        assert_eq!(encode_node(node), [3, 0x81, 1]);
        assert_eq!(decode_node(&encode_node(node)), Some(node));
    }

    #[test]
    fn golden_branch() {
        let row = BranchRow {
            parent: Some(Node { branch: 0, version: 2 }),
            cause: BranchCause::Rollback,
            live: true,
            floor: 1,
            first: Some((9, BatchId::from_digest([1; 32]))),
        };
        let mut golden = vec![7, 2, 1, 0, 2, 9];
        golden.extend_from_slice(&[1; 32]);
        assert_eq!(row.encode(), golden);
        assert_eq!(BranchRow::decode(&golden), Some(row));
    }

    #[test]
    fn every_shape_of_batch_survives_and_every_cut_is_refused() {
        let mut first = batch();
        first.prev = None;
        first.label = None;
        first.opening_label = None;
        first.first_of_period = true;
        let mut forked = batch();
        forked.prev = Some(Node { branch: 0, version: 5 });
        forked.at_ms = u64::MAX;
        for one in [batch(), first, forked] {
            let tip = Tip { batch: one, batches: 3, operations: 30 };
            let bytes = tip.encode();
            assert_eq!(Tip::decode(2, &bytes), Some(tip));
            assert!((0..bytes.len()).all(|end| Tip::decode(2, &bytes[..end]).is_none()));
        }
        assert_eq!(Bytes(&[0xff; 11]).number(), None);
        assert_eq!(Bytes(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number(), None);
    }
}
