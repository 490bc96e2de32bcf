//! Honeycomb's state: an ordered flat map of leaves with the semantics of its store.
//!
//! *Always holds:* inside one batch dels win over puts for keys that existed before the batch, whatever the order.

use super::op::Op;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Leaves by path. Values are scalars only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaves(BTreeMap<Vec<String>, Value>);

impl Leaves {
    /// Applies one batch: D = keys below any del that exist before it, W = leaves of all puts; the result is W
    /// without D.
    pub fn apply(&mut self, batch: &[Op]) {
        let mut doomed: Vec<Vec<String>> = Vec::new();
        for op in batch.iter().filter(|op| op.data.is_none()) {
            doomed.extend(self.below(&op.path).map(|(key, _)| key.clone()));
        }
        for op in batch {
            if let Some(data) = &op.data {
                self.write(&mut op.path.clone(), data);
            }
        }
        for key in doomed {
            self.0.remove(&key);
        }
    }

    fn write(&mut self, path: &mut Vec<String>, data: &Value) {
        match data {
            Value::Object(members) => {
                members.iter().for_each(|(key, member)| self.write_below(path, key.clone(), member))
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| self.write_below(path, i.to_string(), item));
            }
            scalar => {
                self.0.insert(path.clone(), scalar.clone());
            }
        }
    }

    fn write_below(&mut self, path: &mut Vec<String>, key: String, data: &Value) {
        path.push(key);
        self.write(path, data);
        path.pop();
    }

    /// Leaves at or below a path, in key order.
    pub fn below<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = (&'a Vec<String>, &'a Value)> {
        self.0.range(path.to_vec()..).take_while(move |(key, _)| key.starts_with(path))
    }

    /// The leaf at a path.
    pub fn get(&self, path: &[String]) -> Option<&Value> {
        self.0.get(path)
    }

    /// All leaves in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Vec<String>, &Value)> {
        self.0.iter()
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tree that honeycomb hashes: nested objects. A falsy leaf with leaves below it is hidden by them; the script
    /// never writes a truthy one there.
    pub fn tree(&self) -> Value {
        let mut root = Map::new();
        for (path, value) in &self.0 {
            let Some((last, inner)) = path.split_last() else { continue };
            let mut at = &mut root;
            for segment in inner {
                let slot = at.entry(segment.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                at = slot.as_object_mut().expect("made an object above");
            }
            at.insert(last.clone(), value.clone());
        }
        Value::Object(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Batches to leaves, as honeycomb's own store gave them.
    #[test]
    fn batches_end_as_in_honeycombs_store() {
        let put = |path: &str, data: Value| Op::put(path.split('/'), data);
        let del = |path: &str| Op::del(path.split('/'));
        let before = || vec![put("runners", json!({ "a": { "g": 1 }, "b": { "g": 1 } }))];
        let cases: [(Vec<Vec<Op>>, Value); 9] = [
            (vec![vec![put("x", json!(["a", { "k": 1 }]))]], json!({ "x/0": "a", "x/1/k": 1 })),
            (vec![vec![put("x/y", json!(null)), put("x/z", json!({})), put("x/w", json!([]))]], json!({ "x/y": null })),
            (
                vec![before(), vec![put("runners", json!({ "c": 2 }))]],
                json!({ "runners/a/g": 1, "runners/b/g": 1, "runners/c": 2 }),
            ),
            (
                vec![before(), vec![del("runners")], vec![put("runners", json!({ "a": { "g": 2 } }))]],
                json!({ "runners/a/g": 2 }),
            ),
            (
                vec![before(), vec![del("runners"), put("runners", json!({ "a": { "g": 2 }, "c": { "g": 3 } }))]],
                json!({ "runners/c/g": 3 }),
            ),
            (
                vec![vec![put("x/y", json!(1))], vec![put("x", json!({ "y": 2, "z": 3 })), del("x")]],
                json!({ "x/z": 3 }),
            ),
            (vec![vec![put("x", json!(1)), del("x")]], json!({ "x": 1 })),
            (vec![vec![put("a/b", json!(1)), put("ab", json!(2))], vec![del("a")]], json!({ "ab": 2 })),
            (vec![vec![put("a", json!(0)), put("a/b", json!(1))], vec![del("a/b")]], json!({ "a": 0 })),
        ];
        for (batches, expected) in cases {
            let mut leaves = Leaves::default();
            batches.iter().for_each(|batch| leaves.apply(batch));
            let found: Map<_, _> = leaves.iter().map(|(path, value)| (path.join("/"), value.clone())).collect();
            assert_eq!(Value::Object(found), expected, "{batches:?}");
        }
    }

    #[test]
    fn the_tree_hides_a_falsy_leaf_above_others() {
        let mut leaves = Leaves::default();
        leaves.apply(&[Op::put(["a"], 0), Op::put(["a", "b"], 1), Op::put(["c"], "x")]);
        assert_eq!(leaves.tree(), json!({ "a": { "b": 1 }, "c": "x" }));
    }
}
