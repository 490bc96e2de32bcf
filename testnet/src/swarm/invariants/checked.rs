//! What is supplied to the core is what its header says: looked at once more, from the frames.

use super::Broken;
use honeygraph::swarm::sync::Supply;
use honeygraph_protocols::batch::Parent;
use honeygraph_protocols::op;

/// At every supply.
pub fn check(node: usize, supply: &Supply) -> Result<(), Broken> {
    let broken = |what: &str| Err(Broken::new("checked", format!("node {node}, label {:?}: {what}", supply.label)));
    for batch in &supply.batches {
        let mut body = Vec::new();
        for frame in &batch.frames {
            body.extend(zstd::bulk::decompress(&frame.bytes, 64 << 20).unwrap_or_default());
        }
        if *blake3::hash(&body).as_bytes() != batch.line.ops_hash || op::texts(&body).count() as u64 != batch.line.count
        {
            return broken("a batch whose ops are not those of its line");
        }
    }
    let Some(header) = supply.period.as_ref().filter(|header| header.count as usize == supply.batches.len()) else {
        return Ok(());
    };
    let mut parent = Parent::Period(header.open_hash.clone());
    for batch in &supply.batches {
        let id = batch.line.id(&header.network, &header.open_hash, parent);
        if id != batch.id {
            return broken("a batch whose id is another");
        }
        parent = Parent::Batch(id);
    }
    let last = supply.batches.last().is_some_and(|batch| batch.id == header.last_batch_id);
    if last { Ok(()) } else { broken("a period that ends otherwise") }
}
