//! A keeper over a real journal and a state in memory: what goes, what must not, and what is made of the rest.

use super::horizon::horizon;
use super::keeper::{Keeper, Orders};
use super::room::DAY_MS;
use super::*;
use crate::fork::record::*;
use crate::journal::disk::Disk;
use crate::journal::disk::fault::FaultDisk;
use crate::journal::{Journal, JournalError, Options};
use crate::projection::picture::state_on;
use crate::projection::state::check::leaves_of;
use crate::projection::state::kv::{Fjall, Memory};
use crate::projection::state::{State, StateError};
use honeygraph_protocols::batch::{Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op::push_text;
use std::path::Path;
use std::sync::Arc;

/// Batches in a period.
const PERIOD: u64 = 4;

struct World {
    disk: FaultDisk,
    journal: Journal,
    state: State<Memory>,
    log: Vec<Record>,
    /// Tip and number of batches of each branch.
    tips: Vec<(Option<Node>, u64)>,
}

impl World {
    fn new() -> Self {
        let disk = FaultDisk::new(1);
        disk.create_dir(Path::new("/data")).unwrap();
        let options = Options { segment_bytes: 16 * 1024, ..Options::new("net") };
        let (journal, _) = Journal::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap();
        let state = State::on(Memory::new()).unwrap();
        let mut world = Self { disk, journal, state, log: Vec::new(), tips: Vec::new() };
        world.branch(None);
        world
    }

    fn put(&mut self, record: Record, body: Option<&[u8]>) -> Lsn {
        let lsn = self.journal.append(&record, body).unwrap();
        self.journal.flush().unwrap();
        let reader = self.journal.reader();
        self.state.apply(lsn, &record, &mut |piece| reader.body(piece).map_err(Into::into)).unwrap();
        self.state.commit().unwrap();
        self.log.push(record);
        lsn
    }

    /// A new branch, which leaves a batch.
    fn branch(&mut self, parent: Option<(Node, u64)>) -> BranchNo {
        let branch = self.tips.len() as BranchNo;
        let cause = if parent.is_some() { BranchCause::Fork } else { BranchCause::First };
        self.put(Record::Branch(Branch { branch, parent: parent.map(|(node, _)| node), cause }), None);
        self.tips.push((parent.map(|(node, _)| node), parent.map_or(0, |(_, batches)| batches)));
        branch
    }

    /// From here on pieces are parked until their batch is chained.
    fn open_lane(&mut self) {
        let (cause, before) = (OpenCause::Start, Before::Nothing);
        let opened = Opened { lane: 1, ordinal: 0, label: None, hash: None, cause, before, end: 0 };
        self.put(Record::Opened(opened), None);
    }

    /// Records that nothing needs.
    fn fill_a_segment(&mut self) {
        for _ in 0..200 {
            self.put(Record::Checkpoint(checkpoint()), None);
        }
    }

    fn piece(&mut self, nth: u64) -> (Lsn, Vec<u8>) {
        let mut body = Vec::new();
        for op in 0..3 {
            let text =
                format!(r#"{{"data":"{nth:x} {}","path":["at","{}"],"type":"put"}}"#, "x".repeat(90), (nth + op) % 17);
            push_text(text.as_bytes(), &mut body);
        }
        let piece = Piece {
            lane: 1,
            ordinal: 0,
            label: Some(1),
            run: 0,
            seq: nth * 4,
            index: None,
            count: 3,
            close: Close::Marker,
            begins: true,
            ops_hash: *blake3::hash(&body).as_bytes(),
            at_ms: 0,
        };
        (self.put(Record::Piece(piece), Some(&body)), body)
    }

    /// The next batch of a branch, one a minute.
    fn batch(&mut self, branch: BranchNo) -> Node {
        let (prev, batches) = self.tips[branch as usize];
        let (piece, body) = self.piece(batches * 10 + u64::from(branch));
        self.chain(branch, prev, batches, piece, &body)
    }

    fn chain(&mut self, branch: BranchNo, prev: Option<Node>, batches: u64, piece: Lsn, body: &[u8]) -> Node {
        let (label, seq) = (1 + 100 * (batches / PERIOD), batches % PERIOD * 4);
        let period = HashText::new(&format!("P{label}")).unwrap();
        let parent = Parent::Period(period.clone());
        let ops_hash = *blake3::hash(body).as_bytes();
        let (network, v) = ("net".to_owned(), Header::VERSION);
        let header = Header { v, network, period: period.clone(), seq, parent: parent.clone(), count: 3, ops_hash };
        let chain = Chain {
            branch,
            prev,
            period,
            opening_label: Some(label),
            label: Some(label),
            seq,
            count: 3,
            marker: true,
            parent,
            id: header.id(),
            ops_hash,
            pieces: vec![piece],
            head: branch == 0,
            hole: false,
            at_ms: (batches + 1) * 60_000,
        };
        let node = Node { branch, version: self.put(Record::Chain(chain), None) };
        self.tips[branch as usize] = (Some(node), batches + 1);
        node
    }

    fn batches(&mut self, branch: BranchNo, many: u64) {
        for _ in 0..many {
            self.batch(branch);
        }
    }

    fn keeper(&self, keep: Keep) -> Keeper<Memory> {
        let orders = Orders { keep, alert_days: 1, ..Orders::default() };
        Keeper::new(orders, self.journal.reader(), self.state.reader())
    }

    fn oldest(&self, keep: Keep, proven: Lsn, now_ms: u64) -> Option<(Lsn, Option<String>)> {
        let found = horizon(&self.state.reader().snapshot(), keep, proven, now_ms).unwrap();
        found.map(|horizon| (horizon.version, horizon.held_by))
    }

    /// Version of the n-th batch that was chained.
    fn version(&self, nth: usize) -> Lsn {
        let chained = (1..).zip(&self.log).filter(|(_, record)| matches!(record, Record::Chain(_)));
        chained.map(|(lsn, _)| lsn).nth(nth).unwrap()
    }
}

const NEVER: &dyn Fn() -> bool = &|| false;

#[test]
fn whole_periods_are_kept_as_many_as_were_asked_for() {
    let mut world = World::new();
    world.batches(0, 4 * PERIOD + 2);
    let (all, now) = (Lsn::MAX, (4 * PERIOD + 1) * 60_000);
    let starts = |period: u64, world: &World| world.version((period * PERIOD) as usize);
    assert_eq!(world.oldest(Keep::Full, all, now), None);
    for (closed, period) in [(1, 3), (2, 2), (4, 0)] {
        assert_eq!(world.oldest(Keep::Checkpoints(closed), all, now), Some((starts(period, &world), None)));
    }
    assert_eq!(world.oldest(Keep::Checkpoints(5), all, now), None, "that is everything");
    // A day later than the ninth batch, which lies in the third period.
    assert_eq!(world.oldest(Keep::Days(1), all, DAY_MS + 9 * 60_000), Some((starts(2, &world), None)));
    assert_eq!(world.oldest(Keep::Days(1), all, DAY_MS + 8 * 60_000), Some((starts(1, &world), None)));
    assert_eq!(world.oldest(Keep::Days(2), all, DAY_MS), None);
    let (version, held_by) = world.oldest(Keep::Checkpoints(1), 5, now).unwrap();
    assert_eq!(
        (version, held_by.unwrap().contains("not recomputed")),
        (5, true),
        "what the prover has not passed stays"
    );
}

#[test]
fn a_live_fork_keeps_the_period_in_which_it_leaves_and_a_retired_one_nothing() {
    let mut world = World::new();
    world.batches(0, PERIOD + 2);
    let cut = world.tips[0];
    let fork = world.branch(Some((cut.0.unwrap(), cut.1)));
    world.batch(fork);
    world.batches(0, 4 * PERIOD);
    let (version, held_by) = world.oldest(Keep::Checkpoints(1), Lsn::MAX, 0).unwrap();
    assert_eq!(version, world.version(PERIOD as usize));
    assert!(held_by.unwrap().starts_with("fork "));
    world.put(Record::Retired(Retired { branch: fork, at_ms: 1 }), None);
    let (version, held_by) = world.oldest(Keep::Checkpoints(1), Lsn::MAX, 0).unwrap();
    assert_eq!((version > world.version(3 * PERIOD as usize), held_by), (true, None));
}

/// Guards against: the floor laid without the pieces that came long before their batch; the sweep left out of the rebuilt state's
/// comparison (it made no difference: what may be read is what is compared).
#[test]
fn what_is_made_of_the_floor_and_the_rest_is_what_the_whole_journal_made() {
    let mut world = World::new();
    let mut keeper = world.keeper(Keep::Checkpoints(2));
    world.open_lane();
    // Comes first, and gets its place late.
    let (early, body) = world.piece(7777);
    let mut firsts = Vec::new();
    for round in 0..40 {
        world.batches(0, 2 * PERIOD);
        if round == 20 {
            let (tip, batches) = world.tips[0];
            assert!(world.journal.reader().first() > early, "it is in the floor only");
            world.chain(0, tip, batches, early, &body);
        }
        if round % 7 == 3 {
            let (node, batches) = world.tips[0];
            let fork = world.branch(Some((node.unwrap(), batches)));
            world.batch(fork);
            world.put(Record::Retired(Retired { branch: fork, at_ms: 1 }), None);
        }
        let looked = keeper.look(round * 60_000, Lsn::MAX, None, NEVER).unwrap();
        if let Some(floor) = looked.floor {
            world.state.raise_floors(floor).unwrap();
            while !world.state.sweep(1000).unwrap().done {}
        }
        firsts.push(looked.kept.first);
    }
    assert!(firsts.windows(2).all(|pair| pair[0] <= pair[1]) && firsts[39] > 100, "{firsts:?}");
    let reader = world.journal.reader();
    assert!(matches!(reader.record(early), Err(JournalError::Trimmed { .. })), "its batch has gone, and so has it");
    let floor = reader.floor().unwrap();
    let mut made = state_on(&floor, Memory::new()).unwrap();
    for lsn in floor.state_at() + 1..=world.log.len() as Lsn {
        let record = reader.record(lsn).unwrap();
        assert_eq!(record, world.log[lsn as usize - 1]);
        made.apply(lsn, &record, &mut |piece| reader.body(piece).map_err(Into::into)).unwrap();
    }
    made.commit().unwrap();
    let (ours, theirs) = (world.state.reader().snapshot(), made.reader().snapshot());
    let mut compared = 0;
    for (lsn, record) in (1..).zip(&world.log) {
        let Record::Chain(chain) = record else { continue };
        let node = Node { branch: chain.branch, version: lsn };
        if ours.readable(node).unwrap() {
            assert_eq!(leaves_of(&ours, node).unwrap(), leaves_of(&theirs, node).unwrap());
            compared += 1;
        }
    }
    assert!(compared as u64 >= 2 * PERIOD, "{compared}");
    assert!(matches!(ours.view(Node { branch: 0, version: 5 }), Err(StateError::Gone(_))));
}

#[test]
fn the_early_piece_of_a_batch_that_is_kept_is_kept() {
    let mut world = World::new();
    let mut keeper = world.keeper(Keep::Checkpoints(2));
    world.open_lane();
    let (early, body) = world.piece(7777);
    for _ in 0..20 {
        world.batches(0, 2 * PERIOD);
        keeper.look(0, Lsn::MAX, None, NEVER).unwrap();
    }
    let reader = world.journal.reader();
    assert!(reader.first() > early);
    // Not by its body, which may still be in memory.
    assert!(reader.frame(early).unwrap().is_some(), "parked: it is in the floor");
    for _ in 0..3 * PERIOD {
        world.fill_a_segment();
        world.batch(0);
    }
    let (tip, batches) = world.tips[0];
    world.chain(0, tip, batches, early, &body);
    // While its batch is kept it goes from floor to floor.
    let mut floors = vec![reader.floor().unwrap().reach()];
    for _ in 0..PERIOD + 1 {
        keeper.look(0, Lsn::MAX, Some(0), NEVER).unwrap();
        assert!(reader.frame(early).unwrap().is_some());
        floors.push(reader.floor().unwrap().reach());
        world.fill_a_segment();
        world.batch(0);
    }
    floors.dedup();
    assert!(floors.len() > 1, "{floors:?}");
    world.batches(0, 60 * PERIOD);
    keeper.look(0, Lsn::MAX, Some(0), NEVER).unwrap();
    assert!(matches!(reader.record(early), Err(JournalError::Trimmed { .. })));
}

fn checkpoint() -> Checkpoint {
    let hash = HashText::new("QmC").unwrap();
    Checkpoint { lane: 1, block: 1, hash, at: None, boundary: Boundary::Open, confirms: false, at_ms: 0 }
}

#[test]
fn the_disk_is_watched_and_a_full_one_is_waited_for() {
    let mut world = World::new();
    let mut full = world.keeper(Keep::Full);
    world.batches(0, 20 * PERIOD);
    let now = 20 * PERIOD * 60_000;
    let looked = full.look(now, Lsn::MAX, Some(1 << 40), NEVER).unwrap();
    assert_eq!((looked.kept.first, looked.floor, &looked.kept.alert), (1, None, &None));
    assert!(looked.kept.bytes_a_day.unwrap() > 0 && looked.kept.days_until_full.unwrap() > 100.0, "{:?}", looked.kept);
    let looked = full.look(now, Lsn::MAX, Some(100), NEVER).unwrap();
    assert!(looked.kept.alert.unwrap().contains("journal.retention"));
    // No room for a floor: nothing goes, nothing fails.
    let mut keeper = world.keeper(Keep::Checkpoints(1));
    world.disk.set_free(Some(100));
    assert_eq!(keeper.look(now, Lsn::MAX, Some(100), NEVER).unwrap().kept.first, 1);
    world.disk.set_free(None);
    assert!(keeper.look(now, Lsn::MAX, Some(100), NEVER).unwrap().kept.first > 1);
}

/// A store that lost what it had committed is made of the floor at the next start.
#[test]
fn a_store_that_fell_behind_the_journal_is_made_of_the_floor() {
    use crate::journal::trim::beginning;
    let mut world = World::new();
    let mut keeper = world.keeper(Keep::Checkpoints(2));
    world.batches(0, 60 * PERIOD);
    keeper.look(0, Lsn::MAX, None, NEVER).unwrap();
    let begins = beginning(&world.disk, Path::new("/data"), "net").unwrap();
    assert!(begins.first > 1);
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("net");
    let open = |base| {
        crate::projection::open::stand(
            State::open(&store, Default::default())?,
            &store,
            Default::default(),
            base,
            &begins,
        )
    };
    let state: State<Fjall> = open(None).unwrap();
    let floor = world.journal.reader().floor().unwrap();
    assert_eq!(state.cursor(), floor.state_at());
    let tip = world.tips[0].0.unwrap();
    let leaves = leaves_of(&state.reader().snapshot(), tip).unwrap();
    assert_eq!(leaves, leaves_of(&world.state.reader().snapshot(), tip).unwrap());
    drop(state);
    // With another base it cannot be made again, and says so.
    let base = crate::projection::base::import(&folder.path().join("base"), b"[2,{\"a\":1}]", None).unwrap();
    let base = crate::projection::base::Base::current(&folder.path().join("base"))
        .unwrap()
        .filter(|at| at.hash.as_str() == base.hash);
    assert!(matches!(open(base).err(), Some(StateError::Late { .. })));
}
