//! The feed protocol: golden frames, independence of frames and spellings, hostile input, replies.

use honeygraph_protocols::honeycomb::{
    Frame, Framing, HashText, INVALID_FORMAT, Item, MAX_FRAME_ITEMS, Malformed, Ops, Parser, What, reply,
};
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::op::{self, Op};
use proptest::prelude::*;

fn text(text: &str) -> Json {
    Json::Text(text.into())
}

fn object(members: Vec<(&str, Option<Json>)>) -> Json {
    Json::object(members.into_iter().filter_map(|(k, v)| Some((k.into(), v?))).collect())
}

fn number(n: &Option<u64>) -> Option<Json> {
    n.map(|n| Json::Int(n as i64))
}

fn hash(h: &Option<HashText>) -> Option<Json> {
    h.as_ref().map(|h| text(h.as_str()))
}

fn name(n: &Option<String>) -> Option<Json> {
    n.as_deref().map(text)
}

fn describe_item(item: &Item, texts: &[u8]) -> Json {
    let (mut op_text, mut pending, mut marker, mut refused) = (None, None, None, None);
    match &item.what {
        What::Op { text: at, pending_hash } => {
            let mut cut = op::texts(&texts[at.clone()]);
            let only = cut.next().unwrap().unwrap();
            assert!(cut.next().is_none());
            assert!(Op::parse_text(only).is_ok(), "own text is canonical");
            op_text = Some(text(std::str::from_utf8(only).unwrap()));
            pending = hash(pending_hash);
        }
        What::Marker => marker = Some(Json::Bool(true)),
        What::Refused(reason) => refused = Some(text(reason)),
    }
    object(vec![
        ("index", number(&item.index)),
        ("block", number(&item.block)),
        ("fork", hash(&item.fork)),
        ("prev", hash(&item.prev)),
        ("op", op_text),
        ("pending", pending),
        ("marker", marker),
        ("refused", refused),
    ])
}

fn describe_ops(ops: &Ops) -> Json {
    let items = ops.items.iter().map(|item| describe_item(item, &ops.texts)).collect();
    let (batch, requested) = match &ops.framing {
        Framing::Single => (None, None),
        Framing::Batch { requested } => (Some(Json::Bool(true)), *requested),
    };
    let requested = requested.map(|(a, b)| Json::Array(vec![Json::Int(a as i64), Json::Int(b as i64)]));
    object(vec![("ops", Some(Json::Array(items))), ("batch", batch), ("requested", requested)])
}

fn describe(frame: &Result<Frame, Malformed>) -> Json {
    let one = |key, value| object(vec![(key, Some(value))]);
    match frame {
        Err(malformed) => one("error", text(&malformed.to_string())),
        Ok(Frame::Ops(ops)) => describe_ops(ops),
        Ok(Frame::Unknown) => one("unknown", Json::Bool(true)),
        Ok(Frame::AuthResponse) => one("auth_response", Json::Bool(true)),
        Ok(Frame::Identify { source, version, token, prefix }) => {
            let members = [("source", source), ("version", version), ("token", token), ("prefix", prefix)];
            one("identify", object(members.into_iter().map(|(k, v)| (k, name(v))).collect()))
        }
        Ok(Frame::SyncStatus { last_index, token }) => {
            one("sync_status", object(vec![("last_index", number(&Some(*last_index))), ("token", name(token))]))
        }
        Ok(Frame::Subscribe { last_index, token }) => {
            one("subscribe", object(vec![("last_index", number(last_index)), ("token", name(token))]))
        }
        Ok(Frame::ForkStart { hash: h, block }) => {
            one("fork_start", object(vec![("hash", hash(h)), ("block", number(block))]))
        }
        Ok(Frame::ForkDetected { old, new, block }) => {
            one("fork_detected", object(vec![("old", hash(old)), ("new", hash(new)), ("block", number(block))]))
        }
        Ok(Frame::Checkpoint(cp)) => one(
            "checkpoint",
            object(vec![
                ("form", Some(text(&format!("{:?}", cp.form)))),
                ("block", number(&cp.block)),
                ("hash", hash(&cp.hash)),
                ("fork", hash(&cp.fork)),
                ("matches", cp.matches.map(Json::Bool)),
            ]),
        ),
    }
}

fn shown(json: &Json) -> String {
    String::from_utf8(json.to_canonical()).unwrap()
}

#[test]
fn golden_frames() {
    let fixture = json::parse(include_bytes!("../fixtures/honeycomb.json")).unwrap();
    let Some(Json::Array(cases)) = fixture.get("cases") else { panic!("cases") };
    let mut parser = Parser::new(false);
    for case in cases {
        let Some(Json::Text(frame)) = case.get("frame") else { panic!("frame") };
        let got = describe(&parser.parse(frame.as_bytes()));
        assert_eq!(shown(&got), shown(case.get("expect").unwrap()), "{:?}", case.get("note"));
    }
}

#[test]
fn lenient_takes_an_op_without_type_as_put() {
    let expected = r#"{"data":1,"path":["a"],"type":"put"}"#;
    for frame in [r#"{"path":["a"],"data":1}"#, r#"{"type":"batch","operations":[{"path":["a"],"data":1}]}"#] {
        let Ok(Frame::Ops(ops)) = Parser::new(true).parse(frame.as_bytes()) else { panic!("{frame}") };
        assert_eq!(op::texts(&ops.texts).next(), Some(Ok(expected.as_bytes())));
    }
    assert_eq!(Parser::new(true).parse(br#"{"data":1}"#), Ok(Frame::Unknown));
    assert_eq!(Parser::new(true).parse(br#"{"type":"nope","path":["a"]}"#), Ok(Frame::Unknown));
}

#[test]
fn texts_of_a_run_of_items_are_one_slice() {
    let frame = br#"{"type":"batch","operations":[{"opType":"put","path":["a"],"data":1},"W",{"opType":"put","path":9},
        {"opType":"del","path":["b"]},{"opType":"put","path":["c"],"data":[]}]}"#;
    let Ok(Frame::Ops(ops)) = Parser::new(false).parse(frame) else { panic!("ops") };
    let range = |item: &Item| match &item.what {
        What::Op { text, .. } => Some(text.clone()),
        _ => None,
    };
    let ranges: Vec<_> = ops.items.iter().filter_map(range).collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges.windows(2).all(|w| w[0].end == w[1].start) && ranges[0].start == 0);
    assert_eq!(ranges[2].end, ops.texts.len());
}

#[test]
fn equal_hashes_are_shared() {
    let frame = br#"{"type":"write_marker","forkHash":"QmA","prevCheckpointHash":"QmB"}"#;
    let mut parser = Parser::new(false);
    let mut fork = || match parser.parse(frame) {
        Ok(Frame::Ops(mut ops)) => ops.items.remove(0).fork.unwrap(),
        other => panic!("{other:?}"),
    };
    let (a, b) = (fork(), fork());
    assert!(std::ptr::eq(a.as_str(), b.as_str()));
}

#[test]
fn hostile_sizes_are_bounded() {
    let mut parser = Parser::new(false);
    let many = format!(r#"{{"type":"batch","operations":["W"{}]}}"#, r#","W""#.repeat(MAX_FRAME_ITEMS));
    assert_eq!(parser.parse(many.as_bytes()), Err(Malformed("Too many operations in one frame")));
    for open in ["[", "{\"a\":", "{\"type\":", "{\"data\":", "{\"operations\":[{\"data\":", "{\"path\":["] {
        assert_eq!(parser.parse(open.repeat(1 << 20).as_bytes()), Err(INVALID_FORMAT), "{open}");
    }
    let deep =
        format!(r#"{{"type":"put","path":["a"],"index":1,"data":{}{}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
    let Ok(Frame::Ops(ops)) = parser.parse(deep.as_bytes()) else { panic!("ops") };
    assert_eq!(ops.items[0].what, What::Refused("Operation data nested too deep"));
    let grows = format!(r#"{{"type":"put","path":["a"],"data":[0{}]}}"#, ",1e20".repeat(1 << 18));
    let Ok(Frame::Ops(ops)) = parser.parse(grows.as_bytes()) else { panic!("ops") };
    assert_eq!(ops.items[0].what, What::Refused("Operation too large"));
    let just_fits = format!(r#"{{"type":"put","path":["a"],"data":"{}"}}"#, "x".repeat(op::MAX_TEXT_BYTES - 37));
    let Ok(Frame::Ops(ops)) = parser.parse(just_fits.as_bytes()) else { panic!("ops") };
    assert_eq!(ops.texts.len(), op::PREFIX + op::MAX_TEXT_BYTES);
    let too_long = format!(r#"{{"type":"put","path":["a"],"data":"{}"}}"#, "x".repeat(op::MAX_TEXT_BYTES - 36));
    let Ok(Frame::Ops(ops)) = parser.parse(too_long.as_bytes()) else { panic!("ops") };
    assert_eq!((&ops.items[0].what, ops.texts.len()), (&What::Refused("Operation too large"), 0));
    assert_eq!(parser.parse(b"{\"type\":\"put\",\"path\":[\"\xff\"]}"), Err(INVALID_FORMAT));
}

#[test]
fn golden_replies() {
    let mut acks = String::new();
    reply::op_ack(&mut acks, Some(0));
    reply::op_ack(&mut acks, Some(u64::MAX));
    reply::op_ack(&mut acks, None);
    let got = [
        reply::welcome("node-1", 1760000000000),
        reply::connected("node \"1\"", 1760000000000),
        reply::identify_ack("SPK"),
        acks,
        reply::BARE_ACK.into(),
        reply::sync_status(150),
        reply::request_missing(1, 64),
        reply::error("Invalid message format"),
        reply::error("line\nbreak"),
    ];
    let golden = json::parse(include_bytes!("../fixtures/replies.json")).unwrap();
    let Some(Json::Array(golden)) = golden.get("replies") else { panic!("replies") };
    assert_eq!(got.map(|r| text(&r)).to_vec(), *golden);
}

/// A value with its members and blanks anyhow.
fn spelled() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        r#""""#,
        r#""a""#,
        r#""\u0061""#,
        r#""b\/""#,
        r#""\n""#,
        r#""\ud800""#,
        r#""\ud83d\ude00""#,
        r#""é""#,
        r#""""#,
        r#""\u00e9""#,
        r#""\"""#,
        "\"\u{e000}\"",
    ]);
    let number =
        prop::sample::select(vec!["0", "-0", "1.0", "1e3", "9007199254740993", "0.1", "1e21", "1E-7", "12.50"]);
    let scalar = prop_oneof![text.clone(), number, Just("null"), Just("true")].prop_map(String::from);
    scalar.prop_recursive(4, 40, 5, move |inner| {
        let member = (text.clone(), inner.clone()).prop_map(|(k, v)| format!("{k} : {v}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|v| format!("[ {} ]", v.join(" ,"))),
            prop::collection::vec(member, 0..5).prop_map(|m| format!("{{{}}}", m.join(", "))),
        ]
    })
}

proptest! {
    #[test]
    fn the_text_is_that_of_parsing_and_printing(data in spelled(), indexes in any::<bool>()) {
        let frame = if indexes {
            format!(r#"{{"type":"put","index":1,"data":{data},"path":["p"]}}"#)
        } else {
            format!(r#"{{"operations":[{{"path":["p"],"data":{data},"opType":"put"}}],"type":"batch"}}"#)
        };
        let Ok(Frame::Ops(ops)) = Parser::new(false).parse(frame.as_bytes()) else { panic!("{frame}") };
        let op = Op::Put { path: vec!["p".into()], data: Some(json::parse(data.as_bytes()).unwrap()) };
        let mut expected = Vec::new();
        op.write_text(&mut expected);
        let got = op::texts(&ops.texts).next().unwrap().unwrap();
        prop_assert_eq!(String::from_utf8_lossy(got), String::from_utf8_lossy(&expected));
        prop_assert_eq!(Op::parse_text(got).unwrap(), op);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ignored = Parser::new(true).parse(&bytes);
    }

    #[test]
    fn broken_frames_never_panic(cut in 0..400usize, flip in 0..400usize, to in any::<u8>(), lenient in any::<bool>()) {
        let mut frame = br#"{"type":"batch","operations":[{"index":1,"blockNum":2,"opType":"put","path":["a",5,"\ud83d\ude00"],
            "data":{"b":[1,2.5e3,{"a":null}],"a":"\u00e9"},"forkHash":"QmA"},"W",{"opType":"del","path":"/x/y"}],
            "requestedRange":{"from":1,"to":2},"token":"SPK"}"#.to_vec();
        let at = flip % frame.len();
        frame[at] = to;
        frame.truncate(cut.max(20));
        let mut parser = Parser::new(lenient);
        if let Ok(Frame::Ops(ops)) = parser.parse(&frame) {
            for text in op::texts(&ops.texts) {
                prop_assert!(Op::parse_text(text.unwrap()).is_ok());
            }
        }
    }
}
