//! Swarm: what is answered of a chain: headers of periods, lines, batches.
//!
//! Holds: what every message holds; a header's id does not depend on what a node may not have heard; places and counts
//! cannot overflow where they are added; no batch holds more than its line says.
//!
//! Planted once: frames that hold more ops than their batch.
#![no_main]

use honeygraph_fuzz::message;
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::swarm::blocks::{
    Answer, Batch, CloseKind, Header, Line, MAX_BATCHES, MAX_FRAMES, MAX_HEADERS, MAX_LINES, MAX_PERIOD_BATCHES,
    MAX_PERIOD_OPS,
};
use honeygraph_protocols::swarm::names::NetworkName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match message::<Answer>(bytes) {
        Some(Answer::Headers(headers)) => {
            assert!(headers.len() <= MAX_HEADERS);
            headers.iter().for_each(header_holds);
        }
        Some(Answer::Lines(lines)) => {
            assert!(lines.len() <= MAX_LINES);
            lines.iter().for_each(line_holds);
        }
        Some(Answer::Batches(batches)) => {
            assert!(batches.len() <= MAX_BATCHES);
            batches.iter().for_each(batch_holds);
        }
        Some(Answer::NotHeld | Answer::Busy(_)) | None => {}
    }
});

fn header_holds(header: &Header) {
    assert!((1..=MAX_PERIOD_BATCHES).contains(&header.count) && header.ops <= MAX_PERIOD_OPS);
    assert!(header.open_hash != header.close_hash && header.prev.as_ref() != Some(&header.open_hash));
    let unheard = Header { label: None, prev: None, close_kind: CloseKind::Root, ..header.clone() };
    assert_eq!(unheard.id(), header.id());
    let fewer = Header { count: header.count - 1, ..header.clone() };
    assert!(fewer.id() != header.id());
}

fn line_holds(line: &Line) {
    assert!(line.count <= MAX_PERIOD_OPS && line.end() > line.seq || line.end() == line.seq && !line.marker);
    let network = NetworkName::new("spkcc_").expect("a name");
    let parent = || Parent::Batch(BatchId::from_digest(line.ops_hash));
    let hash = honeygraph_protocols::honeycomb::HashText::new("Qm").expect("a hash");
    let unheard = Line { label: None, marker: !line.marker, ..line.clone() };
    assert_eq!(unheard.id(&network, &hash, parent()), line.id(&network, &hash, parent()));
}

fn batch_holds(batch: &Batch) {
    line_holds(&batch.line);
    assert!(batch.frames.len() <= MAX_FRAMES);
    assert!(batch.frames.iter().map(|frame| u64::from(frame.count)).sum::<u64>() <= batch.line.count);
    assert!(!batch.more || !batch.frames.is_empty());
}
