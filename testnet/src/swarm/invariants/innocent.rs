//! No honest peer or account pays, and nobody for being slow or silent.

use super::Broken;
use crate::swarm::world::World;
use honeygraph::swarm::peers::Offence;
use honeygraph_protocols::swarm::votes::Evidence;

/// When a peer pays.
pub fn peer(world: &World, by: usize, peer: usize, offence: Offence, what: &str) -> Result<(), Broken> {
    if matches!(world.nodes[peer].kind, crate::swarm::peer::Kind::Liar(_)) {
        return Ok(());
    }
    let what = format!("node {by} penalises {peer} ({:?}): {} {what}", world.nodes[peer].kind, offence.word());
    Err(Broken::new("innocent", what))
}

/// When an account pays.
pub fn account(world: &World, evidence: &Evidence) -> Result<(), Broken> {
    let of = world.nodes.iter().find(|node| node.key() == evidence.one.peer);
    if of.is_some_and(|node| node.equivocates) {
        return Ok(());
    }
    Err(Broken::new("innocent", format!("evidence against {}", evidence.one.account)))
}
