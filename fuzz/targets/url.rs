//! Paths as a URL and as a string hold them.
//!
//! Holds: a path shown is read back as it was, unless a segment of it is empty; what is shown holds only what a URL may;
//! no segment comes out of the string form empty or with a slash in it.
//!
//! Planted once: a slash within a segment shown as it is.
#![no_main]

use honeygraph_protocols::path::{self, PathError, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let text: &str = text;
    match path::parse_url(text) {
        Ok(path) => shown_holds(&path),
        Err(error) => {
            let PathError::Percent(segment) = error else { panic!("{error}") };
            let inner = text.strip_prefix('/').unwrap_or(text);
            assert!(inner.split('/').nth(segment).is_some_and(|part| part.contains('%')));
        }
    }
    let split = path::from_string(text);
    let parts: Vec<&str> = split.iter().map(segment_text).collect();
    assert!(parts.iter().all(|part| !part.is_empty() && !part.contains('/')));
    assert_eq!(path::from_string(&parts.join("/")), split);
    assert_eq!(parts.concat().len(), text.bytes().filter(|&byte| byte != b'/').count());
    if text.contains('%') {
        shown_holds(&split);
    }
});

fn shown_holds(path: &[Segment]) {
    let shown = path::display(path);
    assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}?#[]".contains(&byte)));
    let empty = |segment: &Segment| matches!(segment, Segment::Text(text) if text.as_bytes().is_empty());
    if path.iter().any(empty) {
        return;
    }
    assert_eq!(path::parse_url(&shown).as_deref(), Ok(path));
    assert_eq!(path::parse_url(&format!("/{shown}/")).as_deref(), Ok(path));
}

fn segment_text(segment: &Segment) -> &str {
    match segment {
        Segment::Text(text) => text.as_str().expect("a part of a str"),
        Segment::Number(number) => panic!("a number out of a text: {number:?}"),
    }
}
