//! What was acknowledged is never lost, whatever dies: a real node under load is killed again and again, by SIGKILL
//! and by cutting the power under its data.
//!
//! After each death the journal is read as recovery will find it, before any feed could send anything again: every
//! acknowledged op must be in it. At the end every op ever written stands in the head's history exactly once, the
//! state shows every one of them, and `honeygraph verify` finds nothing.
//!
//! `HONEYGRAPH_KILLS` and `HONEYGRAPH_POWER_CUTS` set other counts, `HONEYGRAPH_SEED` another seed;
//! `HONEYGRAPH_KEEP` keeps the data folder.

use honeygraph_testnet::STILL;
use honeygraph_testnet::held::Held;
use honeygraph_testnet::measure::size;
use honeygraph_testnet::powercut::{Chance, PowercutDisk, available};
use honeygraph_testnet::process::{Launch, Node};
use honeygraph_testnet::recording::{RecordingFeed, Voice};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Deaths by SIGKILL.
const KILLS: u64 = 150;

/// Deaths by power cut.
const POWER_CUTS: u64 = 50;

/// How long an fsync takes on the disk whose power is cut: as long as on a real one, so that cuts fall into it.
const SYNC_TIME: Duration = Duration::from_millis(2);

/// Files of the journal this small end and begin many times in a run: a name that is not durable shows in a power cut.
const SEGMENT_KIB: &str = "64";

/// `verify` runs after each so-manieth death, and at the end.
const VERIFY_EVERY: u64 = 25;

/// Acks that a life of a node lasts at most; some lives end before the first, one in eight lasts longer.
const LIFE: u64 = 600;
const LONG_LIFE: u64 = 4000;

const VOICES: [(&str, Voice); 2] =
    [("spk", Voice { token: "SPK", prefix: "spkccT_" }), ("dlux", Voice { token: "DLUX", prefix: "dlux_" })];

/// What a node stands on, and how it dies.
enum Ground {
    Folder(TempDir),
    Disk(PowercutDisk),
}

impl Ground {
    fn data_dir(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().to_owned(),
            Self::Disk(disk) => disk.path().to_owned(),
        }
    }

    fn end(&mut self, mut process: honeygraph_testnet::process::Process, seed: u64) {
        match self {
            Self::Folder(_) => process.kill(),
            Self::Disk(disk) => {
                disk.cut();
                process.kill();
                drop(process);
                disk.restart(seed).expect("the disk comes back");
            }
        }
    }
}

/// A feed with what was checked of it.
struct Fed {
    feed: RecordingFeed,
    network: &'static str,
    held: Held,
    checked: BTreeSet<usize>,
}

impl Fed {
    /// Every acknowledged op is in the journal.
    fn check_acked(&mut self, data_dir: &Path, when: &str) {
        self.held.read_on(data_dir).unwrap_or_else(|error| panic!("{when}: {error}"));
        let book = self.feed.book();
        let acked = book.entries.iter().enumerate().filter(|(_, entry)| entry.acked);
        let new: Vec<_> = acked.filter(|(number, _)| !self.checked.contains(number)).collect();
        let lost: Vec<_> = new.iter().filter(|(_, entry)| !self.held.has(&entry.text())).collect();
        if !lost.is_empty() {
            let (first, last) = (lost[0], lost[lost.len() - 1]);
            panic!(
                "{when}: {} of {} acknowledged ops of {} are lost, from {:?} to {:?} (periods {:?}); heard {:?}",
                lost.len(),
                new.len(),
                self.network,
                book.place(first.0),
                book.place(last.0),
                book.periods.iter().map(|period| period.items.len()).collect::<Vec<_>>(),
                self.feed.heard(),
            );
        }
        self.checked.extend(new.iter().map(|(number, _)| *number));
    }

    /// Every op ever written stands in the head's history exactly once.
    fn check_history(&self, data_dir: &Path) {
        let mut held = Held::new(self.network);
        held.read_on(data_dir).expect("the journal is whole");
        let history = held.history();
        let book = self.feed.book();
        let wrong = book.entries.iter().filter(|entry| history.get(entry.text().as_bytes()) != Some(&1));
        let wrong: Vec<_> = wrong.map(|entry| (entry.text(), history.get(entry.text().as_bytes()))).collect();
        let first = wrong.first();
        assert!(wrong.is_empty(), "{} ops do not stand exactly once in {}: {first:?}", wrong.len(), self.network);
        assert_eq!(history.len(), book.entries.len(), "and nothing else does");
    }

    /// The state shows every op; waits for it while it grows.
    fn check_state(&self, node: &Node) {
        let book = self.feed.book();
        let numbers = book.entries.iter().filter(|entry| entry.path.starts_with("[\"kills\""));
        let expected: BTreeMap<String, String> =
            numbers.map(|entry| (entry.path.clone(), entry.data.clone())).collect();
        let (mut most, mut last) = (0, Instant::now());
        loop {
            let found = leaves(node, self.network, book.table());
            if found == expected {
                return;
            }
            if found.len() > most {
                (most, last) = (found.len(), Instant::now());
            }
            let missing = expected.keys().find(|path| !found.contains_key(*path));
            assert!(
                last.elapsed() < STILL,
                "{} shows {} of {} ops, {missing:?} is missing; heard {:?}; gaps {}",
                self.network,
                found.len(),
                expected.len(),
                self.feed.heard(),
                get(node, &format!("/api/gaps?network={}", self.network)).1,
            );
        }
    }
}

fn get(node: &Node, path: &str) -> (u16, String) {
    let (status, body) = node.get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// All leaves below a table, path by value, page by page.
fn leaves(node: &Node, network: &str, table: [&str; 2]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let top = format!("/api/query/path/{}/{}?network={network}&form=leaves&limit=10000", table[0], table[1]);
    let mut page = top.clone();
    loop {
        let (status, body) = get(node, &page);
        if status == 404 {
            return found;
        }
        assert_eq!(status, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).expect("an answer is JSON");
        for leaf in body["data"].as_array().expect("leaves") {
            found.insert(leaf[0].to_string(), leaf[1].to_string());
        }
        let Some(batch) = body["next"]["batch"].as_str() else { return found };
        let from = body["next"]["from"].to_string().replace('[', "%5B").replace(']', "%5D").replace('"', "%22");
        page = format!("{top}&batch={batch}&from={from}");
    }
}

fn verify(launch: &Launch, when: &str) {
    let (status, printed) = launch.command(&["verify"]).expect("verify runs");
    assert!(status.success(), "{when}: verify says {status}: {printed}");
}

/// One life of a node: how long it lasts is the seed's. The first one lasts until each network has begun: what a node
/// never heard of lies before its base.
fn live_and_die(ground: &mut Ground, launch: &Launch, feeds: &mut [Fed], chance: &mut Chance, first: bool) {
    let seed = chance.bits();
    if chance.percent(8) && !first {
        // While it starts: at some line of its log, or before the first.
        let mut process = launch.spawn().expect("the node starts");
        let lines = chance.below(6) as usize;
        let lived = process.wait_for("a line of its log", |process| {
            (process.log().lines().count() >= lines || process.listens()).then_some(())
        });
        lived.expect("the node starts");
        return ground.end(process, seed);
    }
    let node = launch.start().expect("the node starts again");
    for fed in feeds.iter_mut() {
        fed.feed.connect(&node.endpoints.feed).expect("the feed connects");
    }
    for fed in feeds.iter().filter(|_| first) {
        fed.feed.wait_for_acks(1).expect("acks come");
    }
    let watched = chance.below(feeds.len() as u64) as usize;
    let most = if chance.below(8) == 0 { LONG_LIFE } else { LIFE };
    let acks = chance.below(most);
    feeds[watched].feed.wait_for_acks(acks).expect("acks come");
    ground.end(node.process, seed);
    for fed in feeds.iter_mut() {
        fed.feed.wait_for_end();
    }
}

/// Lives and deaths; after each, every acknowledged op is in the journal.
fn die_often(ground: &mut Ground, launch: &Launch, deaths: u64, seed: u64) -> Vec<Fed> {
    let mut chance = Chance::new(seed);
    let mut feeds: Vec<Fed> = Vec::new();
    for (number, (name, voice)) in VOICES.into_iter().enumerate() {
        let feed = RecordingFeed::new(name, voice, seed + number as u64);
        let (held, checked) = (Held::new(voice.prefix), BTreeSet::new());
        feeds.push(Fed { feed, network: voice.prefix, held, checked });
    }
    for death in 1..=deaths {
        let when = format!("seed {seed}, after death {death}");
        live_and_die(ground, launch, &mut feeds, &mut chance, death == 1);
        for fed in &mut feeds {
            fed.check_acked(&ground.data_dir(), &when);
        }
        if death % VERIFY_EVERY == 0 {
            verify(launch, &when);
        }
    }
    feeds
}

fn nothing_is_lost(mut ground: Ground, deaths: u64, seed: u64) {
    let mut launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), ground.data_dir());
    if matches!(ground, Ground::Disk(_)) {
        launch = launch.env("HONEYGRAPH_JOURNAL_SEGMENT_KIB", SEGMENT_KIB);
    }
    let start = Instant::now();
    let mut feeds = die_often(&mut ground, &launch, deaths, seed);
    let mut node = launch.start().expect("the node starts again");
    for fed in &mut feeds {
        fed.feed.connect(&node.endpoints.feed).expect("the feed connects");
        fed.feed.finish(200).expect("the last ops are sent");
    }
    for fed in &feeds {
        fed.check_state(&node);
    }
    let stopped = node.process.stop().expect("the node stops when asked");
    assert!(stopped.success(), "{stopped}");
    for fed in &mut feeds {
        fed.check_acked(&ground.data_dir(), "at the end");
        fed.check_history(&ground.data_dir());
        let ((questions, unmatched, errors), ops) = (fed.feed.heard(), fed.feed.book().entries.len());
        println!("{}: {ops} ops, {questions} questions, {unmatched} acks for no op, errors {errors:?}", fed.network);
    }
    verify(&launch, "at the end");
    println!("{deaths} deaths in {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let mut folder = tempfile::tempdir().expect("a folder");
    if std::env::var_os("HONEYGRAPH_KEEP").is_some() {
        folder.disable_cleanup(true);
        println!("the data stays in {}", folder.path().display());
    }
    nothing_is_lost(Ground::Folder(folder), size("HONEYGRAPH_KILLS", KILLS), size("HONEYGRAPH_SEED", 1));
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    if available("what_was_acknowledged_survives_every_power_cut") {
        let disk = PowercutDisk::mount().expect("mounted");
        disk.set_sync_time(SYNC_TIME);
        nothing_is_lost(Ground::Disk(disk), size("HONEYGRAPH_POWER_CUTS", POWER_CUTS), size("HONEYGRAPH_SEED", 1));
    }
}
