//! The core of a network under test: frames as text go in, records, acknowledgements and status come out.
//!
//! A script is a line: `601:A 0 a=1; 1 W` is block 601, fork hash `A`, a put of 1 at `a` with index 0 and a marker with
//! index 1. A block of 0 is none, a hash of `-` null, an index of `_` is left out; `-a` deletes, `h=X` writes
//! `stats.pendingHash`. After every message the records are replayed: they must give the ledger that the core has.

mod announced;
mod answers;
mod beside;
mod boundary;
mod forks;
mod gaps;
mod hostile;
mod limits;
mod naming;
mod old_label;
mod periods;
mod places;
mod refused;
mod resume;
mod second_run;
mod seed;
mod shown;
mod stale_hash;
mod stragglers;
mod supply;
mod verdicts;
mod wanted;

use super::ledger::Ledger;
use super::machine::{Bodies, Body, Core, Effects, Limits};
use super::record::{Lsn, Record};
use super::rules::Rules;
use super::status::Status;
use crate::feed::message::{FeedId, FeedInfo, FromCore, Said, ToCore};
use honeygraph_protocols::honeycomb::{Frame, Parser};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Periods of 100 blocks, ten of them a day; the daily accounting is at ...505.
const RULES: Rules = Rules { checkpoint_every: 100, root_interval: 1_000, root_offset: 505 };
/// How long a resumed socket is held at most, ms.
const HELD: u64 = 2_000;
const LIMITS: Limits = Limits { forks_per_label: 3, fork_retention_ms: 1_000_000, answer_ms: 10_000 };

#[derive(Default)]
struct Bodiless(BTreeMap<Lsn, Vec<u8>>);

impl Bodies for Bodiless {
    fn body(&mut self, lsn: Lsn) -> Option<Vec<u8>> {
        self.0.get(&lsn).cloned()
    }
}

/// A core with its journal in memory.
struct Stage {
    core: Core,
    records: Vec<(Lsn, Record)>,
    bodies: Bodiless,
    now: u64,
    /// Messages to each feed since they were last taken.
    out: BTreeMap<u64, Vec<FromCore>>,
    limits: Limits,
}

impl Stage {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let core = Core::new("spkcc_".into(), RULES, limits, Ledger::default());
        Self { core, records: Vec::new(), bodies: Bodiless::default(), now: 1_000, out: BTreeMap::new(), limits }
    }

    fn run<T>(&mut self, run: impl FnOnce(&mut Core, u64, &mut dyn Bodies, &mut Effects) -> T) -> T {
        let mut fx = Effects::default();
        let before = self.core.ledger().lsn;
        let result = run(&mut self.core, self.now, &mut self.bodies, &mut fx);
        for (at, (lsn, record, body)) in fx.records.into_iter().enumerate() {
            assert_eq!(lsn, before + at as u64 + 1, "LSNs are consecutive");
            // What is supplied here is packed into itself.
            if let Some(Body::Texts(body) | Body::Frame(body)) = body {
                self.bodies.0.insert(lsn, body);
            }
            self.records.push((lsn, record));
        }
        for (feed, message) in fx.messages {
            if let FromCore::Acks { lsn, .. } | FromCore::SyncStatus { lsn, .. } = &message {
                assert!(*lsn <= self.core.ledger().lsn);
            }
            self.out.entry(feed.0).or_default().push(message);
        }
        self.replays();
        result
    }

    /// The records alone give the ledger.
    fn replays(&self) {
        let mut ledger = Ledger::default();
        for (lsn, record) in &self.records {
            ledger.apply(*lsn, record);
        }
        assert_eq!(&ledger, self.core.ledger(), "replay gives another ledger");
    }

    fn say(&mut self, feed: u64, said: Said) {
        let message = ToCore::Said(FeedId(feed), said, Default::default());
        self.run(|core, now, bodies, fx| core.on(now, message, bodies, fx));
    }

    /// A socket opens; `sync` is its `sync_status.lastIndex`.
    fn open(&mut self, feed: u64, sync: Option<u64>) {
        let message = ToCore::Open { feed: FeedId(feed), info: FeedInfo::default(), outbox: mpsc::channel(1).0 };
        self.run(|core, now, bodies, fx| core.on(now, message, bodies, fx));
        if let Some(last_index) = sync {
            self.say(feed, Said::SyncStatus { last_index });
        }
    }

    fn gone(&mut self, feed: u64) {
        self.run(|core, now, bodies, fx| core.on(now, ToCore::Gone(FeedId(feed)), bodies, fx));
    }

    /// One frame, as text.
    fn frame(&mut self, feed: u64, text: &str) {
        let frame = Parser::new(false).parse(text.as_bytes()).expect("a frame");
        let said = match frame {
            Frame::Ops(ops) => Said::Ops(ops),
            Frame::Checkpoint(checkpoint) => Said::Checkpoint(checkpoint),
            Frame::ForkStart { hash, block } => Said::ForkStart { hash, block },
            Frame::SyncStatus { last_index, .. } => Said::SyncStatus { last_index },
            other => panic!("not for a lane: {other:?}"),
        };
        self.say(feed, said);
    }

    /// Each item of a script as a frame of its own.
    fn bare(&mut self, feed: u64, script: &str) {
        for item in items(script, "type", true) {
            self.frame(feed, &item);
        }
    }

    /// All items of some scripts as one `batch` of the published client: no hashes.
    fn batch(&mut self, feed: u64, scripts: &[&str]) {
        let items: Vec<String> = scripts.iter().flat_map(|script| items(script, "opType", false)).collect();
        self.frame(feed, &format!(r#"{{"type":"batch","operations":[{}],"token":"SPK"}}"#, items.join(",")));
    }

    /// A resumed socket's client was asked for the beginnings of its runs, and shows them: one batch.
    fn shows(&mut self, feed: u64, runs: &[&str]) {
        self.was_asked(feed, (0, 63));
        self.batch(feed, runs);
    }

    /// The last question put to a feed was this one; from here on only newer ones are seen.
    fn was_asked(&mut self, feed: u64, range: (u64, u64)) {
        assert_eq!(self.asked(feed), Some(range));
        let out = self.out.get_mut(&feed).expect("it was asked");
        out.retain(|message| !matches!(message, FromCore::Ask { .. }));
    }

    fn checkpoint(&mut self, feed: u64, block: u64, hash: &str) {
        self.frame(feed, &format!(r#"{{"type":"checkpoint","blockNum":{block},"hash":"{hash}","token":"SPK"}}"#));
    }

    fn tick(&mut self, ms: u64) {
        self.now += ms;
        self.run(|core, now, bodies, fx| core.tick(now, bodies, fx));
    }

    /// The node dies and starts again with its journal.
    fn restart(&mut self) {
        let mut ledger = Ledger::default();
        for (lsn, record) in &self.records {
            ledger.apply(*lsn, record);
        }
        self.core = Core::new("spkcc_".into(), RULES, self.limits, ledger);
        self.out.clear();
        self.run(|core, now, bodies, fx| core.start(now, bodies, fx));
        let lsn = self.core.ledger().lsn;
        self.run(|core, now, bodies, fx| core.start(now, bodies, fx));
        assert_eq!(self.core.ledger().lsn, lsn, "a second start decides nothing");
    }

    /// Indexes acknowledged to a feed since the last call; `None` is `_`.
    fn acks(&mut self, feed: u64) -> String {
        let mut words = Vec::new();
        if let Some(out) = self.out.get_mut(&feed) {
            out.retain(|message| match message {
                FromCore::Acks { indexes, .. } => {
                    words.extend(indexes.iter().map(|index| index.map_or("_".into(), |index| index.to_string())));
                    false
                }
                _ => true,
            });
        }
        words.join(" ")
    }

    /// The last question put to a feed.
    fn asked(&self, feed: u64) -> Option<(u64, u64)> {
        self.out.get(&feed)?.iter().rev().find_map(|message| match message {
            FromCore::Ask { from, to } => Some((*from, *to)),
            _ => None,
        })
    }

    fn errors(&self, feed: u64) -> usize {
        let out = self.out.get(&feed).into_iter().flatten();
        out.filter(|message| matches!(message, FromCore::Error(_))).count()
    }

    /// Chained batches in order: `branch:period/seq+count`, `W` for a marker, `*` where the head went with it.
    fn chain(&self) -> Vec<String> {
        let chains = self.records.iter().filter_map(|(_, record)| match record {
            Record::Chain(chain) => Some(chain),
            _ => None,
        });
        chains
            .map(|chain| {
                let (marker, head) = (if chain.marker { "W" } else { "" }, if chain.head { "*" } else { "" });
                format!("{}:{}/{}+{}{marker}{head}", chain.branch, chain.period, chain.seq, chain.count)
            })
            .collect()
    }

    /// Ids of the batches on the head's history, oldest first.
    fn head_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut at = self.core.ledger().head;
        while let Some(node) = at {
            let Some((_, Record::Chain(chain))) = self.records.iter().find(|(lsn, _)| *lsn == node.version) else {
                panic!("a head without chain record")
            };
            ids.push(chain.id.to_string());
            at = chain.prev;
        }
        ids.reverse();
        ids
    }

    fn status(&self) -> Status {
        self.core.status()
    }

    /// Pieces that have no place.
    fn parked(&self) -> u64 {
        self.status().parked.pieces
    }

    fn branches(&self) -> usize {
        self.core.ledger().tree.branches().count()
    }
}

/// The items of a script as JSON.
fn items(script: &str, kind: &str, hashes: bool) -> Vec<String> {
    let (head, list) = script.split_once(' ').expect("block:hash items");
    let (block, hash) = head.split_once(':').expect("block:hash");
    let list = list.split(';').map(str::trim).filter(|item| !item.is_empty());
    list.map(|item| {
        let (index, word) = item.split_once(' ').expect("index word");
        let body = match word.split_once('=') {
            _ if word == "W" => format!(r#""{kind}":"write_marker""#),
            Some(("h", value)) => format!(r#""{kind}":"put","path":["stats","pendingHash"],"data":"{value}""#),
            Some((key, value)) => format!(r#""{kind}":"put","path":["{key}"],"data":{value}"#),
            None if word == "bad" => format!(r#""{kind}":"put","path":["a"],"data":1e999"#),
            None => format!(r#""{kind}":"del","path":["{}"]"#, word.trim_start_matches('-')),
        };
        let index = if index == "_" { String::new() } else { format!(r#","index":{index}"#) };
        let fork = match hash {
            _ if !hashes => String::new(),
            "-" => r#","forkHash":null,"prevCheckpointHash":null"#.to_owned(),
            hash => format!(r#","forkHash":"{hash}""#),
        };
        format!(r#"{{{body}{index},"blockNum":{block}{fork}}}"#)
    })
    .collect()
}

/// A stage whose feed 1 has sent period 601 of hash `A`: batches 0+1W, 2+1W.
fn begun() -> Stage {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "601:A 0 h=A; 1 W; 2 b=1; 3 W");
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*"]);
    assert_eq!(stage.acks(1), "0 2");
    stage
}
