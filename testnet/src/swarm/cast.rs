//! Who plays in a scenario.
//!
//! *Always holds:* a function of scenario and seed.

use super::history::{History, Size};
use super::node::Node;
use super::peer::{Kind, Lie, Lies};
use super::scenario::Scenario;
use super::voter::{Account, Voter};
use honeygraph::swarm::sync::chance::Chance;
use std::collections::BTreeMap;

/// Periods that there are at the start.
pub const BEFORE: usize = 24;
/// Periods that come while the run lasts.
pub const AFTER: usize = 12;
/// Periods after which the histories of a partition part.
const PARTS_AT: usize = BEFORE + 2;

/// How a run goes in time.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// A period lasts so long, ms.
    pub period_ms: u64,
    /// Batches of the open period come in so many steps.
    pub batches: u64,
    /// When everything has to be right, ms.
    pub end_ms: u64,
    /// How often it is said again what somebody vouches for, ms.
    pub says_ms: u64,
    /// Not everybody meets everybody: what is said again goes on from one to the next.
    pub mesh: bool,
}

/// Ten minutes, with short periods: more happens in them.
const SHORT: Course = Course { period_ms: 20_000, batches: 4, end_ms: 600_000, says_ms: 5_000, mesh: false };
/// A real network's hour: a period takes 100 blocks of 3 s, and ten minutes more until everything is right.
const HOUR: Course = Course { period_ms: 300_000, batches: 100, end_ms: 4_200_000, says_ms: 40_000, mesh: true };
/// Ops of each batch then: ten a second.
const HOUR_OPS: u64 = 30;
/// Nodes of that hour, those that are fed included.
const HOUR_NODES: usize = 50;
/// How far those whom a node meets stand from it in a ring then: eight neighbours, as in a mesh of gossip.
const HOUR_MEETS: [usize; 4] = [1, 2, 5, 13];

/// The players.
pub struct Cast {
    /// How the run goes in time.
    pub course: Course,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the feeds say: the first is what honest honeycombs agree on.
    pub feeds: Vec<History>,
    /// Accounts of the electorate.
    pub electorate: BTreeMap<String, Account>,
    /// Bound accounts outside of it.
    pub strangers: Vec<Account>,
    /// Nodes of the other half, while there is a partition.
    pub apart: Vec<usize>,
    /// A newcomer trusts the newest checkpoint there is at the start and at the end.
    pub pins: bool,
    /// A node that meets only these until the faults end.
    pub eclipsed: Option<(usize, Vec<usize>)>,
}

impl Cast {
    /// The players of a scenario.
    pub fn new(scenario: Scenario, chance: &mut Chance) -> Self {
        let periods = (BEFORE + AFTER) as u64;
        let (course, size) = match scenario {
            Scenario::Hour => (HOUR, Size { periods, batches: HOUR.batches, ops: HOUR_OPS }),
            _ => (SHORT, Size { periods, batches: 2 + chance.below(3), ops: 1 + chance.below(4) }),
        };
        let truth = History::new("spkcc_", size, 1 + chance.below(1_000));
        let mut cast = Self {
            course,
            nodes: Vec::new(),
            feeds: vec![truth],
            electorate: BTreeMap::new(),
            strangers: Vec::new(),
            apart: Vec::new(),
            pins: false,
            eclipsed: None,
        };
        for name in ["alice", "bobby", "carol"] {
            cast.fed(name, 0, 0);
        }
        cast.play(scenario, size, chance);
        cast.meet(scenario);
        cast
    }

    /// Who else plays, beside three fed nodes.
    fn play(&mut self, scenario: Scenario, size: Size, chance: &mut Chance) {
        let cast = self;
        let truth = cast.feeds[0].clone();
        let none = truth.first(0);
        match scenario {
            Scenario::CatchUp => {
                cast.follower(Kind::Honest, &truth.first(BEFORE / 3));
                cast.follower(Kind::Honest, &truth.first(BEFORE / 2));
                cast.follower(Kind::Honest, &none);
            }
            Scenario::Newcomer => {
                cast.electorate.clear();
                cast.pins = true;
                cast.follower(Kind::Honest, &none);
            }
            Scenario::Liar(lie) => {
                cast.follower(Kind::Honest, &none);
                cast.follower(Kind::Honest, &truth.first(BEFORE / 2));
                let fake = truth.forked(3 + chance.below(BEFORE as u64 / 2) as usize, size, 5_000_000);
                cast.liar(lie, &truth, &fake);
                cast.liar(lie, &truth, &fake);
            }
            Scenario::SlowPeer => {
                cast.nodes[0].kind = Kind::Slow;
                cast.follower(Kind::Honest, &none);
            }
            Scenario::SilentPeer => {
                cast.nodes[0].kind = Kind::Silent;
                cast.follower(Kind::Silent, &none);
                cast.follower(Kind::Honest, &none);
            }
            Scenario::Equivocator => {
                cast.fed("david", 0, 0);
                cast.nodes[3].equivocates = true;
                cast.follower(Kind::Honest, &none);
            }
            Scenario::TwoNodesOneAccount => {
                cast.feeds.push(truth.forked(PARTS_AT, size, 7_000_000));
                cast.fed("alice", 1, 1);
                cast.fed("david", 0, 0);
                cast.follower(Kind::Honest, &none);
            }
            Scenario::Sybil => {
                let fake = truth.forked(BEFORE / 2, size, 5_000_000);
                (0..24).for_each(|_| cast.liar(Lie::FakeChain, &truth, &fake));
                cast.strangers = (0..24).map(|nth| Account::new(&format!("sybil{nth}"))).collect();
                cast.follower(Kind::Honest, &truth.first(BEFORE / 2));
            }
            Scenario::Eclipse => {
                let fake = truth.forked(2, size, 5_000_000);
                cast.liar(Lie::FakeChain, &truth, &fake);
                cast.liar(Lie::FakeChain, &truth, &fake);
                cast.follower(Kind::Honest, &none);
                let victim = cast.nodes.len() - 1;
                cast.eclipsed = Some((victim, vec![victim - 2, victim - 1]));
            }
            Scenario::PartitionRejoin => {
                cast.feeds.push(truth.forked(PARTS_AT, size, 7_000_000));
                cast.fed("david", 1, 0);
                cast.follower(Kind::Honest, &truth.first(BEFORE));
                cast.apart = vec![3, 4];
            }
            Scenario::Hour => {
                ["david", "erica"].iter().for_each(|name| cast.fed(name, 0, 0));
                for nth in cast.nodes.len()..HOUR_NODES {
                    cast.follower(Kind::Honest, &truth.first(BEFORE * (nth % 4) / 3));
                }
            }
        }
    }

    fn fed(&mut self, name: &str, feed: usize, nth: u32) {
        let account = Account::new(name);
        self.electorate.insert(name.into(), account.clone());
        let chain = self.feeds[feed].first(BEFORE);
        self.nodes.push(Node::new(account.voter(nth), Some(account), Kind::Honest, Some(feed), chain));
    }

    fn follower(&mut self, kind: Kind, chain: &History) {
        let voter = Voter::new(&format!("follower {}", self.nodes.len()));
        self.nodes.push(Node::new(voter, None, kind, None, chain.clone()));
    }

    fn liar(&mut self, lie: Lie, truth: &History, fake: &History) {
        let voter = Voter::new(&format!("liar {}", self.nodes.len()));
        let mut node = Node::new(voter, None, Kind::Liar(lie), None, truth.clone());
        node.lies = Lies::new(fake.clone());
        self.nodes.push(node);
    }

    fn meet(&mut self, scenario: Scenario) {
        let all = self.nodes.len();
        for nth in 0..all {
            let apart = |other: usize| nth.abs_diff(other).min(all - nth.abs_diff(other));
            let meets =
                |other: &usize| *other != nth && (scenario != Scenario::Hour || HOUR_MEETS.contains(&apart(*other)));
            self.nodes[nth].meets = (0..all).filter(meets).collect();
        }
        if let Some((victim, captors)) = &self.eclipsed {
            for nth in 0..all {
                let cut = nth != *victim && !captors.contains(&nth);
                if cut {
                    self.nodes[nth].meets.remove(victim);
                    self.nodes[*victim].meets.remove(&nth);
                }
            }
        }
    }
}
