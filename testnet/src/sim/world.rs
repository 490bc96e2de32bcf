//! A run: virtual time, and what happens next.
//!
//! *Always holds:* one thing happens at a time, chosen by the seed; nothing is fair to anyone until [`World::heal`].

use super::cast::{BLOCKS, BLOCKS_AFTER, Cast};
use super::chance::Chance;
use super::feeder::{Feeder, Socket};
use super::histories::Histories;
use super::invariants::{self, Broken, Look};
use super::node::{Death, Node};
use super::trace::Trace;
use honeygraph::feed::message::{FeedId, FeedInfo, FromCore, Load, Said, ToCore};
use honeygraph::fork::record;
use honeygraph_protocols::honeycomb::Frame;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::mpsc;

/// Steps after which everything is looked at.
const LOOK_EVERY: u64 = 1_000;
/// Steps after which a run that gets nowhere is a failure; most take a tenth.
const STEPS: u64 = 40_000;
/// Steps after which a run that need not get everywhere has seen enough.
const STEPS_LENIENT: u64 = 6_000;
/// Blocks before a cache is trimmed in which nothing goes wrong: a period's, so that a feed that has just come back has
/// something to say.
const SPARED: u64 = 10;
/// Ops that wait in a honeycomb before it works on the next block.
const QUEUE: usize = 60;
/// Rounds of the end in which nothing may happen before it counts as the end, and rounds in all.
const QUIET: u32 = 4;
const ROUNDS: u32 = 3_000;
/// Virtual time of such a round, ms.
const ROUND_MS: u64 = 1_000;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of everything that happened.
    pub trace: [u8; 32],
    /// Events.
    pub events: u64,
    /// Records decided.
    pub records: u64,
    /// Deaths of nodes.
    pub deaths: u32,
    /// Branches born.
    pub branches: u64,
    /// Rows that the sweep removed.
    pub swept: u64,
    /// Questions that nodes asked.
    pub asked: u64,
}

/// A run.
pub struct World {
    chance: Chance,
    now: u64,
    trace: Trace,
    nodes: Vec<Node>,
    cast: Cast,
    /// Sockets that a honeycomb has given up and its node has not noticed yet.
    orphans: Vec<(usize, Socket)>,
    histories: Histories,
    next_feed: u64,
    swept: u64,
    asked: u64,
}

/// Runs a seed. What is broken is named with the seed and the newest events, so many of them.
pub fn run(seed: u64, events: usize) -> Result<Outcome, String> {
    let mut world = World::new(seed, events);
    let broken = match catch_unwind(AssertUnwindSafe(|| world.play())) {
        Ok(Ok(())) => return Ok(world.outcome()),
        Ok(Err(broken)) => broken.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            format!("panicked: {}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
        }
    };
    Err(format!("newest events of seed {seed}:\n{}seed {seed}: {broken}", world.trace.recent()))
}

impl World {
    fn new(seed: u64, events: usize) -> Self {
        let mut chance = Chance::new(seed);
        let cast = Cast::new(seed, &mut chance);
        let nodes = (0..cast.nodes as u64).map(|nth| Node::new(seed * 2 + nth, cast.rules, cast.limits)).collect();
        Self {
            chance,
            now: 1_000_000,
            trace: Trace::new(events),
            nodes,
            cast,
            orphans: Vec::new(),
            histories: Histories::default(),
            next_feed: 0,
            swept: 0,
            asked: 0,
        }
    }

    fn outcome(&self) -> Outcome {
        let records = self.nodes.iter().map(|node| node.log.len() as u64).sum();
        let births = self.nodes.iter().flat_map(|node| &node.log);
        let branches = births.filter(|(record, _)| matches!(record, record::Record::Branch(_))).count() as u64;
        let deaths = self.nodes.iter().map(|node| node.deaths).sum();
        let (trace, events) = (self.trace.digest(), self.trace.events);
        Outcome { trace, events, records, deaths, branches, swept: self.swept, asked: self.asked }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.trace.note(self.now, what.into());
    }

    fn play(&mut self) -> Result<(), Broken> {
        let faults: Vec<String> = self
            .cast
            .feeders
            .iter()
            .map(|feeder| format!("{}{:?}", feeder.node, feeder.honeycomb.config().faults))
            .collect();
        self.note(format!("cast {faults:?} rough {} operator {}", self.cast.rough, self.cast.operator));
        let last = self.cast.feeders[0].honeycomb.config().first_block + BLOCKS;
        let mut steps = 0;
        while self.cast.feeders.iter().any(|feeder| feeder.honeycomb.block() < last) {
            self.happen(last)?;
            steps += 1;
            if steps % LOOK_EVERY == 0 {
                (0..self.nodes.len()).try_for_each(|node| self.look(node))?;
            }
            if steps > STEPS && self.cast.heals {
                return Err(self.stuck());
            }
            if steps > STEPS_LENIENT && !self.cast.heals {
                break;
            }
        }
        self.heal(last + BLOCKS_AFTER)
    }

    /// A run that gets nowhere: why it waits.
    fn stuck(&self) -> Broken {
        let looks = (0..self.nodes.len()).filter_map(|node| Look::at(node, &self.nodes[node], &self.cast.feeders));
        let told: String = looks.map(|look| invariants::told(&look)).collect();
        let blocks: Vec<u64> = self.cast.feeders.iter().map(|feeder| feeder.honeycomb.block()).collect();
        Broken::new("healed", format!("the run gets nowhere, at blocks {blocks:?}\n{told}"))
    }

    /// One thing happens.
    fn happen(&mut self, last: u64) -> Result<(), Broken> {
        let (node, feeder) = (self.chance.index(self.nodes.len()), self.chance.index(self.cast.feeders.len()));
        self.now += self.chance.below(10);
        match self.chance.below(1000) {
            0..200 => self.work(feeder, last),
            200..400 => self.send(feeder),
            400..620 => self.deliver(feeder)?,
            620..740 => self.flush(node)?,
            740..820 => self.answer(feeder)?,
            820..890 => self.project(node)?,
            890..910 => self.sweep(node)?,
            910..930 => self.now += self.chance.below(500),
            930..936 if self.cast.cuts && self.before_trim(feeder).is_none() => self.disconnect(feeder),
            936..966 => self.connect(feeder),
            966..972 => self.forget_orphan()?,
            972..974 if self.cast.deaths && !self.is_spared(node) => self.die(node, Death::Killed)?,
            974..976 if self.cast.deaths && !self.is_spared(node) => self.die(node, Death::PowerCut)?,
            976..982 if self.cast.deaths && self.is_spared(node) => self.nodes[node].disk.set_free(None),
            976..982 if self.cast.deaths => self.trouble(node),
            982..984 => self.nodes[node].snapshot(),
            984..986 => self.restart(feeder),
            986..988 => self.operate(node)?,
            _ => self.start(node)?,
        }
        self.tick()
    }

    fn tick(&mut self) -> Result<(), Broken> {
        for node in 0..self.nodes.len() {
            let ticked = self.nodes[node].tick(self.now, &mut self.trace);
            ticked.map_err(|what| Broken::new("node", what))?;
        }
        Ok(())
    }

    /// A honeycomb works on a block, unless too much waits, or it would lose what a node may still ask for.
    fn work(&mut self, feeder: usize, last: u64) {
        let honeycomb = &self.cast.feeders[feeder].honeycomb;
        if honeycomb.block() >= last || honeycomb.waiting() > QUEUE {
            return;
        }
        let left = self.before_trim(feeder);
        let trims = left == Some(0) && !self.is_calm(feeder);
        let alone = left.is_some() && honeycomb_is_alone(&self.cast.feeders[feeder], &self.nodes);
        if trims || alone {
            return;
        }
        self.cast.feeders[feeder].honeycomb.step();
    }

    /// Blocks before a honeycomb's cache is trimmed, when it is so near that whatever it has not got rid of might be lost
    /// for good. Then nothing goes wrong for a while, unless not everything has to heal.
    fn before_trim(&self, feeder: usize) -> Option<u64> {
        let honeycomb = &self.cast.feeders[feeder].honeycomb;
        let config = honeycomb.config();
        let at = (honeycomb.block() - config.checkpoint_every - 1) % config.root_interval;
        let left = (config.root_interval - at) % config.root_interval;
        (left <= SPARED && !self.cast.rough).then_some(left)
    }

    /// Whether nothing may go wrong at a node.
    fn is_spared(&self, node: usize) -> bool {
        let mut fed = (0..self.cast.feeders.len()).filter(|feeder| self.cast.feeders[*feeder].node == node);
        fed.any(|feeder| self.before_trim(feeder).is_some())
    }

    /// Whether a honeycomb has nothing left that its node might not have.
    fn is_calm(&self, feeder: usize) -> bool {
        let feeder = &self.cast.feeders[feeder];
        let Some(socket) = &feeder.socket else { return false };
        let wire = feeder.honeycomb.waiting() == 0 && socket.up.is_empty() && socket.down.is_empty();
        let look = Look::at(feeder.node, &self.nodes[feeder.node], &self.cast.feeders);
        wire && look.is_some_and(|look| invariants::calm(&look))
    }

    fn send(&mut self, feeder: usize) {
        let limit = match self.chance.below(4) {
            0 => 1,
            1 => 100,
            _ => 1 + self.chance.index(12),
        };
        if self.cast.feeders[feeder].send(limit) {
            self.note(format!("honeycomb {feeder} closes its socket"));
            self.disconnect(feeder);
        }
    }

    /// The node reads some frames of a honeycomb.
    fn deliver(&mut self, feeder: usize) -> Result<(), Broken> {
        let node = self.cast.feeders[feeder].node;
        for _ in 0..=self.chance.below(3) {
            if self.nodes[node].running.as_ref().is_none_or(|running| running.is_full) {
                break;
            }
            let Some(socket) = &mut self.cast.feeders[feeder].socket else { break };
            let Some(frame) = socket.read() else { break };
            let feed = socket.feed;
            self.take(node, feed, frame)?;
        }
        Ok(())
    }

    /// A frame as the session hands it to the core.
    fn take(&mut self, node: usize, feed: FeedId, frame: Frame) -> Result<(), Broken> {
        let said = match frame {
            Frame::Identify { .. } => {
                self.note(format!("node {node} opens feed {}", feed.0));
                if let Some(running) = &mut self.nodes[node].running {
                    running.links.insert(feed, Default::default());
                }
                let outbox = mpsc::channel(1).0;
                return self.tell(node, ToCore::Open { feed, info: FeedInfo::default(), outbox });
            }
            Frame::SyncStatus { last_index, .. } => Said::SyncStatus { last_index },
            Frame::Checkpoint(checkpoint) => Said::Checkpoint(checkpoint),
            Frame::Ops(ops) => Said::Ops(ops),
            Frame::ForkStart { hash, block } => Said::ForkStart { hash, block },
            Frame::ForkDetected { old, new, block } => Said::ForkDetected { old, new, block },
            _ => return Ok(()),
        };
        let words = match &said {
            Said::Ops(ops) => {
                let index = |at: Option<&honeygraph_protocols::honeycomb::Item>| {
                    at.map(|item| (item.block.unwrap_or(0), item.index.unwrap_or(0)))
                };
                let framing = if ops.items.len() == 1 { "" } else { " batch" };
                format!("{:?}..{:?}{framing}", index(ops.items.first()), index(ops.items.last()))
            }
            Said::SyncStatus { last_index } => format!("sync {last_index}"),
            Said::Checkpoint(message) => {
                format!("checkpoint {:?} {:?}", message.block, message.hash.as_ref().map(|hash| hash.as_str()))
            }
            _ => "other".to_owned(),
        };
        self.note(format!("node {node} feed {} says {words}", feed.0));
        self.tell(node, ToCore::Said(feed, said, Load::default()))
    }

    fn tell(&mut self, node: usize, message: ToCore) -> Result<(), Broken> {
        let told = self.nodes[node].on(self.now, message, &mut self.trace);
        told.map_err(|what| Broken::new("node", what))
    }

    fn flush(&mut self, node: usize) -> Result<(), Broken> {
        if self.nodes[node].flush() {
            return Ok(());
        }
        self.note(format!("node {node}: the journal has failed"));
        self.die(node, Death::Killed)
    }

    /// Messages of the node travel to a honeycomb, which hears some of them.
    fn answer(&mut self, number: usize) -> Result<(), Broken> {
        let feeder = &mut self.cast.feeders[number];
        let node = &mut self.nodes[feeder.node];
        let Some(socket) = &mut feeder.socket else { return Ok(()) };
        if let Some(running) = &mut node.running {
            while let Some(message) = running.say(socket.feed) {
                socket.down.push_back(message);
            }
        }
        for _ in 0..=self.chance.below(20) {
            let Some(message) = self.cast.feeders[number].socket.as_mut().and_then(|socket| socket.down.pop_front())
            else {
                break;
            };
            self.hear(number, message)?;
        }
        Ok(())
    }

    fn hear(&mut self, number: usize, message: FromCore) -> Result<(), Broken> {
        match &message {
            FromCore::Ask { from, to } => {
                self.asked += 1;
                self.note(format!("honeycomb {number} is asked for {from}..={to}"));
            }
            FromCore::Close { reason, .. } => {
                self.note(format!("honeycomb {number} is sent away: {reason}"));
                self.disconnect(number);
            }
            FromCore::Error(why) => self.note(format!("honeycomb {number} is told {why}")),
            FromCore::SyncStatus { last_index, .. } => {
                self.note(format!("honeycomb {number} is told {last_index} is durable"));
            }
            FromCore::Acks { .. } => {}
        }
        let feeder = &mut self.cast.feeders[number];
        match feeder.hear(message, &self.nodes[feeder.node]) {
            Err(what) => Err(Broken::new("acked", what)),
            Ok(()) => Ok(()),
        }
    }

    fn project(&mut self, node: usize) -> Result<(), Broken> {
        let most = 1 + self.chance.below(60);
        let broken = |what: String| Broken::new("node", what);
        self.nodes[node].project(most).map_err(broken)?;
        let (commits, syncs) = (self.chance.once_in(2), self.chance.once_in(20));
        let Some(running) = &mut self.nodes[node].running else { return Ok(()) };
        if commits {
            running.state.commit().map_err(|error| broken(error.to_string()))?;
        }
        if syncs {
            running.state.sync().map_err(|error| broken(error.to_string()))?;
        }
        Ok(())
    }

    /// Points are given up, or kept for good, and some rows swept.
    fn sweep(&mut self, number: usize) -> Result<(), Broken> {
        let draw = self.chance.draw();
        let mut chance = Chance::new(draw);
        let Some(running) = &mut self.nodes[number].running else { return Ok(()) };
        let broken = |error: honeygraph::projection::state::StateError| Broken::new("node", error.to_string());
        let snapshot = running.state.reader().snapshot();
        let forks: Vec<_> = snapshot.forks().collect::<Result<_, _>>().map_err(broken)?;
        let tips: Vec<record::Node> =
            forks.iter().filter_map(|fork| fork.tip.as_ref()).map(|tip| tip.batch.node).collect();
        if !tips.is_empty() {
            let tip = tips[chance.index(tips.len())];
            let version = 1 + chance.below(tip.version);
            let point = record::Node { branch: tip.branch, version };
            match chance.below(4) {
                0 if snapshot.batch(point).map_err(broken)?.is_some()
                    && snapshot.readable(point).map_err(broken)? =>
                {
                    running.state.keep(point, true).map_err(broken)?;
                    self.trace.note(self.now, format!("node {number} keeps {point:?}"));
                }
                1 => {
                    let kept = snapshot.kept().map_err(broken)?;
                    if let Some(point) = kept.get(chance.index(kept.len())) {
                        running.state.keep(*point, false).map_err(broken)?;
                        self.trace.note(self.now, format!("node {number} lets {point:?} go"));
                    }
                }
                2 => {
                    running.state.raise_floor(tip.branch, version).map_err(broken)?;
                    self.trace.note(self.now, format!("node {number} raises the floor of {} to {version}", tip.branch));
                }
                _ => {}
            }
        }
        let rows = 1 + chance.index(80);
        let swept = self.nodes[number].running.as_mut().map(|running| running.state.sweep(rows));
        if let Some(swept) = swept {
            self.swept += swept.map_err(broken)?.removed as u64;
        }
        Ok(())
    }

    fn disconnect(&mut self, feeder: usize) {
        let node = self.cast.feeders[feeder].node;
        if let Some(socket) = self.cast.feeders[feeder].disconnect() {
            self.note(format!("feed {} of honeycomb {feeder} is cut", socket.feed.0));
            self.orphans.push((node, socket));
        }
    }

    fn connect(&mut self, feeder: usize) {
        let up = self.nodes[self.cast.feeders[feeder].node].running.is_some();
        let feeder = &mut self.cast.feeders[feeder];
        let started = self.now >= 1_000_000 + feeder.from;
        let old = self.orphans.iter().any(|(node, _)| *node == feeder.node);
        if up && started && feeder.socket.is_none() && !old {
            self.next_feed += 1;
            feeder.connect(FeedId(self.next_feed));
        }
    }

    /// A node reads the rest, or a part of it, of a socket that is dead, and notices.
    fn forget_orphan(&mut self) -> Result<(), Broken> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let at = self.chance.index(self.orphans.len());
        let (node, mut socket) = self.orphans.swap_remove(at);
        for _ in 0..self.chance.index(socket.up.len() + 1) {
            let Some(frame) = socket.read() else { break };
            self.take(node, socket.feed, frame)?;
        }
        self.note(format!("node {node} loses feed {}", socket.feed.0));
        self.tell(node, ToCore::Gone(socket.feed))?;
        if let Some(running) = &mut self.nodes[node].running {
            running.links.remove(&socket.feed);
        }
        Ok(())
    }

    fn die(&mut self, node: usize, death: Death) -> Result<(), Broken> {
        if self.nodes[node].running.is_none() {
            return Ok(());
        }
        self.look(node)?;
        self.note(format!("node {node} dies: {death:?}"));
        self.nodes[node].die(death, &mut self.chance);
        for feeder in self.cast.feeders.iter_mut().filter(|feeder| feeder.node == node) {
            feeder.disconnect();
        }
        self.orphans.retain(|(of, _)| *of != node);
        Ok(())
    }

    fn start(&mut self, number: usize) -> Result<(), Broken> {
        if self.nodes[number].running.is_some() {
            return Ok(());
        }
        self.note(format!("node {number} starts"));
        let node = &mut self.nodes[number];
        node.open(&mut self.chance, self.cast.deaths).map_err(|what| Broken::new("replay", what))?;
        if let Some(look) = Look::at(number, node, &self.cast.feeders) {
            invariants::opened(&look)?;
        }
        node.forget_lost();
        if let Some(look) = Look::at(number, node, &self.cast.feeders) {
            invariants::after_start(&look)?;
        }
        let begun = self.nodes[number].begin(self.now, &mut self.trace);
        begun.map_err(|what| Broken::new("node", what))
    }

    /// The disk of a node is about to fail, or has no room, or has room again.
    fn trouble(&mut self, node: usize) {
        let disk = self.nodes[node].disk.clone();
        let what = match self.chance.below(8) {
            0 => {
                disk.cut_power(1 + self.chance.below(12));
                "the power goes soon"
            }
            1 => {
                disk.fail_sync(1 + self.chance.below(3));
                "a sync is going to fail"
            }
            2 => {
                disk.fail_write(1 + self.chance.below(3));
                "a write is going to fail"
            }
            3 => {
                disk.set_free(Some(self.chance.below(20_000)));
                "the disk is nearly full"
            }
            _ => {
                disk.set_free(None);
                "the disk has room"
            }
        };
        self.note(format!("node {node}: {what}"));
    }

    /// A honeycomb's process dies and starts again. Its cache goes with it: where all is to heal, nothing may be missing.
    fn restart(&mut self, feeder: usize) {
        if !self.cast.restarts || !(self.cast.rough || self.is_calm(feeder)) {
            return;
        }
        let back = self.chance.below(4);
        self.note(format!("honeycomb {feeder} starts again, {back} back"));
        self.cast.feeders[feeder].honeycomb.restart(back);
        self.cast.feeders[feeder].restarted = true;
    }

    /// The operator rolls back, or releases.
    fn operate(&mut self, number: usize) -> Result<(), Broken> {
        if !self.cast.operator {
            return Ok(());
        }
        let back = self.chance.below(30);
        let Some(running) = &self.nodes[number].running else { return Ok(()) };
        let ledger = running.core.ledger();
        let verdict = ledger.verdicts.first().map(|verdict| verdict.id);
        let label = ledger.head.and_then(|head| ledger.tree.entry(head)).and_then(|entry| entry.label);
        self.note(format!("node {number}: the operator, verdict {verdict:?}, head at {label:?}, {back} back"));
        let ordered = self.nodes[number].run(self.now, &mut self.trace, |core, now, _, fx| match (verdict, label) {
            (Some(verdict), _) => drop(core.release(now, verdict, "simulated", fx)),
            (None, Some(label)) => {
                drop(core.rollback(now, &label.saturating_sub(back).to_string(), "simulated", false, fx));
            }
            (None, None) => {}
        });
        ordered.map_err(|what| Broken::new("node", what))
    }

    fn look(&mut self, number: usize) -> Result<(), Broken> {
        self.histories.read_on(&self.cast.feeders);
        let mut dice = Chance::new(self.chance.draw());
        let Some(look) = Look::at(number, &self.nodes[number], &self.cast.feeders) else { return Ok(()) };
        let draw = &mut |length| dice.index(length);
        invariants::always(&look, &mut self.histories, draw)
    }

    /// No more faults: everything on its way arrives, everything that can be asked for is asked for.
    fn heal(&mut self, last: u64) -> Result<(), Broken> {
        self.note("no more faults");
        let (mut quiet, mut finished) = (0, false);
        for _ in 0..ROUNDS {
            let before = self.trace.events;
            self.round(last)?;
            let done = self.cast.feeders.iter().all(|feeder| feeder.honeycomb.block() >= last);
            if done && !std::mem::replace(&mut finished, done) {
                self.cast.feeders.iter_mut().for_each(|feeder| feeder.honeycomb.finish());
            }
            let calm = (0..self.cast.feeders.len()).all(|feeder| self.is_calm(feeder));
            let still = finished && self.trace.events == before && (calm || self.cast.rough || !self.cast.heals);
            quiet = if still { quiet + 1 } else { 0 };
            if quiet > if calm { QUIET } else { 60 } {
                break;
            }
        }
        if !finished {
            // One that waits for its cache to be read in vain: it ends its batch where it is.
            self.cast.feeders.iter_mut().for_each(|feeder| feeder.honeycomb.finish());
            (0..QUIET).try_for_each(|_| self.round(last))?;
        }
        for node in 0..self.nodes.len() {
            self.flush(node)?;
            self.nodes[node].project(u64::MAX).map_err(|what| Broken::new("node", what))?;
            if let Some(running) = &mut self.nodes[node].running {
                running.state.commit().map_err(|error| Broken::new("node", error.to_string()))?;
            }
            self.look(node)?;
        }
        let (nodes, feeders) = (&self.nodes, &self.cast.feeders);
        invariants::at_the_end(nodes, feeders, &self.histories, self.cast.heals && !self.cast.rough)
    }

    /// A second without faults.
    fn round(&mut self, last: u64) -> Result<(), Broken> {
        self.now += ROUND_MS;
        for node in 0..self.nodes.len() {
            self.nodes[node].disk.heal();
            self.start_calmly(node)?;
            self.flush(node)?;
        }
        while !self.orphans.is_empty() {
            self.forget_orphan()?;
        }
        for feeder in 0..self.cast.feeders.len() {
            self.cast.feeders[feeder].from = 0;
            self.connect(feeder);
            self.work(feeder, last);
            loop {
                self.send(feeder);
                let node = &self.nodes[self.cast.feeders[feeder].node];
                let reads = node.running.as_ref().is_some_and(|running| !running.is_full);
                let idle = self.cast.feeders[feeder].socket.as_ref().is_none_or(|socket| socket.up.is_empty());
                if idle || !reads {
                    break;
                }
                self.deliver(feeder)?;
            }
            self.flush(self.cast.feeders[feeder].node)?;
            while {
                self.answer(feeder)?;
                self.cast.feeders[feeder].socket.as_ref().is_some_and(|socket| !socket.down.is_empty())
            } {}
        }
        for node in 0..self.nodes.len() {
            self.flush(node)?;
            self.nodes[node].project(u64::MAX).map_err(|what| Broken::new("node", what))?;
            let verdicts = self.nodes[node].running.as_ref().map_or(0, |running| running.core.ledger().verdicts.len());
            if verdicts > 0 {
                self.operate(node)?;
            }
        }
        self.tick()
    }

    fn start_calmly(&mut self, node: usize) -> Result<(), Broken> {
        if self.nodes[node].disk.is_off() {
            self.die(node, Death::PowerCut)?;
        }
        self.start(node)
    }
}

/// Whether a honeycomb has no socket, or its node is down.
fn honeycomb_is_alone(feeder: &Feeder, nodes: &[Node]) -> bool {
    feeder.socket.is_none() || nodes[feeder.node].running.is_none()
}
