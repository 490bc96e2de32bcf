//! The honeycomb itself: works on blocks, writes, saves checkpoints, stamps what it hands to its client.
//!
//! *Always holds:* the same content seed gives the same units at the same places of the same periods, whatever the
//! pace, the faults of the wire and the restarts; the state is the fold of the batches of [`Truth`].

use super::client::{Client, Sent, Stamp, Tracked};
use super::config::{AfterSave, Config, Profile, Start};
use super::dice::Dice;
use super::document::{Ledger, cid_v0, root};
use super::fault::Fault;
use super::leaves::Leaves;
use super::op::Op;
use super::script::{self, Step};
use super::truth::{Batch, Close, Keep, Period, Truth};
use serde_json::{Value, json};
use std::sync::Arc;

/// Milliseconds since 1970 of block 0, and between two blocks.
const TIME_OF_BLOCK_0: u64 = 1_458_835_200_000;
const BLOCK_MILLIS: u64 = 3000;

/// A scripted honeycomb and its client.
pub struct Honeycomb {
    config: Config,
    client: Client,
    truth: Truth,
    leaves: Leaves,
    /// What a replica shows that joined at the first save: without the base and what the first period wrote.
    seen: Leaves,
    /// Next block to work on, and blocks worked on since the start.
    block: u64,
    worked: u64,
    /// Number, label, opening hash of the open period, and units in it.
    period: u64,
    label: u64,
    opening: Option<Arc<str>>,
    place: u64,
    open: Vec<Op>,
    index: u64,
    serial: u64,
    streamed: u64,
    written: u64,
    stamp: Stamp,
    save: Option<Save>,
    ledger: Ledger,
    /// Ops at which a fault is due, and the op that waits for the one it is exchanged with.
    omit: Option<u64>,
    exchange: Option<u64>,
    exchanged: Option<Op>,
    day: Day,
    /// The block that a restarted process begins with: its checkpoint is not saved again.
    resumed: Option<u64>,
}

/// A save on its way, by place in the period.
struct Save {
    root: bool,
    known_at: u64,
    returns_at: u64,
    known: bool,
    /// Made by a restart: writes what the save wrote, but the fields are what the start left.
    again: bool,
}

/// What a restart begins with: the state at the last root.
#[derive(Default)]
struct Day {
    period: u64,
    leaves: Leaves,
    seen: Leaves,
    root: String,
    prev_root: String,
}

fn due(config: &Config, of: impl Fn(&Fault) -> Option<u64>) -> Option<u64> {
    config.faults.iter().find_map(of)
}

impl Honeycomb {
    /// A honeycomb before its first block; an error names what is wrong with the configuration.
    pub fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        let client = Client::new(&config);
        let mut this = Self {
            client,
            truth: Truth::default(),
            leaves: Leaves::default(),
            seen: Leaves::default(),
            block: config.first_block,
            worked: 0,
            period: 0,
            label: 0,
            opening: None,
            place: 0,
            open: Vec::new(),
            index: 0,
            serial: 0,
            streamed: 0,
            written: 0,
            stamp: Stamp::default(),
            save: None,
            ledger: Ledger::default(),
            omit: due(&config, |fault| if let Fault::Omit { op } = fault { Some(*op) } else { None }),
            exchange: due(&config, |fault| if let Fault::Exchange { op } = fault { Some(*op) } else { None }),
            exchanged: None,
            day: Day::default(),
            resumed: Some(config.first_block),
            config,
        };
        this.begin();
        Ok(this)
    }

    fn begin(&mut self) {
        if let Start::Running { accounts } = self.config.start {
            self.leaves.apply(&script::base(&self.config, accounts));
            let document = root(self.block, &self.leaves);
            self.ledger.root = cid_v0(&document);
            self.truth.base = self.leaves.clone();
            self.truth.base_document = Some(document);
            self.label = self.block;
            self.opening = Some(self.ledger.root.as_str().into());
            self.stamp = Stamp { fork: self.opening.clone(), prev: None, block: self.label, time: 0 };
        }
        self.truth.periods.push(Period::new(self.opening.as_deref().map(str::to_owned), self.label));
        self.day = Day { leaves: self.leaves.clone(), root: self.ledger.root.clone(), ..Day::default() };
        if self.config.profile != Profile::Published {
            self.fork_start();
        }
    }

    /// Works on the next block.
    pub fn step(&mut self) {
        let due = |fault: &Fault| match *fault {
            Fault::Restart { blocks, back } if blocks == self.worked => Some(back),
            _ => None,
        };
        if let Some(back) = self.config.faults.iter().find_map(due) {
            self.restart(back);
        }
        let block = self.block;
        self.stamp.time = time(block);
        if self.config.profile == Profile::Seed {
            self.stamp.block = block;
        }
        if block % self.config.checkpoint_every == 1 {
            if self.resumed != Some(block) {
                self.save(block);
            }
            if block > self.config.first_block && script::straggles(&self.config, block - 1) {
                self.marker();
            }
            self.proceed();
        }
        if self.config.is_daily(block) {
            self.account();
        }
        for step in script::of_block(&self.config, self.period, block, self.opening.as_deref()) {
            match step {
                Step::Write(ops) => ops.into_iter().for_each(|op| self.write(op)),
                Step::Marker => self.marker(),
            }
            self.proceed();
        }
        if block % self.config.checkpoint_every == 2 {
            self.know();
        }
        self.block += 1;
        self.worked += 1;
    }

    /// Works on so many blocks.
    pub fn steps(&mut self, blocks: u64) {
        (0..blocks).for_each(|_| self.step());
    }

    /// Ends an open batch, so that everything sent can be acknowledged; works on until the hash of a save is told, so
    /// that everything can get its place.
    pub fn finish(&mut self) {
        while self.save.as_ref().is_some_and(|save| !save.known) {
            self.step();
        }
        if !self.open.is_empty() {
            self.marker();
        }
    }

    fn write(&mut self, op: Op) {
        let text: Arc<str> = op.text().into();
        self.truth.write(self.period, self.place, Some(&text));
        self.place += 1;
        self.ledger.ops.push(text);
        self.say(Some(op.clone()));
        self.open.push(op);
    }

    fn marker(&mut self) {
        self.truth.write(self.period, self.place, None);
        self.place += 1;
        self.ledger.ops.push("W".into());
        self.say(None);
        let batch = std::mem::take(&mut self.open);
        self.fold(self.period, &batch);
    }

    fn fold(&mut self, period: u64, batch: &[Op]) {
        self.leaves.apply(batch);
        if period > 0 {
            self.seen.apply(batch);
        }
    }

    /// Tells the client of it, unless a fault has it otherwise.
    fn say(&mut self, op: Option<Op>) {
        let next = self.streamed + 1;
        if self.omit.is_some_and(|due| next >= due) && op.is_some() {
            self.omit = None;
            return;
        }
        match (op, self.exchanged.take()) {
            (Some(op), None) if self.exchange.is_some_and(|due| next >= due) => self.exchanged = Some(op),
            (Some(op), Some(held)) => {
                self.exchange = None;
                self.track(Some(op), false);
                self.track(Some(held), false);
            }
            (None, Some(held)) => {
                self.track(Some(held), false);
                self.track(None, false);
            }
            (op, None) => self.track(op, false),
        }
    }

    fn track(&mut self, op: Option<Op>, replay: bool) {
        self.serial += u64::from(op.is_some());
        self.written += u64::from(op.is_some() && !replay);
        self.streamed += u64::from(!replay);
        let nth = if replay { 0 } else { self.streamed };
        let tracked = Tracked { serial: self.serial, nth, index: self.index, stamp: self.stamp.clone(), op };
        self.index += 1;
        self.client.track(tracked);
    }

    /// The save of a checkpoint: the index restarts at once, the hash is known later.
    fn save(&mut self, num: u64) {
        if let Some(held) = self.exchanged.take() {
            self.track(Some(held), false);
        }
        self.know();
        self.returned();
        let batch = std::mem::take(&mut self.open);
        self.fold(self.period, &batch);
        let is_root = self.ledger.root.is_empty();
        let document = if is_root { root(num, &self.leaves) } else { self.ledger.delta(num) };
        let cid = cid_v0(&document);
        let lie = Fault::WrongHash { period: self.period + 1 };
        let hash = if self.config.faults.contains(&lie) {
            cid_v0(format!("a lie about {cid}").as_bytes())
        } else {
            cid.clone()
        };
        let close = Close { hash: hash.clone(), cid, root: is_root, document };
        self.truth.roll(self.period, num, close, self.config.keep);
        self.ledger.ops.clear();
        if is_root {
            self.ledger.root.clone_from(&hash);
            self.ledger.chain.clear();
            self.day = Day {
                period: self.period + 1,
                leaves: self.leaves.clone(),
                seen: self.seen.clone(),
                root: hash.clone(),
                prev_root: self.ledger.prev_root.clone(),
            };
        } else {
            self.ledger.chain.push((hash.clone(), num));
        }
        let before = self.opening.replace(hash.into());
        self.period += 1;
        (self.label, self.place, self.index) = (num, 0, 0);
        self.client.open_period(is_root && self.config.trims_at_root);
        self.announce(before.as_deref());
        self.save = Some(self.new_save(is_root, false));
    }

    fn new_save(&self, root: bool, again: bool) -> Save {
        let Config { seed, pace, hash_delay, save_delay, .. } = self.config;
        // With the put of pendingHash its place is content, equal at every honest node; without it only speed.
        let mut of_hash = Dice::new(if self.config.pending_hash { seed } else { pace }, "hash known", self.label);
        let known_at = if of_hash.once_in(3) { 0 } else { of_hash.below(hash_delay + 1) };
        let returns_at = known_at + Dice::new(pace, "save returns", self.label).below(save_delay + 1);
        Save { root, known_at, returns_at, known: false, again }
    }

    /// Lets a save come as far as it may by now.
    fn proceed(&mut self) {
        if self.save.as_ref().is_some_and(|save| !save.known && self.place >= save.known_at) {
            self.know();
        }
        if self.save.as_ref().is_some_and(|save| save.known && self.place >= save.returns_at) {
            self.returned();
        }
    }

    /// The hash of the save is known.
    fn know(&mut self) {
        let Some(save) = self.save.as_mut().filter(|save| !save.known) else { return };
        save.known = true;
        if !save.again {
            let old = std::mem::replace(&mut self.stamp.fork, self.opening.clone());
            self.stamp.prev = old.or(self.stamp.prev.take());
            self.stamp.block = match (self.config.profile, self.config.after_save) {
                (Profile::Seed, _) => self.stamp.block,
                (_, AfterSave::Right) => self.label,
                _ => self.label + 1,
            };
        }
        if self.config.pending_hash
            && let Some(hash) = self.opening.as_deref()
        {
            self.write(Op::put(["stats", "pendingHash"], hash));
            self.marker();
        }
    }

    /// The save returns.
    fn returned(&mut self) {
        let Some(save) = self.save.take() else { return };
        if save.again {
            return;
        }
        match self.config.after_save {
            AfterSave::Equal => (self.stamp.prev, self.stamp.block) = (self.stamp.fork.clone(), self.label),
            AfterSave::Null => (self.stamp.fork, self.stamp.prev, self.stamp.block) = (None, None, 0),
            AfterSave::Right => {}
        }
        if save.root && self.config.profile == Profile::Published {
            let mut dice = Dice::new(self.config.pace, "hashless", self.label);
            let hash = self.opening.as_deref().filter(|_| !dice.once_in(self.config.hashless_checkpoint));
            let text = self.checkpoint(hash);
            self.client.say_now(text);
        }
    }

    /// The daily accounting: the index restarts once more, and the next save is a root.
    fn account(&mut self) {
        self.know();
        if !self.ledger.root.is_empty() {
            self.ledger.prev_root = std::mem::take(&mut self.ledger.root);
        }
        if self.config.second_run {
            self.ledger.ops.clear();
            self.index = 0;
        }
    }

    fn announce(&mut self, before: Option<&str>) {
        let hash = self.opening.clone();
        match self.config.profile {
            Profile::Published => {}
            Profile::Seed => {
                let text = json!({ "type": "sendCheckpoint", "blockNum": self.label, "hash": hash.as_deref(), "prevHash": before, "timestamp": time(self.label) });
                self.client.say(text.to_string());
                // The first hash that its twins do not have: it has found out that it is on a history of its own.
                if self
                    .config
                    .faults
                    .iter()
                    .any(|fault| matches!(fault, Fault::Disagree { period, .. } if period + 1 == self.period))
                {
                    let text = json!({ "type": "fork_detected", "oldForkHash": before, "newForkHash": hash.as_deref(), "blockNum": self.label });
                    self.client.say(text.to_string());
                    self.fork_start();
                }
            }
            Profile::Ideal => {
                let text = self.checkpoint(hash.as_deref());
                self.client.say(text);
                self.fork_start();
            }
        }
    }

    fn checkpoint(&self, hash: Option<&str>) -> String {
        let mut message = json!({ "type": "checkpoint", "blockNum": self.label, "timestamp": time(self.label), "token": self.config.token });
        if let Some(hash) = hash {
            message["hash"] = hash.into();
        }
        message.to_string()
    }

    fn fork_start(&mut self) {
        let block = if self.label == 0 { self.block } else { self.label };
        let text = json!({ "type": "fork_start", "forkHash": self.opening.as_deref(), "blockNum": block, "timestamp": time(block) });
        self.client.say(text.to_string());
    }

    /// From the next period on it disagrees with those it was like.
    pub fn disagree(&mut self, salt: u64) {
        self.config.faults.push(Fault::Disagree { period: self.period + 1, salt });
    }

    /// The process dies and starts from the checkpoint `back` saves before the newest, but never before the day's root:
    /// it replays the deltas up to there under that one hash, then works on. Nothing resets the index in between.
    pub fn restart(&mut self, back: u64) {
        let target = self.period.saturating_sub(back).max(self.day.period);
        assert!(self.config.keep != Keep::Open, "a restart needs the day's batches");
        self.client.die();
        (self.index, self.save) = (0, None);
        self.open.clear();
        (self.leaves, self.seen) = (self.day.leaves.clone(), self.day.seen.clone());
        self.ledger =
            Ledger { root: self.day.root.clone(), prev_root: self.day.prev_root.clone(), ..Ledger::default() };
        let numbers = self.day.period..target;
        let periods: Vec<(u64, Period)> =
            numbers.filter_map(|number| Some((number, self.truth.period(number)?.clone()))).collect();
        let (opening, label) =
            self.truth.period(target).map_or((None, 0), |period| (period.opening.clone(), period.label));
        (self.period, self.place, self.label) = (target, 0, label);
        self.opening = opening.map(Into::into);
        self.block = if label == 0 { self.config.first_block } else { label };
        self.stamp = Stamp { fork: self.opening.clone(), prev: None, block: label, time: time(self.block) };
        for (number, period) in &periods {
            period.batches.iter().for_each(|batch| self.replay(*number, batch));
            if let Some(close) = &period.close {
                self.ledger.chain.push((close.hash.clone(), 0));
            }
        }
        for (number, link) in (self.day.period + 1..=target).zip(&mut self.ledger.chain) {
            link.1 = self.truth.period(number).map_or(0, |period| period.label);
        }
        self.resumed = Some(self.block);
        self.save = (target > 0).then(|| self.new_save(false, true));
    }

    /// Honeycomb replays through its own `store.batch`, which ends every batch with a marker and skips empty ones.
    fn replay(&mut self, period: u64, batch: &Batch) {
        if batch.ops.is_empty() {
            return;
        }
        let ops: Vec<Op> = batch.ops.iter().filter_map(|text| Op::parse(text)).collect();
        ops.iter().for_each(|op| self.track(Some(op.clone()), true));
        self.track(None, true);
        self.fold(period, &ops);
    }

    /// The frames sent when a socket opens.
    pub fn hello(&mut self) -> Vec<String> {
        self.client.hello()
    }

    /// The last index sent, which the hello names.
    pub fn last_sent(&self) -> u64 {
        self.client.last_sent()
    }

    /// The next frame, of at most `limit` ops; none while the queue is empty or the honeycomb is silent.
    pub fn next_frame(&mut self, limit: usize) -> Option<Sent> {
        if self.is_silent() {
            return None;
        }
        self.client.next(limit)
    }

    /// Everything queued, bundled as a client of this pace would.
    pub fn drain(&mut self) -> Vec<Sent> {
        let mut dice = Dice::new(self.config.pace, "drain", self.serial);
        let mut frames = Vec::new();
        loop {
            let limit = match dice.below(4) {
                0 => 1,
                1 => self.config.batch_size,
                _ => 1 + dice.below(12) as usize,
            };
            match self.next_frame(limit) {
                Some(sent) if sent.close => {
                    frames.push(sent);
                    return frames;
                }
                Some(sent) => frames.push(sent),
                None => return frames,
            }
        }
    }

    /// Works on one to three blocks and hands out what they queued: frames may span a restart of the index.
    pub fn advance(&mut self) -> Vec<Sent> {
        let blocks = 1 + Dice::new(self.config.pace, "advance", self.serial).below(3);
        self.steps(blocks);
        self.drain()
    }

    /// Takes a message of the node. Only `request_missing` makes the client do something.
    pub fn on_frame(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        if message["type"] == "request_missing"
            && let (Some(from), Some(to)) = (message["from"].as_u64(), message["to"].as_u64())
        {
            self.client.answer(from, to);
        }
    }

    /// True while a `silent` fault lasts.
    pub fn is_silent(&self) -> bool {
        let silent = |fault: &Fault| matches!(fault, Fault::Silent { from, to } if (*from..*to).contains(&self.worked));
        self.config.faults.iter().any(silent)
    }

    /// Ops and messages that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.client.waiting()
    }

    /// Ops written so far, replays not counted.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How many checkpoints were saved (reruns counted once), and the newest one's hash.
    pub fn newest(&self) -> (u64, Option<String>) {
        let saved = self.truth.dropped + self.truth.periods.len() as u64 - 1;
        (saved, self.truth.periods.last().and_then(|period| period.opening.clone()))
    }

    /// The next block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What an honest network agreed on.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// What a replica shows now that joined at the first save: the fold of all batches behind it over nothing. (The
    /// first period of a published client has no hash in the stream, so that it has no place in the chain.)
    pub fn seen_from_first_save(&self) -> &Leaves {
        &self.seen
    }

    /// The state now, without an open batch.
    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }
}

fn time(block: u64) -> u64 {
    TIME_OF_BLOCK_0 + block * BLOCK_MILLIS
}
