//! The power goes at each step of what touches a state's folders: a snapshot is made, the state is restored of one, by
//! itself or by order, the restored store takes its place, the head is put back.
//!
//! A step is one change of a file or a folder, or one sync, of the whole node from its start on. After each cut the next
//! start has what was acknowledged, answers as a node that was not cut, and leaves no half of anything behind.
//!
//! In CI the power goes at each so-manieth step, with `HONEYGRAPH_SOAK=1` at each of them.

mod desk;

use desk::{NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph::snapshots::place::Which;
use honeygraph_testnet::api::{Api, Shown};
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::Profile;
use honeygraph_testnet::local::LocalNode;
use honeygraph_testnet::powercut::{PowercutDisk, available};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{File, read_dir};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const OPS: u64 = 2500;

/// A stopped node's data, with what it answered.
struct Fed {
    folder: TempDir,
    data: PathBuf,
    leaves: Shown,
}

impl Fed {
    /// With a snapshot of the newest confirmed checkpoint, or with none.
    fn new(which: Which) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), PERIODS);
        (config.snapshots.which, config.snapshots.pause, config.segment_bytes) = (which, Duration::ZERO, 64 << 10);
        let data = config.data_dir.clone();
        let node = LocalNode::start(config).unwrap();
        let feed = Feeding::start(honeycomb(Profile::Published, 47, PERIODS, &[]), pace(&node, OPS)).unwrap();
        assert!(feed.finish().1.complete);
        node.api().settled(NETWORK).unwrap();
        let confirmed = node.api().wait(NETWORK, "proofs", |status| {
            let newest = status["proofs"]["newest"][0]["label"].as_u64();
            let all = newest.is_some() && newest == status["head"]["opening_label"].as_u64();
            all.then(|| status["proofs"]["confirmed_at"].as_u64())
        });
        let confirmed = confirmed.unwrap().expect("a confirmed checkpoint");
        if which == Which::Plain {
            let made = |_: &Value| (newest(&node.api()) == Some(confirmed)).then_some(());
            node.api().wait(NETWORK, "a snapshot", made).unwrap();
        }
        let leaves = node.api().leaves(NETWORK, "").unwrap();
        assert!(leaves.len() > 20);
        node.stop().unwrap();
        Self { folder, data, leaves }
    }

    /// The same after a whole start and stop.
    fn started(self) -> Self {
        let mut node = self.launch(&self.data).start().unwrap();
        Api::new(&node.endpoints.api).settled(NETWORK).unwrap();
        assert!(node.process.stop().unwrap().success());
        self
    }

    fn without_store(self) -> Self {
        std::fs::remove_dir_all(self.data.join("state").join(NETWORK)).unwrap();
        self
    }

    fn launch(&self, data: &Path) -> Launch {
        let file = self.folder.path().join("honeygraph.toml");
        let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), data);
        let args = ["--config", file.to_str().unwrap(), "--snapshots", "plain", "--journal-segment-kib", "64"];
        args.into_iter().fold(launch, Launch::arg)
    }
}

/// The newest snapshot's block, once there is one.
fn newest(api: &Api) -> Option<u64> {
    let listed = api.json(&format!("/api/checkpoints/list?network={NETWORK}")).ok()?;
    listed["checkpoints"].as_array()?.iter().filter_map(|of| of["blockNum"].as_u64()).max()
}

/// A copy of which a power cut takes nothing.
fn put(from: &Path, to: &Path) {
    for entry in read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).unwrap();
            put(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
            File::open(&to).unwrap().sync_all().unwrap();
        }
    }
    File::open(to).unwrap().sync_all().unwrap();
}

fn names(folder: &Path) -> BTreeSet<String> {
    read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a node does until its state is at the tip and it has a snapshot.
#[derive(Default)]
struct Act<'a> {
    /// It is given this order once it has a snapshot: `checkpoints/<order>/<its block>`.
    order: Option<&'a str>,
    /// What the state may be afterwards beside what it was.
    or: Option<&'a Shown>,
    /// In CI the power goes at each so-manieth step.
    stride: usize,
}

impl Act<'_> {
    /// Through once it gives something; the order is given once.
    fn done(&self, api: &Api, ordered: &mut bool) -> Option<()> {
        let block = newest(api)?;
        if let Some(order) = self.order.filter(|_| !*ordered) {
            let body = match order {
                "rollback" => json!({ "network": NETWORK, "reason": "a test" }),
                _ => json!({ "network": NETWORK }),
            };
            *ordered = api.send(&format!("/api/checkpoints/{order}/{block}"), &body).ok()?.0 == 200;
            return None;
        }
        let status = api.status(NETWORK).ok()?;
        (status["applied"].is_u64() && status["applied"] == status["durable"]).then_some(())
    }
}

/// Cuts the power after each number of steps, until the node is through before it goes.
fn every_step(fed: &Fed, act: &Act) {
    let stride = if std::env::var_os("HONEYGRAPH_SOAK").is_some() { 1 } else { act.stride };
    for (cuts, step) in (0..).step_by(stride).enumerate() {
        let mut disk = PowercutDisk::mount().unwrap();
        put(&fed.data, disk.path());
        disk.cut_after(step);
        if let Ok(mut node) = fed.launch(disk.path()).start() {
            let api = Api::new(&node.endpoints.api);
            let mut ordered = false;
            let through = node.process.wait_for("it or the cut", |_| {
                if disk.is_cut() { Some(false) } else { act.done(&api, &mut ordered).map(|()| true) }
            });
            node.process.kill();
            if matches!(through, Ok(true)) && !disk.is_cut() {
                assert!(cuts > 2, "the node was through after {step} steps");
                return;
            }
        }
        assert!(disk.is_cut(), "step {step}: it did not start");
        disk.restart(step).unwrap();
        is_right(fed, act, disk.path(), step);
    }
}

fn is_right(fed: &Fed, act: &Act, data: &Path, step: u64) {
    let launch = fed.launch(data);
    let mut node = launch.start().unwrap_or_else(|error| panic!("step {step}: {error}"));
    let api = Api::new(&node.endpoints.api);
    api.settled(NETWORK).unwrap();
    let leaves = api.leaves(NETWORK, "").unwrap();
    assert!(leaves == fed.leaves || act.or.is_some_and(|or| leaves == *or), "step {step}: {} leaves", leaves.len());
    // The newest that is listed can be used, and nothing lies beside what is listed.
    let block = node.process.wait_for("a snapshot", |_| newest(&api)).unwrap();
    let (code, told) = api.send(&format!("/api/checkpoints/restore/{block}"), &json!({ "network": NETWORK })).unwrap();
    assert_eq!(code, 200, "step {step}: {told}");
    api.settled(NETWORK).unwrap();
    assert!(api.leaves(NETWORK, "").unwrap() == leaves, "step {step}: of the snapshot");
    let listed = api.json(&format!("/api/checkpoints/list?network={NETWORK}")).unwrap();
    let listed = listed["checkpoints"].as_array().unwrap().iter().flat_map(files);
    let listed: BTreeSet<String> = listed.collect();
    assert_eq!(names(&data.join("snapshots").join(NETWORK)), listed, "step {step}");
    assert!(node.process.stop().unwrap().success(), "step {step}");
    let mut node = launch.start().unwrap();
    assert!(node.process.stop().unwrap().success(), "step {step}");
    let stores = names(&data.join("state"));
    let ours = stores.iter().filter(|name| name.starts_with(NETWORK) && !name.ends_with(".damaged"));
    assert_eq!(ours.count(), 1, "step {step}: {stores:?}");
    let (verified, said) = launch.command(&["verify"]).unwrap();
    assert!(verified.success(), "step {step}: {said}");
}

/// What a snapshot is made of.
fn files(of: &Value) -> [String; 2] {
    let name = of["name"].as_str().unwrap();
    [name.to_owned(), format!("{name}.json")]
}

#[test]
fn a_snapshot_is_made() {
    if available("a_snapshot_is_made") {
        every_step(&Fed::new(Which::Off), &Act { stride: 17, ..Act::default() });
    }
}

#[test]
fn a_state_that_is_gone_is_restored() {
    if available("a_state_that_is_gone_is_restored") {
        every_step(&Fed::new(Which::Plain).without_store(), &Act { stride: 97, ..Act::default() });
    }
}

#[test]
fn a_restored_store_takes_its_place() {
    if available("a_restored_store_takes_its_place") {
        every_step(&Fed::new(Which::Plain).without_store().started(), &Act { stride: 7, ..Act::default() });
    }
}

#[test]
fn a_state_is_restored_by_order() {
    if available("a_state_is_restored_by_order") {
        every_step(&Fed::new(Which::Plain), &Act { order: Some("restore"), stride: 97, ..Act::default() });
    }
}

#[test]
fn the_head_is_put_back() {
    if available("the_head_is_put_back") {
        let fed = Fed::new(Which::Plain);
        let copy = tempfile::tempdir().unwrap();
        put(&fed.data, copy.path());
        let act = Act { order: Some("rollback"), stride: 13, ..Act::default() };
        let mut node: Node = fed.launch(copy.path()).start().unwrap();
        let (api, mut ordered) = (Api::new(&node.endpoints.api), false);
        node.process.wait_for("the order", |_| act.done(&api, &mut ordered)).unwrap();
        let back = api.leaves(NETWORK, "").unwrap();
        assert!(back != fed.leaves && node.process.stop().unwrap().success());
        every_step(&fed, &Act { or: Some(&back), ..act });
    }
}
