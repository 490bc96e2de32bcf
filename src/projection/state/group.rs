//! What is applied and not yet committed: many small batches become one commit of the store.
//!
//! *Always holds:* a group is committed whole, its cursor with it; leaves in it are in the order of their versions.

use super::entry::{BranchRow, PeriodAt, Span, Tip, encode_node};
use super::kv::{Kv, Slice, Snapshot as _, Write};
use super::{State, StateError, key, write};
use crate::fork::record::{BranchNo, Lsn, Node};
use honeygraph_protocols::honeycomb::HashText;
use std::collections::BTreeMap;

/// Leaves in a group before it is committed: enough to share the index rows, few enough for a del to look through.
pub(super) const GROUP_ROWS: usize = if cfg!(test) { 24 } else { 2_048 };
/// Bytes of leaves in a group before it is committed.
pub(super) const GROUP_BYTES: usize = 1 << 20;
/// Rows of the index kept at hand between commits.
const HOT: usize = if cfg!(test) { 3 } else { 1_024 };

/// Rows that change with every batch: written once a group, read from here while hot.
pub(super) struct Hot<I, V> {
    rows: BTreeMap<I, (V, bool)>,
}

impl<I: Ord + Clone, V: Clone> Hot<I, V> {
    fn new() -> Self {
        Self { rows: BTreeMap::new() }
    }

    /// The row, from the store if it is not at hand.
    pub(super) fn get(
        &mut self,
        index: &I,
        load: impl FnOnce() -> Result<Option<V>, StateError>,
    ) -> Result<Option<V>, StateError> {
        if let Some((row, _)) = self.rows.get(index) {
            return Ok(Some(row.clone()));
        }
        let row = load()?;
        if let Some(row) = &row {
            self.rows.insert(index.clone(), (row.clone(), false));
        }
        Ok(row)
    }

    /// Sets the row; the next commit writes it.
    pub(super) fn set(&mut self, index: I, row: V) {
        self.rows.insert(index, (row, true));
    }

    /// Takes a row that is in the store.
    pub(super) fn load(&mut self, index: I, row: V) {
        self.rows.insert(index, (row, false));
    }

    fn write(&mut self, out: &mut Vec<Write>, row: impl Fn(&I, &V) -> Write) {
        for (index, (value, dirty)) in &mut self.rows {
            if std::mem::take(dirty) {
                out.push(row(index, value));
            }
        }
        if self.rows.len() > HOT {
            self.rows.clear();
        }
    }
}

/// The uncommitted group.
pub(super) struct Group {
    /// Leaves' rows, oldest first.
    pub(super) rows: Vec<(Slice, Slice)>,
    /// Bytes in them.
    pub(super) bytes: usize,
    /// Rows that are written once: batches and ids.
    pub(super) once: Vec<Write>,
    pub(super) tips: Hot<BranchNo, Tip>,
    pub(super) branches: Hot<BranchNo, BranchRow>,
    pub(super) labels: Hot<(BranchNo, u64), Span>,
    pub(super) periods: Hot<(HashText, BranchNo), Span>,
    head: Option<Node>,
    head_moved: bool,
    /// Cursor that the store has, as far as this group knows.
    committed: Option<Lsn>,
}

impl Group {
    pub(super) fn new(head: Option<Node>) -> Self {
        Self {
            rows: Vec::new(),
            bytes: 0,
            once: Vec::new(),
            tips: Hot::new(),
            branches: Hot::new(),
            labels: Hot::new(),
            periods: Hot::new(),
            head,
            head_moved: false,
            committed: None,
        }
    }

    /// Where the head stands.
    pub(super) fn head(&self) -> Option<Node> {
        self.head
    }

    /// Moves the head.
    pub(super) fn move_head(&mut self, to: Node) {
        self.head = Some(to);
        self.head_moved = true;
    }

    /// Whether it is time to commit.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len().max(self.once.len()) >= GROUP_ROWS || self.bytes >= GROUP_BYTES
    }

    fn take(&mut self, cursor: Lsn) -> Vec<Write> {
        let mut writes = Vec::with_capacity(self.rows.len() + self.once.len() + 16);
        writes.extend(self.rows.drain(..).map(|(key, value)| (key, Some(value))));
        writes.append(&mut self.once);
        self.bytes = 0;
        self.tips.write(&mut writes, |no, tip| write(&key::branch(key::table::TIP, *no), &tip.encode()));
        self.branches.write(&mut writes, |no, row| write(&key::branch(key::table::BRANCH, *no), &row.encode()));
        self.labels.write(&mut writes, |(no, label), span| write(&key::label(*no, *label), &span.encode()));
        self.periods.write(&mut writes, |(hash, no), span| write(&key::period(hash.as_str(), *no), &span.encode()));
        if let Some(head) = self.head.filter(|_| std::mem::take(&mut self.head_moved)) {
            writes.push(write(&key::single(key::table::HEAD), &encode_node(head)));
        }
        writes.push(write(&key::single(key::table::CURSOR), &cursor.to_be_bytes()));
        self.committed = Some(cursor);
        // Neighbours go in one after the other: the store then finds their places in warm memory.
        writes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        writes
    }
}

impl<K: Kv> State<K> {
    /// Commits what was applied: rows, index, head and cursor in one.
    pub fn commit(&mut self) -> Result<(), StateError> {
        if self.group.committed == Some(self.applied) || self.applied == 0 {
            return Ok(());
        }
        let writes = self.group.take(self.applied);
        #[cfg(test)]
        if self.planted(super::Plant::CursorFirst) {
            let (cursor, rest): (Vec<_>, Vec<_>) = writes.into_iter().partition(|(key, _)| key[0] != key::table::ROW);
            self.shared.kv.commit(cursor)?;
            return Ok(self.shared.kv.commit(rest)?);
        }
        Ok(self.shared.kv.commit(writes)?)
    }

    /// The last batch of a branch.
    pub(super) fn tip(&mut self, branch: BranchNo) -> Result<Option<Tip>, StateError> {
        let kv = &self.shared.kv;
        self.group.tips.get(&branch, || super::reader::tip(&kv.snapshot(), branch))
    }

    /// A branch's row.
    pub(super) fn branch_row(&mut self, branch: BranchNo) -> Result<Option<BranchRow>, StateError> {
        let kv = &self.shared.kv;
        self.group.branches.get(&branch, || {
            let key = key::branch(key::table::BRANCH, branch);
            let found = kv.snapshot().get(&key)?;
            found.map(|row| BranchRow::decode(&row).ok_or_else(|| StateError::damaged("branch", &key))).transpose()
        })
    }

    /// Adds a batch to the spans of its label and its period; answers how its row names the period.
    pub(super) fn extend_spans(&mut self, batch: &super::Batch) -> Result<PeriodAt, StateError> {
        let Node { branch, version } = batch.node;
        let kv = &self.shared.kv;
        let load = |key: Vec<u8>| {
            let found = kv.snapshot().get(&key)?;
            found.map(|span| Span::decode(&span).ok_or_else(|| StateError::damaged("span", &key))).transpose()
        };
        let longer = |span: Option<Span>| match span {
            None => Span { first: version, last: version, batches: 1 },
            Some(span) => Span { first: span.first, last: version, batches: span.batches + 1 },
        };
        if let Some(label) = batch.label {
            let index = (branch, label);
            let span = self.group.labels.get(&index, || load(key::label(branch, label).to_vec()))?;
            self.group.labels.set(index, longer(span));
        }
        let index = (batch.period.clone(), branch);
        let span = self.group.periods.get(&index, || load(key::period(batch.period.as_str(), branch)))?;
        self.group.periods.set(index, longer(span));
        Ok(match span {
            None => PeriodAt::Here(batch.period.clone(), batch.opening_label),
            Some(span) => PeriodAt::Version(span.first),
        })
    }
}
