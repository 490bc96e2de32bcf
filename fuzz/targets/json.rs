//! JSON: parsing, canonical text, printing.
//!
//! Holds: what was read prints to one text, which reads back to an equal value; the way from text to canonical text that
//! builds no value (a put's data, as a feed brings it) ends in the same text; keys stand in the order of UTF-16; nesting
//! stays within its limit; where another reader of JSON takes a text, so do we, and read the same.
//!
//! Planted once: the first of equal keys won, on the way without a value.
#![no_main]

use honeygraph_protocols::honeycomb::{Frame, Parser, What};
use honeygraph_protocols::json::{self, Json, JsonError, MAX_DEPTH, cmp_utf16};
use honeygraph_protocols::op;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::cmp::Ordering;

fuzz_target!(|text: &[u8]| {
    let other = serde_json::from_slice::<Value>(text);
    let value = match json::parse(text) {
        Ok(value) => value,
        Err(error) => {
            assert!(other.is_err(), "another reader takes it, we say {error}");
            return;
        }
    };
    well_formed(&value, 0);
    let canonical = value.to_canonical();
    assert_eq!(json::parse(&canonical).as_ref(), Ok(&value));
    if let Ok(other) = other {
        assert!(same(&value, &other), "another reader reads {other:?}");
    }
    without_a_value(text, &canonical);
});

fn well_formed(value: &Json, depth: usize) {
    match value {
        Json::Array(items) => {
            assert!(depth < MAX_DEPTH);
            items.iter().for_each(|item| well_formed(item, depth + 1));
        }
        Json::Object(members) => {
            assert!(depth < MAX_DEPTH);
            let rising = |pair: &[(json::Text, Json)]| cmp_utf16(pair[0].0.as_bytes(), pair[1].0.as_bytes());
            assert!(members.windows(2).all(|pair| rising(pair) == Ordering::Less));
            for (key, member) in members {
                assert!(key.as_str().is_none_or(|key| value.get(key) == Some(member)));
                well_formed(member, depth + 1);
            }
        }
        Json::Float(float) => assert!(float.is_finite() && (float.fract() != 0.0 || float.abs() >= 2_f64.powi(53))),
        Json::Int(int) => assert!(int.unsigned_abs() < 1 << 53),
        Json::Text(text) => assert_eq!(json::Text::from_wtf8(text.as_bytes()).as_ref(), Some(text)),
        Json::Null | Json::Bool(_) => {}
    }
}

fn same(ours: &Json, other: &Value) -> bool {
    match (ours, other) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(ours), Value::Bool(other)) => ours == other,
        (Json::Int(ours), Value::Number(other)) => other.as_f64() == Some(*ours as f64),
        (Json::Float(ours), Value::Number(other)) => other.as_f64() == Some(*ours),
        (Json::Text(ours), Value::String(other)) => ours.as_bytes() == other.as_bytes(),
        (Json::Array(ours), Value::Array(other)) => {
            ours.len() == other.len() && ours.iter().zip(other).all(|(ours, other)| same(ours, other))
        }
        (Json::Object(ours), Value::Object(other)) => {
            let member = |key: &json::Text| key.as_str().and_then(|key| other.get(key));
            ours.len() == other.len()
                && ours.iter().all(|(key, ours)| member(key).is_some_and(|other| same(ours, other)))
        }
        _ => false,
    }
}

/// The value as the data of a put: it comes out canonical, or is refused for a limit that ops have and values have not.
fn without_a_value(text: &[u8], canonical: &[u8]) {
    let frame = [b"{\"type\":\"put\",\"path\":[\"p\"],\"data\":", text, b"}"].concat();
    let Ok(Frame::Ops(ops)) = Parser::new(false).parse(&frame) else { panic!("no frame around a value") };
    match &ops.items[0].what {
        What::Op { .. } => {
            let expected = [b"{\"data\":", canonical, b",\"path\":[\"p\"],\"type\":\"put\"}"].concat();
            assert_eq!(op::texts(&ops.texts).next(), Some(Ok(&expected[..])));
        }
        What::Refused("Operation data nested too deep") => {
            // One level is the op's own.
            let inside = [b"[", text, b"]"].concat();
            assert!(matches!(json::parse(&inside), Err(JsonError::Depth { .. })));
        }
        What::Refused("Operation path too long" | "Operation too large") => {
            assert!(canonical.len() > op::MAX_TEXT_BYTES / 4 || text.len() > 1 << 13);
        }
        other => panic!("{other:?}"),
    }
}
