//! One write and its canonical text, as honeycomb's `stringify` prints it.

use serde_json::Value;
use std::fmt::Write;

/// A write on the state tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Segments from the root.
    pub path: Vec<String>,
    /// The value put; `None` deletes the subtree.
    pub data: Option<Value>,
}

impl Op {
    /// A put.
    pub fn put<S: Into<String>>(path: impl IntoIterator<Item = S>, data: impl Into<Value>) -> Self {
        Self { path: path.into_iter().map(Into::into).collect(), data: Some(data.into()) }
    }

    /// A del.
    pub fn del<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self { path: path.into_iter().map(Into::into).collect(), data: None }
    }

    /// Reads a canonical text back.
    pub fn parse(text: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        let segments = value.get("path")?.as_array()?.iter();
        let path = segments.map(|segment| segment.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        Some(Self { path, data: value.get_mut("data").map(Value::take) })
    }

    /// `{data,path,type}` with sorted keys and no blanks: the string that honeycomb keeps for its checkpoint.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(128);
        text.push('{');
        if let Some(data) = &self.data {
            text.push_str("\"data\":");
            canonical(data, &mut text);
            text.push(',');
        }
        text.push_str("\"path\":");
        path_text(&self.path, &mut text);
        text.push_str(if self.data.is_some() { ",\"type\":\"put\"}" } else { ",\"type\":\"del\"}" });
        text
    }
}

/// A path as a JSON array.
pub(super) fn path_text(path: &[String], into: &mut String) {
    into.push('[');
    for (i, segment) in path.iter().enumerate() {
        if i > 0 {
            into.push(',');
        }
        string(segment, into);
    }
    into.push(']');
}

/// json-stable-stringify for the values written here: keys sorted, no blanks. The script keeps to ASCII keys and to
/// numbers that print alike everywhere, so byte order is key order.
pub(super) fn canonical(value: &Value, into: &mut String) {
    write_value(value, &|members| members.sort_unstable_by_key(|(key, _)| key.as_str()), into);
}

/// A value as it travels: keys in any order but the canonical one, as an object literal has them.
pub(super) fn as_it_travels(value: &Value, into: &mut String) {
    write_value(value, &|members| members.reverse(), into);
}

fn write_value(value: &Value, order: &dyn Fn(&mut Vec<(&String, &Value)>), into: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            order(&mut members);
            into.push('{');
            for (i, (key, member)) in members.into_iter().enumerate() {
                if i > 0 {
                    into.push(',');
                }
                string(key, into);
                into.push(':');
                write_value(member, order, into);
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    into.push(',');
                }
                write_value(item, order, into);
            }
            into.push(']');
        }
        scalar => write!(into, "{scalar}").expect("a String takes everything"),
    }
}

/// A JSON string; serde escapes exactly what `JSON.stringify` does.
pub(super) fn string(text: &str, into: &mut String) {
    into.push_str(&serde_json::to_string(text).expect("a str is always a JSON string"));
}
