//! Nothing is an anchor but what the honest majority vouches for (or the operator pinned).

use super::Broken;
use crate::swarm::world::World;
use honeygraph_protocols::swarm::status::Checkpoint;

/// When a node takes an anchor.
pub fn check(world: &World, node: usize, checkpoint: &Checkpoint) -> Result<(), Broken> {
    let truth = &world.cast.feeds[0];
    let closes = truth.periods.iter().any(|period| period.header.close_hash == checkpoint.hash);
    if closes { Ok(()) } else { Err(Broken::new("confirmed", format!("node {node}: {checkpoint:?}"))) }
}
