//! Never a wrong answer: every closed period of every honest node's head is what one feed wrote, its own or the one that
//! the honest agree on, and histories never mix.

use super::Broken;
use crate::swarm::history::History;
use crate::swarm::world::World;

/// After everything that happens to a core.
pub fn check(world: &World, node: usize) -> Result<(), Broken> {
    let me = &world.nodes[node];
    if !me.is_honest() {
        return Ok(());
    }
    let along = |feed: &History| {
        let pairs = me.core.chain.periods.iter().zip(&feed.periods);
        me.core.chain.periods.len() <= feed.periods.len() && pairs.into_iter().all(|(one, two)| one.ids == two.ids)
    };
    let fits = along(&world.cast.feeds[0]) || me.feed.is_some_and(|feed| along(&world.cast.feeds[feed]));
    if fits { Ok(()) } else { Err(Broken::new("right", format!("node {node} holds what no feed wrote"))) }
}
