//! The stream: 10,000 subscribers, 10 KB a batch, one batch a second.
//!
//! Yardstick, in the same run: the same bytes written to as many plain sockets by a process that does nothing else. Both
//! are read by the same code. Delivery is from the moment at which a batch is sent to the last byte of its event.
//!
//! `HONEYGRAPH_BENCH_SUBSCRIBERS` and `HONEYGRAPH_BENCH_SECONDS` set the sizes.

use honeygraph::web::listen::raise_open_files;
use honeygraph_testnet::load::{Driver, Shape, Stream, Write};
use honeygraph_testnet::measure::{Percentiles, Table, ms, size};
use honeygraph_testnet::process::Launch;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SUBSCRIBERS: u64 = 10_000;
const SECONDS: u64 = 20;
/// Writes of a batch, and bytes of each.
const WRITES: u64 = 10;
const BYTES: usize = 980;
const EVERY: Duration = Duration::from_secs(1);
/// Files that are open beside the subscribers.
const OTHER_FILES: u64 = 200;
/// Lines of an event: three, an empty one, and two of the chunk around it.
const LINES: usize = 6;
/// Whoever hears nothing for so long has lost something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Set for the process that is the yardstick: how many sockets.
const RAW: &str = "HONEYGRAPH_BENCH_RAW";
/// Threads of the yardstick, as the node has on two cores.
const THREADS: usize = 2;

/// The yardstick: writes as many bytes as each line says to all its sockets.
fn raw(sockets: usize) -> Result<(), Box<dyn Error>> {
    raise_open_files();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut all = Vec::with_capacity(sockets);
    for _ in 0..sockets {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        all.push(socket);
    }
    for line in std::io::stdin().lines() {
        let mut event = vec![b'x'; line?.parse()?];
        let lines = event.len() - LINES;
        event[lines..].fill(b'\n');
        let event = &event;
        std::thread::scope(|scope| {
            for part in all.chunks(sockets.div_ceil(THREADS)) {
                scope.spawn(move || {
                    for mut socket in part {
                        // One that is gone is missed by its reader.
                        let _ = socket.write_all(event);
                    }
                });
            }
        });
    }
    Ok(())
}

/// When each event was sent, in microseconds since the beginning.
struct Clock {
    start: Instant,
    sent: Vec<AtomicU64>,
}

impl Clock {
    fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

/// What the readers saw.
struct Seen {
    delivered: Percentiles,
    lost: u64,
    /// Bytes of an event.
    bytes: u64,
}

/// Reads all sockets until each has had all events, on one thread.
fn read_all(sockets: Vec<TcpStream>, clock: Arc<Clock>) -> std::thread::JoinHandle<std::io::Result<Seen>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let events = clock.sent.len();
        runtime.block_on(async {
            let tasks: Vec<_> =
                sockets.into_iter().map(|socket| tokio::spawn(read(socket, Arc::clone(&clock)))).collect();
            let (mut delivered, mut lost, mut bytes, many) = (Vec::new(), 0, 0, tasks.len());
            for task in tasks {
                let (times, read) = task.await.map_err(std::io::Error::other)??;
                lost += (events - times.len()) as u64;
                delivered.extend(times);
                bytes += read;
            }
            Ok(Seen { delivered: Percentiles::of(delivered), lost, bytes: bytes / (many * events) as u64 })
        })
    })
}

async fn read(socket: TcpStream, clock: Arc<Clock>) -> std::io::Result<(Vec<Duration>, u64)> {
    thread_local!(static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; 64 << 10]));
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpStream::from_std(socket)?;
    let (mut times, mut lines, mut bytes) = (Vec::with_capacity(clock.sent.len()), 0, 0);
    while times.len() < clock.sent.len() {
        if tokio::time::timeout(PATIENCE, socket.readable()).await.is_err() {
            break;
        }
        let read = BUFFER.with_borrow_mut(|buffer| {
            let read = socket.try_read(buffer)?;
            lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count();
            std::io::Result::Ok(read)
        });
        match read {
            Ok(0) => break,
            Ok(read) => bytes += read as u64,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let now = clock.now();
        while times.len() < lines / LINES && times.len() < clock.sent.len() {
            times.push(Duration::from_micros(now - clock.sent[times.len()].load(SeqCst)));
        }
    }
    Ok((times, bytes))
}

/// Sends an event every second and returns what the readers saw.
fn run(
    sockets: Vec<TcpStream>,
    events: u64,
    mut send: impl FnMut(u64) -> Result<(), Box<dyn Error>>,
) -> Result<Seen, Box<dyn Error>> {
    let sent = (0..events).map(|_| AtomicU64::new(0)).collect();
    let clock = Arc::new(Clock { start: Instant::now(), sent });
    let reading = read_all(sockets, Arc::clone(&clock));
    for event in 0..events {
        #[expect(clippy::disallowed_methods, reason = "a rate is what is measured")]
        std::thread::sleep(EVERY.saturating_sub(Duration::from_micros(clock.now() % EVERY.as_micros() as u64)));
        clock.sent[event as usize].store(clock.now(), SeqCst);
        send(event)?;
    }
    Ok(reading.join().map_err(|_| "a reader panicked")??)
}

fn spawn_raw(sockets: u64) -> Result<(Child, String), Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(RAW, sockets.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("no output")?).read_line(&mut address)?;
    Ok((child, address.trim().to_owned()))
}

fn run_raw(subscribers: u64, events: u64, bytes: u64) -> Result<Seen, Box<dyn Error>> {
    let (mut child, address) = spawn_raw(subscribers)?;
    let sockets = (0..subscribers).map(|_| TcpStream::connect(&address)).collect::<std::io::Result<_>>()?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let seen = run(sockets, events, |_| Ok(writeln!(input, "{bytes}")?));
    drop(input);
    child.wait()?;
    seen
}

/// A subscriber that has heard where it stands.
fn subscribe(address: &str) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(b"GET /api/stream?network=spkccT_ HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !heard.ends_with(b"\n\n\r\n") {
        socket.read_exact(&mut byte)?;
        heard.push(byte[0]);
    }
    Ok(socket)
}

fn run_node(subscribers: u64, events: u64) -> Result<(Seen, u64), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).start()?;
    let mut stream = Stream::new(Shape { per_marker: WRITES, per_period: 0, ..Shape::usual("stream") });
    let mut driver = Driver::connect(&node.endpoints.feed, stream.token())?;
    driver.send(&stream.take())?;
    node.wait_until_ok("a first batch", "/api/query/head?network=spkccT_")?;
    let address = node.api_address().to_owned();
    let sockets = (0..subscribers).map(|_| subscribe(&address)).collect::<std::io::Result<_>>()?;
    let data = format!("\"{}\"", "x".repeat(BYTES));
    let seen = run(sockets, events, |event| {
        for i in 0..WRITES {
            stream.push(&Write::put(["bench".to_owned(), format!("{}", event * WRITES + i)], data.clone()));
        }
        Ok(driver.send(&stream.take())?)
    })?;
    Ok((seen, node.process.peak_memory().unwrap_or(0)))
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(sockets) = std::env::var(RAW).ok().and_then(|text| text.parse().ok()) {
        return raw(sockets);
    }
    let files = raise_open_files().unwrap_or(u64::MAX);
    let wanted = size("HONEYGRAPH_BENCH_SUBSCRIBERS", SUBSCRIBERS);
    let subscribers = wanted.min(files.saturating_sub(OTHER_FILES));
    let seconds = size("HONEYGRAPH_BENCH_SECONDS", SECONDS);
    let (node, memory) = run_node(subscribers, seconds)?;
    let raw = run_raw(subscribers, seconds, node.bytes)?;
    let mut table = Table::new(format!("stream: {subscribers} subscribers, {seconds} batches of {} bytes", node.bytes));
    if subscribers < wanted {
        table.figure("subscribers", format!("{subscribers} of {wanted}: the system allows {files} open files"));
    }
    table.bound("events lost", node.lost.to_string(), "none", node.lost == 0 && raw.lost == 0);
    table.figure("plain sockets, p50", ms(raw.delivered.at(0.5)));
    table.figure("plain sockets, p99", ms(raw.delivered.at(0.99)));
    table.figure("delivery, p50", ms(node.delivered.at(0.5)));
    let (p99, yardstick) = (node.delivered.at(0.99), raw.delivered.at(0.99));
    let ratio = p99.as_secs_f64() / yardstick.as_secs_f64();
    table.figure("delivery, p99", ms(p99));
    table.bound("ratio of p99", format!("{ratio:.2}"), "<= 2.5", ratio <= 2.5);
    table.figure("most memory of the node", format!("{} MB", memory >> 20));
    table.finish();
    Ok(())
}
