//! A state that was lost, damaged, or is of another journal, comes back by itself: of the newest good snapshot, or of the
//! journal. What is answered meanwhile and afterwards is what a node says that lost nothing.

mod desk;

use desk::{EVERY, NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph::config::Config;
use honeygraph::snapshots::place::Which;
use honeygraph_testnet::api::Shown;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::Profile;
use honeygraph_testnet::load::{Shape, Stream, Write, drive};
use honeygraph_testnet::local::LocalNode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const OPS: u64 = 2500;

fn settings(folder: &Path, which: Which) -> Config {
    let mut config = config(folder, PERIODS);
    (config.snapshots.which, config.snapshots.pause) = (which, Duration::ZERO);
    config
}

/// A node that was fed, and has a snapshot of the newest confirmed checkpoint if it makes any.
fn fed(config: Config, seed: u64) -> LocalNode {
    let node = LocalNode::start(config).unwrap();
    let feed = Feeding::start(honeycomb(Profile::Published, seed, PERIODS, &[]), pace(&node, OPS)).unwrap();
    assert!(feed.finish().1.complete);
    node.api().settled(NETWORK).unwrap();
    if node.config().snapshots.which != Which::Off {
        let looked = node.api().wait(NETWORK, "snapshots", |status| {
            let confirmed = status["proofs"]["confirmed_at"].as_u64()?;
            let (_, listed) = node.api().get(&format!("/api/checkpoints/list?network={NETWORK}")).unwrap();
            listed["checkpoints"].as_array()?.iter().any(|of| of["blockNum"] == confirmed).then_some(())
        });
        looked.unwrap();
    }
    node
}

fn leaves(node: &LocalNode) -> Shown {
    node.api().settled(NETWORK).unwrap();
    let leaves = node.api().leaves(NETWORK, "").unwrap();
    assert!(leaves.len() > 20);
    leaves
}

fn store(node: &LocalNode) -> PathBuf {
    node.config().data_dir.join("state").join(NETWORK)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let is_table = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "tables");
    files(folder).into_iter().filter(is_table).collect()
}

/// Turns bits of a file over, in place: whoever shares it sees it too.
fn damage(file: &Path) {
    let open = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let len = open.metadata().unwrap().len();
    for at in (0..len).step_by(61) {
        let mut byte = [0];
        open.read_exact_at(&mut byte, at).unwrap();
        open.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
    }
}

/// The same file is in both folders.
fn share(one: &Path, other: &Path) -> bool {
    let inodes =
        |folder: &Path| -> BTreeSet<u64> { tables(folder).iter().map(|file| file.metadata().unwrap().ino()).collect() };
    !inodes(one).is_disjoint(&inodes(other))
}

/// Failed once: the node waited for records that would never come, and stopped when one came that did not fit.
///
/// The other journal is shorter than what the state has applied, or longer and has other batches.
#[test]
fn a_state_of_another_journal_makes_way() {
    for (first, second) in [(OPS, OPS / 4), (OPS / 4, OPS)] {
        let folder = tempfile::tempdir().unwrap();
        let feed = |node: &LocalNode, seed, ops| {
            let feed = honeycomb(Profile::Published, seed, PERIODS, &[]);
            assert!(Feeding::start(feed, pace(node, ops)).unwrap().finish().1.complete);
        };
        let node = LocalNode::start(settings(folder.path(), Which::Off)).unwrap();
        feed(&node, 41, first);
        let of_first = leaves(&node);
        let config = node.config().clone();
        node.stop().unwrap();
        let (journal, aside) = (config.data_dir.join("journal").join(NETWORK), folder.path().join("aside"));
        std::fs::rename(&journal, &aside).unwrap();

        let node = LocalNode::start(config.clone()).unwrap();
        let status = node.api().status(NETWORK).unwrap();
        assert_eq!((status["applied"].as_u64(), &status["head"]), (Some(0), &Value::Null), "nothing of it is served");
        feed(&node, 42, second);
        let other = tempfile::tempdir().unwrap();
        let fresh = LocalNode::start(settings(other.path(), Which::Off)).unwrap();
        feed(&fresh, 42, second);
        assert_eq!(leaves(&node), leaves(&fresh));
        let node = node.restart().unwrap();
        assert_eq!(leaves(&node), leaves(&fresh), "and after a start");
        node.stop().unwrap();
        fresh.stop().unwrap();

        // The first journal is put back under the state of the second.
        std::fs::rename(&journal, folder.path().join("second")).unwrap();
        std::fs::rename(&aside, &journal).unwrap();
        let node = LocalNode::start(config).unwrap();
        let status = node.api().status(NETWORK).unwrap();
        assert!(status["applied"].as_u64() <= status["durable"].as_u64(), "{status}");
        assert_eq!(leaves(&node), of_first);
        node.stop().unwrap();
    }
}

/// Planted: snapshots not looked at.
#[test]
fn a_state_that_is_gone_is_made_of_the_newest_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let node = fed(settings(folder.path(), Which::Plain), 43);
    let expected = leaves(&node);
    let (config, store) = (node.config().clone(), store(&node));
    node.stop().unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    let snapshots = config.data_dir.join("snapshots").join(NETWORK);
    let node = LocalNode::start(config).unwrap();
    assert_eq!(leaves(&node), expected);
    let now = next(&store);
    assert!(now.is_dir() && share(&now, &snapshots), "of a snapshot");
    let node = node.restart().unwrap();
    assert_eq!((leaves(&node), now.exists(), store.is_dir()), (expected, false, true), "in its place again");
    node.stop().unwrap();
}

/// Ops so long that the store writes tables; until then all of it is in its log, which it reads at a start only.
fn long_ops(node: &LocalNode, periods: u64) {
    const OPS: u64 = 200;
    let mut stream = Stream::new(Shape { per_marker: 10, per_period: OPS, ..Shape::usual("rots") });
    for nth in 0..periods * OPS {
        let mut random = vec![0; 14_000];
        blake3::Hasher::new().update(&nth.to_le_bytes()).finalize_xof().fill(&mut random);
        let data: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        stream.push(&Write::put(["long".to_owned(), (nth % 50).to_string()], format!("\"{data}\"")));
    }
    stream.finish();
    drive(&node.endpoints().feed, &stream).unwrap();
}

const LONG: &str = "spkccT_";

/// A stopped node whose store has tables; what it answered.
fn with_tables(folder: &Path) -> (Config, PathBuf, Shown) {
    let node = LocalNode::start(settings(folder, Which::Off)).unwrap();
    long_ops(&node, 8);
    node.api().settled(LONG).unwrap();
    let (config, store) = (node.config().clone(), node.config().data_dir.join("state").join(LONG));
    let expected = node.api().leaves(LONG, "").unwrap();
    node.stop().unwrap();
    let bytes: u64 = tables(&store).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(expected.len() >= 50 && bytes > 10_000_000, "{} leaves, {bytes} bytes of tables", expected.len());
    (config, store, expected)
}

#[test]
fn a_damaged_state_is_made_anew_and_nothing_else_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (config, store, expected) = with_tables(folder.path());
    tables(&store).iter().for_each(|file| damage(file));
    let node = LocalNode::start(config).unwrap();
    is_replaced(node, &store, &expected).stop().unwrap();
}

/// The disk rots while the node runs: feeds go on, and whoever reads gets an error or the truth.
///
/// Failed once: damage that a reader found ended the node.
#[test]
fn a_state_that_rots_is_replaced_while_the_node_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (config, store, expected) = with_tables(folder.path());
    // It has read nothing of them yet.
    let node = LocalNode::start(config).unwrap();
    node.api().settled(LONG).unwrap();
    tables(&store).iter().for_each(|file| damage(file));
    let node = is_replaced(node, &store, &expected);
    // And it goes on.
    long_ops(&node, 9);
    node.api().settled(LONG).unwrap();
    assert_ne!(node.api().leaves(LONG, "").unwrap(), expected);
    let node = node.restart().unwrap();
    assert!(node.runs() && store.is_dir() && !next(&store).exists());
    node.stop().unwrap();
}

/// Where the store lies that took this one's place.
fn next(store: &Path) -> PathBuf {
    store.with_file_name(format!("{}.1", store.file_name().unwrap().to_str().unwrap()))
}

/// Readers get errors, or less (while it catches up), until another store has taken the place; never anything else.
fn is_replaced(node: LocalNode, store: &Path, expected: &Shown) -> LocalNode {
    let replaced = |_: &Value| {
        let found = node.api().leaves(LONG, "");
        (next(store).is_dir() && found.is_ok_and(|found| found == *expected)).then_some(())
    };
    let looked = node.api().wait(LONG, "another store", replaced);
    if let Err(error) = looked {
        panic!("{error}, {:?}", node.stop());
    }
    node.api().settled(LONG).unwrap();
    assert_eq!(node.api().leaves(LONG, "").unwrap(), *expected);
    node
}

/// Guards against: the journal behind the snapshot not applied; the head moved in the state and not in the journal.
#[test]
fn by_order_the_state_is_that_of_a_snapshot_and_the_head_goes_back_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = fed(settings(folder.path(), Which::Plain), 46);
    let expected = leaves(&node);
    let api = node.api();
    let listed = api.json(&format!("/api/checkpoints/list?network={NETWORK}")).unwrap();
    let oldest = listed["checkpoints"][0].clone();
    let block = oldest["blockNum"].as_u64().unwrap();
    let order = |what: &str, body: Value| api.send(&format!("/api/checkpoints/{what}/{block}"), &body).unwrap();

    let (code, _) = order("restore", json!({ "network": NETWORK, "dry_run": true }));
    assert_eq!((code, next(&store(&node)).exists()), (200, false));
    for nth in 1..=2 {
        let (code, answer) = order("restore", json!({ "network": NETWORK }));
        assert_eq!(code, 200, "{answer}");
        assert!(store(&node).with_file_name(format!("{NETWORK}.{nth}")).is_dir());
        assert_eq!(leaves(&node), expected);
    }
    assert_eq!(api.send("/api/checkpoints/restore/7", &json!({ "network": NETWORK })).unwrap().0, 404);
    // A snapshot is made of the store that took the place.
    let head = api.status(NETWORK).unwrap()["head"]["opening_label"].as_u64().unwrap();
    let block_before = head - EVERY;
    let gone = api.send(&format!("/api/checkpoints/destroy/{block_before}"), &json!({ "network": NETWORK })).unwrap();
    assert!([200, 404].contains(&gone.0), "{gone:?}");
    let made = api.send("/api/checkpoints/create", &json!({ "network": NETWORK, "blockNum": block_before })).unwrap();
    assert_eq!(made.0, 200, "{made:?}");

    assert_eq!(order("rollback", json!({ "network": NETWORK })).0, 400, "without a reason");
    let (code, planned) = order("rollback", json!({ "network": NETWORK, "reason": "test", "dry_run": true }));
    assert_eq!((code, leaves(&node)), (200, expected.clone()), "{planned}");
    let at = api.leaves(NETWORK, &format!("&batch={}", oldest["batch"].as_str().unwrap())).unwrap();
    let (code, answer) = order("rollback", json!({ "network": NETWORK, "reason": "test" }));
    assert_eq!(code, 200, "{answer}");
    assert_eq!(answer["rollback"]["batches"], planned["rollback"]["batches"]);
    api.wait(NETWORK, "the head", |status| (status["head"]["batch"] == oldest["batch"]).then_some(())).unwrap();
    assert_eq!(leaves(&node), at);
    let node = node.restart().unwrap();
    assert_eq!(leaves(&node), at, "after a start");
    node.stop().unwrap();
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(std::fs::copy(&path, &target).is_ok()) }
    }
}

/// Removes a folder. The threads of a store write their last after a start that failed has said so.
fn remove(folder: &Path) {
    for _ in 0..100_000 {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => std::thread::yield_now(),
            done => return done.unwrap(),
        }
    }
    panic!("{} fills again and again", folder.display());
}

/// One bit of one file is turned over while the node is stopped: it answers as before, or refuses to start and says where.
///
/// Guards against: records of the journal taken without their checksum.
#[test]
fn one_bit_anywhere_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let node = fed(settings(folder.path(), Which::Plain), 47);
    let expected = leaves(&node);
    let config = node.config().clone();
    node.stop().unwrap();
    let data = config.data_dir.clone();
    let all: Vec<PathBuf> = files(&data).into_iter().filter(|file| file.metadata().unwrap().len() > 0).collect();
    let soak = std::env::var("HONEYGRAPH_SOAK").is_ok_and(|value| value == "1");
    let (mut equal, mut refused) = (0, 0);
    for run in 0..if soak { 200 } else { 16_u64 } {
        let random = *blake3::hash(&run.to_le_bytes()).as_bytes();
        let number = |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().unwrap());
        let original = &all[number(0) as usize % all.len()];
        let place = folder.path().join(format!("run-{run}"));
        copy(&data, &place);
        let file = place.join(original.strip_prefix(&data).unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        // Segments and logs are made long in advance: what is behind their end is nothing yet.
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |at| at + 1);
        let at = number(8) as usize % written;
        bytes[at] ^= 1 << (random[16] % 8);
        std::fs::write(&file, bytes).unwrap();
        let what = format!("run {run}: bit {} of byte {at} of {}", random[16] % 8, original.display());
        let mut config = config.clone();
        config.data_dir = place.clone();
        match LocalNode::start(config) {
            Err(error) => {
                refused += 1;
                // `journal/<network>/...` and the like: the network, or the file itself.
                let (told, inside) = (error.to_string(), original.strip_prefix(&data).unwrap());
                let network = inside.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
                let named = network.is_some_and(|network| told.contains(&network));
                assert!(named || told.contains(&*place.to_string_lossy()), "{what}: {told}");
            }
            Ok(node) => {
                equal += 1;
                assert_eq!(leaves(&node), expected, "{what}");
                node.stop().unwrap();
            }
        }
        remove(&place);
    }
    println!("{equal} answered as before, {refused} refused to start");
    assert!(equal > 0);
}
