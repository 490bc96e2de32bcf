//! Root documents, read: the cut of the document and the leaves of its state.
//!
//! Holds: leaves have paths of ours and scalars that are JSON; written again from them, a document is canonical JSON and
//! stays as it is from then on; one that is as honeycomb writes it comes out as it was.
//!
//! Planted once: members in the order of UTF-8.
#![no_main]

use honeygraph_protocols::document::{Root, root_bytes};
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::op::{Effect, EffectReader, OpError};
use honeygraph_protocols::path;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

type Leaves = BTreeMap<Vec<u8>, Vec<u8>>;

fuzz_target!(|bytes: &[u8]| {
    let Ok(root) = Root::parse(bytes) else { return };
    assert!(bytes.ends_with(&[root.state, b"]"].concat()));
    let Ok(leaves) = leaves(root.state) else { return };
    for (at, scalar) in &leaves {
        let path = path::decode(at).expect("a path of ours");
        assert!(!path.is_empty(), "an object is no leaf");
        let scalar = json::parse(scalar).expect("a scalar is JSON or too large a number");
        assert!(!matches!(scalar, Json::Array(_) | Json::Object(_)));
    }
    let written = root_bytes(root.number, &leaves);
    if as_written(bytes) && !has_inherited_name(root.state) {
        assert_eq!(written.as_deref(), Ok(bytes), "as honeycomb wrote it");
    }
    let Ok(written) = written else { return };
    let again = Root::parse(&written).expect("a document of ours");
    assert_eq!(again.number, root.number);
    let leaves_again = self::leaves(again.state).expect("a state of ours");
    assert_eq!(root_bytes(again.number, leaves_again).as_deref(), Ok(&written[..]));
});

fn leaves(state: &[u8]) -> Result<Leaves, OpError> {
    let mut leaves = Leaves::new();
    let mut too_large = false;
    EffectReader::default().state(state, |effect| match effect {
        Effect::Put(path, scalar) => {
            // Numbers are not read here, so one may be beyond a double; it makes no claim about the rest.
            too_large |= matches!(json::parse(scalar), Err(json::JsonError::Overflow { .. }));
            leaves.insert(path.to_vec(), scalar.to_vec());
        }
        Effect::Del(path) => panic!("a state deletes {path:?}"),
    })?;
    if too_large { Err(OpError::Limits) } else { Ok(leaves) }
}

/// Whether a document is canonical JSON of objects that are not empty, and scalars.
fn as_written(bytes: &[u8]) -> bool {
    fn plain(value: &Json) -> bool {
        match value {
            Json::Array(_) => false,
            Json::Object(members) => !members.is_empty() && members.iter().all(|(_, member)| plain(member)),
            _ => true,
        }
    }
    let Ok(value) = json::parse(bytes) else { return false };
    let whole = matches!(&value, Json::Array(parts) if matches!(&parts[..], [Json::Int(_), state] if plain(state)));
    whole && value.to_canonical() == bytes
}

/// Whether a name that every object of JavaScript has may be among the keys: such a state makes no claim.
fn has_inherited_name(state: &[u8]) -> bool {
    let names: [&[u8]; 12] = [
        b"__defineGetter__",
        b"__defineSetter__",
        b"__lookupGetter__",
        b"__lookupSetter__",
        b"__proto__",
        b"constructor",
        b"hasOwnProperty",
        b"isPrototypeOf",
        b"propertyIsEnumerable",
        b"toLocaleString",
        b"toString",
        b"valueOf",
    ];
    names.iter().any(|name| state.windows(name.len()).any(|window| window == *name))
}
