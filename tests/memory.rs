//! What hostile feeds cost in memory: a real node, its peak resident memory, a ceiling for all of them.

use honeygraph_testnet::http;
use honeygraph_testnet::measure::{Percentiles, ms};
use honeygraph_testnet::process::{Launch, Node};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

/// Most that a node may ever have resident under any of these, in bytes. Idle it has about 30 MB; what is bounded adds
/// up to this (`docs/operations.md`).
const CEILING: u64 = 500_000_000;

/// Batches of the working socket, alone and beside others.
const ROUNDS: u64 = 300;

/// Sockets that do the same.
const SOCKETS: usize = 600;

/// A client that is never polite: it sends what it is told, and reads only if it is told to.
struct Rude {
    socket: TcpStream,
    /// What it sends, and how much of it the socket has taken.
    sends: (Arc<[u8]>, usize),
}

impl Rude {
    fn connect(node: &Node) -> Self {
        let address = node.endpoints.feed.trim_start_matches("ws://");
        let mut socket = TcpStream::connect(address).expect("connected");
        let request = format!(
            "GET /ws/SPK HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aG9uZXlncmFwaHRlc3RuZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).expect("asked");
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\r\n\r\n") {
            assert_eq!(socket.read(&mut byte).expect("an answer"), 1);
            answer.push(byte[0]);
        }
        socket.write_all(&frame(br#"{"type":"identify","token":"SPK"}"#)).expect("sent");
        Self { socket, sends: (Arc::default(), 0) }
    }

    fn sends(&mut self, bytes: &Arc<[u8]>) {
        self.sends = (Arc::clone(bytes), 0);
    }

    /// Closes batches of one op, each when the one before is acknowledged: how long an ack took.
    fn rounds(&mut self, from: u64) -> Percentiles {
        let mut took = Vec::new();
        for index in (from * ROUNDS..).take(ROUNDS as usize) {
            let put = frame(put(2 * index, "v").as_bytes());
            let marker = format!(r#"{{"type":"write_marker","index":{},"blockNum":101}}"#, 2 * index + 1);
            let start = Instant::now();
            self.socket.write_all(&[put, frame(marker.as_bytes())].concat()).expect("sent");
            let (mut heard, mut some) = (Vec::new(), [0; 4096]);
            while !heard.windows(8).any(|text| text == b"success\"") {
                let n = self.socket.read(&mut some).expect("an ack");
                heard.extend_from_slice(&some[..n]);
                assert!(n > 0, "closed");
            }
            took.push(start.elapsed());
        }
        Percentiles::of(took)
    }

    /// Bytes that it has sent of what it was told to.
    fn sent(&self) -> u64 {
        self.sends.1 as u64
    }

    /// Sends as much as is taken at once; whether all is sent. A socket that was closed takes everything.
    fn push(&mut self) -> bool {
        self.socket.set_nonblocking(true).expect("set");
        let (bytes, at) = &mut self.sends;
        while *at < bytes.len() {
            match self.socket.write(&bytes[*at..]) {
                Ok(n) => *at += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => *at = bytes.len(),
            }
        }
        true
    }
}

/// Whether an attack is over; if it is not, how far it is: sockets take turns on a machine that has other work, too, and
/// only one that does not move any more has failed.
type Progress = Result<(), u64>;

/// Lets all of them send; over when all have, and `then`.
fn push(sockets: &mut [Rude], then: impl FnOnce() -> (bool, u64)) -> Progress {
    let waiting = sockets.iter_mut().filter_map(|socket| (!socket.push()).then_some(())).count();
    let sent: u64 = sockets.iter().map(Rude::sent).sum();
    let (over, heard) = then();
    if waiting == 0 && over { Ok(()) } else { Err(sent + heard) }
}

/// A text frame, masked with zeros.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81, 0xff];
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(text);
    bytes
}

fn put(index: u64, data: &str) -> String {
    format!(r#"{{"type":"put","index":{index},"blockNum":101,"forkHash":"QmA","path":["a"],"data":"{data}"}}"#)
}

/// A counter of the feeds.
fn counter(api: &str, kind: &str) -> u64 {
    let (_, text) = http::get(api, "/metrics").expect("metrics");
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.contains(&format!("kind=\"{kind}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {kind} in\n{text}"))
}

/// Runs one attack on a fresh node, to its end.
fn attack(what: &str, mut attack: impl FnMut(&Node) -> Box<dyn FnMut(&str) -> Progress>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).start().expect("a node");
    let (mut goes_on, api) = (attack(&node), node.api_address().to_owned());
    let over = node.process.wait_while_moving("the end of the attack", |_| goes_on(&api));
    over.unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(goes_on);
    node.wait_until_ok("a node that answers", "/health/live").expect("it lives");
    let peak = node.process.peak_memory().expect("the kernel says");
    println!("{what}: {} MB at most", peak / 1_000_000);
    assert!(peak < CEILING, "{what}: {peak}");
}

fn many(node: &Node) -> Vec<Rude> {
    (0..SOCKETS).map(|_| Rude::connect(node)).collect()
}

/// A frame of so many ops, each with this much data.
fn batch(ops: u64, data: &str) -> Vec<u8> {
    let op = |index: u64| format!(r#"{{"opType":"put","index":{index},"path":["a"],"data":"{data}"}}"#);
    let ops: Vec<String> = (0..ops).map(op).collect();
    frame(format!(r#"{{"type":"batch","operations":[{}]}}"#, ops.join(",")).as_bytes())
}

/// Each lane's open batch stays just below the size at which a lane spills by itself. Planted once: no sum over lanes.
#[test]
fn open_batches_on_many_sockets() {
    attack("open batches", |node| {
        let (mut sockets, open) = (many(node), Arc::from(batch(33, &"x".repeat(31_000))));
        sockets.iter_mut().for_each(|socket| socket.sends(&open));
        Box::new(move |api| {
            push(&mut sockets, || {
                let items = counter(api, "items");
                (items >= SOCKETS as u64 * 33, items)
            })
        })
    });
}

/// Frames of 56 MiB, of one op and of as many as a frame may have, on eight sockets at once. Planted once: no sum over
/// sockets.
#[test]
fn large_frames_on_several_sockets_at_once() {
    attack("large frames", |node| {
        let one = Arc::from(frame(put(0, &"x".repeat(56 << 20)).as_bytes()));
        let many = Arc::from(batch(120_000, &"y".repeat(400)));
        let mut sockets: Vec<Rude> = (0..8).map(|_| Rude::connect(node)).collect();
        for pair in sockets.chunks_mut(2) {
            pair[0].sends(&one);
            pair[1].sends(&many);
        }
        Box::new(move |api| {
            push(&mut sockets, || {
                let messages = counter(api, "messages");
                (messages >= 16, messages)
            })
        })
    });
}

/// A large frame on each socket, one after the other. Planted once: buffers that a socket keeps once it has had one.
#[test]
fn large_frames_on_many_sockets_in_turn() {
    attack("large frames in turn", |node| {
        let large = Arc::from(frame(format!("{{{}}}", " ".repeat(16 << 20)).as_bytes()));
        let mut sockets: Vec<Rude> = (0..60).map(|_| Rude::connect(node)).collect();
        let mut at = 0;
        sockets[0].sends(&large);
        Box::new(move |api| {
            if !sockets[at].push() || counter(api, "messages") < 61 + at as u64 {
                return Err(at as u64 * large.len() as u64 + sockets[at].sent());
            }
            at += 1;
            match sockets.get_mut(at) {
                None => Ok(()),
                Some(socket) => {
                    socket.sends(&large);
                    Err(at as u64 * large.len() as u64)
                }
            }
        })
    });
}

/// Nonsense that is answered, and nobody who reads the answers: every socket is closed for it, or all of it is read. The
/// system takes 50,000 answers a socket before the node has to hold any. Guards against: replies without a limit.
#[test]
fn replies_that_nobody_reads() {
    const EACH: u64 = 400_000;
    attack("unread replies", |node| {
        let nonsense = Arc::from(frame(b"x").repeat(EACH as usize));
        let mut sockets: Vec<Rude> = (0..40).map(|_| Rude::connect(node)).collect();
        sockets.iter_mut().for_each(|socket| socket.sends(&nonsense));
        Box::new(move |api| {
            let all = sockets.len() as u64;
            push(&mut sockets, || {
                let messages = counter(api, "messages");
                (counter(api, "unread") >= all || messages >= all * EACH, messages)
            })
        })
    });
}

/// Sockets that do nothing cost their own buffers, and nobody's time (shown, not judged: the disk's time is in it).
#[test]
fn a_thousand_idle_sockets_beside_a_working_one() {
    attack("1000 idle sockets", |node| {
        let mut works = Rude::connect(node);
        let alone = works.rounds(0);
        let idle: Vec<Rude> = (0..1000).map(|_| Rude::connect(node)).collect();
        let beside = works.rounds(1);
        for (who, took) in [("alone", alone), ("beside them", beside)] {
            println!("marker to ack, {who}: p50 {} p99 {}", ms(took.at(0.5)), ms(took.at(0.99)));
        }
        Box::new(move |api| {
            let sockets = counter(api, "sockets");
            if sockets > idle.len() as u64 { Ok(()) } else { Err(sockets) }
        })
    });
}
