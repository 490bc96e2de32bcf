//! The whole state as one document over HTTP, against a bare scan of the same store in the same run.
//!
//! `cargo bench -p honeygraph --bench export -- [leaves]` (500,000 by default). The yardstick reads every row of the store in
//! order and does nothing with it. Each is run [`ROUNDS`] times in turns; the medians are compared.

#[path = "../tests/web/client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod client;
#[path = "../tests/web/store.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod store;

use honeygraph::projection::state::key::table;
use honeygraph::projection::state::kv::{Kv, Snapshot};
use honeygraph_testnet::measure::{Table, median};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use store::{Store, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LEAVES: u64 = 500_000;
const BATCH: u64 = 5_000;
const ROUNDS: usize = 15;

/// The mix of a feed: balances, contracts with several leaves, statistics. Every tenth batch is written twice.
fn fill(leaves: u64) -> Store {
    let mut store = Store::new();
    store.branch(0, None);
    let mut last = None;
    for batch in 0..leaves / BATCH {
        let text = |i: u64| {
            let n = batch * BATCH + i * 5;
            let balance = format!(r#"{{"data":{n},"path":["balances","user{n}"],"type":"put"}}"#);
            let contract = format!(
                r#"{{"data":{{"a":{n},"e":"{n}:expire","f":"user{n}","r":1}},"path":["contract","user{}","{n}"],"type":"put"}}"#,
                n / 4
            );
            [balance, contract]
        };
        let texts: Vec<String> = (0..BATCH / 5).flat_map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for _ in 0..if batch % 10 == 0 { 2 } else { 1 } {
            last = Some(store.batch(0, last, "QmA", 101, &texts));
        }
    }
    store
}

/// Rows and bytes of the store, read in order.
fn scan(store: &Store) -> Result<(u64, u64, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let (mut rows, mut bytes) = (0, 0);
    for entry in store.state.store().snapshot().range(&[table::ROW], &[table::ROW + 1]) {
        let (key, value) = entry?;
        rows += 1;
        bytes += key.len() as u64 + value.len() as u64;
    }
    Ok((rows, bytes, start.elapsed()))
}

/// Bytes of the document; it must be whole.
async fn export(at: SocketAddr, format: &str) -> Result<(u64, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let mut socket = TcpStream::connect(at).await?;
    let path = format!("/namespaces/dlux_/export?format={format}");
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let (mut buffer, mut bytes, mut end) = (vec![0; 1 << 20], 0, Vec::new());
    loop {
        let read = socket.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        end.extend_from_slice(&buffer[read.saturating_sub(5)..read]);
    }
    if !end.ends_with(b"0\r\n\r\n") {
        return Err("the document was cut short".into());
    }
    Ok((bytes, start.elapsed()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let leaves = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(LEAVES);
    let store = fill(leaves);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let api = runtime.block_on(serve(&store));
    let (mut bare, mut json, mut csv, mut sizes) = (Vec::new(), Vec::new(), Vec::new(), [0; 4]);
    for _ in 0..ROUNDS {
        let (rows, bytes, time) = scan(&store)?;
        bare.push(time);
        let (json_bytes, time) = runtime.block_on(export(api.at, "json"))?;
        json.push(time);
        let (csv_bytes, time) = runtime.block_on(export(api.at, "csv"))?;
        csv.push(time);
        sizes = [rows, bytes, json_bytes, csv_bytes];
    }
    let (bare, json, csv) = (median(&bare), median(&json), median(&csv));
    let mut table = Table::new(format!("export: {} rows, {} MB in the store", sizes[0], sizes[1] >> 20));
    let rate = |time: Duration| format!("{:.0} rows/s", sizes[0] as f64 / time.as_secs_f64());
    table.figure("bare scan", rate(bare));
    table.figure(format!("JSON, {} MB", sizes[2] >> 20), rate(json));
    table.figure(format!("CSV, {} MB", sizes[3] >> 20), rate(csv));
    for (name, time) in [("JSON to bare scan", json), ("CSV to bare scan", csv)] {
        let ratio = bare.as_secs_f64() / time.as_secs_f64();
        table.bound(name, format!("{ratio:.2}"), ">= 0.5", ratio >= 0.5);
    }
    table.finish();
    Ok(())
}
