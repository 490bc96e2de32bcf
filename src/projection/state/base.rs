//! Laying the base under a period: its leaves, and tombstones over what was there and is not in it.
//!
//! *Always holds:* the rows have the version of the period's first batch, which nothing names before that batch is
//! committed, and which the batch's own rows then overwrite.

use super::kv::{Kv, Snapshot as _};
use super::leaves::{Dels, Sink};
use super::{State, StateError, View, entry, key, write};
use crate::fork::record::{Chain, Node};

impl<K: Kv> State<K> {
    pub(super) fn lay_base(&mut self, chain: &Chain, node: Node) -> Result<(), StateError> {
        let Some(base) = self.base.clone() else { return Ok(()) };
        self.commit()?;
        let mut sink = Sink::new(node);
        let mut result = Ok(());
        base.leaves(|path, text| {
            sink.put(path, entry::leaf(text));
            if result.is_ok() && sink.is_full() {
                result = self.spill(&mut sink);
            }
        })?;
        result?;
        self.spill(&mut sink)?;
        if let Some(prev) = chain.prev {
            self.stand_on(prev);
            let rows = self.shared.kv.snapshot();
            let view = View::new(rows.clone(), self.chain.clone());
            let mut own = Vec::new();
            for leaf in view.scan(&[], None) {
                let (path, _) = leaf?;
                key::row(&path, node, &mut own);
                if rows.get(&own)?.is_none() {
                    sink.put(&path, entry::tombstone());
                }
                if sink.is_full() {
                    self.spill(&mut sink)?;
                }
            }
            self.spill(&mut sink)?;
        }
        self.shared.change(|branches| branches.base(node));
        self.group.once.push(write(&key::node(key::table::BASED, node), &[]));
        tracing::info!(hash = %base.hash, "the base lies under the period that it opened");
        Ok(())
    }
    /// Puts a tombstone over every leaf of the base at or below the dels of the batch that stands on it.
    pub(super) fn remove_from_base(&mut self, dels: &mut Dels, sink: &mut Sink) -> Result<(), StateError> {
        let paths = dels.take();
        let Some(base) = self.base.clone().filter(|_| !paths.is_empty()) else { return Ok(()) };
        // None is below another, so only the last one not behind a path can be above it.
        let is_below = |path: &[u8]| {
            let upto = paths.partition_point(|del| del.as_slice() <= path);
            upto.checked_sub(1).is_some_and(|last| path.starts_with(&paths[last]))
        };
        let mut result = Ok(());
        base.leaves(|path, _| {
            if result.is_ok() && is_below(path) {
                sink.put(path, entry::tombstone());
                if sink.is_full() {
                    result = self.spill(sink);
                }
            }
        })?;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::super::kv::Memory;
    use super::*;
    use crate::fork::record::{Branch, BranchCause, Close, Piece, Record};
    use crate::projection::base::{self, Base};
    use honeygraph_protocols::batch::{BatchId, Parent};
    use honeygraph_protocols::honeycomb::HashText;
    use honeygraph_protocols::op;
    use honeygraph_protocols::path;

    /// What is left of base and batch, as `path=text`.
    fn left(document: &str, ops: &[String]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let hash = base::import(folder.path(), document.as_bytes(), None).unwrap().hash;
        let mut state = State::on(Memory::new()).unwrap();
        state.stand_on_base(Base::current(folder.path()).unwrap().unwrap()).unwrap();
        let mut body = Vec::new();
        ops.iter().for_each(|text| op::push_text(text.as_bytes(), &mut body));
        let period = HashText::new(&hash).unwrap();
        let piece = Piece {
            lane: 1,
            ordinal: 0,
            label: Some(101),
            run: 0,
            seq: 0,
            index: Some(0),
            count: ops.len() as u32,
            close: Close::Marker,
            begins: true,
            ops_hash: [0; 32],
            at_ms: 0,
        };
        let chain = Chain {
            branch: 0,
            prev: None,
            period: period.clone(),
            opening_label: Some(101),
            label: Some(101),
            seq: 0,
            count: ops.len() as u64,
            marker: true,
            parent: Parent::Period(period),
            id: BatchId::from_digest([1; 32]),
            ops_hash: [0; 32],
            pieces: vec![1],
            head: true,
            hole: false,
            at_ms: 0,
        };
        let birth = Branch { branch: 0, parent: None, cause: BranchCause::First };
        let records = [Record::Piece(piece), Record::Branch(birth), Record::Chain(chain)];
        for (lsn, record) in (1..).zip(&records) {
            state.apply(lsn, record, &mut |_| Ok(body.clone())).unwrap();
        }
        state.commit().unwrap();
        let view = state.reader().snapshot().view(Node { branch: 0, version: 3 }).unwrap();
        let leaf = |leaf: Result<(Vec<u8>, Vec<u8>), StateError>| {
            let (at, text) = leaf.unwrap();
            format!("{}={}", path::display(&path::decode(&at).unwrap()), String::from_utf8(text).unwrap())
        };
        view.scan(&[], None).map(|found| leaf(found.map(|(path, text)| (path.to_vec(), text.to_vec())))).collect()
    }

    /// The rows of the base and of the batch have one version. A del takes what the base has and the batch wrote again,
    /// and leaves what the batch alone wrote, however large it is (rows beyond 8,192 are spilled).
    /// Planted once: the dels looked at the rows, where what was spilled stood as if it were the base's.
    #[test]
    fn a_del_in_the_first_batch_on_a_base_takes_only_what_the_base_has() {
        for more in [0, 20_000] {
            let put = |key: &str| format!(r#"{{"data":2,"path":["a","{key}"],"type":"put"}}"#);
            let mut ops = vec![put("new"), put("old")];
            ops.extend((0..more).map(|nth| put(&format!("k{nth}"))));
            ops.push(r#"{"path":["a"],"type":"del"}"#.to_owned());
            let left = left(r#"[102,{"a":{"kept":1,"old":1},"b":1}]"#, &ops);
            assert_eq!(left.len(), more + 2, "{more}: {:?}", left.iter().take(3).collect::<Vec<_>>());
            assert!(["a/new=2", "b=1"].iter().all(|leaf| left.iter().any(|held| held == leaf)), "{left:?}");
        }
    }
}
