//! What the scripted honeycomb sends, byte by byte, and as the node's own parser reads it.

use honeygraph_protocols::batch::Parent;
use honeygraph_protocols::honeycomb::{CheckpointForm, Frame, Framing, Item, Parser, What};
use honeygraph_protocols::op::{push_text, texts};
use honeygraph_testnet::honeycomb::{AfterSave, Config, Honeycomb, Op, Profile};
use std::path::PathBuf;

const PROFILES: [(&str, Profile); 3] =
    [("published", Profile::Published), ("seed", Profile::Seed), ("ideal", Profile::Ideal)];

fn frames(config: Config, blocks: u64) -> (Honeycomb, Vec<String>) {
    let mut honeycomb = Honeycomb::new(config).unwrap();
    let mut frames = honeycomb.hello();
    for _ in 0..blocks {
        honeycomb.step();
        frames.extend(honeycomb.drain().into_iter().filter_map(|sent| sent.text));
    }
    honeycomb.finish();
    frames.extend(honeycomb.drain().into_iter().filter_map(|sent| sent.text));
    (honeycomb, frames)
}

/// The transcripts are the format: whoever changes one changes what every seeded scenario means. `BLESS=1` rewrites.
#[test]
fn transcripts_are_golden() {
    for (name, profile) in PROFILES {
        let mut config = Config { ops_per_block: 1, users: 4, ..Config::new(profile, 7).small(8, 2) };
        config.ops_per_block = 1;
        let (_, frames) = frames(config, 18);
        let text = frames.join("\n") + "\n";
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/honeycomb/{name}.jsonl"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        let differs = golden.lines().zip(text.lines()).position(|(golden, now)| golden != now);
        assert!(golden == text, "{name} differs from its transcript, first at line {:?}", differs.map(|at| at + 1));
    }
}

/// The node's canonical texts are those that honeycomb hashes, and no frame of any dialect is refused.
#[test]
fn the_nodes_parser_reads_what_was_written() {
    for (name, profile) in PROFILES {
        for (strings, after_save) in [(false, AfterSave::Equal), (true, AfterSave::Null)] {
            let config = Config { string_paths: strings, after_save, ..Config::new(profile, 12).small(10, 3) };
            let (honeycomb, frames) = frames(config, 65);
            let mut parser = Parser::new(false);
            let (mut read, mut checkpoints, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
            for frame in &frames {
                match parser.parse(frame.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error:?} in {frame}")) {
                    Frame::Ops(ops) => {
                        assert_eq!(matches!(ops.framing, Framing::Batch { .. }), frame.contains("\"batch\""));
                        assert!(ops.items.iter().all(|item| item.index.is_some()));
                        hashes.extend(ops.items.iter().filter_map(pending_hash));
                        read.extend(texts(&ops.texts).map(|text| String::from_utf8(text.unwrap().to_vec()).unwrap()));
                    }
                    Frame::Checkpoint(checkpoint) => checkpoints.push(checkpoint.form),
                    Frame::Unknown => panic!("{name}: unknown {frame}"),
                    _ => {}
                }
            }
            let truth = honeycomb.truth();
            let written: Vec<_> = truth.batches().flat_map(|batch| batch.ops.iter().map(ToString::to_string)).collect();
            assert_eq!(read, written, "{name}");
            let opened: Vec<_> = truth.periods[1..].iter().map(|period| period.opening.clone().unwrap()).collect();
            assert_eq!(hashes, if profile == Profile::Seed { Vec::new() } else { opened }, "{name}");
            let form = if profile == Profile::Seed { CheckpointForm::Send } else { CheckpointForm::Published };
            assert!(!checkpoints.is_empty() && checkpoints.iter().all(|found| *found == form));
        }
    }
}

fn pending_hash(item: &Item) -> Option<String> {
    match &item.what {
        What::Op { pending_hash, .. } => pending_hash.as_ref().map(|hash| hash.as_str().to_owned()),
        What::Marker => None,
        What::Refused(why) => panic!("an op was refused: {why}"),
    }
}

/// The node's leaves of every op are those of the honeycomb's own state.
#[test]
fn the_nodes_leaves_are_those_of_the_state() {
    let (honeycomb, _) = frames(Config::published(12).small(10, 3), 65);
    for text in honeycomb.truth().batches().flat_map(|batch| &batch.ops) {
        let op = honeygraph_protocols::op::Op::parse_text(text.as_bytes()).unwrap();
        let mut back = Vec::new();
        op.write_text(&mut back);
        assert_eq!(back, text.as_bytes());
        let mut leaves = Vec::new();
        op.leaves(|path, value| leaves.push((path.to_vec(), String::from_utf8(value.to_vec()).unwrap())));
        let mut own = honeygraph_testnet::honeycomb::Leaves::default();
        own.apply(&[Op::parse(text).unwrap()]);
        let own: Vec<_> = own.iter().map(|(path, value)| (encoded(path), value.to_string())).collect();
        leaves.sort();
        assert_eq!(leaves, own, "{text}");
    }
}

fn encoded(path: &[String]) -> Vec<u8> {
    use honeygraph_protocols::path::{Segment, encode};
    encode(&path.iter().map(|segment| Segment::Text(segment.as_str().into())).collect::<Vec<_>>())
}

/// Places and parents of the expected chain are as the design counts them.
#[test]
fn the_expected_chain_counts_ops_and_markers() {
    let (honeycomb, _) = frames(Config::published(12).small(10, 3), 65);
    let truth = honeycomb.truth();
    let chain = truth.chain("spkcc_");
    assert!(chain.len() > 300);
    for pair in chain.windows(2) {
        let (before, after) = (&pair[0].header, &pair[1].header);
        if before.period == after.period {
            assert_eq!(after.seq, before.seq + before.count + 1);
            assert_eq!(after.parent, Parent::Batch(pair[0].id));
        } else {
            assert_eq!((after.seq, &after.parent), (0, &Parent::Period(after.period.clone())));
        }
    }
    assert!(chain.iter().any(|batch| batch.header.count == 0), "empty batches are batches");
    let first = &chain[0];
    let mut body = Vec::new();
    first.ops.iter().for_each(|op| push_text(op.as_bytes(), &mut body));
    assert_eq!(first.header.ops_hash, *blake3::hash(&body).as_bytes());
    let last = truth.periods.len() as u64 - 1;
    assert_eq!(truth.leaves_after(last, usize::MAX).as_ref(), Some(honeycomb.leaves()));
}
