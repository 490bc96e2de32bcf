//! Names that travel, and block numbers.
//!
//! Holds: a text is taken exactly if it fits the rule, written here once more; it makes no difference whether it is made
//! here or comes in a message; what was taken travels unchanged.
//!
//! Planted once: names of networks of 33 bytes.
#![no_main]

use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName, Software};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Some(number) = bytes.first_chunk() {
        label_holds(u64::from_le_bytes(*number));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let of = |others: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.as_bytes().contains(&byte));
    let begins = text.bytes().next().unwrap_or(0);
    let network = (2..=32).contains(&text.len()) && of("_-") && text.ends_with('_') && !b"_-".contains(&begins);
    let lower = text == text.to_ascii_lowercase();
    let account = (3..=16).contains(&text.len()) && of(".-") && lower && begins.is_ascii_alphabetic();
    let software = text.len() <= 64 && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let value = Value::from(text);
    let sent = postcard::to_stdvec(text).expect("a text can be sent");

    assert_eq!(NetworkName::new(text).map(|name| name.as_str().to_owned()), network.then(|| text.to_owned()));
    assert_eq!(serde_json::from_value(value.clone()).ok(), NetworkName::new(text));
    assert_eq!(postcard::from_bytes(&sent).ok(), NetworkName::new(text));

    assert_eq!(AccountName::new(text).map(|name| name.as_str().to_owned()), account.then(|| text.to_owned()));
    assert_eq!(postcard::from_bytes(&sent).ok(), AccountName::new(text));

    assert_eq!(Software::new(text).map(|name| name.as_str().to_owned()), software.then(|| text.to_owned()));
    assert_eq!(postcard::from_bytes(&sent).ok(), Software::new(text));

    let hash = (1..=128).contains(&text.len());
    assert_eq!(HashText::new(text).map(|hash| hash.as_str().to_owned()), hash.then(|| text.to_owned()));
    assert_eq!(serde_json::from_value(value).ok(), HashText::new(text));
    assert_eq!(postcard::from_bytes(&sent).ok(), HashText::new(text));
});

fn label_holds(number: u64) {
    let label = Label::new(number);
    assert_eq!(label.map(Label::get), (number < 1 << 53).then_some(number));
    let sent = postcard::to_stdvec(&number).expect("a number can be sent");
    assert_eq!(postcard::from_bytes(&sent).ok(), label);
}
