//! Scenarios with real processes: a honeycomb feeds the first of several nodes; what is done to them is a script, and in
//! the end every node is what the first is.
//!
//! Liars, slow and silent peers and votes have no program that would play them: those are for the simulated ground, and for
//! `tests/swarm.rs` and `tests/votes.rs`.

use crate::cli::up::order::What::{Damage, Lose, Part, Restart, Wipe};
use crate::cli::up::order::{Order, What};
use crate::cli::up::script::{Step, with};
use crate::cli::up::{self, Mood};

/// A scenario.
struct Local {
    name: &'static str,
    nodes: u16,
    mood: Mood,
    steps: &'static [Step],
}

/// A first stretch, so that there is something to catch up on.
const BEGUN: Step = Step::Acked(8_000);

const ALL: [Local; 10] = [
    Local {
        name: "catch_up",
        nodes: 3,
        mood: Mood::Calm,
        steps: &[BEGUN, Step::Near, with(Part, 3), Step::Acked(30_000), with(Part, 3), Step::Near],
    },
    Local { name: "newcomer", nodes: 3, mood: Mood::Calm, steps: &[BEGUN, Step::Near, with(Wipe, 3), Step::Near] },
    // The third case of a damaged replica: it finds out, makes its state anew, and proves it.
    Local {
        name: "damaged_state",
        nodes: 3,
        mood: Mood::Calm,
        steps: &[BEGUN, Step::Near, with(Damage, 3), BEGUN, with(Damage, 1), BEGUN, Step::Near],
    },
    Local {
        name: "lost_journal",
        nodes: 3,
        mood: Mood::Calm,
        steps: &[BEGUN, Step::Near, with(Lose, 3), BEGUN, Step::Near],
    },
    Local {
        name: "kill_during_sync",
        nodes: 3,
        mood: Mood::Calm,
        steps: &[
            Step::Acked(20_000),
            with(Wipe, 3),
            SOON,
            kill(3),
            SOON,
            kill(3),
            SOON,
            kill(3),
            SOON,
            kill(2),
            Step::Near,
        ],
    },
    Local {
        name: "restarts",
        nodes: 3,
        mood: Mood::Calm,
        steps: &[BEGUN, with(Restart, 1), BEGUN, kill(1), BEGUN, with(Restart, 2), with(Restart, 3), Step::Near],
    },
    Local {
        name: "partition_rejoin",
        nodes: 4,
        mood: Mood::Calm,
        steps: &[
            BEGUN,
            Step::Near,
            with(Part, 3),
            with(Part, 4),
            Step::Do(Order::Fork),
            Step::Forked,
            BEGUN,
            with(Part, 3),
            with(Part, 4),
            Step::Near,
        ],
    },
    Local { name: "fork_switch", nodes: 3, mood: Mood::Twin, steps: &[Step::Forked, BEGUN, Step::Near] },
    Local {
        name: "feed_hops",
        nodes: 3,
        mood: Mood::Calm,
        steps: &[BEGUN, Step::Near, hop(2), BEGUN, hop(3), BEGUN, hop(1), BEGUN, Step::Near],
    },
    Local { name: "flapping_feed", nodes: 2, mood: Mood::Flapping, steps: &[Step::Acked(20_000), Step::Near] },
];

const SOON: Step = Step::Acked(500);

const fn hop(node: usize) -> Step {
    Step::Do(Order::Hop(Some(node)))
}

const fn kill(node: usize) -> Step {
    with(What::Kill, node)
}

/// Their names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|local| local.name)
}

/// Whether all runs came right; none: there is no such scenario.
pub(super) fn run(wanted: &str, seed: u64, seeds: u64) -> Option<bool> {
    let local = ALL.iter().find(|local| local.name == wanted)?;
    let mut well = true;
    for seed in seed..seed.saturating_add(seeds) {
        println!("{wanted}, seed {seed}");
        well &= up::perform(local.nodes, local.mood, seed, local.steps);
    }
    Some(well)
}
