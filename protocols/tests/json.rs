//! Canonical JSON: golden texts made by V8, and properties.

use honeygraph_protocols::json::{self, Json, JsonError, MAX_DEPTH, Number, Text, cmp_utf16};
use proptest::prelude::*;

fn fixture() -> Json {
    json::parse(include_bytes!("../fixtures/json.json")).expect("fixture")
}

fn list<'a>(of: &'a Json, key: &str) -> &'a [Json] {
    let Some(Json::Array(items)) = of.get(key) else { panic!("no list {key}") };
    items
}

fn bytes(of: &Json) -> &[u8] {
    let Json::Text(text) = of else { panic!("no text") };
    text.as_bytes()
}

#[test]
fn prints_as_v8_does() {
    for case in list(&fixture(), "cases") {
        let (input, expected) = (bytes(case.get("in").unwrap()), bytes(case.get("out").unwrap()));
        let printed = json::parse(input).expect("accepted").to_canonical();
        assert_eq!(String::from_utf8_lossy(&printed), String::from_utf8_lossy(expected), "{:?}", case.get("note"));
        let again = json::parse(&printed).expect("own text").to_canonical();
        assert_eq!(again, printed);
    }
}

#[test]
fn refuses_what_v8_refuses() {
    for text in list(&fixture(), "refused") {
        let result = json::parse(bytes(text));
        assert!(matches!(result, Err(JsonError::Syntax { .. })), "{text:?}: {result:?}");
    }
    for text in list(&fixture(), "overflow") {
        assert!(matches!(json::parse(bytes(text)), Err(JsonError::Overflow { .. })), "{text:?}");
    }
    assert!(matches!(json::parse(b"\"\xff\""), Err(JsonError::Syntax { at: 1, .. })));
    assert!(matches!(json::parse(b"\"\xed\xa0\x80\""), Err(JsonError::Syntax { at: 1, .. })));
}

#[test]
fn strings_end_where_they_end() {
    for at in 0..24 {
        for special in 0..=b'"' {
            let mut text = [b"\"".as_slice(), &[b'x'; 24], b"\""].concat();
            text[at + 1] = special;
            let good = matches!(special, b' ' | b'!');
            assert_eq!(json::parse(&text).is_ok(), good, "{special} at {at}");
        }
        let mut text = [b"\"".as_slice(), &[b'x'; 24], b"\""].concat();
        text.splice(at + 1..at + 2, *b"\\\"");
        let expected = ["x".repeat(at), "\"".into(), "x".repeat(23 - at)].concat();
        assert_eq!(json::parse(&text), Ok(Json::Text(expected.as_str().into())));
    }
}

#[test]
fn depth_is_limited() {
    let nested = |n: usize| [b"[".repeat(n), b"]".repeat(n)].concat();
    assert!(json::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(json::parse(&nested(MAX_DEPTH + 1)), Err(JsonError::Depth { at: MAX_DEPTH }));
    assert_eq!(json::parse(&b"[".repeat(1 << 20)), Err(JsonError::Depth { at: MAX_DEPTH }));
    assert_eq!(json::parse(&b"{\"a\":".repeat(1 << 20)), Err(JsonError::Depth { at: MAX_DEPTH * 5 }));
}

#[test]
fn integers_never_pass_through_a_float() {
    assert_eq!(json::parse(b"9007199254740991"), Ok(Json::Int(9007199254740991)));
    assert_eq!(json::parse(b"1e3"), Ok(Json::Int(1000)));
    assert_eq!(json::parse(b"-0.0"), Ok(Json::Int(0)));
    assert_eq!(json::parse(b"9007199254740992"), Ok(Json::Float(9007199254740992.0)));
}

#[test]
fn wtf8_is_checked() {
    for good in [&b"a"[..], b"\xed\xa0\x80", b"\xed\xb0\x80\xed\xa0\x80", b"\xed\xa0\x80x\xed\xb0\x80"] {
        assert!(Text::from_wtf8(good).is_some(), "{good:?}");
    }
    for bad in [&b"\xff"[..], b"\xed\xa0", b"\xed\xa0\x80\xed\xb0\x80", b"\xf0\x80\x80\x80", b"\xc0\x80"] {
        assert!(Text::from_wtf8(bad).is_none(), "{bad:?}");
    }
}

/// Text as UTF-16 units, surrogates alone and paired included.
fn units() -> impl Strategy<Value = Vec<u16>> {
    // Where UTF-8 changes its length, JSON its spelling, and the two orders differ.
    let edges =
        [0, 0x1F, 0x22, 0x41, 0x5C, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0xFFFF];
    let unit = prop_oneof![4 => prop::sample::select(edges.to_vec()), 1 => any::<u16>()];
    prop::collection::vec(unit, 0..6)
}

fn quoted(units: &[u16]) -> String {
    let escapes: String = units.iter().map(|u| format!("\\u{u:04X}")).collect();
    format!("\"{escapes}\"")
}

fn text_of(units: &[u16]) -> Text {
    let Ok(Json::Text(text)) = json::parse(quoted(units).as_bytes()) else { panic!("units are a string") };
    text
}

/// A value; floats made from bits, so that all magnitudes occur.
pub fn value() -> impl Strategy<Value = Json> {
    let number = any::<u64>().prop_filter_map("finite", |bits| Number::from_f64(f64::from_bits(bits)));
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-(1i64 << 53) + 1..1 << 53).prop_map(Json::Int),
        number.prop_map(|n| match n {
            Number::Int(int) => Json::Int(int),
            Number::Float(float) => Json::Float(float),
        }),
        units().prop_map(|u| Json::Text(text_of(&u))),
    ];
    scalar.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            prop::collection::vec((units().prop_map(|u| text_of(&u)), inner), 0..6).prop_map(Json::object),
        ]
    })
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(value in value()) {
        let text = value.to_canonical();
        let back = json::parse(&text).unwrap();
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(back.to_canonical(), text);
    }

    #[test]
    fn keys_are_ordered_by_code_unit(a in units(), b in units()) {
        let (x, y) = (text_of(&a), text_of(&b));
        prop_assert_eq!(cmp_utf16(x.as_bytes(), y.as_bytes()), a.cmp(&b));
    }

    #[test]
    fn plain_text_agrees_with_serde_json(text in any::<String>()) {
        let theirs = serde_json::to_vec(&text).unwrap();
        prop_assert_eq!(Json::Text(text.as_str().into()).to_canonical(), theirs.clone());
        prop_assert_eq!(json::parse(&theirs).unwrap(), Json::Text(text.as_str().into()));
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ignored = json::parse(&bytes);
    }

    #[test]
    fn nothing_json_like_panics(text in r#"[\[\]{}",:\\u0-9a-fdD.eE+\-ntrl ]{0,40}"#) {
        if let Ok(value) = json::parse(text.as_bytes()) {
            let printed = value.to_canonical();
            prop_assert_eq!(json::parse(&printed).unwrap(), value);
        }
    }
}
