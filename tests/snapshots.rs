//! Snapshots by ZFS, by btrfs and in plain folders keep the same promises: one suite, run on all of them.

mod grounds;

use grounds::{Btrfs, ZfsPool};
use honeygraph::data_dir::DataDir;
use honeygraph::fork::record::Node;
use honeygraph::projection::generation;
use honeygraph::snapshots::about::About;
use honeygraph::snapshots::name::{Name, Word};
use honeygraph::snapshots::place::{Place, Settings, Which, place};
use honeygraph::snapshots::{Backend, Error};
use std::path::Path;
use std::time::Duration;

const NETWORK: &str = "desk_";

fn settings(which: Which, dataset: Option<String>) -> Settings {
    let prefix = "checkpoint".to_owned();
    Settings { which, dataset, prefix, most: 100, interval_blocks: 0, pause: Duration::ZERO }
}

/// As the state store has them.
fn is_table(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tables")
}

fn about(label: u64) -> (Name, About) {
    let hash = format!("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWK{label:04}");
    let about = About {
        label,
        hash: hash.clone(),
        fork: "bafyr4ifork".into(),
        batch: "bafyr4ibatch".into(),
        node: Node { branch: 2, version: label * 10 },
        cursor: label * 10 + 3,
        verified: true,
        confirmed: Some("consensus".into()),
        at_ms: 1_700_000_000_000 + label,
        software: "0.1.0".into(),
        format: 1,
    };
    (Name::new("checkpoint", label, &hash).unwrap(), about)
}

/// A store of two files: one is written over in place, one is there once and for all.
fn write(store: &Path, nth: u64) {
    std::fs::create_dir_all(store.join("tables")).unwrap();
    std::fs::write(store.join("log"), format!("log {nth}")).unwrap();
    std::fs::write(store.join(format!("tables/{nth}")), format!("table {nth}")).unwrap();
    if nth > 2 {
        std::fs::remove_file(store.join(format!("tables/{}", nth - 2))).unwrap();
    }
}

/// What is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// What `write` left the n-th time.
fn is_as_of(store: &Path, nth: u64) {
    assert_eq!(std::fs::read_to_string(store.join("log")).unwrap(), format!("log {nth}"));
    let tables = names(&store.join("tables"));
    let expected: Vec<String> = (nth.saturating_sub(1).max(1)..=nth).map(|nth| nth.to_string()).collect();
    assert_eq!(tables, expected);
    for nth in expected {
        assert_eq!(std::fs::read_to_string(store.join("tables").join(&nth)).unwrap(), format!("table {nth}"));
    }
}

fn refused<T: std::fmt::Debug>(done: Result<T, Error>, how: &str) {
    let is = match &done {
        Err(Error::NotThere(_)) => "not there",
        Err(Error::Exists(_)) => "exists",
        Err(Error::Needed { .. }) => "needed",
        _ => "otherwise",
    };
    assert_eq!(is, how, "{done:?}");
}

/// Every promise of a backend. `open` finds the place again, as a start does.
fn conforms(kind: &str, open: &dyn Fn() -> Place) {
    let Place { store, backend, trouble } = open();
    assert_eq!(trouble, None, "{kind}");
    let backend = backend.unwrap_or_else(|| panic!("{kind}: no backend"));
    assert_eq!((backend.kind(), backend.trouble()), (kind, None));
    assert!(backend.list().unwrap().snapshots.is_empty());
    let room = backend.room().unwrap();
    assert!(room.free > 0 && room.free <= room.total, "{room:?}");

    for nth in 1..=3 {
        write(&store, nth);
        let (name, about) = about(nth);
        backend.create(&name, &about).unwrap();
        refused(backend.create(&name, &about), "exists");
    }
    write(&store, 4);
    let [one, two, three] = [1, 2, 3].map(|nth| about(nth).0);
    listed(&*backend, &[1, 2, 3]);
    held(&*backend, &one);
    cloned(&*backend, &two, &store);
    refused(backend.destroy(&about(9).0), "not there");
    refused(backend.changed_files(&one, &about(9).0), "not there");
    if let Some(files) = backend.changed_files(&two, &three).unwrap() {
        assert!(files.iter().any(|line| line.contains("tables/3")), "{files:?}");
    }
    backend.destroy(&two).unwrap();
    listed(&*backend, &[1, 3]);
    drop(backend);

    // The next start: the same store, the same list, what they are of included.
    let again = open();
    assert_eq!(again.store, store);
    is_as_of(&store, 4);
    let backend = again.backend.unwrap();
    listed(&*backend, &[1, 3]);
    let folder = backend.clone_of(&three, &Word::new("late").unwrap()).unwrap();
    is_as_of(&folder, 3);
    backend.destroy_clone(&Word::new("late").unwrap()).unwrap();
    let five = renewed(&*backend, &three, &store);
    drop(backend);
    let again = open();
    assert_eq!(again.store, store);
    is_as_of(&store, 5);
    let backend = again.backend.unwrap();
    listed(&*backend, &[1, 3, 5]);
    for name in [one, three, five] {
        backend.destroy(&name).unwrap();
    }
    listed(&*backend, &[]);
}

fn listed(backend: &dyn Backend, labels: &[u64]) {
    let snapshots = backend.list().unwrap().snapshots;
    let found: Vec<_> = snapshots.into_iter().map(|snapshot| (snapshot.name, snapshot.about)).collect();
    let expected: Vec<_> = labels.iter().map(|label| about(*label)).map(|(name, about)| (name, Some(about))).collect();
    assert_eq!(found, expected);
}

/// Planted: a hold that is only noted and not looked at.
fn held(backend: &dyn Backend, name: &Name) {
    let [keep, other] = ["keep", "other"].map(|word| Word::new(word).unwrap());
    let holds = || backend.list().unwrap().get(name).unwrap().holds.clone();
    refused(backend.release(name, &keep), "not there");
    for word in [&keep, &keep, &other] {
        backend.hold(name, word).unwrap();
    }
    assert_eq!(holds(), ["keep", "other"]);
    refused(backend.destroy(name), "needed");
    backend.release(name, &keep).unwrap();
    refused(backend.release(name, &keep), "not there");
    assert_eq!(holds(), ["other"]);
    refused(backend.destroy(name), "needed");
    backend.release(name, &other).unwrap();
    assert!(holds().is_empty());
    refused(backend.hold(&about(9).0, &keep), "not there");
}

/// Planted: a clone that shares files by name with its snapshot.
fn cloned(backend: &dyn Backend, name: &Name, store: &Path) {
    let word = Word::new("test-1").unwrap();
    let folder = backend.clone_of(name, &word).unwrap();
    is_as_of(&folder, 2);
    refused(backend.clone_of(name, &word), "exists");
    refused(backend.clone_of(&about(9).0, &Word::new("x").unwrap()), "not there");
    std::fs::write(folder.join("log"), "mine").unwrap();
    std::fs::write(folder.join("tables/2"), "mine").unwrap();
    is_as_of(store, 4);
    let second = Word::new("test-2").unwrap();
    is_as_of(&backend.clone_of(name, &second).unwrap(), 2);
    let clones = backend.list().unwrap().clones;
    let told: Vec<_> = clones.iter().map(|clone| (clone.name.as_str(), clone.of.clone())).collect();
    assert_eq!(told, [("test-1", name.to_string()), ("test-2", name.to_string())]);
    assert_eq!(clones[0].folder, folder);
    for word in [word, second] {
        backend.destroy_clone(&word).unwrap();
        refused(backend.destroy_clone(&word), "not there");
    }
}

/// A store is made of a snapshot and takes the place of the other one: snapshots are of it from then on.
///
/// Guards against: snapshots of the store that was replaced; a store that shares what is written over.
fn renewed(backend: &dyn Backend, name: &Name, store: &Path) -> Name {
    let to = generation::next(store).unwrap();
    backend.renew(Some(name), &to).unwrap();
    is_as_of(&to, 3);
    is_as_of(store, 4);
    (4..=5).for_each(|nth| write(&to, nth));
    let (five, about) = about(5);
    backend.create(&five, &about).unwrap();
    let word = Word::new("renewed").unwrap();
    for (name, nth) in [(name, 3), (&five, 5)] {
        is_as_of(&backend.clone_of(name, &word).unwrap(), nth);
        backend.destroy_clone(&word).unwrap();
    }
    let empty = store.with_extension("empty");
    backend.renew(None, &empty).unwrap();
    assert!(names(&empty).is_empty());
    std::fs::remove_dir_all(&empty).unwrap();
    assert!(backend.list().unwrap().clones.is_empty());
    five
}

#[test]
fn plain_folders_conform() {
    let top = tempfile::tempdir().unwrap();
    let data = DataDir::create(&top.path().join("data")).unwrap();
    conforms("plain", &|| place(&settings(Which::Plain, None), &data, NETWORK, is_table).unwrap());
}

#[test]
fn btrfs_conforms_and_takes_in_a_store_that_is_there() {
    let Some(ground) = Btrfs::new() else { return };
    let data = DataDir::create(&ground.path().join("data")).unwrap();
    (1..=4).for_each(|nth| write(&data.state_link(NETWORK), nth));
    let opened = place(&settings(Which::Auto, None), &data, NETWORK, is_table).unwrap();
    assert_eq!(opened.backend.unwrap().kind(), "btrfs", "found by itself");
    is_as_of(&opened.store, 4);
    std::fs::remove_dir_all(opened.store.join("tables")).unwrap();
    conforms("btrfs", &|| place(&settings(Which::Btrfs, None), &data, NETWORK, is_table).unwrap());
}

#[test]
fn zfs_conforms_and_takes_in_a_store_that_is_there() {
    let Some(ground) = ZfsPool::new() else { return };
    let data = DataDir::create(&ground.outside().join("data")).unwrap();
    (1..=4).for_each(|nth| write(&data.state_link(NETWORK), nth));
    let settings = settings(Which::Auto, Some(ground.parent()));
    let opened = place(&settings, &data, NETWORK, is_table).unwrap();
    assert_eq!((opened.backend.unwrap().kind(), data.state(NETWORK)), ("zfs", opened.store.clone()));
    is_as_of(&opened.store, 4);
    std::fs::remove_dir_all(opened.store.join("tables")).unwrap();
    conforms("zfs", &|| place(&settings, &data, NETWORK, is_table).unwrap());
    // Another network has a dataset of its own.
    let other = place(&settings, &data, "other_", is_table).unwrap();
    assert!(other.store != opened.store && other.backend.unwrap().list().unwrap().snapshots.is_empty());
}

/// Half of something, of a node that was killed at any step, is gone at the next start; what is whole stays.
///
/// Planted: the file written before the folder.
#[test]
fn halves_of_a_killed_node_go_and_whole_ones_stay() {
    let top = tempfile::tempdir().unwrap();
    let data = DataDir::create(&top.path().join("data")).unwrap();
    let open = || place(&settings(Which::Plain, None), &data, NETWORK, is_table).unwrap();
    let Place { store, backend, .. } = open();
    let backend = backend.unwrap();
    write(&store, 1);
    for label in 1..=3 {
        let (name, about) = about(label);
        backend.create(&name, &about).unwrap();
    }
    let word = Word::new("whole").unwrap();
    backend.clone_of(&about(1).0, &word).unwrap();
    let (snapshots, clones) = (data.snapshots(NETWORK), data.clones(NETWORK));
    std::fs::create_dir_all(snapshots.join(".part-checkpoint_9_Qm9/tables")).unwrap();
    std::fs::create_dir(clones.join("half")).unwrap();
    std::fs::create_dir(snapshots.join("somebody's")).unwrap();
    // One is half removed, of one the folder was removed by hand.
    std::fs::remove_file(snapshots.join(format!("{}.json", about(2).0))).unwrap();
    std::fs::remove_dir_all(snapshots.join(about(3).0.to_string())).unwrap();
    listed(&*open().backend.unwrap(), &[1]);
    let whole = about(1).0;
    let expected = [whole.to_string(), format!("{whole}.json"), "somebody's".to_owned()];
    assert_eq!(names(&snapshots), expected);
    assert_eq!(names(&clones), ["whole", "whole.json"]);
    is_as_of(&clones.join("whole"), 1);
}
