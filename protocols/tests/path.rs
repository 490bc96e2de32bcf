//! Path encoding: order, prefixes, inverse; ops and their leaves.

use honeygraph_protocols::json::{self, Json, Number, Text};
use honeygraph_protocols::op::{self, Effect, EffectReader, Op, OpError};
use honeygraph_protocols::path::{self, Segment};
use proptest::prelude::*;
use std::cmp::Ordering;

fn segment() -> impl Strategy<Value = Segment> {
    let bytes = prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), Just(b'a'), 0..0x80u8], 0..4);
    let special = prop_oneof![Just("\u{e000}"), Just("😀"), Just("é"), Just("")];
    prop_oneof![
        bytes.prop_map(|b| Segment::Text(Text::from_wtf8(&b).unwrap())),
        special.prop_map(Segment::from),
        (-3..3i32).prop_map(Segment::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64).prop_map(Segment::Number),
    ]
}

fn paths() -> impl Strategy<Value = Vec<Segment>> {
    prop::collection::vec(segment(), 0..4)
}

fn order(a: &Segment, b: &Segment) -> Ordering {
    match (a, b) {
        (Segment::Number(x), Segment::Number(y)) => x.to_f64().total_cmp(&y.to_f64()),
        (Segment::Number(_), Segment::Text(_)) => Ordering::Less,
        (Segment::Text(_), Segment::Number(_)) => Ordering::Greater,
        (Segment::Text(x), Segment::Text(y)) => x.as_bytes().cmp(y.as_bytes()),
    }
}

fn path_order(a: &[Segment], b: &[Segment]) -> Ordering {
    let first = a.iter().zip(b).map(|(x, y)| order(x, y)).find(|o| o.is_ne());
    first.unwrap_or(a.len().cmp(&b.len()))
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(path in paths()) {
        prop_assert_eq!(path::decode(&path::encode(&path)).unwrap(), path);
    }

    #[test]
    fn bytes_order_as_paths(a in paths(), b in paths()) {
        prop_assert_eq!(path::encode(&a).cmp(&path::encode(&b)), path_order(&a, &b));
    }

    #[test]
    fn byte_prefix_means_path_prefix(a in paths(), b in paths(), below in paths()) {
        let is_prefix = path::encode(&b).starts_with(&path::encode(&a));
        prop_assert_eq!(is_prefix, b.starts_with(&a));
        let joined = [a.clone(), below].concat();
        prop_assert!(path::encode(&joined).starts_with(&path::encode(&a)));
    }

    #[test]
    fn what_decodes_is_what_encodes(bytes in prop::collection::vec(prop_oneof![0..5u8, any::<u8>()], 0..24)) {
        if let Ok(path) = path::decode(&bytes) {
            prop_assert_eq!(path::encode(&path), bytes);
        }
    }

    #[test]
    fn url_form_is_invertible(path in prop::collection::vec("[^\u{0}]{1,4}", 0..4)) {
        let path: Vec<Segment> = path.iter().map(|s| Segment::from(s.as_str())).collect();
        prop_assert_eq!(path::parse_url(&path::display(&path)).unwrap(), path);
    }

    #[test]
    fn url_parsing_never_panics(text in any::<String>()) {
        let _ignored = path::parse_url(&text);
    }

    #[test]
    fn op_text_is_invertible(path in paths(), data in prop::option::of(-5i64..5), put in any::<bool>()) {
        let data = data.map(Json::Int);
        let op = if put || path.is_empty() { Op::Put { path, data } } else { Op::Del { path, data } };
        let mut text = Vec::new();
        op.write_text(&mut text);
        prop_assert_eq!(Op::parse_text(&text).unwrap(), op);
    }
}

/// Encoded path, and the scalar unless it is a del.
type Effects = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The effects of an op, by way of the op itself.
fn plain_effects(op: &Op) -> Effects {
    let mut effects = Vec::new();
    match op {
        Op::Put { .. } => op.leaves(|path, scalar| effects.push((path.to_vec(), Some(scalar.to_vec())))),
        Op::Del { path, .. } => effects.push((path::encode(path), None)),
    }
    effects
}

fn read_effects(text: &[u8]) -> Result<Effects, OpError> {
    let mut effects = Vec::new();
    EffectReader::default().read(text, |effect| match effect {
        Effect::Put(path, scalar) => effects.push((path.to_vec(), Some(scalar.to_vec()))),
        Effect::Del(path) => effects.push((path.to_vec(), None)),
    })?;
    Ok(effects)
}

/// Values whose keys look like the members of an op.
fn data() -> impl Strategy<Value = Json> {
    let text =
        prop::sample::select(vec!["", "path", ",\"path\":[", "],\"type\":\"put\"}", "a\u{0}", "\u{1}", "😀", "\\"]);
    let scalar = prop_oneof![
        text.clone().prop_map(|t| Json::Text(t.into())),
        (-9i64..9).prop_map(Json::Int),
        Just(Json::Null),
        Just(Json::Float(0.5)),
        Just(Json::Bool(false)),
    ];
    scalar.prop_recursive(4, 24, 4, move |inner| {
        let member = (text.clone().prop_map(Text::from), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Json::Array),
            prop::collection::vec(member, 0..4).prop_map(Json::object),
        ]
    })
}

proptest! {
    #[test]
    fn effects_are_those_of_the_op(mut path in paths(), tail in data(), data in prop::option::of(data()), put in any::<bool>()) {
        path.extend(Segment::from_json(tail));
        let op = if put || path.is_empty() { Op::Put { path, data } } else { Op::Del { path, data } };
        let mut text = Vec::new();
        op.write_text(&mut text);
        prop_assert_eq!(read_effects(&text).unwrap(), plain_effects(&op));
    }

    #[test]
    fn damaged_texts_never_panic(at in 0..80usize, to in any::<u8>(), cut in 0..80usize) {
        let mut text = br#"{"data":{"a":[1,{"b":null}],"c":"x"},"path":["p",5,"\u0000"],"type":"put"}"#.to_vec();
        let len = text.len();
        text[at % len] = to;
        let _ignored = read_effects(&text);
        text.truncate(cut);
        prop_assert!(read_effects(&text).is_err() || cut >= len);
        let _ignored = Op::parse_text(&text);
    }
}

#[test]
fn data_may_look_like_an_op() {
    let text = br#"{"data":{"a":1,"path":["x"],"type":"put"},"path":["p"],"type":"del"}"#;
    assert_eq!(read_effects(text), Ok(vec![(path::encode(&["p".into()]), None)]));
    let text = br#"{"data":{"a":1,"path":["x"]},"path":["p"],"type":"put"}"#;
    assert_eq!(read_effects(text).unwrap(), plain_effects(&Op::parse_text(text).unwrap()));
}

#[test]
fn only_numbers_of_ours_decode() {
    let number = |bits: u64| [&[2], bits.to_be_bytes().as_slice()].concat();
    assert!(path::decode(&number(0x8000_0000_0000_0000)).is_ok());
    for (what, bits) in [("-0", 0x7FFF_FFFF_FFFF_FFFF), ("infinity", 0xFFF0 << 48), ("NaN", 0xFFF8 << 48), ("NaN", 0)] {
        assert!(path::decode(&number(bits)).is_err(), "{what}");
    }
}

#[test]
fn texts_of_other_shapes_have_no_effects() {
    for text in [
        &br#"{"data":1,"path":["a"],"type":"put"} "#[..],
        br#"{"data":1,"path":["a"],"type":"W"}"#,
        br#"{"data":1,"path":["a",],"type":"put"}"#,
        br#"{"data":1,"path":[null],"type":"put"}"#,
        br#"{"data":1 2,"path":["a"],"type":"put"}"#,
        br#"{"data":[1},"path":["a"],"type":"put"}"#,
        br#"{"data":,"path":["a"],"type":"put"}"#,
        br#"{"path":["a"],"data":1,"type":"put"}"#,
        b"],\"type\":\"put\"}",
    ] {
        assert!(read_effects(text).is_err(), "{}", String::from_utf8_lossy(text));
    }
    let deep = format!(r#"{{"data":{}{},"path":["a"],"type":"put"}}"#, "[".repeat(129), "]".repeat(129));
    assert!(read_effects(deep.as_bytes()).is_err());
}

/// Found by the fuzz target `root`: behind a blank, an object was a leaf.
#[test]
fn blanks_are_damage() {
    for text in [
        &br#"{"data": {"a":1},"path":["p"],"type":"put"}"#[..],
        br#"{"data":{"a": {"b":1}},"path":["p"],"type":"put"}"#,
        br#"{"data":[1, [2]],"path":["p"],"type":"put"}"#,
        b"{\"data\":\n5,\"path\":[\"p\"],\"type\":\"put\"}",
    ] {
        assert!(matches!(read_effects(text), Err(OpError::Json(_))), "{}", String::from_utf8_lossy(text));
    }
    let state = |text: &str| EffectReader::default().state(text.as_bytes(), |_| {});
    assert!(state(r#"{"a":{"b":1}}"#).is_ok());
    assert!(state(r#"{"a": {"b":1}}"#).is_err() && state(r#"{"a":{"b":1} }"#).is_err());
}

#[test]
fn number_and_text_are_two_keys() {
    assert_ne!(path::encode(&[5.into()]), path::encode(&["5".into()]));
}

#[test]
fn string_paths_are_split() {
    let expected = vec![Segment::from("a"), Segment::from("b")];
    for text in ["/a/b", "a/b", "a//b/", "/a/b/"] {
        assert_eq!(path::from_string(text), expected);
    }
    assert!(path::from_string("/").is_empty());
}

#[test]
fn url_parts() {
    let parse = |text| path::parse_url(text).map(|p| path::display(&p));
    assert_eq!(parse("/a%2Fb/c"), Ok("a%2Fb/c".into()));
    assert_eq!(path::parse_url("a//b").unwrap().len(), 3);
    assert_eq!(parse("%ED%A0%80"), Ok("%ED%A0%80".into()));
    assert!(parse("%F").is_err() && parse("%zz").is_err() && parse("x/%FF").is_err());
}

#[test]
fn only_the_canonical_text_is_an_op() {
    let good = br#"{"data":5,"path":["balances","alice"],"type":"put"}"#;
    assert!(Op::parse_text(good).is_ok());
    assert!(Op::parse_text(br#"{"path":["a",5],"type":"del"}"#).is_ok());
    for text in [
        &br#"{"path":["balances","alice"],"data":5,"type":"put"}"#[..],
        br#"{"data":5.0,"path":["balances"],"type":"put"}"#,
        br#"{"data":5, "path":["balances"],"type":"put"}"#,
        br#"{"data":"\u0041","path":["balances"],"type":"put"}"#,
    ] {
        assert_eq!(Op::parse_text(text), Err(OpError::NotCanonical), "{}", String::from_utf8_lossy(text));
    }
    for text in [
        &br#"{"data":5,"path":"balances","type":"put"}"#[..],
        br#"{"path":[],"type":"del"}"#,
        br#"{"data":5,"path":[null],"type":"put"}"#,
        br#"{"data":5,"path":["a"],"type":"W"}"#,
        br#"{"data":5,"path":["a"],"type":"put","x":1}"#,
        b"[]",
    ] {
        assert_eq!(Op::parse_text(text), Err(OpError::Shape), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn limits_of_paths_hold() {
    let text = |segments: usize, len: usize| {
        let path = vec![Segment::from("x".repeat(len).as_str()); segments];
        let mut text = Vec::new();
        Op::Put { path, data: None }.write_text(&mut text);
        text
    };
    assert!(Op::parse_text(&text(128, 1)).is_ok());
    assert_eq!(Op::parse_text(&text(129, 1)), Err(OpError::Limits));
    assert!(Op::parse_text(&text(1, path::MAX_PATH_BYTES - 2)).is_ok());
    assert_eq!(Op::parse_text(&text(1, path::MAX_PATH_BYTES - 1)), Err(OpError::Limits));
    let long_key = format!(r#"{{"data":{{"{}":1}},"path":[],"type":"put"}}"#, "k".repeat(path::MAX_PATH_BYTES - 1));
    assert_eq!(Op::parse_text(long_key.as_bytes()), Err(OpError::Limits));
}

#[test]
fn leaves_are_those_of_honeycomb() {
    let vectors = json::parse(include_bytes!("../fixtures/pathwise_leaves.json")).unwrap();
    let Some(Json::Array(cases)) = vectors.get("cases") else { panic!("cases") };
    for case in cases {
        let op = [case.get("data").unwrap(), case.get("path").unwrap()]
            .map(|j| String::from_utf8(j.to_canonical()).unwrap());
        let op = Op::parse_text(format!(r#"{{"data":{},"path":{},"type":"put"}}"#, op[0], op[1]).as_bytes()).unwrap();
        let mut leaves = Vec::new();
        op.leaves(|path, value| {
            let path = path::decode(path).unwrap().iter().map(Segment::to_json).collect();
            leaves.push(Json::Array(vec![Json::Array(path), json::parse(value).unwrap()]));
        });
        assert_eq!(Some(&Json::Array(leaves)), case.get("leaves"), "{:?}", case.get("note"));
    }
}

#[test]
fn bodies_are_cut_into_texts() {
    let mut body = Vec::new();
    let all: [&[u8]; 3] = [b"{}", b"", b"abc"];
    all.iter().for_each(|text| op::push_text(text, &mut body));
    assert_eq!(op::texts(&body).collect::<Result<Vec<_>, _>>().unwrap(), all);
    let cut: Vec<_> = op::texts(&body[..body.len() - 1]).collect();
    assert_eq!(cut, [Ok(&b"{}"[..]), Ok(b""), Err(OpError::Body(10))]);
    assert_eq!(op::texts(&[1, 0]).collect::<Vec<_>>(), [Err(OpError::Body(0))]);
}

#[test]
fn encodings_are_golden() {
    let fixture = json::parse(include_bytes!("../fixtures/paths.json")).unwrap();
    let Some(Json::Array(cases)) = fixture.get("cases") else { panic!("cases") };
    let mut before: Option<Vec<u8>> = None;
    for case in cases {
        let (Some(Json::Array(path)), Some(Json::Text(hex))) = (case.get("path"), case.get("hex")) else { panic!() };
        let path: Vec<_> = path.iter().map(|s| Segment::from_json(s.clone()).unwrap()).collect();
        let encoded = path::encode(&path);
        let got: String = encoded.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(Some(got.as_str()), hex.as_str());
        assert!(before.is_none_or(|before| before < encoded), "{path:?}");
        before = Some(encoded);
    }
}
