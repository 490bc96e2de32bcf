//! Who plays in a run: how many honeycombs, which of them differ, what is going to happen to them.
//!
//! *Always holds:* a function of the seed.

use super::chance::Chance;
use super::feeder::Feeder;
use crate::honeycomb::{AfterSave, Config, Fault, Honeycomb};
use honeygraph::fork::machine::Limits;
use honeygraph::fork::rules::Rules;

/// Blocks in a period.
const EVERY: u64 = 10;
/// Periods in a day.
const PERIODS: u64 = 4;
/// Blocks that each honeycomb works on while things go wrong.
pub const BLOCKS: u64 = 75;
/// And after.
pub const BLOCKS_AFTER: u64 = 25;
/// Ops of the stream that faults of the wire may hit: about as many as the blocks give.
const OPS: u64 = 700;
/// The first of them: what a published client writes before its first save is before the base, and has no place that it
/// could be asked for.
const FIRST_OP: u64 = 250;
/// Retention of forks where they are to be retired, ms.
const SHORT_RETENTION: u64 = 20_000;
/// How long a question waits for its answer, ms: the default of a node.
const ANSWER_MS: u64 = 10_000;

/// A run's players and rules.
pub struct Cast {
    /// The honeycombs.
    pub feeders: Vec<Feeder>,
    /// Numbers of the network.
    pub rules: Rules,
    /// Bounds of the nodes' machines.
    pub limits: Limits,
    /// Caches may be trimmed before what was lost has been asked for: not everything heals.
    pub rough: bool,
    /// The operator rolls back now and then.
    pub operator: bool,
    /// Honeycombs die and start again.
    pub restarts: bool,
    /// Everything has to heal. Where ops are lost on the way (a socket or a node dies, a honeycomb starts again) a lane may
    /// be left without a place until the operator or another feed helps; that is never silent, and never a wrong answer.
    pub heals: bool,
    /// Nodes die.
    pub deaths: bool,
    /// Sockets are cut.
    pub cuts: bool,
    /// Nodes.
    pub nodes: usize,
}

impl Cast {
    /// Of a seed. Two nodes; at the first an honest honeycomb, perhaps its twin, perhaps one that differs; at the second
    /// an honest one that may come later.
    pub fn new(seed: u64, chance: &mut Chance) -> Self {
        let mut base = Config::published(seed).small(EVERY, PERIODS);
        if chance.once_in(5) {
            base.after_save = AfterSave::Null;
        }
        let rules = Rules { checkpoint_every: EVERY, root_interval: base.root_interval, root_offset: base.root_offset };
        let retention = if chance.once_in(4) { SHORT_RETENTION } else { u64::MAX };
        let limits = Limits { forks_per_label: 10, fork_retention_ms: retention, answer_ms: ANSWER_MS };
        let rough = chance.once_in(4);
        let losses = !seed.is_multiple_of(3);
        let wire = losses && chance.once_in(2);
        let mut feeders = vec![feeder(&base, 0, wire, chance)];
        if chance.once_in(2) {
            feeders.push(feeder(&base, 0, wire, chance));
        }
        if chance.once_in(2) {
            let period = 2 + chance.below(5);
            let own = if chance.once_in(5) {
                Fault::WrongHash { period }
            } else {
                Fault::Disagree { period, salt: chance.draw() }
            };
            let config = Config { faults: vec![own], ..base.clone() };
            feeders.push(feeder(&config, 0, false, chance));
        }
        let mut other = feeder(&base, 1, wire, chance);
        other.from += chance.below(3) * 2_000;
        feeders.push(other);
        let (operator, restarts) = (chance.once_in(6), losses && chance.once_in(4));
        let (deaths, cuts) = (losses && !chance.once_in(4), losses && chance.once_in(2));
        let heals = !(deaths || cuts || restarts || wire) || everything_heals();
        Self { feeders, rules, limits, rough, operator, restarts, deaths, cuts, heals, nodes: 2 }
    }
}

/// Whether histories with losses have to heal, too (`HONEYGRAPH_SIM_STRICT`).
fn everything_heals() -> bool {
    std::env::var_os("HONEYGRAPH_SIM_STRICT").is_some()
}

fn feeder(base: &Config, node: usize, wire: bool, chance: &mut Chance) -> Feeder {
    let mut config = Config { pace: chance.draw(), ..base.clone() };
    // A socket keeps the order: an index that falls is a rollover or a restart, never two ops that changed places.
    let kinds: [fn(u64) -> Fault; 2] = [|op| Fault::Drop { op }, |op| Fault::Duplicate { op }];
    for kind in kinds.into_iter().filter(|_| wire) {
        if chance.once_in(3) {
            config.faults.push(kind(FIRST_OP + chance.below(OPS)));
        }
    }
    Feeder::new(Honeycomb::new(config).expect("a sound configuration"), node, 0)
}
