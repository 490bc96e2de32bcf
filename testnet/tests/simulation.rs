//! The simulation, seed by seed: every invariant of `testnet/src/sim/invariants` over hundreds of histories with faults.
//!
//! `HONEYGRAPH_SIM_SEED=x` replays one seed, `HONEYGRAPH_SIM_SEEDS=n` runs n of them in all; `docs/testnet.md`.

use honeygraph_testnet::sim::{Outcome, run};

/// Seeds in all unless the environment says otherwise, and in a long run.
const SEEDS: u64 = 240;
const SOAK: u64 = 20_000;
/// Events shown of a seed that fails; of one that is replayed all.
const EVENTS: usize = 60;
/// Test functions that share them, so that they run side by side.
const SHARES: u64 = 6;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs every seed of a share; all that fail are named, the first few with what led to it.
fn share(nth: u64) {
    let soak = std::env::var_os("HONEYGRAPH_SOAK").is_some();
    let seeds = number("HONEYGRAPH_SIM_SEEDS").unwrap_or(if soak { SOAK } else { SEEDS });
    let seeds: Vec<u64> = match number("HONEYGRAPH_SIM_SEED") {
        Some(seed) if seed % SHARES == nth => vec![seed],
        Some(_) => Vec::new(),
        None => (nth..seeds).step_by(SHARES as usize).collect(),
    };
    let events = if number("HONEYGRAPH_SIM_SEED").is_some() { usize::MAX } else { EVENTS };
    let mut total = Outcome::default();
    let mut failed = Vec::new();
    for seed in &seeds {
        match run(*seed, events) {
            Ok(outcome) => {
                total.events += outcome.events;
                total.records += outcome.records;
                total.deaths += outcome.deaths;
                total.branches += outcome.branches;
                total.swept += outcome.swept;
                total.asked += outcome.asked;
            }
            Err(what) => failed.push((*seed, what)),
        }
    }
    println!("{} seeds: {total:?}", seeds.len());
    for (_, what) in failed.iter().take(if number("HONEYGRAPH_SIM_ALL").is_some() { 1000 } else { 2 }) {
        println!("{what}");
    }
    let names: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    let last = failed.first().and_then(|(_, what)| what.lines().find(|line| line.starts_with("seed")));
    assert!(names.is_empty(), "seeds {names:?} fail; HONEYGRAPH_SIM_SEED={} replays the first: {last:?}", names[0]);
}

#[test]
fn seeds_0() {
    share(0);
}

#[test]
fn seeds_1() {
    share(1);
}

#[test]
fn seeds_2() {
    share(2);
}

#[test]
fn seeds_3() {
    share(3);
}

#[test]
fn seeds_4() {
    share(4);
}

#[test]
fn seeds_5() {
    share(5);
}

/// What a failing seed shows is what it will show again.
#[test]
fn a_seed_is_its_run() {
    for seed in [1, 6, 11] {
        let (one, other) = (run(seed, EVENTS), run(seed, EVENTS));
        assert_eq!(one, other, "seed {seed}");
    }
    assert_ne!(run(1, 0).map(|outcome| outcome.trace), run(2, 0).map(|outcome| outcome.trace));
}
