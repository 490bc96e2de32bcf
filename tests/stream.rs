//! The stream of a honeycomb as it really is, into a real node over real sockets: whatever the wire, the honeycomb and
//! the node go through, at the end the head's history is exactly the honest chain and the state its fold.

mod desk;

use desk::{LONG, NETWORK, PERIODS, config, honeycomb, pace, shown, told};
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::held::Held;
use honeygraph_testnet::honeycomb::live::{Pace, Report};
use honeygraph_testnet::honeycomb::{Fault, Honeycomb, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::json;

/// Feeds so many ops and waits until all of them are acknowledged.
fn feed(node: &LocalNode, honeycomb: Honeycomb, ops: u64) -> (Honeycomb, Report) {
    let (honeycomb, report) = Feeding::start(honeycomb, pace(node, ops)).unwrap().finish();
    let status = node.api().status(NETWORK).unwrap();
    assert!(report.complete && report.unacked == 0, "{report:?}\n{}", told(&status));
    (honeycomb, report)
}

/// The head's history is the honest chain, batch by batch, and the state its fold. The first period of a client that
/// never names it has no place: it is durable, and the chain begins behind it.
fn check(node: &LocalNode, honeycomb: &Honeycomb, first: u64) {
    let api = node.api();
    let status = api.settled(NETWORK).unwrap();
    let truth = honeycomb.truth();
    let honest: Vec<_> =
        truth.chain(NETWORK).into_iter().filter(|batch| batch.period >= first).map(|batch| batch.id).collect();
    let mut held = Held::new(NETWORK);
    held.read_on(&node.config().data_dir).unwrap();
    let chain = held.head_chain();
    let same = chain.iter().zip(&honest).take_while(|(a, b)| a == b).count();
    let said = told(&status);
    assert_eq!((chain.len(), same), (honest.len(), honest.len()), "batches held, equal ones\n{said}");
    let expected = shown(&truth.leaves_from(first).unwrap());
    let found = api.leaves(NETWORK, "").unwrap();
    let wrong = expected.iter().filter(|(path, value)| found.get(*path) != Some(*value)).count();
    assert!(found == expected, "{wrong} of {} leaves are wrong, {} are there", expected.len(), found.len());
    assert_eq!(status["head"]["batch"], honest.last().unwrap().to_string());
    assert_eq!((&status["gaps"], status["forks"].as_array().unwrap().len()), (&json!([]), 1), "{said}");
    // Every op is there: the batches of the chain are all, and what came before is durable without a place.
    // A lost socket may have cut a batch, which then lies there in pieces.
    let before = truth.batches().count() - honest.len();
    assert!(status["parked"]["pieces"].as_u64() >= Some(before as u64), "{said}");
}

/// Everything that the published client and its honeycomb do, and nothing that goes wrong.
#[test]
fn many_periods_and_days_of_a_published_honeycomb() {
    for seed in 1..4 {
        let folder = tempfile::tempdir().unwrap();
        let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
        let honeycomb = honeycomb(Profile::Published, seed, PERIODS, &[]);
        let (honeycomb, report) = feed(&node, honeycomb, 4000);
        assert!(report.checkpoints > 2 * PERIODS, "{report:?}");
        check(&node, &honeycomb, 1);
        node.stop().unwrap();
    }
}

/// The other clients say more: their first period has its place too.
#[test]
fn the_other_clients_chain_from_their_first_op() {
    for profile in [Profile::Ideal, Profile::Seed] {
        let folder = tempfile::tempdir().unwrap();
        let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
        let honeycomb = honeycomb(profile, 5, PERIODS, &[]);
        let (honeycomb, _) = feed(&node, honeycomb, 2000);
        check(&node, &honeycomb, 0);
        node.stop().unwrap();
    }
}

/// Lost and repeated ops, and lost sockets: asked for, placed, acknowledged once.
#[test]
fn what_the_wire_loses_is_asked_for() {
    let at = |op| [Fault::Drop { op }, Fault::Duplicate { op: op + 60 }, Fault::Disconnect { op: op + 120 }];
    let faults: Vec<Fault> = [700, 1000, 1300, 2200, 3100].into_iter().flat_map(at).collect();
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), LONG)).unwrap();
    let honeycomb = honeycomb(Profile::Published, 7, LONG, &faults);
    let (honeycomb, report) = feed(&node, honeycomb, 4000);
    assert!(report.connections == 6 && report.asked > 0, "{report:?}");
    check(&node, &honeycomb, 1);
    node.stop().unwrap();
}

/// The honeycomb's process dies and replays up to a day under an older hash.
#[test]
fn a_honeycomb_that_restarts_writes_nothing_twice() {
    for back in 0..3 {
        let faults = [Fault::Restart { blocks: 150, back }, Fault::Restart { blocks: 290, back }];
        let folder = tempfile::tempdir().unwrap();
        let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
        let honeycomb = honeycomb(Profile::Published, 9, PERIODS, &faults);
        let (honeycomb, report) = feed(&node, honeycomb, 4000);
        assert_eq!(report.connections, 3, "{report:?}");
        check(&node, &honeycomb, 1);
        node.stop().unwrap();
    }
}

/// The node stops and starts again while the honeycomb goes on.
#[test]
fn a_node_that_restarts_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let honeycomb = honeycomb(Profile::Published, 11, PERIODS, &[]);
    let feeding = Feeding::start(honeycomb, Pace { rate: 4000.0, ..pace(&node, 8000) }).unwrap();
    for restart in 1..=4 {
        let enough = restart * 1500;
        node.api()
            .wait(NETWORK, "acknowledgements", |_| {
                (feeding.report().acked >= enough || feeding.is_over()).then_some(())
            })
            .unwrap();
        node = node.restart().unwrap();
    }
    let (honeycomb, report) = feeding.finish();
    let status = node.api().status(NETWORK).unwrap();
    assert!(report.complete && report.connections > 4, "{report:?}\n{}", told(&status));
    check(&node, &honeycomb, 1);
    node.stop().unwrap();
}
