//! The simulated swarm: an hour of 50 nodes, of which five are fed with ten ops a second, with every fault that the simulation
//! has for the first forty minutes. A hundred times faster than the clock: the run takes no longer than 36 s.
//!
//! `HONEYGRAPH_BENCH_SEED` says which run.

use honeygraph_testnet::measure::{Table, ms, size};
use honeygraph_testnet::swarm::{Scenario, run};
use std::error::Error;
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(36);
const HOUR_MS: u64 = 3_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let outcome = run(Scenario::Hour, size("HONEYGRAPH_BENCH_SEED", 1))?;
    let took = start.elapsed();
    let mut table = Table::new("the simulated swarm: 50 nodes, 10 ops a second, an hour");
    let virtual_time = Duration::from_millis(outcome.healed_ms);
    table.bound("virtual time until all are right", ms(virtual_time), ">= 1 h", outcome.healed_ms >= HOUR_MS);
    table.figure("events, deaths", format!("{}, {}", outcome.events, outcome.deaths));
    table.figure("events a second", format!("{:.0}", outcome.events as f64 / took.as_secs_f64()));
    table.figure("faster than the clock", format!("{:.0} x", virtual_time.as_secs_f64() / took.as_secs_f64()));
    table.bound("time", ms(took), "<= 36 s", took <= BOUND);
    table.finish();
    Ok(())
}
