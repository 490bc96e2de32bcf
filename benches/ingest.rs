//! Ingest: the mix of a busy honeycomb, 10 ops to a batch, until everything is durable, acknowledged and in the state.
//!
//! Yardstick, in the same run: the same ops inserted into a bare fjall keyspace, 500 to a commit, each commit synced,
//! while the same generator writes the same frames into nothing.
//!
//! `HONEYGRAPH_BENCH_OPS` sets the number of ops, `HONEYGRAPH_BENCH_ROUNDS` how often both are measured.

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use honeygraph_testnet::load::{Mix, Shape, Stream, Write, drive};
use honeygraph_testnet::measure::{Table, median, size};
use honeygraph_testnet::process::{Launch, Node};
use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Ops in a run unless said otherwise.
const OPS: u64 = 300_000;

/// Both are measured so often, in turns; the medians count.
const ROUNDS: u64 = 3;

/// Ops in a commit of the yardstick.
const PER_COMMIT: usize = 500;

/// Least share of the yardstick's speed.
const BOUND: f64 = 0.25;

/// Bytes that the generator writes at once.
const CHUNK: usize = 256 << 10;

/// Between two looks whether the state is at the tip.
const LOOK: Duration = Duration::from_millis(5);

/// Written last: when it can be read, the state is at the tip.
const END: [&str; 2] = ["bench", "end"];

struct Input {
    stream: Stream,
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn input(ops: u64, framed: usize) -> Input {
    let mut mix = Mix::new(1000, 0.02);
    let mut stream = Stream::new(Shape { framed, ..Shape::usual("ingest") });
    let mut rows = Vec::new();
    for i in 0..ops {
        let write = if i + 1 == ops { Write::put(END, "1") } else { mix.write(i, stream.block()) };
        rows.push((write.path.join("/").into_bytes(), write.data.clone().map(String::into_bytes)));
        stream.push(&write);
    }
    stream.finish();
    Input { stream, rows }
}

/// The yardstick.
fn raw_fjall(input: &Input) -> Result<Duration, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = Database::builder(folder.path()).open()?;
    let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut nothing = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
            input.stream.bytes.chunks(CHUNK).try_for_each(|chunk| nothing.write_all(chunk))
        });
        for commit in input.rows.chunks(PER_COMMIT) {
            let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
            for (path, data) in commit {
                match data {
                    Some(data) => batch.insert(&rows, path.as_slice(), data.as_slice()),
                    None => batch.remove(&rows, path.as_slice()),
                }
            }
            batch.commit()?;
        }
        Ok::<_, fjall::Error>(())
    })?;
    Ok(start.elapsed())
}

/// A fresh node takes the stream: until the last ack, and until the state is at the tip.
fn node(input: &Input) -> Result<(Duration, Duration), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).start()?;
    let (start, acked) = drive(&node.endpoints.feed, &input.stream)?;
    wait_for_end(&node)?;
    Ok((acked, start.elapsed()))
}

fn wait_for_end(node: &Node) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    while node.get(&format!("/api/query/path/{}/{}", END[0], END[1]))?.0 != 200 {
        if start.elapsed() > Duration::from_secs(120) {
            return Err("the state does not come to the tip".into());
        }
        // Asked without a pause, the questions took a quarter of both processors from what is measured.
        #[expect(clippy::disallowed_methods, reason = "a node tells nobody when its state is at the tip")]
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (ops, rounds) = (size("HONEYGRAPH_BENCH_OPS", OPS), size("HONEYGRAPH_BENCH_ROUNDS", ROUNDS));
    let mut table = Table::new(format!("ingest of {ops} ops, 10 to a batch, median of {rounds}"));
    for (name, framed) in [("a frame each", 0), ("`batch` frames of 100", 100)] {
        let input = input(ops, framed);
        let (mut bare, mut acked, mut tip) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            bare.push(raw_fjall(&input)?);
            let (to_ack, to_tip) = node(&input)?;
            acked.push(to_ack);
            tip.push(to_tip);
        }
        let rate = |took: &[Duration]| ops as f64 / median(took).as_secs_f64();
        let (bare, acked, tip) = (rate(&bare), rate(&acked), rate(&tip));
        table.figure(format!("{name}: bare fjall"), format!("{bare:.0} ops/s"));
        table.figure(format!("{name}: acknowledged"), format!("{acked:.0} ops/s"));
        table.figure(format!("{name}: state at tip"), format!("{tip:.0} ops/s"));
        let ratio = tip / bare;
        table.bound(format!("{name}: ratio"), format!("{ratio:.2}"), ">= 0.25 (aim 0.4)", ratio >= BOUND);
    }
    table.finish();
    Ok(())
}
