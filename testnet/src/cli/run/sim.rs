//! Scenarios of the simulated swarm.

use honeygraph_testnet::swarm::peer::Lie;
use honeygraph_testnet::swarm::{Scenario, run as play};

/// What a scenario is called: `catch_up`, `liar:fake_chain`.
fn name(scenario: Scenario) -> String {
    match scenario {
        Scenario::CatchUp => "catch_up",
        Scenario::Newcomer => "newcomer",
        Scenario::SlowPeer => "slow_peer",
        Scenario::SilentPeer => "silent_peer",
        Scenario::Equivocator => "equivocator",
        Scenario::TwoNodesOneAccount => "two_nodes_one_account",
        Scenario::Sybil => "sybil",
        Scenario::Eclipse => "eclipse",
        Scenario::PartitionRejoin => "partition_rejoin",
        Scenario::Hour => "hour",
        Scenario::Liar(lie) => match lie {
            Lie::Bodies => "liar:bodies",
            Lie::Headers => "liar:headers",
            Lie::FakeChain => "liar:fake_chain",
            Lie::Truncated => "liar:truncated",
            Lie::Replayed => "liar:replayed",
            Lie::OtherNetwork => "liar:other_network",
            Lie::Oversize => "liar:oversize",
        },
    }
    .to_owned()
}

fn all() -> impl Iterator<Item = Scenario> {
    Scenario::all().into_iter().chain([Scenario::Hour])
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = String> {
    all().map(name)
}

/// Whether all runs came right; none: there is no such scenario. `liar` means all lies.
pub(super) fn run(wanted: &str, seed: u64, seeds: u64) -> Option<bool> {
    let fits = |scenario: &Scenario| name(*scenario).split(':').next() == Some(wanted) || name(*scenario) == wanted;
    let scenarios: Vec<Scenario> = all().filter(fits).collect();
    if scenarios.is_empty() {
        return None;
    }
    let mut well = true;
    for scenario in scenarios {
        let name = name(scenario);
        for seed in seed..seed.saturating_add(seeds) {
            match play(scenario, seed) {
                Ok(outcome) => {
                    let penalties: u64 = outcome.penalties.values().sum();
                    println!(
                        "{name} seed {seed}: right after {} s of virtual time; {} events, {} deaths, {penalties} penalties, {} alarms, trace {}",
                        outcome.healed_ms / 1_000,
                        outcome.events,
                        outcome.deaths,
                        outcome.alarms,
                        outcome.trace[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                    );
                }
                Err(broken) => {
                    println!("{name} seed {seed}: WRONG: {broken}");
                    println!("  honeygraph-testnet run {name} --ground sim --seed {seed}");
                    well = false;
                }
            }
        }
    }
    Some(well)
}
