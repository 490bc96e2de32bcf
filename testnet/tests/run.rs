//! `honeygraph-testnet run <scenario>` on both grounds, as one runs it.

use std::process::Command;

fn run(args: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet")).arg("run").args(args).output().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn all_lies_and_the_same_run_again() {
    let (code, said) = run(&["liar", "--ground", "sim", "--seed", "3", "--seeds", "2"]);
    assert_eq!((code, said.matches(": right after").count()), (Some(0), 14), "{said}");
    let once = said.lines().find(|line| line.starts_with("liar:headers seed 4")).unwrap();
    assert_eq!(run(&["liar:headers", "--seed", "4"]).1.trim(), once, "one seed is one run");
}

#[test]
fn every_name_of_the_list_is_a_scenario() {
    let (code, list) = run(&["list"]);
    let on = |ground: &str| list.lines().filter(|line| line.ends_with(ground)).count();
    assert_eq!((code, on("sim"), on("local")), (Some(0), 17, 10), "{list}");
    let (code, said) = run(&["dance"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no scenario dance"), "{said}");
    assert_eq!(run(&["sybil", "--ground", "local"]).0, Some(2), "liars have no processes");
}

/// A replica that loses its data and dies again and again on its way back.
#[test]
fn a_replica_is_killed_while_it_fetches() {
    let (code, said) = run(&["kill_during_sync", "--ground", "local"]);
    assert_eq!((code, said.matches("its state is the first one's").count()), (Some(0), 2), "{said}");
    assert_eq!(said.matches("was killed").count(), 5, "{said}");
}

/// Each node's operations of a period lie in parts on two nodes where the honeycomb was moved in the middle of it.
/// Failed once: moved back to the first node, it waited for ever for what the others had.
#[test]
fn a_honeycomb_hops_from_node_to_node_and_back() {
    let (code, said) = run(&["feed_hops", "--ground", "local"]);
    assert_eq!((code, said.matches("its state is the first one's").count()), (Some(0), 2), "{said}");
    assert_eq!(said.matches("the honeycombs are moved to node").count(), 3, "{said}");
}
