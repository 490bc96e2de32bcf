//! When the faults are over, every honest node comes to hold the honest history, all of it that is closed.

use super::Broken;
use crate::swarm::cast::{AFTER, BEFORE};
use crate::swarm::peer::Kind;
use crate::swarm::world::World;

/// At the end, and to see whether it is the end.
pub fn check(world: &World) -> Result<(), Broken> {
    let truth = &world.cast.feeds[0];
    for (nth, node) in world.nodes.iter().enumerate() {
        let follows = node.is_honest() && node.kind == Kind::Honest && node.feed.is_none_or(|feed| feed == 0);
        let rejoined = node.is_honest() && world.cast.apart.contains(&nth);
        if !(follows || rejoined) {
            continue;
        }
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
