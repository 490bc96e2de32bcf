//! Recomputing a root: how long the CID of a state of about a gigabyte takes while a feed goes on at 20,000 ops/s, and what
//! that does to the feed's acks.
//!
//! The state is a base of that size. The day ends with a checkpoint whose hash is made up, so that the outcome is a
//! mismatch: the work is the same.
//!
//! `HONEYGRAPH_BENCH_LEAVES` sets the number of leaves.

use honeygraph::projection::base;
use honeygraph_testnet::load::socket::{self, Receiver, Sender, encode_text};
use honeygraph_testnet::measure::{Percentiles, Table, ms, size};
use honeygraph_testnet::process::{Launch, Node};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Leaves of the base: about a gigabyte of document.
const LEAVES: u64 = 10_000_000;
/// Ops a second that are offered, and ops of a batch.
const RATE: u64 = 20_000;
const BATCH: u64 = 20;
/// The network, with a day of two periods: the first one ends with a root.
const NETWORK: &str = "proof_";
const SETTINGS: &str = "[networks.proof_]\ntokens = [\"PROOF\"]\nroot_interval = 200\nroot_offset = 5\n";
/// Opening block of the period that the base opened; with the numbers above its end is a root.
const LABEL: u64 = 94_000_001;
/// A hash that no document has.
const MADE_UP: &str = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH";

fn document(leaves: u64) -> Vec<u8> {
    let mut text = format!("[{},{{\"accounts\":{{", LABEL + 1);
    for leaf in 0..leaves {
        let comma = if leaf > 0 { "," } else { "" };
        let digits = leaf.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let _ = write!(text, "{comma}\"account-{leaf:09}\":\"{digits:020} {digits:020} {digits:020} {leaf:020}\"");
    }
    text.push_str("}}]");
    text.into_bytes()
}

/// What is sent and not acknowledged: index of the last op of a batch, and when it left.
type Waiting = Arc<Mutex<VecDeque<(u64, Instant)>>>;

/// A feed at a steady rate.
struct Feed {
    sender: Sender,
    waiting: Waiting,
    index: u64,
    sent: u64,
    begun: Instant,
}

impl Feed {
    /// Sends batches of a period until `enough`.
    fn period(&mut self, label: u64, hash: &str, mut enough: impl FnMut() -> bool) -> std::io::Result<()> {
        self.index = 0;
        while !enough() {
            let mut frames = Vec::new();
            let tail = format!("\"blockNum\":{label},\"forkHash\":\"{hash}\",\"prevCheckpointHash\":null");
            for _ in 0..BATCH {
                let (key, index) = (self.sent % 100_000, self.index);
                encode_text(
                    &format!(
                        "{{\"type\":\"put\",\"path\":[\"live\",\"k{key}\"],\"data\":{},\"index\":{index},{tail}}}",
                        self.sent
                    ),
                    &mut frames,
                );
                (self.index, self.sent) = (self.index + 1, self.sent + 1);
            }
            encode_text(&format!("{{\"type\":\"write_marker\",\"index\":{},{tail}}}", self.index), &mut frames);
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back((self.index - 1, Instant::now()));
            self.index += 1;
            self.sender.send(&frames)?;
            let due = self.begun + Duration::from_micros(self.sent * 1_000_000 / RATE);
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                #[expect(clippy::disallowed_methods, reason = "the offered rate")]
                std::thread::sleep(early);
            }
        }
        Ok(())
    }
}

/// Counts acks; gives when the batches left, and how long they took.
fn read(
    mut receiver: Receiver,
    mut pong: Sender,
    waiting: &Waiting,
    done: &mpsc::Receiver<u64>,
) -> Vec<(Instant, Duration)> {
    let (mut took, mut acked, mut wanted) = (Vec::new(), 0, None);
    while wanted.is_none_or(|wanted| acked < wanted) {
        let Ok(Some(text)) = receiver.next_text(&mut pong) else { return took };
        if !text.starts_with(b"{\"type\":\"ack\"") && !text.windows(12).any(|part| part == b"\"type\":\"ack\"") {
            continue;
        }
        let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        let Some(index) = value["index"].as_u64() else { continue };
        acked += 1;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.front().is_some_and(|(last, _)| *last == index) {
            took.extend(waiting.pop_front().map(|(_, sent)| (sent, sent.elapsed())));
        }
        drop(waiting);
        wanted = wanted.or(done.try_recv().ok());
    }
    took
}

fn proofs(node: &Node) -> serde_json::Value {
    let status = node.json(&format!("/api/status?network={NETWORK}")).unwrap_or_default();
    status["networks"][0]["proofs"].clone()
}

fn main() -> Result<(), Box<dyn Error>> {
    let leaves = size("HONEYGRAPH_BENCH_LEAVES", LEAVES);
    let folder = tempfile::tempdir()?;
    let (data, settings) = (folder.path().join("data"), folder.path().join("settings.toml"));
    std::fs::write(&settings, SETTINGS)?;
    let document = document(leaves);
    let bytes = document.len() as u64;
    let taken = base::import(&data.join("base").join(NETWORK), &document, None)?;
    drop(document);
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), &data);
    let node = launch.arg("--config").arg(settings.display().to_string()).start()?;

    let (mut sender, receiver) = socket::connect(&node.endpoints.feed, "/fork-stream", "PROOF")?;
    sender.send_text("{\"type\":\"identify\",\"source\":\"bench\",\"version\":\"1\",\"token\":\"PROOF\"}")?;
    let (waiting, pong) = (Waiting::default(), sender.again()?);
    let mut feed = Feed { sender, waiting: waiting.clone(), index: 0, sent: 0, begun: Instant::now() };
    let (tell, told) = mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || read(receiver, pong, &waiting, &told));
    // The base is laid under the first batch; the state then catches up with the journal.
    let laid = || {
        let point = format!("/api/query/path/accounts/account-000000000?network={NETWORK}");
        let complete = |answer: serde_json::Value| answer["complete"] == true;
        node.json(&point).is_ok_and(complete)
    };
    let mut looked = Instant::now();
    feed.period(LABEL, &taken.hash, || {
        let look = looked.elapsed() > Duration::from_secs(1);
        if look {
            looked = Instant::now();
        }
        look && laid()
    })?;
    let laying = feed.begun.elapsed();
    let closed = Instant::now();
    feed.period(LABEL + 100, MADE_UP, || {
        let look = looked.elapsed() > Duration::from_millis(500);
        if look {
            looked = Instant::now();
        }
        look && proofs(&node)["newest"][0]["outcome"].is_string()
    })?;
    let proven = closed.elapsed();
    let shown = proofs(&node);
    let sent = feed.sent;
    tell.send(sent)?;
    // One batch more, so that the reader looks.
    let mut once = true;
    feed.period(LABEL + 100, MADE_UP, || !std::mem::take(&mut once))?;
    let took = reader.join().map_err(|_| "the reader panicked")?;
    // What counts is the time of the root, not that of laying the base.
    let took = took.into_iter().filter(|(sent, _)| *sent >= closed).map(|(_, took)| took);
    let took = Percentiles::of(took.collect());

    let newest = &shown["newest"][0];
    let mut table = Table::new(format!("the CID of a root over {leaves} leaves, {} MB", bytes >> 20));
    table.figure("base laid under the first batch", format!("{:.1} s", laying.as_secs_f64()));
    table.figure("outcome", format!("{} {}", newest["kind"], newest["outcome"]));
    table.bound(
        "root recomputed, behind the stream",
        format!("{:.1} s", proven.as_secs_f64()),
        "<= 120 s",
        proven.as_secs() < 120,
    );
    table.figure(
        "ops offered and acknowledged",
        format!("{sent} at {:.0} a second", sent as f64 / feed.begun.elapsed().as_secs_f64()),
    );
    let p99 = took.at(0.99);
    table.figure("marker to ack, p50", ms(took.at(0.5)));
    table.bound("marker to ack, p99", ms(p99), "<= 250 ms", p99 <= Duration::from_millis(250));
    table.finish();
    Ok(())
}
