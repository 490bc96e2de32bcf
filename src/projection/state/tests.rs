//! Random histories against the model, the design's example, honeycomb's own cases, and planted bugs.

use super::kv::{Kv, Memory, Tuning};
use super::model::Model;
use super::reader::Named;
use super::{Plant, State, StateError, check, entry, key};
use crate::fork::record::*;
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op;
use honeygraph_protocols::path::{self, Segment};
use std::collections::BTreeMap;

/// Seeds tried by default; the long run takes more (`HONEYGRAPH_SEEDS`).
const SEEDS: u64 = 150;

/// A small generator with a seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, many: usize) -> usize {
        (self.next() % many.max(1) as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// A journal in memory and what stands on it.
struct World {
    kv: Memory,
    state: State<Memory>,
    model: Model,
    records: Vec<Record>,
    bodies: BTreeMap<Lsn, Vec<u8>>,
    plant: Option<Plant>,
}

impl World {
    fn new(plant: Option<Plant>) -> Self {
        let kv = Memory::new();
        let state = State::on(kv.clone()).unwrap();
        let mut world =
            Self { kv, state, model: Model::default(), records: Vec::new(), bodies: BTreeMap::new(), plant };
        world.state.plant = plant;
        world
    }

    fn lsn(&self) -> Lsn {
        self.records.len() as Lsn
    }

    fn record(&mut self, record: Record) -> Lsn {
        self.records.push(record);
        let lsn = self.lsn();
        let record = &self.records[lsn as usize - 1];
        self.model.apply(lsn, record, |piece| self.bodies[&piece].clone());
        self.state.apply(lsn, record, &mut |piece| Ok(self.bodies[&piece].clone())).unwrap();
        lsn
    }

    fn birth(&mut self, parent: Option<Node>, cause: BranchCause) -> BranchNo {
        let branch = self.model.branches().last().map_or(0, |last| last + 1);
        self.record(Record::Branch(Branch { branch, parent, cause }));
        branch
    }

    /// Chains a batch of these op texts on a branch, as one or two pieces.
    fn batch(&mut self, branch: BranchNo, ops: &[String], head: bool) -> Node {
        let born_at = self.records.iter().find_map(|record| match record {
            Record::Branch(birth) if birth.branch == branch => Some(birth.parent),
            _ => None,
        });
        let prev = self.model.tips().get(&branch).copied().or(born_at.unwrap());
        let mut pieces = Vec::new();
        for part in ops.chunks(ops.len().div_ceil(2).max(1)) {
            let mut body = Vec::new();
            part.iter().for_each(|text| op::push_text(text.as_bytes(), &mut body));
            self.records.push(piece(part.len() as u32));
            let lsn = self.lsn();
            self.state.apply(lsn, &self.records[lsn as usize - 1], &mut |_| unreachable!()).unwrap();
            self.bodies.insert(lsn, body);
            pieces.push(lsn);
        }
        let version = self.lsn() + 1;
        let label = version / 10 * 10 + 1;
        let period = HashText::new(&format!("Qm{label}")).unwrap();
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&version.to_be_bytes());
        self.record(Record::Chain(Chain {
            branch,
            prev,
            period: period.clone(),
            opening_label: Some(label),
            label: Some(label),
            seq: version,
            count: ops.len() as u64,
            marker: true,
            parent: Parent::Period(period),
            id: BatchId::from_digest(digest),
            ops_hash: [0; 32],
            pieces,
            head,
            hole: false,
            at_ms: version,
        }));
        Node { branch, version }
    }

    /// The machine dies; `keep` of the commits since the last sync survive. The journal lost nothing.
    fn crash(&mut self, keep: usize) -> Result<(), check::Broken> {
        self.kv.crash(keep);
        self.state = State::on(self.kv.clone())?;
        self.state.plant = self.plant;
        let snapshot = self.state.reader().snapshot();
        check::all(&snapshot, self.lsn())?;
        check::equals_model(&snapshot, &self.model, true)?;
        for (i, record) in self.records.iter().enumerate() {
            self.state.apply(i as Lsn + 1, record, &mut |piece| Ok(self.bodies[&piece].clone()))?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), check::Broken> {
        self.state.commit()?;
        let snapshot = self.state.reader().snapshot();
        check::all(&snapshot, self.lsn())?;
        check::equals_model(&snapshot, &self.model, false)
    }

    fn sweep(&mut self) {
        while !self.state.sweep(1).unwrap().done {}
    }

    /// Rows that are left, as (last segment, place).
    fn rows(&self) -> Vec<(String, Node)> {
        let rows = self.kv.entries().into_iter().filter(|(key, _)| key[0] == key::table::ROW);
        rows.map(|(key, _)| {
            let (path, node) = key::parse_row(&key).unwrap();
            let path = path::decode(path).unwrap();
            (path::display(&path), node)
        })
        .collect()
    }
}

fn piece(count: u32) -> Record {
    Record::Piece(Piece {
        lane: 0,
        ordinal: 0,
        label: None,
        run: 0,
        seq: 0,
        index: None,
        count,
        close: Close::Marker,
        begins: true,
        ops_hash: [0; 32],
        at_ms: 0,
    })
}

fn put(path: &str, data: &str) -> String {
    let path: Vec<String> = path.split('/').map(|segment| format!("{segment:?}")).collect();
    format!(r#"{{"data":{data},"path":[{}],"type":"put"}}"#, path.join(","))
}

fn del(path: &str) -> String {
    let path: Vec<String> = path.split('/').map(|segment| format!("{segment:?}")).collect();
    format!(r#"{{"path":[{}],"type":"del"}}"#, path.join(","))
}

fn random_op(dice: &mut Dice) -> String {
    let mut at = ["a", "b", "c"][dice.below(3)].to_owned();
    for _ in 0..dice.below(3) {
        at.push('/');
        at.push_str(["a", "b"][dice.below(2)]);
    }
    match dice.below(8) {
        0 | 1 => del(&at),
        2 => put(&at, r#"{"a":1,"b":{"a":[2,3]}}"#),
        3 => put(&at, "{}"),
        _ => put(&at, &dice.below(100).to_string()),
    }
}

fn random_batch(world: &mut World, dice: &mut Dice, branch: BranchNo, head: bool) {
    let many = if dice.one_in(12) { 20 } else { dice.below(4) };
    let ops: Vec<String> = (0..many).map(|_| random_op(dice)).collect();
    world.batch(branch, &ops, head);
}

/// One random history; the first broken rule ends it.
fn history(seed: u64, plant: Option<Plant>) -> Result<(), check::Broken> {
    let mut dice = Dice(seed);
    let mut world = World::new(plant);
    let first = world.birth(None, BranchCause::First);
    random_batch(&mut world, &mut dice, first, true);
    let mut live = vec![first];
    for _ in 0..60 {
        let readable: Vec<Node> = world.model.readable().into_iter().collect();
        let any = readable[dice.below(readable.len())];
        let head = world.model.head().unwrap();
        match dice.below(20) {
            0..=9 => {
                let branch = live[dice.below(live.len())];
                let extends = world.model.tips().get(&branch) == Some(&head);
                random_batch(&mut world, &mut dice, branch, extends);
            }
            10 | 11 => {
                let branch = world.birth(Some(any), BranchCause::Fork);
                live.push(branch);
                random_batch(&mut world, &mut dice, branch, false);
            }
            12 => {
                let cause = HeadCause::Choice("dice".into());
                world.record(Record::Head(Head { at: any, from: head, cause, at_ms: 0 }));
                let branch = world.birth(Some(any), BranchCause::Rollback);
                live.push(branch);
                random_batch(&mut world, &mut dice, branch, true);
            }
            13 | 14 if live.len() > 1 => {
                let at = dice.below(live.len());
                if live[at] != head.branch {
                    let branch = live.remove(at);
                    world.record(Record::Retired(Retired { branch, at_ms: 0 }));
                }
            }
            15 => {
                let branch = live[dice.below(live.len())];
                let floor = dice.below(world.lsn() as usize) as Lsn;
                world.model.raise_floor(branch, floor);
                world.state.raise_floor(branch, floor)?;
                world.state.sync()?;
            }
            16 => {
                let keep = dice.one_in(2) || !world.state.reader().snapshot().kept()?.contains(&any);
                world.model.keep(any, keep);
                world.state.keep(any, keep)?;
                world.state.sync()?;
            }
            17 => {
                world.state.sweep(1 + dice.below(12))?;
            }
            18 => world.check()?,
            _ => {
                let keep = dice.below(world.kv.unsynced() + 1);
                world.crash(keep)?;
            }
        }
    }
    world.check()?;
    world.sweep();
    world.check()?;
    world.crash(0)?;
    world.sweep();
    world.check()
}

#[test]
fn random_histories_equal_the_model() {
    let seeds = std::env::var("HONEYGRAPH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        history(seed, None).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
}

#[test]
fn planted_bugs_are_caught() {
    for plant in [Plant::SweepByHeads, Plant::TombstoneFirst, Plant::CursorFirst, Plant::ScanAfterPuts] {
        let caught = (0..SEEDS).find(|seed| history(*seed, Some(plant)).is_err());
        assert!(caught.is_some(), "{plant:?} was not caught");
    }
}

/// The example of the design: v1 x=1, v2 x=2, v3 y=1 on b0; b1=(b0,2): x=9, z=1; rollback to v3, x=7 on b2.
#[test]
fn the_example() {
    let mut world = World::new(None);
    let b0 = world.birth(None, BranchCause::First);
    world.batch(b0, &[put("x", "1")], true);
    let v2 = world.batch(b0, &[put("x", "2")], true);
    let v3 = world.batch(b0, &[put("y", "1")], true);
    let b1 = world.birth(Some(v2), BranchCause::Fork);
    let v4 = world.batch(b1, &[put("x", "9")], false);
    let v5 = world.batch(b0, &[del("x")], true);
    let v6 = world.batch(b1, &[put("z", "1")], false);
    let cause = HeadCause::Rollback { verdict: 1, reason: "test".into() };
    world.record(Record::Head(Head { at: v3, from: v5, cause, at_ms: 0 }));
    let b2 = world.birth(Some(v3), BranchCause::Rollback);
    let v7 = world.batch(b2, &[put("x", "7")], true);
    world.check().unwrap();
    let read = |world: &World, node, name: &str| {
        let view = world.state.reader().snapshot().view(node).unwrap();
        let leaf = view.get(&path::encode(&[Segment::from(name)])).unwrap();
        leaf.map(|text| String::from_utf8(text.to_vec()).unwrap())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!((read(&world, v5, "x"), read(&world, v5, "y")), (None, text("1")));
    assert_eq!((read(&world, v6, "x"), read(&world, v6, "y"), read(&world, v6, "z")), (text("9"), None, text("1")));
    assert_eq!((read(&world, v7, "x"), read(&world, v7, "y")), (text("7"), text("1")));
    assert_eq!(read(&world, v2, "x"), text("2"));

    world.record(Record::Retired(Retired { branch: b0, at_ms: 0 }));
    world.state.raise_floor(b1, v6.version).unwrap();
    world.state.raise_floor(b2, v7.version).unwrap();
    world.sweep();
    let left = [("x", v7), ("x", v4), ("y", v3), ("z", v6)].map(|(name, node)| (name.to_owned(), node));
    assert_eq!(world.rows(), left);
    assert_eq!((read(&world, v7, "y"), read(&world, v6, "x")), (text("1"), text("9")));
    assert!(matches!(world.state.reader().snapshot().view(v2), Err(StateError::Gone(node)) if node == v2));
}

/// `fixtures/pathwise_semantics.json`: what honeycomb's own store did with these ops.
#[test]
fn honeycombs_own_cases() {
    let cases: serde_json::Value = serde_json::from_str(include_str!("fixtures/pathwise_semantics.json")).unwrap();
    for case in cases["cases"].as_array().unwrap() {
        let mut world = World::new(None);
        let branch = world.birth(None, BranchCause::First);
        let mut last = None;
        for step in case["steps"].as_array().unwrap() {
            let ops = step.as_array().cloned().unwrap_or_else(|| vec![step.clone()]);
            let text = |op: &serde_json::Value| match &op["data"] {
                serde_json::Value::Null if op["type"] == "del" => format!(r#"{{"path":{},"type":"del"}}"#, op["path"]),
                data => format!(r#"{{"data":{data},"path":{},"type":{}}}"#, op["path"], op["type"]),
            };
            let ops: Vec<String> = ops.iter().map(text).collect();
            last = Some(world.batch(branch, &ops, true));
        }
        world.check().unwrap();
        let view = world.state.reader().snapshot().view(last.unwrap()).unwrap();
        let leaves = view.scan(&[], None).map(|leaf| {
            let (path, text) = leaf.unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            (path::display(&path::decode(&path).unwrap()), value)
        });
        let result: serde_json::Map<_, _> = leaves.collect();
        assert_eq!(serde_json::Value::Object(result), case["result"], "{}", case["note"]);
    }
}

#[test]
fn a_newer_format_is_refused_and_a_foreign_record_too() {
    let kv = Memory::new();
    kv.commit(vec![(key::single(key::table::FORMAT).as_slice().into(), Some([9].as_slice().into()))]).unwrap();
    assert!(matches!(State::on(kv).map(drop), Err(StateError::Newer { found: 9 })));
    let mut state = State::on(Memory::new()).unwrap();
    let gap = Record::Retired(Retired { branch: 4, at_ms: 0 });
    assert!(matches!(state.apply(2, &gap, &mut |_| unreachable!()), Err(StateError::Order { lsn: 2, .. })));
    assert!(matches!(state.apply(1, &gap, &mut |_| unreachable!()), Err(StateError::Order { lsn: 1, .. })));
}

#[test]
fn forks_blocks_and_labels_are_found() {
    let mut world = World::new(None);
    let b0 = world.birth(None, BranchCause::First);
    let nodes: Vec<Node> = (0..20).map(|i| world.batch(b0, &[put("x", &i.to_string())], true)).collect();
    let b1 = world.birth(Some(nodes[5]), BranchCause::Fork);
    let forked = world.batch(b1, &[put("x", "99")], false);
    world.state.commit().unwrap();
    let snapshot = world.state.reader().snapshot();
    let head = snapshot.head().unwrap().unwrap();
    assert_eq!(head.node, nodes[19]);
    let label = snapshot.batch(nodes[3]).unwrap().unwrap().label.unwrap();
    let block: Vec<Node> = snapshot.block(head.node, label).unwrap().iter().map(|batch| batch.node).collect();
    let with_label = |node: &&Node| snapshot.batch(**node).unwrap().unwrap().label == Some(label);
    assert_eq!(block, nodes.iter().filter(with_label).copied().collect::<Vec<_>>());
    let at = snapshot.at_label(head.node, label + 3).unwrap().unwrap();
    assert_eq!((at.batch.node, at.first), (*block.last().unwrap(), block[0]));
    assert_eq!(snapshot.at_label(head.node, 0).unwrap(), None);
    assert_eq!(snapshot.at_label(forked, u64::MAX).unwrap().unwrap().batch.node, forked);

    let id = |node: Node| snapshot.batch(node).unwrap().unwrap().id;
    assert_eq!(snapshot.places(&id(nodes[4])).unwrap(), [nodes[4]]);
    assert_eq!(snapshot.find(forked, &id(nodes[4])).unwrap().unwrap().node, nodes[4]);
    assert_eq!(snapshot.find(forked, &id(nodes[9])).unwrap(), None);
    assert!(matches!(snapshot.named(&id(forked).to_string()).unwrap(), Named::One(fork) if fork.branch == b1));
    assert!(matches!(snapshot.named(&id(nodes[0]).to_string()).unwrap(), Named::One(fork) if fork.branch == b0));
    assert!(matches!(snapshot.named(&id(head.node).to_string()).unwrap(), Named::One(fork) if fork.branch == b0));
    assert!(matches!(snapshot.named(&id(nodes[2]).to_string()).unwrap(), Named::Several(both) if both.len() == 2));
    let period_of = |node: Node| snapshot.batch(node).unwrap().unwrap().period;
    assert!(matches!(snapshot.named(period_of(nodes[12]).as_str()).unwrap(), Named::One(fork) if fork.branch == b0));
    assert!(matches!(snapshot.named(period_of(nodes[5]).as_str()).unwrap(), Named::Several(_)));
    assert_eq!(snapshot.named("Qm-unknown").unwrap(), Named::Unknown);
    assert_eq!(snapshot.period(forked, period_of(nodes[4]).as_str()).unwrap().unwrap().node, nodes[5]);
    assert_eq!(snapshot.period(forked, period_of(nodes[12]).as_str()).unwrap(), None);
    assert_eq!(
        snapshot.last_batch(Node { version: nodes[5].version + 1, ..nodes[5] }).unwrap().unwrap().node,
        nodes[5]
    );
}

#[test]
fn nested_values_and_pages() {
    let mut world = World::new(None);
    let b0 = world.birth(None, BranchCause::First);
    let number = r#"{"data":"n","path":["t",5],"type":"put"}"#.to_owned();
    let ops = [put("t", r#"{"a":{"b":[true,"x"],"é":null},"z":1}"#), put("t/z/y", "2"), number, put("t/5", r#""s""#)];
    let node = world.batch(b0, &ops, true);
    world.state.commit().unwrap();
    let view = world.state.reader().snapshot().view(node).unwrap();
    let at = path::encode(&[Segment::from("t")]);
    let limit = super::Limit { leaves: 100, bytes: 10_000 };
    let text = r#"{"5":"s","a":{"b":{"0":true,"1":"x"},"é":null},"z":{"y":2}}"#;
    let expected = super::nested::Nested::Data { text: text.into(), leaves: 7, hidden: 2 };
    assert_eq!(view.nested(&at, limit).unwrap(), expected);
    let few = super::Limit { leaves: 3, ..limit };
    assert_eq!(view.nested(&at, few).unwrap(), super::nested::Nested::TooLarge);
    assert_eq!(view.nested(&path::encode(&[Segment::from("u")]), limit).unwrap(), super::nested::Nested::Nothing);

    let (mut from, mut seen) = (None, Vec::new());
    loop {
        let page = view.leaves(&at, from.as_deref(), few).unwrap();
        assert!(page.leaves.len() <= 3);
        seen.extend(page.leaves);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let all: Vec<_> = view.scan(&at, None).map(Result::unwrap).collect();
    assert_eq!(seen, all);
    let order: Vec<String> = all.iter().map(|(path, _)| path::display(&path::decode(path).unwrap())).collect();
    assert_eq!(order[4..], ["t/a/%C3%A9", "t/z", "t/z/y"], "a path's own leaf comes before those below it");
    assert!(view.any(&at).unwrap() && !view.any(&path::encode(&[Segment::from("u")])).unwrap());
}

/// The rows of one small history, byte for byte: a later version must open them.
/// Guards against: only leaves counted, so that one page looks at every tombstone.
#[test]
fn a_page_of_a_diff_counts_what_was_deleted() {
    let mut world = World::new(None);
    let branch = world.birth(None, BranchCause::First);
    let paths: Vec<String> = (0..60).map(|nth| format!("a{nth:02}")).collect();
    let puts: Vec<String> = paths.iter().map(|path| put(path, "1")).collect();
    world.batch(branch, &puts, true);
    let dels: Vec<String> = paths.iter().map(|path| del(path)).collect();
    let old = world.batch(branch, &dels, true);
    let new = world.batch(branch, &[put("b", "2")], true);
    world.check().unwrap();
    let snapshot = world.state.reader().snapshot();
    let (from, to) = (snapshot.view(old).unwrap(), snapshot.view(new).unwrap());
    let limit = super::Limit { leaves: 10, bytes: 1 << 20 };
    let (mut pages, mut found, mut next) = (0, 0, None::<Vec<u8>>);
    loop {
        let page = super::diff::changes(&from, &to, &[], next.as_deref(), limit).unwrap();
        (pages, found) = (pages + 1, found + page.changes.len());
        next = page.next.map(|next| next.to_vec());
        if next.is_none() {
            break;
        }
    }
    // Two rows of each path, four of a page in tests.
    assert!((20..=61).contains(&pages) && found == 1, "{pages} pages, {found} changes");
}

#[test]
fn golden_rows() {
    let mut world = World::new(None);
    let b0 = world.birth(None, BranchCause::First);
    world.batch(b0, &[put("x", r#"{"k":"v"}"#)], true);
    world.batch(b0, &[del("x")], true);
    world.state.commit().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: Vec<String> =
        world.kv.entries().iter().map(|(key, value)| format!("{} {}\n", hex(key), hex(value))).collect();
    assert_eq!(lines.concat(), include_str!("fixtures/golden_rows.txt"));
    assert_eq!(*entry::tombstone(), [0]);
}

/// The same on fjall, over a reopen.
#[test]
fn fjall_keeps_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(None);
    let b0 = world.birth(None, BranchCause::First);
    let mut nodes: Vec<Node> = (0..5).map(|i| world.batch(b0, &[put("x", &i.to_string()), del("y")], true)).collect();
    let b1 = world.birth(Some(nodes[2]), BranchCause::Fork);
    nodes.push(world.batch(b1, &[put("y/z", "1"), del("x")], false));
    for cut in [world.records.len() / 2, world.records.len()] {
        let mut state = State::open(folder.path(), Tuning::default()).unwrap();
        for (i, record) in world.records[..cut].iter().enumerate() {
            state.apply(i as Lsn + 1, record, &mut |piece| Ok(world.bodies[&piece].clone())).unwrap();
        }
        state.commit().unwrap();
        assert_eq!(state.cursor(), cut as Lsn);
    }
    let state = State::open(folder.path(), Tuning::default()).unwrap();
    let snapshot = state.reader().snapshot();
    check::all(&snapshot, world.lsn()).unwrap();
    check::equals_model(&snapshot, &world.model, false).unwrap();
}

/// A batch far beyond one slice: many dels, many puts, some of the same leaves.
#[test]
fn a_batch_larger_than_everything_bounded() {
    let mut world = World::new(None);
    let b0 = world.birth(None, BranchCause::First);
    let puts: Vec<String> = (0..200).map(|i| put(&format!("a/{}", i % 90), &i.to_string())).collect();
    world.batch(b0, &puts, true);
    let mixed = (0..120).flat_map(|i| [put(&format!("a/{i}"), "0"), del(&format!("a/{}", i / 2)), put("b", "1")]);
    world.batch(b0, &mixed.collect::<Vec<_>>(), true);
    world.check().unwrap();
    // Killed between two slices: what is there of the batch names nothing, and applying it again is the same.
    for keep in 0..world.kv.unsynced() {
        world.crash(keep).unwrap();
        world.check().unwrap();
    }
}
