//! The scripted honeycomb against a second reading of what it sends: a receiver written from the wire alone.

use honeygraph_testnet::honeycomb::{AfterSave, Config, Fault, Honeycomb, Leaves, Op, Profile, Start, cid_v0};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An op (`Some`) or marker as it stood on the wire.
#[derive(Clone, Debug, PartialEq)]
struct Unit {
    op: Option<Op>,
    index: u64,
    block: u64,
    /// `None` in a `batch` frame, which has no such fields; `Some(None)` is null.
    fork: Option<Option<String>>,
    prev: Option<Option<String>>,
}

fn text_or_null(value: &Value, name: &str) -> Option<Option<String>> {
    value.get(name).map(|hash| hash.as_str().map(str::to_owned))
}

fn unit(value: &Value, kind: &str) -> Unit {
    let path = match &value["path"] {
        Value::String(text) => text.trim_start_matches('/').split('/').map(str::to_owned).collect(),
        path => path.as_array().into_iter().flatten().map(|segment| segment.as_str().unwrap().to_owned()).collect(),
    };
    let op = match kind {
        "put" => Some(Op { path, data: Some(value["data"].clone()) }),
        "del" => Some(Op { path, data: None }),
        "write_marker" => None,
        other => panic!("{other} is no op"),
    };
    let (index, block) = (value["index"].as_u64().unwrap(), value["blockNum"].as_u64().unwrap());
    Unit { op, index, block, fork: text_or_null(value, "forkHash"), prev: text_or_null(value, "prevCheckpointHash") }
}

/// Ops and markers of a frame; nothing for other messages.
fn units(text: &str) -> Vec<Unit> {
    let value: Value = serde_json::from_str(text).unwrap();
    match value["type"].as_str().unwrap() {
        "batch" => {
            value["operations"].as_array().unwrap().iter().map(|op| unit(op, op["opType"].as_str().unwrap())).collect()
        }
        kind @ ("put" | "del" | "write_marker") => vec![unit(&value, kind)],
        _ => Vec::new(),
    }
}

/// The units between two restarts of the index.
type Run = Vec<Unit>;

fn runs(units: &[Unit]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for unit in units {
        if unit.index == 0 || runs.is_empty() {
            runs.push(Vec::new());
        }
        runs.last_mut().unwrap().push(unit.clone());
    }
    runs
}

/// Folds everything into batches; a restart of the index ends an open one.
fn fold(base: &Leaves, units: &[Unit]) -> Leaves {
    let (mut leaves, mut open) = (base.clone(), Vec::new());
    for unit in units {
        if unit.index == 0 || unit.op.is_none() {
            leaves.apply(&std::mem::take(&mut open));
        }
        open.extend(unit.op.clone());
    }
    leaves.apply(&open);
    leaves
}

fn drained(honeycomb: &mut Honeycomb) -> Vec<String> {
    honeycomb.drain().into_iter().filter_map(|sent| sent.text).collect()
}

fn frames_of(honeycomb: &mut Honeycomb, blocks: u64) -> Vec<String> {
    let mut frames = Vec::new();
    for _ in 0..blocks {
        honeycomb.step();
        frames.extend(drained(honeycomb));
    }
    frames
}

fn all_units(frames: &[String]) -> Vec<Unit> {
    frames.iter().flat_map(|frame| units(frame)).collect()
}

fn pending_hash(unit: &Unit) -> Option<&str> {
    let op = unit.op.as_ref()?;
    if op.path == ["stats", "pendingHash"] { op.data.as_ref()?.as_str() } else { None }
}

fn texts(units: &[Unit]) -> Vec<String> {
    units.iter().map(|unit| unit.op.as_ref().map_or("W".to_owned(), Op::text)).collect()
}

fn small(profile: Profile, seed: u64) -> Config {
    Config::new(profile, seed).small(10, 4)
}

fn honeycomb(config: Config) -> Honeycomb {
    Honeycomb::new(config).unwrap()
}

fn all_profiles() -> impl Strategy<Value = Profile> {
    prop_oneof![Just(Profile::Published), Just(Profile::Seed), Just(Profile::Ideal)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever folds what was sent has the honeycomb's own state and its batches.
    #[test]
    fn a_perfect_receiver_has_the_same_state(profile in all_profiles(), seed in 0u64..1_000_000, blocks in 1u64..130, strings: bool) {
        let mut honeycomb = honeycomb(Config { string_paths: strings, ..small(profile, seed) });
        let mut frames = frames_of(&mut honeycomb, blocks);
        honeycomb.finish();
        frames.extend(drained(&mut honeycomb));
        let units = all_units(&frames);
        prop_assert_eq!(&fold(&honeycomb.truth().base, &units), honeycomb.leaves());
        let written: Vec<_> = honeycomb.truth().batches().flat_map(|batch| batch.ops.iter().map(ToString::to_string)).collect();
        let sent: Vec<_> = units.iter().filter_map(|unit| unit.op.as_ref().map(Op::text)).collect();
        prop_assert_eq!(written, sent);
    }

    /// Honest twins differ in speed only: frames differ, the truth does not. Restarts add nothing to it.
    #[test]
    fn pace_and_restarts_do_not_change_the_truth(seed in 0u64..1_000_000, pace: u64, after in 1u64..90, back in 0u64..5, pending: bool) {
        let config = Config { pending_hash: pending, ..small(Profile::Published, seed) };
        let mut plain = honeycomb(config.clone());
        plain.steps(120);
        let faults = vec![Fault::Restart { blocks: after, back }, Fault::Restart { blocks: after + 3, back: 0 }];
        let mut twin = honeycomb(Config { pace, faults, ..config });
        while twin.block() < plain.block() {
            twin.step();
            twin.drain();
        }
        prop_assert_eq!(&plain.truth().periods, &twin.truth().periods);
        prop_assert_eq!(plain.leaves(), twin.leaves());
    }
}

/// A period as the wire shows it.
struct Seen {
    /// Its opening hash, as its pendingHash said.
    opening: Option<String>,
    runs: Vec<Run>,
}

fn periods(units: &[Unit], config: &Config) -> Vec<Seen> {
    let mut periods: Vec<Seen> = Vec::new();
    for run in runs(units) {
        let daily = periods.last().is_some_and(|seen| {
            let block = seen.runs.last().unwrap().last().unwrap().block;
            let label = block - (block - 1) % config.checkpoint_every;
            seen.runs.len() == 1 && (label + 4 - config.root_offset).is_multiple_of(config.root_interval)
        });
        if daily {
            periods.last_mut().unwrap().runs.push(run);
        } else {
            periods.push(Seen { opening: run.iter().find_map(pending_hash).map(str::to_owned), runs: vec![run] });
        }
    }
    periods
}

/// Documents are rebuilt from what was sent and announced alone.
#[test]
fn announced_hashes_are_the_cids_of_what_was_sent() {
    let config = small(Profile::Published, 11);
    let mut honeycomb = honeycomb(config.clone());
    let base = honeycomb.truth().base.clone();
    let units = all_units(&frames_of(&mut honeycomb, 131));
    let seen = periods(&units, &config);
    assert_eq!(seen.len(), 14, "131 blocks are 13 whole periods and the first block of one more");
    let mut root = cid_v0(honeycomb.truth().base_document.as_deref().unwrap());
    let (mut prev_root, mut chain) = (String::new(), Vec::new());
    let (mut deltas, mut roots, mut sent) = (0, 0, Vec::new());
    for (number, pair) in seen.windows(2).enumerate() {
        let num = config.first_block + 10 * (number as u64 + 1);
        pair[0].runs.iter().for_each(|run| sent.extend(run.clone()));
        let announced = pair[1].opening.clone().expect("each period announces its hash");
        if pair[0].runs.len() == 2 {
            let document = format!("[{},{}]", num + 1, fold(&base, &sent).tree());
            assert_eq!(cid_v0(document.as_bytes()), announced, "root saved at {num}");
            (prev_root, root) = (root, announced);
            chain.clear();
            roots += 1;
        } else {
            let body = json!({ "chain": chain, "ops": texts(&pair[0].runs[0]), "prev_root": prev_root, "root": root });
            assert_eq!(cid_v0(format!("[{},{body}]", num + 1).as_bytes()), announced, "delta saved at {num}");
            chain.push(json!({ "hash": announced, "hive_block": num }));
            deltas += 1;
        }
    }
    assert!(deltas >= 9 && roots >= 3, "{deltas} deltas, {roots} roots");
}

#[test]
fn cids_are_those_of_ipfs_add() {
    let pattern = |n: usize| (0..n).map(|i| ((i * 31 + (i >> 8)) & 255) as u8).collect::<Vec<_>>();
    let cases: [(Vec<u8>, &str); 4] = [
        (Vec::new(), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
        (b"hello\n".to_vec(), "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN"),
        (pattern(262_144), "QmRGtaHK8V8JK23yDT1tfoh2eRY9U5ix6zbiNHc9732JMo"),
        (pattern(524_288), "QmUoJKiQqnnFJnb3vMmHFv99QiftzdKoFwT3QbjLtx1fBF"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(cid_v0(&bytes), expected);
    }
}

const UNPLEASANT: [&str; 10] = [
    "batch spans a restart of the index",
    "second run in one period",
    "pendingHash first",
    "old forkHash after the restart of the index",
    "marker straggles into the next period",
    "period ends inside a batch",
    "blockNum goes from N+1 to N",
    "prevCheckpointHash equals forkHash",
    "prevCheckpointHash is the one before",
    "empty batch",
];

/// Every unpleasantness of `docs/honeycomb.md` happens, so that `published` cannot quietly become ideal.
#[test]
fn published_is_as_unpleasant_as_the_real_one() {
    let mut honeycomb = honeycomb(Config::published(5).small(10, 3));
    let mut frames = Vec::new();
    while honeycomb.block() < honeycomb.config().first_block + 400 {
        frames.extend(honeycomb.advance().into_iter().filter_map(|sent| sent.text));
    }
    let (batches, others): (Vec<_>, Vec<_>) = frames.iter().partition(|frame| frame.contains("\"type\":\"batch\""));
    assert!(
        batches
            .iter()
            .all(|frame| !frame.contains("forkHash") && frame.contains("opType") && !frame.contains("timestamp"))
    );
    let bare: Vec<_> = others.iter().filter(|frame| !units(frame).is_empty()).collect();
    assert!(bare.iter().all(|frame| frame.contains("forkHash") && !frame.contains("timestamp")));
    assert!(batches.len() > 100 && bare.len() > 100, "{} batches, {} bare", batches.len(), bare.len());

    let mut seen = BTreeSet::new();
    let spans = |frame: &&&String| units(frame).iter().skip(1).any(|unit| unit.index == 0);
    if batches.iter().any(|frame| spans(&frame)) {
        seen.insert("batch spans a restart of the index");
    }
    for pair in runs(&all_units(&frames)).windows(2) {
        note_rollover(pair[0].last().unwrap(), &pair[1], &mut seen);
    }
    let missing: Vec<_> = UNPLEASANT.iter().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
    checkpoints_come_at_roots_only(&frames);
    honeycomb.finish();
    dels_win(&honeycomb);
}

fn note_rollover(before: &Unit, after: &[Unit], seen: &mut BTreeSet<&'static str>) {
    let label = |unit: &Unit| unit.block - (unit.block - 1) % 10;
    match after.iter().position(|unit| pending_hash(unit).is_some()) {
        None => {
            let same = after.iter().all(|unit| label(unit) == label(before));
            assert!(same, "only the second run of a day has no pendingHash");
            seen.insert("second run in one period");
        }
        Some(0) => drop(seen.insert("pendingHash first")),
        Some(at) => {
            let hash = pending_hash(&after[at]).unwrap();
            assert!(after[..at].iter().all(|unit| label(unit) == label(before)), "stale label before the hash");
            assert!(after[..at].iter().all(|unit| unit.fork.as_ref().is_none_or(|fork| fork.as_deref() != Some(hash))));
            if after[..at].iter().any(|unit| unit.fork.is_some() && unit.op.is_some()) {
                seen.insert("old forkHash after the restart of the index");
            }
            assert_ne!(label(&after[at]), label(before));
        }
    }
    let any = |holds: &dyn Fn(&Unit) -> bool| after.iter().any(holds);
    let any_pair = |holds: &dyn Fn(&Unit, &Unit) -> bool| after.windows(2).any(|two| holds(&two[0], &two[1]));
    let found = [
        ("marker straggles into the next period", after[0].op.is_none()),
        ("period ends inside a batch", before.op.is_some()),
        ("blockNum goes from N+1 to N", any_pair(&|a, b| a.block == b.block + 1)),
        ("prevCheckpointHash equals forkHash", any(&|unit| unit.prev.is_some() && unit.prev == unit.fork)),
        ("prevCheckpointHash is the one before", any(&|unit| unit.prev.is_some() && unit.prev != unit.fork)),
        ("empty batch", any_pair(&|a, b| a.op.is_none() && b.op.is_none())),
    ];
    seen.extend(found.iter().filter(|(_, holds)| *holds).map(|(name, _)| *name));
}

fn checkpoints_come_at_roots_only(frames: &[String]) {
    let parsed = frames
        .iter()
        .filter(|frame| frame.contains("\"checkpoint\""))
        .map(|frame| serde_json::from_str(frame).unwrap());
    let messages: Vec<Value> = parsed.collect();
    assert!((12..=14).contains(&messages.len()), "{} messages for 13 days of 3 periods", messages.len());
    let hashless = messages.iter().filter(|message| message.get("hash").is_none()).count();
    assert!(hashless > 0 && hashless < messages.len(), "{hashless} of {} lack the hash", messages.len());
}

/// A key that is put and deleted in one batch is gone when it existed before.
fn dels_win(honeycomb: &Honeycomb) {
    let mut leaves = honeycomb.truth().base.clone();
    let mut lost = 0;
    for batch in honeycomb.truth().batches() {
        let ops: Vec<Op> = batch.ops.iter().map(|text| Op::parse(text).unwrap()).collect();
        leaves.apply(&ops);
        let mut alone = Leaves::default();
        alone.apply(&ops);
        lost += usize::from(alone.iter().any(|(path, _)| leaves.get(path).is_none()));
    }
    assert!(lost > 5, "{lost} batches in which a del took what was put");
    assert_eq!(&leaves, honeycomb.leaves());
}

#[test]
fn an_answer_holds_every_cached_period_and_no_hashes() {
    let mut honeycomb = honeycomb(Config::published(3).small(10, 12));
    frames_of(&mut honeycomb, 35);
    honeycomb.on_frame(r#"{"type":"request_missing","from":2,"to":4}"#);
    let answer = honeycomb.next_frame(1).unwrap();
    let text = answer.text.unwrap();
    let found: Vec<_> = units(&text).iter().map(|unit| unit.index).collect();
    assert_eq!(found, [2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4], "four periods are cached");
    assert!(!text.contains("forkHash") && !text.contains("requestedRange"));
    assert_eq!(answer.expects.len(), units(&text).iter().filter(|unit| unit.op.is_some()).count());
    honeycomb.on_frame(r#"{"type":"request_missing","from":90000,"to":90063}"#);
    assert_eq!(honeycomb.next_frame(1), None, "nothing to tell, nothing said");
    let mut mute = Honeycomb::new(Config { faults: vec![Fault::Mute], ..small(Profile::Published, 3) }).unwrap();
    frames_of(&mut mute, 5);
    mute.on_frame(r#"{"type":"request_missing","from":2,"to":4}"#);
    assert_eq!(mute.next_frame(1), None);
}

#[test]
fn the_cache_is_trimmed_at_the_root() {
    let mut honeycomb = honeycomb(Config::published(3).small(10, 4));
    let mut most = 0;
    for _ in 0..120 {
        frames_of(&mut honeycomb, 1);
        honeycomb.on_frame(r#"{"type":"request_missing","from":12,"to":12}"#);
        let answer = honeycomb.next_frame(1).and_then(|sent| sent.text);
        most = most.max(answer.map_or(0, |text| units(&text).len()));
    }
    assert!((4..=7).contains(&most), "index 12 found {most} times: a day, the period before, and a second run");
}

#[test]
fn a_reconnect_names_the_last_index_and_keeps_the_queue() {
    let mut honeycomb = honeycomb(small(Profile::Published, 8));
    assert!(honeycomb.hello()[1].contains("\"lastIndex\":0"));
    honeycomb.steps(3);
    let sent = honeycomb.next_frame(4).unwrap().text.unwrap();
    assert_eq!(units(&sent).last().unwrap().index, 3);
    let waiting = honeycomb.waiting();
    assert!(honeycomb.hello()[1].contains("\"lastIndex\":3"));
    assert_eq!(honeycomb.waiting(), waiting);
    assert_eq!(units(&honeycomb.next_frame(1).unwrap().text.unwrap())[0].index, 4);
}

#[test]
fn a_restart_replays_the_day_under_one_hash_and_goes_on_above_it() {
    let faults = vec![Fault::Restart { blocks: 47, back: 1 }];
    let mut honeycomb = honeycomb(Config { faults, ..Config::published(21).small(10, 12) });
    let before = all_units(&frames_of(&mut honeycomb, 47));
    honeycomb.step();
    let close = honeycomb.next_frame(100).unwrap();
    assert!(close.close && close.text.is_none());
    assert!(honeycomb.hello()[1].contains("\"lastIndex\":0"), "a new process");
    let period = &honeycomb.truth().periods[3];
    let (label, hash) = (period.label, period.opening.clone());
    let mut after = all_units(&drained(&mut honeycomb));
    after.extend(all_units(&frames_of(&mut honeycomb, 10)));
    let runs = runs(&after);
    assert_eq!(runs.len(), 2, "only the next save restarts the index");
    let first = &runs[0];
    assert!(first.iter().enumerate().all(|(at, unit)| unit.index == at as u64 && unit.block == label));
    assert!(first.iter().all(|unit| unit.fork.is_none() || unit.fork == Some(hash.clone())));
    let ops = |units: &[Unit]| texts(units).into_iter().filter(|text| text != "W").collect::<Vec<_>>();
    let (day, replayed) = (ops(&before), ops(first));
    assert_eq!(replayed[..100], day[..100], "it begins with the day's first ops");
    assert!(replayed.len() > 100 && replayed.len() < day.len());
}

#[test]
fn fields_may_be_null_and_the_client_may_drop_index_zero() {
    let config = Config { after_save: AfterSave::Null, ..small(Profile::Published, 4) };
    let units = all_units(&frames_of(&mut honeycomb(config), 60));
    assert!(units.iter().any(|unit| unit.fork == Some(None) && unit.block == 0 && unit.index > 0));
    let config = Config { drops_zero: true, ..small(Profile::Published, 4) };
    let units = all_units(&frames_of(&mut honeycomb(config), 60));
    assert!(units.iter().all(|unit| unit.index > 0));
    let mut genesis = honeycomb(Config { start: Start::Genesis, ..small(Profile::Published, 4) });
    let units = all_units(&frames_of(&mut genesis, 25));
    assert_eq!((units[0].block, units[0].index), (0, 0));
    assert!(genesis.truth().periods[0].close.as_ref().unwrap().root, "the first save from nothing is a root");
}

#[test]
fn seed_periods_have_valid_boundaries() {
    let frames = frames_of(&mut honeycomb(small(Profile::Seed, 9)), 65);
    assert!(frames[0].contains("fork_start"));
    let (mut last, mut checkpoints) = (None::<Unit>, 0);
    for frame in &frames {
        let value: Value = serde_json::from_str(frame).unwrap();
        if value["type"] == "sendCheckpoint" {
            let marker = last.as_ref().unwrap();
            assert!(marker.op.is_none(), "ops end with a marker");
            assert_eq!(marker.block + 1, value["blockNum"].as_u64().unwrap());
            assert_eq!(value["prevHash"].as_str(), marker.fork.clone().unwrap().as_deref());
            checkpoints += 1;
        }
        assert_ne!(value["type"], "batch");
        last = units(frame).pop().or(last);
    }
    assert_eq!(checkpoints, 6);
}

#[test]
fn ideal_says_everything() {
    let frames = frames_of(&mut honeycomb(small(Profile::Ideal, 9)), 65);
    let count = |kind: &str| frames.iter().filter(|frame| frame.contains(&format!("\"type\":\"{kind}\""))).count();
    assert_eq!((count("fork_start"), count("checkpoint"), count("batch")), (7, 6, 0));
    let runs = runs(&all_units(&frames));
    assert_eq!(runs.len(), 7, "no second run");
    for run in runs {
        assert!(
            run.iter().all(|unit| unit.fork == run[0].fork && unit.block == run[0].block && unit.fork != unit.prev)
        );
        assert!(run.iter().enumerate().all(|(at, unit)| unit.index == at as u64));
    }
}

#[test]
fn faults_of_the_stream_hit_the_named_op() {
    let sent = |fault: Fault| {
        let mut honeycomb = honeycomb(Config { faults: vec![fault], ..small(Profile::Published, 2) });
        honeycomb.steps(3);
        let frames = honeycomb.drain();
        let texts: Vec<String> = frames.iter().filter_map(|sent| sent.text.clone()).collect();
        (all_units(&texts), frames.last().unwrap().close)
    };
    let indexes = |fault| sent(fault).0.iter().take(6).map(|unit| unit.index).collect::<Vec<_>>();
    assert_eq!(indexes(Fault::Mute), [0, 1, 2, 3, 4, 5]);
    assert_eq!(indexes(Fault::Drop { op: 3 }), [0, 1, 3, 4, 5, 6]);
    assert_eq!(indexes(Fault::Duplicate { op: 3 }), [0, 1, 2, 2, 3, 4]);
    assert_eq!(indexes(Fault::Swap { op: 3 }), [0, 1, 3, 2, 4, 5]);
    let (units, closed) = sent(Fault::Disconnect { op: 5 });
    assert_eq!((units.len(), closed), (5, true));
    let ops = |fault| sent(fault).0.into_iter().map(|unit| unit.op).collect::<Vec<_>>();
    let (plain, flipped) = (ops(Fault::Mute), ops(Fault::Flip { op: 2 }));
    assert_eq!(plain.iter().zip(&flipped).filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn silence_keeps_the_queue() {
    let config = Config { faults: vec![Fault::Silent { from: 3, to: 6 }], ..small(Profile::Published, 2) };
    let mut honeycomb = honeycomb(config);
    let counts: Vec<usize> = (0..8).map(|_| frames_of(&mut honeycomb, 1).len()).collect();
    assert!(counts[2..5].iter().all(|frames| *frames == 0), "{counts:?}");
    assert!(counts[..2].iter().chain(&counts[5..]).all(|frames| *frames > 0), "{counts:?}");
}

#[test]
fn a_twin_that_disagrees_differs_from_its_period_on() {
    let config = small(Profile::Published, 30);
    let mut honest = honeycomb(config.clone());
    let faults = vec![Fault::Disagree { period: 2, salt: 77 }];
    let mut other = honeycomb(Config { faults, pace: 1, ..config });
    honest.steps(55);
    other.steps(55);
    let (honest, other) = (&honest.truth().periods, &other.truth().periods);
    assert_eq!(honest[..2], other[..2]);
    assert_eq!(honest[2].opening, other[2].opening);
    assert_eq!(honest[2].batches[0], other[2].batches[0], "the same hash, the same beginning");
    assert_ne!(honest[2].batches, other[2].batches);
    assert_ne!(honest[3].opening, other[3].opening);
}

#[test]
fn a_seed_client_says_that_it_is_on_a_fork_before_it_starts_it() {
    let mut config = small(Profile::Seed, 2);
    config.faults.push(Fault::Disagree { period: 2, salt: 1 });
    let frames = frames_of(&mut honeycomb(config), 55);
    let said: Vec<Value> = frames.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let at = said.iter().position(|message| message["type"] == "fork_detected").unwrap();
    let (checkpoint, detected, start) = (&said[at - 1], &said[at], &said[at + 1]);
    assert_eq!((&checkpoint["type"], &start["type"]), (&json!("sendCheckpoint"), &json!("fork_start")));
    assert_eq!((&detected["oldForkHash"], &detected["newForkHash"]), (&checkpoint["prevHash"], &start["forkHash"]));
    assert_eq!(said[at + 2]["forkHash"], start["forkHash"], "then come its ops");
    assert_eq!(said.iter().filter(|message| message["type"] == "fork_detected").count(), 1);
}

#[test]
fn a_liar_announces_what_no_document_has() {
    let config = Config { faults: vec![Fault::WrongHash { period: 2 }], ..small(Profile::Published, 30) };
    let mut liar = honeycomb(config);
    let units = all_units(&frames_of(&mut liar, 45));
    let close = liar.truth().periods[1].close.clone().unwrap();
    assert_ne!(close.hash, close.cid);
    assert!(units.iter().any(|unit| pending_hash(unit) == Some(&close.hash)));
    assert!(liar.truth().document(&close.hash).is_none() && liar.truth().document(&close.cid).is_some());
}

#[test]
fn faults_read_their_short_form() {
    assert_eq!("disagree:3:7".parse(), Ok(Fault::Disagree { period: 3, salt: 7 }));
    assert_eq!("restart:40:2".parse(), Ok(Fault::Restart { blocks: 40, back: 2 }));
    assert_eq!("mute".parse(), Ok(Fault::Mute));
    for wrong in ["", "drop", "drop:", "drop:x", "drop:1:2", "mute:1", "fire:3", "silent:-1:2"] {
        assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
    }
}
