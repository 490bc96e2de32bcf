//! `honeygraph-testnet up`, as a newcomer runs it: it shows what happens, and ends well when it is interrupted.

use honeygraph_testnet::http::{get, post};
use std::io::{BufRead, BufReader, Read, Write};
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
    assert!(!folder.path().join("node-1/endpoints.json").exists(), "the node stopped cleanly");
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

/// Orders come by lines where nobody sits at a terminal. Each node that was killed, wiped, stopped or cut off is like the first
/// again, which was killed, too, and has been fed by a honeycomb that disagrees.
#[test]
fn nodes_come_back_from_whatever_is_done_to_them() {
    let mut up = Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet"))
        .args(["up", "--calm", "--nodes", "4", "--rate", "1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut orders, mut said) = (up.stdin.take().unwrap(), BufReader::new(up.stdout.take().unwrap()));
    let mut all = String::new();
    // The table comes every two seconds at least: that lines come is progress.
    let mut until = |what: &str, done: &dyn Fn(&str) -> bool| {
        let from = all.len();
        while !done(&all[from..]) {
            assert!(said.read_line(&mut all).unwrap() > 0 && all.lines().count() < 800, "no {what}: {all}");
        }
    };
    let row = |said: &str, number: &str, role: &str| {
        said.lines().any(|line| line.trim_start().starts_with(&format!("{number} ")) && line.contains(role))
    };
    // Periods of a hundred blocks end every second or two; a replica hears of them by and by.
    let near = |behind: &str| behind.parse::<u64>().is_ok_and(|behind| behind <= 1_000);
    let at_head = |said: &str, number: &str| {
        let rows = said.lines().map(|line| line.trim_start_matches([' ', '>']));
        let mut rows = rows.filter(|row| row.starts_with(number) && row.contains("replica"));
        rows.any(|row| row.split_whitespace().nth(2).is_some_and(near))
    };
    until("replicas", &|said| ["2", "3", "4"].iter().all(|number| at_head(said, number)));
    for (order, done) in [
        ("kill 1", "node 1 was killed"),
        ("kill 2", "node 2 was killed"),
        ("wipe 3", "node 3 was killed, lost all"),
        ("restart 2", "node 2 was stopped"),
        ("part 4", "node 4 is cut off"),
        ("kill 9", "there is no node 9"),
        ("fork", "one more honeycomb"),
    ] {
        writeln!(orders, "{order}").unwrap();
        until(order, &|said| said.contains(done));
    }
    until("a fork", &|said| said.contains("branch 1"));
    until("node 4 cut off", &|said| row(said, "4", "cut off"));
    writeln!(orders, "part 4").unwrap();
    until("replicas again", &|said| ["2", "3", "4"].iter().all(|number| at_head(said, number)));
    let sent = Command::new("sh").args(["-c", "kill -INT \"$0\"", &up.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let equal = rest.matches("its state is the first one's").count();
    assert_eq!((up.wait().unwrap().code(), equal), (Some(0), 3), "{rest}");
    assert_eq!(rest.matches("is its own").count(), 2, "{rest}");
}
