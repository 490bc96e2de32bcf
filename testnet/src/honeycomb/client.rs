//! The WebSocket client that a honeycomb speaks through, without the socket: queue, frames, cache of sent ops.
//!
//! *Always holds:* nothing waits for an acknowledgement; what was handed out counts as sent, also when the socket died;
//! the cache outlives a reconnect and dies with the process.

use super::config::{Config, Profile};
use super::fault::Fault;
use super::op::{Op, as_it_travels, path_text, string};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

/// Ops that the cache holds at most (the original has no such limit); whole periods go first.
const CACHE_OPS: usize = 1_000_000;

/// The fields that honeycomb stamps on an op when it writes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stamp {
    pub fork: Option<Arc<str>>,
    pub prev: Option<Arc<str>>,
    pub block: u64,
    /// Milliseconds; only profiles other than the published one send it.
    pub time: u64,
}

/// An op or marker as the client holds it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    /// Number among all ops this honeycomb ever tracked, replays included; a marker has its predecessor's.
    pub serial: u64,
    /// Its place in the stream from 1, for faults; 0 for a replay.
    pub nth: u64,
    pub index: u64,
    pub stamp: Stamp,
    /// `None` is a marker.
    pub op: Option<Op>,
}

/// What the client does next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// A text frame.
    pub text: Option<String>,
    /// Ops in it that a node acknowledges, in order: (serial number, index). Markers get no acknowledgement.
    pub expects: Vec<(u64, u64)>,
    /// It shows again what was sent before: an answer.
    pub again: bool,
    /// The socket closes after it.
    pub close: bool,
    /// The process died, and another begins: what it sent and was not acknowledged it will replay, not send again.
    pub died: bool,
}

enum Queued {
    Op(Arc<Tracked>),
    Text(String),
}

/// See the module.
pub(super) struct Client {
    profile: Profile,
    token: String,
    prefix: Option<String>,
    string_paths: bool,
    batch_size: usize,
    drops_zero: bool,
    cache_periods: usize,
    faults: Vec<Fault>,
    queue: VecDeque<Queued>,
    /// Overtakes the queue: answers and the published client's checkpoint messages.
    urgent: VecDeque<Sent>,
    cache: VecDeque<Vec<Arc<Tracked>>>,
    cached: usize,
    last_sent: u64,
    /// A swapped op that waits for its successor.
    held: Option<Arc<Tracked>>,
    flip_due: Option<u64>,
}

impl Client {
    pub(super) fn new(config: &Config) -> Self {
        let flips = |fault: &Fault| if let Fault::Flip { op } = fault { Some(*op) } else { None };
        Self {
            profile: config.profile,
            token: config.token.clone(),
            prefix: config.prefix.clone(),
            string_paths: config.string_paths,
            batch_size: config.batch_size,
            drops_zero: config.drops_zero,
            cache_periods: config.cache_periods,
            faults: config.faults.clone(),
            queue: VecDeque::new(),
            urgent: VecDeque::new(),
            cache: VecDeque::from([Vec::new()]),
            cached: 0,
            last_sent: 0,
            held: None,
            flip_due: config.faults.iter().find_map(flips),
        }
    }

    /// The frames sent when a socket opens. What the old one's questions had for answers was sent into it, and is gone.
    pub(super) fn hello(&mut self) -> Vec<String> {
        self.urgent.retain(|sent| sent.expects.is_empty());
        let (mut token, mut prefix) = (String::new(), String::new());
        string(&self.token, &mut token);
        if let Some(text) = &self.prefix {
            prefix.push_str(",\"prefix\":");
            string(text, &mut prefix);
        }
        vec![
            format!(
                "{{\"type\":\"identify\",\"source\":\"honeycomb-spkcc\",\"version\":\"1.0.0\",\"token\":{token}{prefix}}}"
            ),
            format!("{{\"type\":\"sync_status\",\"lastIndex\":{},\"token\":{token}}}", self.last_sent),
        ]
    }

    pub(super) fn last_sent(&self) -> u64 {
        self.last_sent
    }

    /// Takes what honeycomb wrote.
    pub(super) fn track(&mut self, mut tracked: Tracked) {
        if self.drops_zero && (tracked.index == 0 || tracked.stamp.block == 0) {
            return;
        }
        let at = tracked.nth;
        if self.flip_due.is_some_and(|due| at >= due)
            && let Some(data) = tracked.op.as_mut().and_then(|op| op.data.as_mut())
        {
            flip(data);
            self.flip_due = None;
        }
        let tracked = Arc::new(tracked);
        self.remember(tracked.clone());
        let (mut copies, mut hold) = (1, false);
        for fault in &self.faults {
            match *fault {
                Fault::Drop { op } if op == at => copies = 0,
                Fault::Duplicate { op } if op == at => copies = 2,
                Fault::Swap { op } if op == at => hold = true,
                _ => {}
            }
        }
        if hold {
            self.held = Some(tracked);
            return;
        }
        for _ in 0..copies {
            self.queue.push_back(Queued::Op(tracked.clone()));
        }
        if let Some(held) = self.held.take() {
            self.queue.push_back(Queued::Op(held));
        }
    }

    fn remember(&mut self, tracked: Arc<Tracked>) {
        self.cache.back_mut().expect("a period is always open").push(tracked);
        self.cached += 1;
        while self.cached > CACHE_OPS && self.cache.len() > 1 {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        self.cached -= self.cache.pop_front().map_or(0, |period| period.len());
    }

    /// The index restarts at a save.
    pub(super) fn open_period(&mut self, root: bool) {
        while root && self.cache.len() > 1 {
            self.forget_first();
        }
        self.cache.push_back(Vec::new());
        while self.cache.len() > self.cache_periods.max(1) {
            self.forget_first();
        }
    }

    /// Queues a message behind the ops written so far.
    pub(super) fn say(&mut self, text: String) {
        self.queue.push_back(Queued::Text(text));
    }

    /// Sends a message past the queue.
    pub(super) fn say_now(&mut self, text: String) {
        self.urgent.push_back(Sent { text: Some(text), ..Sent::default() });
    }

    /// The process ends: queue and cache are gone, the socket closes.
    pub(super) fn die(&mut self) {
        self.queue.clear();
        self.urgent.clear();
        self.held = None;
        self.cache = VecDeque::from([Vec::new()]);
        (self.cached, self.last_sent) = (0, 0);
        self.urgent.push_back(Sent { close: true, died: true, ..Sent::default() });
    }

    /// Ops and messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.urgent.len()
    }

    /// Answers `request_missing`: those indexes of every cached period, in one frame, or nothing.
    pub(super) fn answer(&mut self, from: u64, to: u64) {
        if self.faults.contains(&Fault::Mute) {
            return;
        }
        let asked = |tracked: &&Arc<Tracked>| (from..=to).contains(&tracked.index);
        let found: Vec<_> = self.cache.iter().flatten().filter(asked).cloned().collect();
        if !found.is_empty() {
            let range = (self.profile != Profile::Published).then_some((from, to));
            let (text, expects) = (Some(self.batch(&found, range)), expects(&found));
            let sent = Sent { text, expects, again: true, ..Sent::default() };
            self.urgent.push_back(sent);
        }
    }

    /// The next frame of at most `limit` ops: one op goes bare, more go as a `batch`.
    pub(super) fn next(&mut self, limit: usize) -> Option<Sent> {
        if let Some(sent) = self.urgent.pop_front() {
            return Some(sent);
        }
        if let Some(Queued::Text(_)) = self.queue.front()
            && let Some(Queued::Text(text)) = self.queue.pop_front()
        {
            return Some(Sent { text: Some(text), ..Sent::default() });
        }
        let mut ops = Vec::new();
        let mut close = false;
        while ops.len() < limit.min(self.batch_size) && !close {
            let Some(Queued::Op(_)) = self.queue.front() else { break };
            let Some(Queued::Op(op)) = self.queue.pop_front() else { break };
            close = self.faults.iter().any(|fault| matches!(fault, Fault::Disconnect { op: at } if *at == op.nth));
            self.last_sent = op.index;
            ops.push(op);
        }
        if close {
            self.faults
                .retain(|fault| !matches!(fault, Fault::Disconnect { op: at } if ops.iter().any(|op| op.nth == *at)));
        }
        let text = match ops.as_slice() {
            [] => return None,
            [one] => self.bare(one),
            many => self.batch(many, None),
        };
        Some(Sent { text: Some(text), expects: expects(&ops), close, ..Sent::default() })
    }

    fn bare(&self, tracked: &Tracked) -> String {
        let mut text = format!("{{\"type\":\"{}\"", kind(tracked));
        self.body(tracked, &mut text);
        self.hashes(tracked, &mut text);
        text.push('}');
        text
    }

    fn batch(&self, many: &[Arc<Tracked>], range: Option<(u64, u64)>) -> String {
        let mut text = String::with_capacity(256 * many.len());
        text.push_str("{\"type\":\"batch\",\"operations\":[");
        for (i, tracked) in many.iter().enumerate() {
            text.push_str(if i > 0 { ",{" } else { "{" });
            write!(text, "\"opType\":\"{}\"", kind(tracked)).expect("a String takes everything");
            self.body(tracked, &mut text);
            if self.profile != Profile::Published {
                self.hashes(tracked, &mut text);
            }
            text.push('}');
        }
        text.push_str("],\"token\":");
        string(&self.token, &mut text);
        if let Some((from, to)) = range {
            write!(text, ",\"requestedRange\":{{\"from\":{from},\"to\":{to}}}").expect("a String takes everything");
        }
        text.push('}');
        text
    }

    fn body(&self, tracked: &Tracked, text: &mut String) {
        write!(text, ",\"index\":{},\"blockNum\":{}", tracked.index, tracked.stamp.block)
            .expect("a String takes everything");
        let Some(op) = &tracked.op else { return };
        text.push_str(",\"path\":");
        if self.string_paths {
            string(&format!("/{}", op.path.join("/")), text);
        } else {
            path_text(&op.path, text);
        }
        if let Some(data) = &op.data {
            text.push_str(",\"data\":");
            as_it_travels(data, text);
        }
    }

    fn hashes(&self, tracked: &Tracked, text: &mut String) {
        let stamp = &tracked.stamp;
        for (name, hash) in [("forkHash", &stamp.fork), ("prevCheckpointHash", &stamp.prev)] {
            write!(text, ",\"{name}\":").expect("a String takes everything");
            match hash {
                Some(hash) => string(hash, text),
                None => text.push_str("null"),
            }
        }
        if self.profile != Profile::Published {
            write!(text, ",\"timestamp\":{}", stamp.time).expect("a String takes everything");
        }
    }
}

fn kind(tracked: &Tracked) -> &'static str {
    match &tracked.op {
        None => "write_marker",
        Some(Op { data: None, .. }) => "del",
        Some(_) => "put",
    }
}

fn expects(ops: &[Arc<Tracked>]) -> Vec<(u64, u64)> {
    ops.iter().filter(|tracked| tracked.op.is_some()).map(|tracked| (tracked.serial, tracked.index)).collect()
}

fn flip(data: &mut Value) {
    *data = match data.take() {
        Value::Number(number) => number.as_u64().map_or(0, |n| n ^ 1).into(),
        Value::Object(mut members) => {
            members.insert("flipped".to_owned(), 1.into());
            Value::Object(members)
        }
        Value::String(text) => format!("{text}~").into(),
        _ => "flipped".into(),
    };
}
