//! A backup taken while a node works is a journal that ends at one record: everything that was acknowledged before it
//! began is in it, and what was changed in the file afterwards is found out.

mod desk;

use desk::{NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph_bootstrap::identity;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::held::Held;
use honeygraph_testnet::honeycomb::Profile;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::local::LocalNode;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_honeygraph")).args(arguments).arg("--data-dir").arg(data).output().unwrap()
}

#[test]
fn a_backup_under_load_restores_to_a_sound_folder() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let feeding =
        Feeding::start(honeycomb(Profile::Published, 21, PERIODS, &[]), Pace { rate: 3000.0, ..pace(&node, 6000) })
            .unwrap();
    let enough = |acked: u64| {
        let looked = node.api().wait(NETWORK, "acks", |_| (feeding.report().acked >= acked).then_some(()));
        looked.unwrap();
    };
    enough(1500);
    let (data, file) = (node.config().data_dir.clone(), folder.path().join("backup.tar.zst"));
    let key = |data: &Path| data.join("swarm/key");
    let peer = identity::peer_id(&identity::load_or_make(&key(&data)).unwrap());
    for (name, text) in [("binding.json", "whose"), ("votes-desk_", "what"), ("votes-desk_.tmp", "half"), ("book", "")]
    {
        std::fs::write(data.join("swarm").join(name), text).unwrap();
    }
    let given_out = |data: &Path| data.join("keys.json");
    assert!(run(&data, &["keys", "create", "--name", "reader", "--scope", "read"]).status.success());
    let durable = node.api().status(NETWORK).unwrap()["durable"].as_u64().unwrap();
    let made = run(&data, &["backup", "create", file.to_str().unwrap(), "--json"]);
    assert!(made.status.success(), "{made:?}");
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let last = said["networks"][NETWORK].as_u64().unwrap();
    assert!(last >= durable, "{last} is before {durable}, which was acknowledged");
    let again = run(&data, &["backup", "create", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(5), "it is not written over");
    enough(3000);
    feeding.finish();
    node.stop().unwrap();

    let restored = folder.path().join("restored");
    let done = run(&restored, &["backup", "restore", file.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(run(&restored, &["backup", "restore", file.to_str().unwrap()]).status.code(), Some(5), "not empty");
    // Failed once: a restored node was a stranger to its peers.
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&key(&restored)), mode(&given_out(&restored))), (0o600, 0o600, 0o600));
    // Failed once: whoever had a key found the restored node closed.
    assert_eq!(std::fs::read(given_out(&restored)).unwrap(), std::fs::read(given_out(&data)).unwrap());
    assert_eq!(identity::peer_id(&identity::load(&key(&restored)).unwrap().unwrap()), peer);
    let swarm = std::fs::read_dir(restored.join("swarm")).unwrap().map(|file| file.unwrap().file_name());
    let mut swarm: Vec<_> = swarm.map(|name| name.into_string().unwrap()).collect();
    swarm.sort();
    assert_eq!(swarm, ["binding.json", "key", "votes-desk_"], "a node that lost its votes might say two things");
    let (mut ours, mut theirs) = (Held::new(NETWORK), Held::new(NETWORK));
    ours.read_on(&data).unwrap();
    theirs.read_on(&restored).unwrap();
    let (ours, theirs) = (ours.head_chain(), theirs.head_chain());
    assert!(theirs.len() > 100 && ours.starts_with(&theirs), "{} of {}", theirs.len(), ours.len());
    let config = honeygraph::config::Config { data_dir: restored.clone(), ..config(folder.path(), PERIODS) };
    let node = LocalNode::start(config).unwrap();
    let status = node.api().settled(NETWORK).unwrap();
    node.stop().unwrap();
    // What was journalled and not chained yet when the copy was made is chained at the start.
    let mut after = Held::new(NETWORK);
    after.read_on(&restored).unwrap();
    let after = after.head_chain();
    assert!(after.starts_with(&theirs) && ours.starts_with(&after), "{} of {}", after.len(), ours.len());
    assert_eq!(status["head"]["batch"], after.last().unwrap().to_string());
    let verified = run(&restored, &["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn a_damaged_backup_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    Feeding::start(honeycomb(Profile::Published, 22, PERIODS, &[]), pace(&node, 800)).unwrap().finish();
    let data = node.config().data_dir.clone();
    node.stop().unwrap();
    identity::load_or_make(&data.join("swarm/key")).unwrap();
    assert!(run(&data, &["keys", "create", "--name", "reader", "--scope", "read"]).status.success());
    let file = folder.path().join("backup.tar.zst");
    assert!(run(&data, &["backup", "create", file.to_str().unwrap()]).status.success());
    let whole = std::fs::read(&file).unwrap();
    let unpacked = zstd::decode_all(whole.as_slice()).unwrap();
    let packed = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let mut flipped = unpacked.clone();
    flipped[5000] ^= 1;
    let manifest = unpacked.windows(13).rposition(|window| window == b"manifest.json").unwrap();
    let bad = [whole[..whole.len() / 2].to_vec(), packed(&flipped), packed(&unpacked[..manifest]), b"none".to_vec()];
    for (nth, bytes) in bad.into_iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        let restored = folder.path().join(format!("restored{nth}"));
        let done = run(&restored, &["backup", "restore", file.to_str().unwrap()]);
        assert!(!done.status.success(), "{nth}");
        let left = ["journal", "swarm", "keys.json"].map(|part| restored.join(part).exists());
        assert_eq!(left, [false, false, false], "{nth}: {done:?}");
    }
}
