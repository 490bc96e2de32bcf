//! The body of a batch: op texts, each behind its length.
//!
//! Holds: what is cut puts together again to the same bytes; after damage nothing follows, and the damage is where the
//! whole texts end.
//!
//! Planted once: a text that is cut short taken as if it were whole.
#![no_main]

use honeygraph_protocols::op::{self, OpError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut again = Vec::new();
    let mut damaged = None;
    let mut texts = op::texts(body);
    for text in texts.by_ref() {
        assert_eq!(damaged, None, "something follows an error");
        match text {
            Ok(text) => op::push_text(text, &mut again),
            Err(error) => damaged = Some(error),
        }
    }
    assert_eq!(texts.next(), None, "it ends once and for all");
    match damaged {
        None => assert_eq!(again, body),
        Some(error) => {
            assert_eq!(error, OpError::Body(again.len()));
            assert!(body.starts_with(&again) && again.len() < body.len());
        }
    }
});
