//! `honeygraph-testnet up`, as a newcomer runs it: it shows what happens, and ends well when it is interrupted.

use honeygraph_testnet::http::{get, post};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// The status of what `curl -s` would get.
fn paste(command: &str) -> u16 {
    let (url, body) = command.split_once(" -d ").map_or((command, None), |(url, body)| (url, Some(body)));
    let (address, path) = url.trim_matches('\'').strip_prefix("http://").unwrap().split_once('/').unwrap();
    let path = format!("/{path}");
    match body {
        Some(body) => post(address, &path, body.trim_matches('\'')).unwrap().0,
        None => get(address, &path).unwrap().0,
    }
}

#[test]
fn it_shows_a_fork_and_ends_well_when_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet"))
        .args(["up", "--rate", "3000", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(up.stdout.take().unwrap());
    let mut all = String::new();
    // It speaks every two seconds at least: each line is progress, and a fork comes within a few.
    let mut pasted = 0;
    while !all.contains("branch 1") {
        let from = all.len();
        assert!(said.read_line(&mut all).unwrap() > 0 && all.lines().count() < 200, "no fork: {all}");
        // Planted: the rollback printed at the start, to a label of which nothing was there yet.
        let Some(command) = all[from..].trim().strip_prefix("curl -s ") else { continue };
        assert_eq!(paste(command), 200, "cannot be pasted when it is printed: {command}\n{all}");
        pasted += 1;
    }
    assert_eq!(pasted, 7, "{all}");
    assert!(all.contains("catching up"), "{all}");
    let sent = Command::new("sh").args(["-c", "kill -INT \"$0\"", &up.id().to_string()]).status().unwrap();
    assert!(sent.success());
    said.read_to_string(&mut all).unwrap();
    let status = up.wait().unwrap();
    assert_eq!((status.code(), all.matches("is its own").count()), (Some(0), 2), "{all}");
    assert!(!folder.path().join("endpoints.json").exists(), "the node stopped cleanly");
}

#[test]
fn a_calm_one_ends_by_itself() {
    let ran = Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet"))
        .args(["up", "--calm", "--rate", "3000", "--for", "3"])
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!((ran.status.code(), said.matches("is its own").count()), (Some(0), 1), "{said}");
    assert!(said.contains(" 0 lost") && !said.contains("twin"), "{said}");
}

/// Failed once: what came of an open period took the place of the whole period, and the others stopped behind it.
#[test]
fn nodes_that_nobody_feeds_end_equal() {
    let ran = Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet"))
        .args(["up", "--calm", "--nodes", "3", "--rate", "2000", "--for", "5"])
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!((ran.status.code(), said.matches("its state is the first one's").count()), (Some(0), 2), "{said}");
}

/// Failed once: the first node's head went over to the twin and back, and the others stayed on the fork that it had left.
#[test]
fn nodes_that_nobody_feeds_end_equal_whatever_fork_the_first_takes() {
    let ran = Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet"))
        .args(["up", "--nodes", "3", "--rate", "3000", "--for", "8"])
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(said.matches("its state is the first one's").count(), 2, "{said}");
}
