//! Whether a period that peers gave is the one that its closing hash names: the delta document is made again from its
//! batches and the checkpoints before it, and its CID compared.
//!
//! *Always holds:* what cannot be told here (a root, a label or a root before it that nobody knows) is [`Verdict::Unknown`],
//! never a difference.

use super::sync::Verdict;
use super::sync::check::Checked;
use crate::fork::rules::Rules;
use crate::journal::Frame;
use honeygraph_protocols::document::{CidV0, DeltaWriter, Link};
use honeygraph_protocols::op;
use honeygraph_protocols::swarm::blocks::{CloseKind, Header};
use honeygraph_protocols::swarm::status::Checkpoint;

/// What a delta says beside its ops: the deltas since the day's root, that root, and the one before it.
struct Day {
    chain: Vec<Link>,
    root: String,
    prev_root: Option<String>,
}

/// The verdict on a closed period. `walk`: opening checkpoints of it and of the periods before it, newest first.
pub fn verdict(rules: Rules, header: &Header, batches: &[Checked], walk: &[Checkpoint]) -> Verdict {
    let label = header.label.map(|label| label.get());
    let Some(label) = label.filter(|label| header.close_kind == CloseKind::Delta && !rules.has_second_run(*label))
    else {
        return Verdict::Unknown;
    };
    let Some(day) = day(rules, walk) else { return Verdict::Unknown };
    let mut cid = CidV0::default();
    let number = label + rules.checkpoint_every + 1;
    let mut writer = DeltaWriter::new(number, &day.chain, |piece: &[u8]| cid.push(piece));
    for batch in batches {
        for frame in &batch.frames {
            // It was looked at when it was checked.
            let Ok(body) = Frame::new(&frame.bytes).unpack() else { return Verdict::Unknown };
            for text in op::texts(&body) {
                let Ok(text) = text else { return Verdict::Unknown };
                writer.op(text);
            }
        }
        if batch.line.marker {
            writer.marker();
        }
    }
    writer.finish(day.prev_root.as_deref().unwrap_or_default(), &day.root);
    match cid.finish() == header.close_hash.as_str() {
        true => Verdict::Holds,
        false if day.prev_root.is_none() => Verdict::Unknown,
        false => Verdict::Differs,
    }
}

fn day(rules: Rules, walk: &[Checkpoint]) -> Option<Day> {
    let (mut chain, mut root, mut prev_root) = (Vec::new(), None, None);
    for (nth, opening) in walk.iter().enumerate() {
        let before = walk.get(nth + 1);
        // Where the walk ends it is not known what closed the period before.
        let Some(before) = before else { break };
        let of_root = rules.has_second_run(before.label?.get());
        let hash = opening.hash.to_string();
        match (of_root, &root) {
            (true, Some(_)) => {
                prev_root = Some(hash);
                break;
            }
            (true, None) => root = Some(hash),
            (false, Some(_)) => {}
            (false, None) => chain.push(Link { hash, hive_block: opening.label?.get() }),
        }
        if before.hash.as_str().starts_with("genesis:") {
            prev_root = Some(String::new());
            break;
        }
    }
    chain.reverse();
    Some(Day { chain, root: root?, prev_root })
}
