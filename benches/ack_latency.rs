//! Latency: from a write marker to the ack of the last op before it, at 1,000 ops a second.
//!
//! Yardstick, in the same run and on the same file system: an append of 4 KiB with fdatasync, one after the other. Beside
//! it, because a machine may wake slowly: the same at the pace at which the batches come.
//!
//! Where the time goes (virtual machine of two cores, idle between batches): the paced append alone takes 0.33 ms, four
//! times a back-to-back one, and everything else together less than 0.3 ms. It is the cold start after 10 ms of rest, not
//! the handovers: letting the core's thread write by itself (one thread less on the way) gave 0.63 instead of 0.57 ms, all
//! threads on one core 0.65 ms; with both cores kept awake by another process it is 0.38 ms.
//!
//! `HONEYGRAPH_BENCH_SECONDS` sets how long.

use honeygraph_testnet::load::{Mix, Shape, Stream, drive_at_rate};
use honeygraph_testnet::measure::{Percentiles, Table, append_and_sync, ms, size};
use honeygraph_testnet::process::Launch;
use std::error::Error;
use std::time::Duration;

/// Seconds of load unless said otherwise.
const SECONDS: u64 = 20;

/// Ops a second, in batches of [`PER_BATCH`].
const RATE: u64 = 1000;
const PER_BATCH: u64 = 10;

/// Appends of the yardstick, before and after.
const APPENDS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let ops = RATE * size("HONEYGRAPH_BENCH_SECONDS", SECONDS);
    let mut mix = Mix::new(1000, 0.02);
    let mut stream = Stream::new(Shape { per_marker: PER_BATCH, ..Shape::usual("latency") });
    for i in 0..ops {
        let write = mix.write(i, stream.block());
        stream.push(&write);
    }
    stream.finish();
    let folder = tempfile::tempdir()?;
    let before = append_and_sync(folder.path(), APPENDS, Duration::ZERO)?;
    let data_dir = folder.path().join("data");
    let node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), data_dir).start()?;
    let pause = Duration::from_secs(1) / u32::try_from(RATE / PER_BATCH)?;
    let acks = Percentiles::of(drive_at_rate(&node.endpoints.feed, &stream, pause)?);
    drop(node);
    let after = append_and_sync(folder.path(), APPENDS, Duration::ZERO)?;
    let paced = append_and_sync(folder.path(), APPENDS / 2, pause)?;
    // The disk's own mood changes by the second: the mean of before and after is the yardstick.
    let disk = |share| (before.at(share) + after.at(share)) / 2;
    let mut table = Table::new(format!("marker to ack at {RATE} ops/s, {} batches", acks.count()));
    table.figure("append + fdatasync, p50", format!("{} / {}", ms(before.at(0.5)), ms(after.at(0.5))));
    table.figure("append + fdatasync, p99", format!("{} / {}", ms(before.at(0.99)), ms(after.at(0.99))));
    table.figure("the same at the batches' pace, p50 / p99", format!("{} / {}", ms(paced.at(0.5)), ms(paced.at(0.99))));
    let bound = disk(0.5).mul_f64(2.5) + Duration::from_micros(300);
    let text = format!("<= 2.5 x p50 + 0.3 ms = {}", ms(bound));
    table.bound("marker to ack, p50", ms(acks.at(0.5)), &text, acks.at(0.5) <= bound);
    let bound = (disk(0.5) * 6).max(disk(0.99) * 2);
    let text = format!("<= max(6 x p50, 2 x p99) = {}", ms(bound));
    table.bound("marker to ack, p99", ms(acks.at(0.99)), &text, acks.at(0.99) <= bound);
    table.figure("marker to ack, most", ms(acks.at(1.0)));
    table.finish();
    Ok(())
}
