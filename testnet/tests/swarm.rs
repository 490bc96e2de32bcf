//! The simulated swarm: every scenario with many seeds. `HONEYGRAPH_SWARM_SEEDS` and `HONEYGRAPH_SWARM_FIRST` say how many
//! and which; a failure names scenario and seed, which repeat it.

use honeygraph::swarm::peers::Offence;
use honeygraph_testnet::swarm::peer::Lie;
use honeygraph_testnet::swarm::{Outcome, Scenario, run};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn runs(scenario: Scenario) -> Vec<Outcome> {
    let (first, seeds) = (number("HONEYGRAPH_SWARM_FIRST", 0), number("HONEYGRAPH_SWARM_SEEDS", 6));
    let outcomes: Result<Vec<Outcome>, String> = (first..first + seeds).map(|seed| run(scenario, seed)).collect();
    outcomes.unwrap_or_else(|broken| panic!("{broken}"))
}

fn penalties(outcomes: &[Outcome], offence: Offence) -> u64 {
    outcomes.iter().filter_map(|outcome| outcome.penalties.get(&offence)).sum()
}

#[test]
fn catch_up() {
    let outcomes = runs(Scenario::CatchUp);
    assert!(outcomes.iter().map(|outcome| outcome.deaths).sum::<u64>() > 0, "nobody died: the faults do nothing");
}

#[test]
fn newcomer() {
    runs(Scenario::Newcomer);
}

#[test]
fn slow_peer() {
    runs(Scenario::SlowPeer);
}

#[test]
fn silent_peer() {
    runs(Scenario::SilentPeer);
}

#[test]
fn equivocator() {
    runs(Scenario::Equivocator);
}

#[test]
fn two_nodes_one_account() {
    runs(Scenario::TwoNodesOneAccount);
}

#[test]
fn sybil() {
    runs(Scenario::Sybil);
}

#[test]
fn eclipse() {
    runs(Scenario::Eclipse);
}

#[test]
fn partition_rejoin() {
    let outcomes = runs(Scenario::PartitionRejoin);
    assert!(outcomes.iter().all(|outcome| outcome.alarms > 0), "the minority hears of it");
}

#[test]
fn liars() {
    for lie in Lie::ALL {
        let outcomes = runs(Scenario::Liar(lie));
        let offences = match lie {
            Lie::Bodies => &[Offence::BodyFalse][..],
            Lie::Headers => &[Offence::HeadersBroken],
            Lie::FakeChain => &[Offence::HeaderFalse],
            Lie::Truncated => &[Offence::Undecodable],
            Lie::Replayed => &[Offence::NotAnAnswer, Offence::HeadersBroken, Offence::BodyFalse],
            Lie::OtherNetwork => &[Offence::HeadersBroken],
            Lie::Oversize => &[Offence::Oversize],
        };
        let paid: u64 = offences.iter().map(|offence| penalties(&outcomes, *offence)).sum();
        assert!(paid > 0, "{lie:?}: nobody paid in any run");
    }
}

#[test]
fn equal_seeds_give_equal_traces() {
    for scenario in Scenario::all() {
        let (one, two) = (run(scenario, 7), run(scenario, 7));
        assert_eq!(one, two, "{scenario:?}");
        assert_ne!(one.map(|outcome| outcome.trace), run(scenario, 8).map(|outcome| outcome.trace), "{scenario:?}");
    }
}
