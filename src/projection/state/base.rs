//! Laying the base under a period: its leaves, and tombstones over what was there and is not in it.
//!
//! *Always holds:* the rows have the version of the period's first batch, which nothing names before that batch is
//! committed, and which the batch's own rows then overwrite.

use super::kv::{Kv, Snapshot as _};
use super::leaves::Sink;
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
}
