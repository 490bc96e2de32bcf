//! When the faults are over, every honest node comes to hold the honest history, all of it that is closed.

use super::Broken;
use crate::swarm::cast::{AFTER, BEFORE};
use crate::swarm::node::Node;
use crate::swarm::peer::Kind;
use crate::swarm::world::World;

/// At the end, and to see whether it is the end.
pub fn check(world: &World) -> Result<(), Broken> {
    let truth = &world.cast.feeds[0];
    let heals = |(nth, node): &(usize, &Node)| {
        let follows = node.kind == Kind::Honest && node.feed.is_none_or(|feed| feed == 0);
        node.is_honest() && (follows || world.cast.apart.contains(nth))
    };
    let healing: Vec<(usize, &Node)> = world.nodes.iter().enumerate().filter(heals).collect();
    // Who holds too little is seen at once; only when nobody does all of it is compared.
    let short = healing.iter().position(|(_, node)| node.core.chain.periods.len() < BEFORE + AFTER);
    for (nth, node) in healing.iter().skip(short.unwrap_or(0)) {
        let (held, all) = (&node.core.chain.periods, &truth.periods);
        let right = held.iter().zip(all).take_while(|(one, two)| one.ids == two.ids).count();
        if held.len() < BEFORE + AFTER || right < held.len() {
            let progress = node.planner.progress(world.now);
            let (len, of) = (held.len(), all.len());
            let what = format!("node {nth} holds {len} periods, {right} of them right, of {of}: {progress:?}");
            return Err(Broken::new("healed", what));
        }
    }
    Ok(())
}
