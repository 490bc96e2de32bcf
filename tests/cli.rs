//! The command line as a script sees it: what it prints, where, and the code it leaves.

use honeygraph::data_dir::DataDir;
use honeygraph::fork::record::{Branch, BranchCause, Chain, Close, Piece, Record};
use honeygraph::journal::disk::real::RealDisk;
use honeygraph::journal::{Journal, Options, Reader};
use honeygraph::projection::state::State;
use honeygraph_protocols::batch::{Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread::JoinHandle;

fn honeygraph(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    command.env_clear().arg("--data-dir").arg(data).args(args);
    command.output().expect("the binary starts")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn code_of(output: &Output) -> (Option<i32>, String) {
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), error["code"].as_str().unwrap_or_default().to_owned())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Answers one request with this status and body; gives back the request line and its body.
fn answering(status: u16, body: Value) -> (String, JoinHandle<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut sent = vec![0; length];
        reader.read_exact(&mut sent).unwrap();
        let text = body.to_string();
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        (line, serde_json::from_slice(&sent).unwrap_or(Value::Null))
    });
    (url, server)
}

/// A journal of a piece, its branch and its chain record; gives back the chain record.
fn journal_with_one_batch(data: &Path) -> Chain {
    DataDir::create(data).unwrap();
    let (mut journal, _) = Journal::open(Arc::new(RealDisk), data, Options::new("spkcc_")).unwrap();
    let mut body = Vec::new();
    op::push_text(br#"{"data":1,"path":["a"],"type":"put"}"#, &mut body);
    op::push_text(br#"{"path":["b"],"type":"del"}"#, &mut body);
    let ops_hash = *blake3::hash(&body).as_bytes();
    let piece = Piece {
        lane: 1,
        ordinal: 0,
        label: Some(101),
        run: 0,
        seq: 0,
        index: Some(0),
        count: 2,
        close: Close::Marker,
        begins: true,
        ops_hash,
        at_ms: 7,
    };
    let period = HashText::new("QmPeriod").unwrap();
    let parent = Parent::Period(period.clone());
    let network = "spkcc_".to_owned();
    let header = Header { v: 1, network, period: period.clone(), seq: 0, parent: parent.clone(), count: 2, ops_hash };
    let chain = Chain {
        branch: 0,
        prev: None,
        period,
        opening_label: Some(101),
        label: Some(101),
        seq: 0,
        count: 2,
        marker: true,
        parent,
        id: header.id(),
        ops_hash,
        pieces: vec![1],
        head: true,
        hole: false,
        at_ms: 7,
    };
    journal.append(&Record::Piece(piece), Some(&body)).unwrap();
    // A group of its own: a bad record before a later group cannot be a torn write.
    journal.flush().unwrap();
    journal.append(&Record::Branch(Branch { branch: 0, parent: None, cause: BranchCause::First }), None).unwrap();
    journal.append(&Record::Chain(chain.clone()), None).unwrap();
    journal.flush().unwrap();
    chain
}

#[test]
fn config_says_where_each_value_comes_from() {
    let data = folder();
    let file = data.path().join("honeygraph.toml");
    std::fs::write(&file, "[fork]\nmax_per_block = 4\n[networks.duat_]\ntokens = [\"DUAT\"]\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_honeygraph"))
        .env_clear()
        .env("API_PORT", "8080")
        .args(["config", "--json", "--feed-listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let shown = json_of(&output);
    let of = |key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        settings.iter().find(|s| s["key"] == key).map(|s| (s["value"].clone(), s["origin"].clone())).unwrap()
    };
    assert_eq!(of("api_listen"), (json!("127.0.0.1:8080"), json!({ "from": "environment", "name": "API_PORT" })));
    assert_eq!(of("feed_listen"), (json!("127.0.0.1:0"), json!({ "from": "flag", "name": "--feed-listen" })));
    assert_eq!(of("fork.max_per_block"), (json!("4"), json!({ "from": "file", "name": file.to_str() })));
    assert_eq!(of("log.level"), (json!("info"), json!({ "from": "default" })));
    assert!(shown["networks"].as_array().unwrap().iter().any(|n| n["name"] == "duat_"));
}

/// Planted: `println!`, which panics there.
#[test]
fn a_reader_that_went_away_is_no_failure() {
    let data = folder();
    journal_with_one_batch(data.path());
    let (url, server) = answering(200, json!({ "version": "1", "networks": [] }));
    let wrong = ["status", "--api", "nonsense"];
    for (args, code) in [
        (&["config"][..], 0),
        (&["config", "--json"], 0),
        (&["journal", "cat"], 0),
        (&["journal", "stat"], 0),
        (&["verify"], 0),
        (&["status", "--api", &url], 0),
        (&["--help"], 0),
        (&wrong, 2),
        (&["nonsense"], 2),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
        command.env_clear().arg("--data-dir").arg(data.path()).args(args);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(code), "{args:?}");
    }
    server.join().unwrap();
}

/// Planted: the result of a print that nobody looked at.
#[test]
fn a_result_that_could_not_be_written_is_a_failure() {
    let data = folder();
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    let command = command.env_clear().arg("--data-dir").arg(data.path()).arg("config").stdout(full);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
}

#[test]
fn mistakes_of_the_caller_are_code_2() {
    let data = folder();
    let unknown = data.path().join("wrong.toml");
    std::fs::write(&unknown, "api_listn = \"127.0.0.1:1\"").unwrap();
    let unknown = unknown.to_str().unwrap();
    for args in
        [&["config", "--config", unknown][..], &["config", "--api-listen", "x"], &["nonsense"], &["status", "--x"]]
    {
        assert_eq!(honeygraph(data.path(), args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(honeygraph(data.path(), &["--version"]).status.code(), Some(0));
    // What can be seen without a node is not asked of one.
    let long = "x".repeat(2000);
    for args in [
        &["log-level", "bogus"][..],
        &["rollback", "--to", "100", "--reason", ""],
        &["rollback", "--to", "100", "--reason", " "],
        &["rollback", "--to", "100", "--reason", &long],
        &["rollback", "--to", "", "--reason", "x"],
        &["rollback", "--release", "x", "--reason", "x"],
        &["gaps", "accept", "9", "--reason", ""],
        &["gaps", "accept", "x", "--reason", "x"],
        &["query", "a", "--block", "x"],
        &["status", "--api", "https://node"],
        &["journal", "cat", "--from", "x"],
        &["status", "nonsense"],
        // It would be about the folder here, not about that node.
        &["verify", "--api", "http://127.0.0.1:1"],
        &["--api", "http://127.0.0.1:1", "journal", "stat"],
        &["status", "--log-level", "debug"],
    ] {
        let output = honeygraph(data.path(), &[args, &["--json"]].concat());
        assert_eq!(code_of(&output), (Some(2), "usage".into()), "{args:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains('\u{1b}'));
    }
}

/// The table of `docs/operations.md` is the table of the code.
#[test]
fn every_exit_code_is_documented() {
    use honeygraph::cli::exit::Code;
    let documented = include_str!("../docs/operations.md");
    let table = documented.split("### Exit codes").nth(1).unwrap().split("\n#").next().unwrap();
    let rows: Vec<(u8, &str)> = table
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            Some((cells.get(1)?.parse().ok()?, cells.get(2)?.trim_matches('`')))
        })
        .collect();
    let coded = Code::ALL.iter().map(|code| (*code as u8, code.word()));
    assert_eq!(rows, std::iter::once((0, "-")).chain(coded).collect::<Vec<_>>());
}

#[test]
fn without_a_node_it_is_code_3() {
    let data = folder();
    assert_eq!(code_of(&honeygraph(data.path(), &["status", "--json"])), (Some(3), "not_reachable".into()));
    let dir = DataDir::create(data.path()).unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = honeygraph::data_dir::Endpoints {
        api: format!("http://{gone}"),
        feed: String::new(),
        swarm: vec![],
        admin: None,
    };
    dir.write_endpoints(&said).unwrap();
    assert_eq!(code_of(&honeygraph(data.path(), &["status", "--json"])), (Some(3), "not_reachable".into()));
}

#[test]
fn requests_are_what_the_node_expects() {
    let cases: &[(&[&str], &str, Value)] = &[
        (&["status"], "GET /api/status", Value::Null),
        (&["gaps", "list", "--network", "spkcc_"], "GET /api/gaps?network=spkcc_", Value::Null),
        // Which networks there are is the node's to say, not this side's configuration.
        (&["status", "--network", "elsewhere_"], "GET /api/status?network=elsewhere_", Value::Null),
        (&["forks", "a/b"], "GET /api/forks/a%2Fb", Value::Null),
        (
            &["query", "/a b/c", "--block", "7", "--leaves"],
            "GET /api/query/path/a%20b/c?block=7&form=leaves",
            Value::Null,
        ),
        (
            &["rollback", "--to", "100", "--reason", "r", "--dry-run"],
            "POST /api/admin/rollback",
            json!({ "to": "100", "reason": "r", "dry_run": true }),
        ),
        (
            &["rollback", "--release", "3", "--reason", "r", "--network", "spkcc_"],
            "POST /api/admin/release",
            json!({ "verdict": 3, "reason": "r", "network": "spkcc_" }),
        ),
        (&["gaps", "accept", "9", "--reason", "r"], "POST /api/admin/gaps/9/accept", json!({ "reason": "r" })),
        (&["log-level", "debug"], "POST /api/admin/log-level", json!({ "level": "debug" })),
    ];
    let data = folder();
    for (args, line, body) in cases {
        for json in [true, false] {
            let (url, server) = answering(200, json!({ "data": [] }));
            let mut args = [args, &["--api", &url][..]].concat();
            args.extend(json.then_some("--json"));
            let output = honeygraph(data.path(), &args);
            assert_eq!(server.join().unwrap(), ((*line).to_owned(), body.clone()));
            assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
            if json {
                assert_eq!(json_of(&output), json!({ "data": [] }));
            }
        }
    }
}

#[test]
fn a_nodes_no_keeps_its_reason() {
    let data = folder();
    for (status, reason, code) in
        [(404, "not_found", 4), (410, "gone", 5), (409, "ambiguous_fork", 5), (500, "internal", 1)]
    {
        let (url, server) = answering(status, json!({ "error": "words", "code": reason }));
        let output = honeygraph(data.path(), &["query", "a", "--json", "--api", &url]);
        server.join().unwrap();
        assert_eq!(code_of(&output), (Some(code), reason.to_owned()));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_journal_can_be_looked_into() {
    let data = folder();
    journal_with_one_batch(data.path());
    let stat = json_of(&honeygraph(data.path(), &["journal", "stat", "--json"]));
    let network = &stat["networks"][0];
    assert_eq!(network["network"], "spkcc_");
    assert_eq!((&network["last"], &network["segments"]), (&json!(3), &json!(1)));
    let kinds: Vec<&Value> = network["kinds"].as_array().unwrap().iter().map(|k| &k["kind"]).collect();
    assert_eq!(kinds, ["piece", "branch", "chain"]);

    let cat = honeygraph(data.path(), &["journal", "cat", "--bodies"]);
    let lines: Vec<Value> = cat.stdout.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    assert_eq!(lines.len(), 3, "{cat:?}");
    assert_eq!(lines[0]["kind"], "piece");
    assert_eq!(lines[0]["record"]["ops_hash"], lines[2]["record"]["ops_hash"]);
    assert_eq!(lines[0]["operations"][0], json!({ "data": 1, "path": ["a"], "type": "put" }));
    assert_eq!(lines[2]["record"]["ops_hash"].as_str().map(str::len), Some(64));
    let branch = json!({ "branch": 0, "parent": null, "cause": "First" });
    assert_eq!(lines[1], json!({ "lsn": 2, "kind": "branch", "record": branch }));

    // A node makes a journal for each network that it knows; the one with records is meant.
    let empty = |name: &str| drop(Journal::open(Arc::new(RealDisk), data.path(), Options::new(name)).unwrap());
    empty("dlux_");
    assert_eq!(honeygraph(data.path(), &["journal", "cat", "--bodies"]).stdout, cat.stdout);
    assert_eq!(honeygraph(data.path(), &["journal", "cat", "--network", "dlux_"]).stdout, b"");
    assert_eq!(code_of(&honeygraph(data.path(), &["journal", "cat", "--network", "x_", "--json"])).0, Some(4));

    let second = honeygraph(data.path(), &["journal", "cat", "--from", "2", "--limit", "1"]);
    assert_eq!(second.stdout.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count(), 1);
}

#[test]
fn with_data_in_several_networks_one_is_named() {
    let data = folder();
    journal_with_one_batch(data.path());
    let (mut other, _) = Journal::open(Arc::new(RealDisk), data.path(), Options::new("dlux_")).unwrap();
    other.append(&Record::Branch(Branch { branch: 0, parent: None, cause: BranchCause::First }), None).unwrap();
    other.flush().unwrap();
    drop(other);
    let output = honeygraph(data.path(), &["journal", "cat", "--json"]);
    assert_eq!(code_of(&output), (Some(2), "usage".into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dlux_, spkcc_"), "{output:?}");
    let one = honeygraph(data.path(), &["journal", "cat", "--network", "dlux_"]);
    assert_eq!(one.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count(), 1, "{one:?}");
}

#[test]
fn offline_commands_keep_away_from_a_running_node() {
    let data = folder();
    assert_eq!(code_of(&honeygraph(&data.path().join("x"), &["journal", "stat", "--json"])).0, Some(4));
    // Planted: exit code 0 for the wrong folder.
    assert_eq!(code_of(&honeygraph(data.path(), &["verify", "--json"])), (Some(4), "not_found".into()));
    let _node = DataDir::create(data.path()).unwrap();
    assert_eq!(code_of(&honeygraph(data.path(), &["journal", "stat", "--json"])), (Some(7), "in_use".into()));
}

#[test]
fn damage_is_named_with_its_place() {
    let data = folder();
    journal_with_one_batch(data.path());
    let segment = std::fs::read_dir(data.path().join("journal/spkcc_")).unwrap().map(|e| e.unwrap().path());
    let segment = segment.into_iter().find(|p| p.extension().is_some_and(|e| e == "seg")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(4).position(|w| w == b"lane").expect("the piece's fields");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = honeygraph(data.path(), &["journal", "stat", "--json"]);
    assert_eq!(code_of(&output), (Some(6), "damaged".into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("record 1"), "{output:?}");
    let output = honeygraph(data.path(), &["verify", "--json"]);
    assert_eq!(code_of(&output), (Some(6), "damaged".into()));
    let finding = &json_of(&output)["networks"][0]["journal"]["findings"][0];
    assert_eq!(finding["lsn"], 1);
}

#[test]
fn verify_recomputes_the_chain() {
    let data = folder();
    let made = journal_with_one_batch(data.path());
    assert_eq!(honeygraph(data.path(), &["verify"]).status.code(), Some(0));
    let mut chain = made;
    chain.seq = 5;
    let (mut journal, _) = Journal::open(Arc::new(RealDisk), data.path(), Options::new("spkcc_")).unwrap();
    journal.append(&Record::Chain(chain), None).unwrap();
    journal.flush().unwrap();
    drop(journal);
    let output = honeygraph(data.path(), &["verify", "--json"]);
    assert_eq!(code_of(&output), (Some(6), "damaged".into()));
    let network = &json_of(&output)["networks"][0];
    assert_eq!((&network["clean"], &network["journal"]["findings"]), (&json!(false), &json!([])));
    assert_eq!(network["chain"]["findings"][0]["lsn"], 4);
}

/// Applies the journal to the state store, the bodies as `change` leaves them.
fn apply(data: &Path, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let reader = Reader::offline(Arc::new(RealDisk), data, "spkcc_").unwrap();
    let mut state = State::open(&data.join("state/spkcc_"), Default::default()).unwrap();
    let mut cursor = reader.records(1);
    while let Some(entry) = cursor.read().unwrap() {
        let (lsn, record) = (entry.lsn, entry.record().unwrap());
        state.apply(lsn, &record, &mut |piece| Ok(change(reader.body(piece)?))).unwrap();
    }
    state.sync().unwrap();
}

#[test]
fn verify_holds_the_state_against_a_replay() {
    let data = folder();
    journal_with_one_batch(data.path());
    apply(data.path(), |body| body);
    let output = honeygraph(data.path(), &["verify", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let state = &json_of(&output)["networks"][0]["state"];
    assert_eq!((&state["cursor"], &state["leaves"]), (&json!(3), &json!(1)), "{state}");

    std::fs::remove_dir_all(data.path().join("state")).unwrap();
    apply(data.path(), |body| String::from_utf8(body).unwrap().replace("\"data\":1", "\"data\":2").into_bytes());
    let output = honeygraph(data.path(), &["verify", "--json"]);
    assert_eq!(code_of(&output), (Some(6), "damaged".into()));
    let finding = json_of(&output)["networks"][0]["state"]["findings"][0].clone();
    assert!(finding.as_str().is_some_and(|text| text.ends_with("a is 2, by the journal 1")), "{finding}");
    let left = std::fs::read_dir(data.path())
        .unwrap()
        .filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("verify-")));
    assert_eq!(left.count(), 0, "the replay is removed");
}

/// Answers one request with these bytes; gives back the request line.
fn sending(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let (mut first, mut line) = (String::new(), String::new());
        reader.read_line(&mut first).unwrap();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        first.trim_end().trim_end_matches(" HTTP/1.1").to_owned()
    });
    (url, server)
}

/// Guards against: the file written under its own name (a cut answer then leaves half of it).
#[test]
fn an_export_is_whole_or_not_there() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nx-honeygraph-batch: b1\r\nx-honeygraph-complete: false\r\ntransfer-encoding: chunked\r\n\r\n";
    const WHOLE: &str = "5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n";
    let whole: &'static str = format!("{HEAD}{WHOLE}").leak();
    let cut: &'static str = format!("{HEAD}{}", &WHOLE[..12]).leak();
    let folder = folder();
    let file = folder.path().join("state.json");
    let file = file.to_str().unwrap();
    let export = |url: &str, more: &[&str]| honeygraph(folder.path(), &[&["export", "--api", url][..], more].concat());
    let (url, server) = sending(whole);
    let out = export(&url, &["LARYNX", "--batch", "b1"]);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), &b"{\"a\":1}"[..]), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("complete false"), "{out:?}");
    assert_eq!(server.join().unwrap(), "GET /namespaces/LARYNX/export?batch=b1");
    let (url, server) = sending(cut);
    let out = export(&url, &["LARYNX", "--format", "csv", "--output", file, "--json"]);
    assert_eq!(code_of(&out), (Some(1), "failed".to_owned()));
    assert_eq!(server.join().unwrap(), "GET /namespaces/LARYNX/export?format=csv");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    let (url, _) = sending(whole);
    let out = export(&url, &["LARYNX", "--output", file, "--json"]);
    assert_eq!(json_of(&out), json!({"file": file, "batch": "b1", "complete": false}));
    assert_eq!(std::fs::read(file).unwrap(), b"{\"a\":1}");
    let (url, _) = answering(404, json!({"error": "no", "code": "unknown_network"}));
    let out = export(&url, &["NOPE", "--json"]);
    assert_eq!(code_of(&out), (Some(4), "unknown_network".to_owned()));
    let out = export(&url, &["LARYNX", "--format", "csv", "--json"]);
    assert_eq!(code_of(&out), (Some(2), "usage".to_owned()));
}

/// Guards against: a slip of the hand that is taken for an order, or blamed on the node.
#[test]
fn what_cannot_be_meant_is_said_before_anybody_is_asked() {
    let data = folder();
    let nothing = data.path().join("nothing");
    std::fs::write(&nothing, "no recording").unwrap();
    let (nothing, missing) = (nothing.to_str().unwrap(), data.path().join("missing"));
    let nowhere = ["--json", "--api", "http://127.0.0.1:1"];
    let ask = |args: &[&str]| code_of(&honeygraph(data.path(), &[&nowhere[..], args].concat()));
    let usage = (Some(2), "usage".to_owned());
    for wrong in [
        &["trust", "nope", "--reason", "x"][..],
        &["compare", "--honeycomb", "nope"],
        &["record", "--out", "no-network.rec"],
        &["record", "--network", "spkcc_", "--out", nothing],
        &["record", "--network", "spkcc_", "--out", "x", "--for", "0"],
    ] {
        assert_eq!(ask(wrong), usage, "{wrong:?}");
    }
    assert_eq!(std::fs::read(nothing).unwrap(), b"no recording", "what is there stays");
    let play = |args: &[&str]| code_of(&honeygraph(data.path(), &[&["--json", "replay"][..], args].concat()));
    assert_eq!(play(&[nothing, "--url", "ws://127.0.0.1:1"]), usage);
    assert_eq!(play(&[nothing, "--speed", "0"]), usage);
    assert_eq!(play(&[missing.to_str().unwrap()]), (Some(4), "not_found".to_owned()));
}
