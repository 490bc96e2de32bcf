//! What `up` shows: how to look at the nodes, what happens, and a table of where they stand.

use super::nodes::{Nodes, Row};
use super::order::KEYS;
use crate::cli::say;
use honeygraph_testnet::honeycomb::live::Report;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Without a terminal a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// The rate is that of so much time.
const RATE_OVER: Duration = Duration::from_secs(3);
/// Lines of events that are not said again.
const TOLD: usize = 16;
/// Redraws a second of the spinner.
const SPIN: Duration = Duration::from_millis(120);

/// The screen.
pub(super) struct Screen {
    /// The status line, where there is a terminal.
    line: Option<ProgressBar>,
    api: String,
    printed: Option<Instant>,
    /// The last event shown.
    event: u64,
    /// The lines of the last ones.
    told: VecDeque<String>,
    /// Acknowledged ops, and when.
    acked: VecDeque<(Instant, u64)>,
    /// Label of the first head that was seen.
    begun_at: Option<u64>,
    rollback_shown: bool,
    /// Nobody has closed our standard output.
    heard: bool,
}

impl Screen {
    /// Says what is there, and what can be asked of it already.
    pub(super) fn new(nodes: &Nodes, folder: &Path, temporary: bool) -> Self {
        let (api, feed) = (nodes.api().to_owned(), nodes.feed());
        let fate = if temporary { ", removed at the end" } else { "" };
        let line = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner:.yellow} {wide_msg}").expect("a constant template");
            let line = ProgressBar::new_spinner().with_style(style);
            line.enable_steady_tick(SPIN);
            line
        });
        let (acked, begun_at) = (VecDeque::new(), None);
        let mut screen = Self {
            line,
            api: api.clone(),
            printed: None,
            event: 0,
            told: VecDeque::new(),
            acked,
            begun_at,
            rollback_shown: false,
            heard: true,
        };
        screen.say("A honeygraph node, and scripted honeycombs of SPK that feed it. Ctrl-C ends it.\n");
        screen.say(&format!("  api   {api}"));
        screen.say(&format!("  feed  {feed}/ws"));
        screen.say(&format!("  data  {}{fate}\n", folder.display()));
        screen.say("In another terminal:\n");
        screen.say(&format!("  curl -s {api}/health"));
        screen.say(&format!("  curl -s {api}/api/gaps"));
        screen.say(&format!("  cargo run --release -- status --api {api}\n"));
        screen.say(
            "The replica joins a running network: until the honeycombs save a checkpoint, nobody can tell in which",
        );
        screen.say("period their operations are. They are durable and acknowledged, and wait for a place (parked).\n");
        screen
    }

    /// Says which other nodes there are.
    pub(super) fn introduce<'a>(&mut self, others: impl Iterator<Item = (usize, &'a str)>) {
        for (number, api) in others {
            self.say(&format!("  node {number} has the first as its peer: {api}"));
        }
        match self.line {
            Some(_) => self.say(&format!("\nKeys: {KEYS}.\n")),
            None => {
                self.say("\nA line on standard input is an order: kill 1, wipe 1, restart 1, part 1, hop 2, fork.\n")
            }
        }
    }

    /// Says what was done.
    pub(super) fn tell(&mut self, what: &str) {
        self.say(&format!("  {what}"));
    }

    /// Says what can be asked from now on: a command is printed once it works.
    fn offer(&mut self, status: &Value) {
        // The head that the core shows is durable; readers have it once the state has applied it.
        let readable = status["applied"].as_u64() >= status["head"]["node"]["version"].as_u64();
        let Some(label) = status["head"]["label"].as_u64().filter(|_| readable) else { return };
        let api = self.api.clone();
        let Some(first) = self.begun_at else {
            self.begun_at = Some(label);
            self.say("\nThe first checkpoint has named a period: there is a head, and a state. What came before it stays parked,");
            self.say("because its period has no name. From now on:\n");
            self.say(&format!("  curl -s {api}/api/query/head"));
            self.say(&format!("  curl -s {api}/api/query/path/stats"));
            self.say(&format!("  curl -s '{api}/api/query/path/balances?form=leaves&limit=5'"));
            return self.say(&format!("  curl -s {api}/api/query/forks\n"));
        };
        if !self.rollback_shown && label > first {
            self.rollback_shown = true;
            let body = format!("{{\"to\":{first},\"reason\":\"to see it\",\"dry_run\":true}}");
            self.say("\nA second period: there is something to go back to.\n");
            self.say(&format!("  curl -s {api}/api/admin/rollback -d '{body}'\n"));
        }
    }

    /// Whether somebody still reads what is said.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    /// Shows where the node stands, and what happened since the last time.
    pub(super) fn show(&mut self, status: &Value, reports: &[Report], rows: &[Row], chosen: usize) {
        let events = || status["events"].as_array().into_iter().flatten();
        if events().last().is_some_and(|newest| newest["id"].as_u64() < Some(self.event)) {
            // A node that was started again counts anew.
            self.event = 0;
        }
        for event in events() {
            let id = event["id"].as_u64().unwrap_or(0);
            if id <= self.event {
                continue;
            }
            self.event = id;
            // Each of the feeds names a period; once is enough.
            let said = format!("  {:<18} {}", text(&event["event"]), text(&event["about"]));
            if !self.told.contains(&said) {
                self.say(&said);
                self.told.push_back(said);
                if self.told.len() > TOLD {
                    self.told.pop_front();
                }
            }
        }
        self.offer(status);
        let mut message = self.message(status, reports);
        if rows.len() > 1 {
            message += &table(rows, chosen);
        }
        match &self.line {
            Some(line) => line.set_message(message),
            None if self.printed.is_none_or(|at| at.elapsed() >= LINE_EVERY) => {
                self.say(&message);
                self.printed = Some(Instant::now());
            }
            None => {}
        }
    }

    fn say(&mut self, text: &str) {
        match &self.line {
            // Above the status line, which is redrawn.
            Some(line) => line.suspend(|| self.heard &= say(text)),
            None => self.heard &= say(text),
        }
    }

    fn message(&mut self, status: &Value, reports: &[Report]) -> String {
        let acked = reports.iter().map(|report| report.acked).sum();
        let waiting: u64 = reports.iter().map(|report| report.unacked).sum();
        let head = &status["head"];
        let block = head["label"].as_u64().map_or_else(|| "-".to_owned(), |label| label.to_string());
        let batch = head["batch"].as_str().map_or("none yet", |id| &id[id.len().saturating_sub(8)..]);
        let count = |key: &str| status[key].as_array().map_or(0, Vec::len);
        let parked = status["parked"]["operations"].as_u64().unwrap_or(0);
        let rate = self.rate(acked);
        if head.is_null() {
            return format!(
                "catching up: no checkpoint yet | {rate:.0} ops/s, {} acked, {} parked until then",
                HumanCount(acked),
                HumanCount(parked),
            );
        }
        format!(
            "block {block} …{batch} | {rate:.0}/s, {} acked, {waiting} open | {} forks, {} parked, {} gaps",
            HumanCount(acked),
            count("forks").saturating_sub(1),
            HumanCount(parked),
            count("gaps"),
        )
    }

    fn rate(&mut self, acked: u64) -> f64 {
        let now = Instant::now();
        self.acked.push_back((now, acked));
        while self.acked.len() > 2 && self.acked.front().is_some_and(|(at, _)| now - *at > RATE_OVER) {
            self.acked.pop_front();
        }
        let Some((since, before)) = self.acked.front() else { return 0.0 };
        let seconds = (now - *since).as_secs_f64();
        if seconds > 0.0 { acked.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }

    /// The play is over.
    pub(super) fn end(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// A line for each node.
fn table(rows: &[Row], chosen: usize) -> String {
    let newest = rows.iter().filter_map(|row| row.head).max();
    let mut text = format!("\n    {:<4} {:>8} {:>7} {:>6}  {:<28} api", "node", "block", "behind", "peers", "role");
    let count = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for row in rows {
        let mark = if row.number == chosen { ">" } else { " " };
        let behind = newest.zip(row.head).map(|(newest, head)| newest - head);
        let (head, behind) = (count(row.head), count(behind));
        let line = format!(
            "\n  {mark} {:<4} {head:>8} {behind:>7} {:>6}  {:<28} {}",
            row.number, row.peers, row.role, row.api
        );
        text += &line;
    }
    text
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
