//! Applying records: births, batches, head moves, retirements.
//!
//! A batch's result: W, the leaves of all its puts, later ones winning; then D, what lay at or below any of its dels
//! *before* the batch, is gone, also where W wrote it. Everything is written under the batch's own version.
//!
//! *Always holds:* memory does not grow with the size of a batch; applying a record twice changes nothing.

use super::body::{self, Effect};
use super::branches::visible;
use super::entry::{self, Batch, BranchRow, Tip};
use super::kv::{Kv, Slice, Write};
use super::leaves::{Dels, Leaves, SHARED_OPS, Sink};
use super::{Bodies, State, StateError, View, key, write};
use crate::fork::record::{Branch, BranchNo, Chain, Head, Lsn, Node, Record, Retired};
use std::collections::BTreeMap;

impl<K: Kv> State<K> {
    /// Applies the next record; one that was applied before is passed over. `bodies` fetches the ops of a piece.
    pub fn apply(&mut self, lsn: Lsn, record: &Record, bodies: &mut Bodies<'_>) -> Result<(), StateError> {
        self.apply_ready(lsn, record, None, bodies)
    }

    /// Applies the next record, whose leaves may be ready.
    pub fn apply_ready(
        &mut self,
        lsn: Lsn,
        record: &Record,
        leaves: Option<Leaves>,
        bodies: &mut Bodies<'_>,
    ) -> Result<(), StateError> {
        if lsn <= self.applied {
            return Ok(());
        }
        order(lsn == self.applied + 1, lsn, "records are missing before it")?;
        match record {
            Record::Branch(birth) => self.birth(lsn, birth)?,
            Record::Chain(chain) => self.chain(lsn, chain, leaves, bodies)?,
            Record::Head(head) => self.head(lsn, head)?,
            Record::Retired(retired) => self.retire(lsn, retired)?,
            Record::Piece(_)
            | Record::Opened(_)
            | Record::Named(_)
            | Record::Checkpoint(_)
            | Record::Gap(_)
            | Record::Same(_)
            | Record::Stands(_)
            | Record::Proof(_)
            | Record::Trust(_)
            | Record::Rebased(_)
            | Record::Agreed(_) => {}
        }
        self.pass_over(lsn)?;
        if self.group.is_full() { self.commit() } else { Ok(()) }
    }

    /// Goes on over a record that changes nothing in the state.
    pub fn pass_over(&mut self, lsn: Lsn) -> Result<(), StateError> {
        order(lsn <= self.applied + 1, lsn, "records are missing before it")?;
        self.applied = self.applied.max(lsn);
        Ok(())
    }

    fn birth(&mut self, lsn: Lsn, birth: &Branch) -> Result<(), StateError> {
        order(self.branch_row(birth.branch)?.is_none(), lsn, "the branch exists")?;
        self.commit()?;
        let floor = match birth.parent {
            None => Some(0),
            Some(parent) => {
                order(parent.branch < birth.branch, lsn, "a branch older than its parent")?;
                order(self.batch(parent)?.is_some(), lsn, "its parent is no batch")?;
                let tip = self.tip(parent.branch)?.map_or(0, |tip| tip.batch.node.version);
                self.shared.branches(|branches| branches.floor_at(parent, tip))
            }
        };
        // Below the floor there are no rows to stand on: such a branch is listed and has no view.
        let (live, floor) = (floor.is_some(), floor.unwrap_or(0));
        self.shared.change(|branches| branches.add(birth.branch, birth.parent, live, floor));
        let row = BranchRow { parent: birth.parent, cause: birth.cause, live, floor, first: None };
        self.group.branches.set(birth.branch, row);
        Ok(())
    }

    fn head(&mut self, lsn: Lsn, head: &Head) -> Result<(), StateError> {
        self.commit()?;
        order(self.batch(head.at)?.is_some(), lsn, "the head moves to no batch")?;
        self.group.move_head(head.at);
        Ok(())
    }

    fn retire(&mut self, lsn: Lsn, retired: &Retired) -> Result<(), StateError> {
        let row = self.branch_row(retired.branch)?;
        order(row.is_some(), lsn, "no such branch")?;
        self.limit(retired.branch, false, row.map_or(0, |row| row.floor))
    }

    /// Makes fewer points of a branch readable: durable before the first row goes, which is the sweep's business.
    /// Points can only be given up, never had back.
    pub fn raise_floor(&mut self, branch: BranchNo, floor: Lsn) -> Result<(), StateError> {
        let Some(row) = self.branch_row(branch)?.filter(|row| row.live && row.floor < floor) else { return Ok(()) };
        let tip = self.tip(branch)?.map_or(row.floor, |tip| tip.batch.node.version);
        self.limit(branch, row.live, floor.min(tip))
    }

    /// The same of every live branch.
    pub fn raise_floors(&mut self, floor: Lsn) -> Result<(), StateError> {
        let live = |branches: &super::Branches| {
            branches.all().filter(|(_, known)| known.live && known.floor < floor).map(|(branch, _)| branch).collect()
        };
        let branches: Vec<BranchNo> = self.shared.branches(live);
        branches.into_iter().try_for_each(|branch| self.raise_floor(branch, floor))
    }

    fn limit(&mut self, branch: BranchNo, live: bool, floor: Lsn) -> Result<(), StateError> {
        self.commit()?;
        let Some(row) = self.branch_row(branch)? else { return Ok(()) };
        let row = BranchRow { live, floor, ..row };
        let head = self.group.head();
        let tip = match head {
            Some(head) => self.tip(head.branch)?.map_or(0, |tip| tip.batch.node.version),
            None => 0,
        };
        // The head stays readable whatever is retired under it, if it ever was: one on a branch without a view has no rows.
        let kept = self.shared.change(|branches| {
            let head = head.filter(|head| branches.readable(*head, tip));
            branches.limit(branch, live, floor);
            let lost = head.filter(|head| !branches.readable(*head, tip));
            lost.inspect(|head| branches.keep(*head, true))
        });
        let mut writes = vec![write(&key::branch(key::table::BRANCH, branch), &row.encode())];
        writes.extend(kept.map(|head| write(&key::node(key::table::KEPT, head), &[])));
        writes.extend(self.sweep.order());
        self.shared.kv.commit(writes)?;
        self.group.branches.load(branch, row);
        Ok(())
    }

    /// Keeps one readable point for good, whatever happens to its branch, or lets it go again.
    pub fn keep(&mut self, point: Node, keep: bool) -> Result<(), StateError> {
        self.commit()?;
        let tip = self.tip(point.branch)?.map_or(0, |tip| tip.batch.node.version);
        if keep && !self.shared.branches(|branches| branches.readable(point, tip)) {
            return Err(StateError::Gone(point));
        }
        let mut writes = vec![(key::node(key::table::KEPT, point).as_slice().into(), keep.then(|| Slice::from([])))];
        writes.extend(self.sweep.order().filter(|_| !keep));
        self.shared.change(|branches| branches.keep(point, keep));
        Ok(self.shared.kv.commit(writes)?)
    }

    fn batch(&self, node: Node) -> Result<Option<Batch>, StateError> {
        super::reader::batch(&self.shared.kv.snapshot(), node)
    }

    fn chain(
        &mut self,
        lsn: Lsn,
        chain: &Chain,
        leaves: Option<Leaves>,
        bodies: &mut Bodies<'_>,
    ) -> Result<(), StateError> {
        let row = self.branch_row(chain.branch)?;
        let mut row = row.ok_or(StateError::Order { lsn, what: "no such branch" })?;
        let tip = self.tip(chain.branch)?;
        let prev = tip.as_ref().map(|tip| tip.batch.node).or(row.parent);
        order(prev == chain.prev, lsn, "it does not extend its branch")?;
        order(chain.pieces.iter().all(|piece| *piece < lsn), lsn, "a piece after its batch")?;
        let before = match (&tip, prev) {
            (Some(tip), _) => tip.batch.unbroken,
            (None, None) => true,
            (None, Some(prev)) => {
                let prev = self.batch(prev)?;
                prev.ok_or(StateError::Order { lsn, what: "the batch before it is missing" })?.unbroken
            }
        };
        let based = row.live && self.base.as_ref().is_some_and(|base| chain.seq == 0 && base.hash == chain.period);
        // What the base says is whole again, whatever was missing before.
        let batch = Batch::of(chain, lsn, based || (before && !chain.hole));
        if based {
            self.lay_base(chain, batch.node)?;
        }
        if row.live {
            self.leaves(lsn, chain, leaves, based, bodies)?;
        }
        let period_at = self.extend_spans(&batch)?;
        let mut bytes = Vec::with_capacity(64);
        batch.encode(&period_at, &mut bytes);
        self.group.once.push((key::node(key::table::BATCH, batch.node).as_slice().into(), Some(bytes.into())));
        let id = key::id(&batch.id, chain.branch);
        self.group.once.push((id.into(), Some(lsn.to_be_bytes().as_slice().into())));
        if row.first.is_none() {
            row.first = Some((lsn, batch.id));
            self.shared.change(|branches| branches.begin(chain.branch, batch.id));
            self.group.branches.set(chain.branch, row);
        }
        if chain.head {
            self.group.move_head(batch.node);
        }
        let (batches, operations) = tip.map_or((0, 0), |tip| (tip.batches, tip.operations));
        let tip = Tip { batches: batches + 1, operations: operations + chain.count, batch };
        self.group.tips.set(chain.branch, tip);
        Ok(())
    }

    /// Writes W, then the tombstones of D.
    fn leaves(
        &mut self,
        lsn: Lsn,
        chain: &Chain,
        leaves: Option<Leaves>,
        based: bool,
        bodies: &mut Bodies<'_>,
    ) -> Result<(), StateError> {
        if chain.count > SHARED_OPS {
            self.commit()?;
        }
        let node = Node { branch: chain.branch, version: lsn };
        let is_ready = leaves.is_some();
        let Leaves { mut sink, mut dels } = leaves.unwrap_or_else(|| Leaves::none(node));
        let mut too_many = false;
        if !is_ready {
            self.effects(lsn, chain, bodies, |state, effect| {
                match effect {
                    Effect::Put(path, text) => sink.put(path, entry::leaf(text)),
                    Effect::Del(path) => {
                        too_many |= dels.is_full();
                        if !too_many {
                            dels.push(path);
                        }
                    }
                }
                if sink.is_full() { state.spill(&mut sink) } else { Ok(()) }
            })?;
        }
        // What lies under a base's first batch is the base, under the batch's own version: the rows do not tell the two
        // apart once some of the batch's were spilled, the document does.
        let remove = if based { Self::remove_from_base } else { Self::remove };
        if let Some(before) = if based { Some(node) } else { chain.prev } {
            self.stand_on(before);
            #[cfg(test)]
            if self.planted(super::Plant::ScanAfterPuts) {
                self.spill(&mut sink)?;
                self.stand_on(node);
            }
            if too_many {
                dels = Dels::default();
                self.effects(lsn, chain, bodies, |state, effect| {
                    if let Effect::Del(path) = effect {
                        dels.push(path);
                    }
                    if dels.is_full() { remove(state, &mut dels, &mut sink) } else { Ok(()) }
                })?;
            }
            remove(self, &mut dels, &mut sink)?;
        }
        self.group.bytes += sink.bytes();
        self.group.rows.append(&mut sink.take());
        Ok(())
    }

    /// Calls `each` with what every op of a batch does.
    fn effects(
        &mut self,
        lsn: Lsn,
        chain: &Chain,
        bodies: &mut Bodies<'_>,
        mut each: impl FnMut(&mut Self, Effect<'_>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        for &piece in &chain.pieces {
            let failed = |source| StateError::Body { lsn, piece, source };
            let body = bodies(piece).map_err(failed)?;
            let mut result = Ok(());
            body::effects(&body, |effect| {
                if result.is_ok() {
                    result = each(self, effect);
                }
            })
            .map_err(|error| failed(error.into()))?;
            result?;
        }
        Ok(())
    }

    /// Makes `self.chain` the chain of `node`.
    pub(super) fn stand_on(&mut self, node: Node) {
        match self.chain.first_mut() {
            // A later batch of the same branch stands on the same cuts.
            Some(top) if top.branch == node.branch => top.version = node.version,
            _ => self.chain = self.shared.branches(|branches| branches.chain(node)),
        }
    }

    /// Writes the rows of a batch that is too large for one commit. Nothing names its version yet.
    pub(super) fn spill(&mut self, sink: &mut Sink) -> Result<(), StateError> {
        self.commit()?;
        let rows: Vec<Write> = sink.take().into_iter().map(|(key, value)| (key, Some(value))).collect();
        Ok(self.shared.kv.commit(rows)?)
    }

    /// Puts a tombstone over everything that lies at or below the dels in the view before the batch.
    pub(super) fn remove(&mut self, dels: &mut Dels, sink: &mut Sink) -> Result<(), StateError> {
        for path in dels.take() {
            let pending = self.pending(&path);
            let view = View::new(self.shared.kv.snapshot(), self.chain.clone());
            for leaf in view.scan(&path, None) {
                let (path, _) = leaf?;
                if !pending.contains_key(&path) {
                    sink.put(&path, entry::tombstone());
                }
                if sink.is_full() {
                    self.spill(sink)?;
                }
            }
            for (path, _) in pending.iter().filter(|(_, there)| **there) {
                sink.put(path, entry::tombstone());
            }
        }
        Ok(())
    }

    /// What the uncommitted group says at and below a path: whether a leaf is there.
    fn pending(&self, path: &[u8]) -> BTreeMap<Slice, bool> {
        let mut pending = BTreeMap::new();
        for (key, value) in &self.group.rows {
            if !key[1..].starts_with(path) {
                continue;
            }
            if let Some((_, row)) = key::parse_row(key).filter(|(_, row)| visible(&self.chain, *row)) {
                debug_assert!(row.version <= self.chain[0].version, "rows of the batch itself are not in the group");
                pending.insert(Slice::from(&key[1..key.len() - key::SUFFIX]), value[0] == entry::LEAF);
            }
        }
        pending
    }
}

pub(super) fn order(holds: bool, lsn: Lsn, what: &'static str) -> Result<(), StateError> {
    if holds { Ok(()) } else { Err(StateError::Order { lsn, what }) }
}
