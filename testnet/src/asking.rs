//! Many readers of an HTTP API at once, on connections that stay open.
//!
//! Few threads hold many connections each: a thread asks on all of its own and then reads all answers, so that as many
//! requests are under way as there are connections, at little cost beside the server's.
//!
//! *Always holds:* every answer is looked at; one that is not right is counted, never left out.

use crate::STILL;
use crate::measure::Percentiles;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Threads that ask at most.
const THREADS: usize = 4;

/// What was asked for, and what became of it.
#[derive(Debug)]
pub struct Asked {
    /// Answers a second.
    pub rate: f64,
    /// How long each took.
    pub latencies: Percentiles,
    /// Answers that were not right.
    pub wrong: u64,
}

/// Asks `address` (`host:port`) on so many connections until `stop` says so. `path` makes the n-th request, `right`
/// judges its answer (status and body).
pub fn ask(
    address: &str,
    connections: usize,
    stop: impl Fn() -> bool + Sync,
    path: impl Fn(u64) -> String + Sync,
    right: impl Fn(u64, u16, &[u8]) -> bool + Sync,
) -> std::io::Result<Asked> {
    let threads = THREADS.min(connections);
    let failed = AtomicBool::new(false);
    let start = Instant::now();
    let results: Vec<std::io::Result<(Vec<Duration>, u64)>> = std::thread::scope(|scope| {
        let (stop, path, right, failed) = (&stop, &path, &right, &failed);
        let ask_on = move |thread: usize| {
            let of_mine = (thread..connections).step_by(threads);
            let mine = of_mine.map(|_| Connection::open(address)).collect::<std::io::Result<Vec<_>>>();
            let numbers = (thread as u64..).step_by(threads);
            let asked =
                mine.and_then(|mine| ask_in_turns(mine, numbers, &|| stop() || failed.load(SeqCst), path, right));
            failed.fetch_or(asked.is_err(), SeqCst);
            asked
        };
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || ask_on(thread))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(Error::other("a thread that asks panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    let took = start.elapsed();
    let (mut latencies, mut wrong) = (Vec::new(), 0);
    for result in results {
        let (some, of_them) = result?;
        latencies.extend(some);
        wrong += of_them;
    }
    Ok(Asked { rate: latencies.len() as f64 / took.as_secs_f64(), latencies: Percentiles::of(latencies), wrong })
}

fn ask_in_turns(
    mut connections: Vec<Connection>,
    mut numbers: impl Iterator<Item = u64>,
    stop: &impl Fn() -> bool,
    path: &impl Fn(u64) -> String,
    right: &impl Fn(u64, u16, &[u8]) -> bool,
) -> std::io::Result<(Vec<Duration>, u64)> {
    let (mut latencies, mut wrong) = (Vec::new(), 0);
    while !stop() {
        let mut under_way = Vec::with_capacity(connections.len());
        for (connection, number) in connections.iter_mut().zip(&mut numbers) {
            under_way.push((number, Instant::now()));
            connection.ask(&path(number))?;
        }
        for (connection, (number, asked)) in connections.iter_mut().zip(under_way) {
            let status = connection.answer()?;
            latencies.push(asked.elapsed());
            wrong += u64::from(!right(number, status, &connection.body));
        }
    }
    Ok((latencies, wrong))
}

struct Connection {
    address: String,
    socket: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(STILL))?;
        let (line, body) = (String::new(), Vec::new());
        Ok(Self { address: address.to_owned(), socket: BufReader::new(socket), line, body })
    }

    fn ask(&mut self, path: &str) -> std::io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.socket.get_mut().write_all(request.as_bytes())
    }

    /// Reads one answer: its status; its body is kept until the next.
    fn answer(&mut self) -> std::io::Result<u16> {
        let wrong = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
        let (mut status, mut length) = (None, None);
        loop {
            self.line.clear();
            if self.socket.read_line(&mut self.line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(':') {
                _ if status.is_none() => status = line.split(' ').nth(1).and_then(|status| status.parse().ok()),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()
                }
                _ => {}
            }
        }
        let length: usize = length.ok_or_else(|| wrong("an answer without its length"))?;
        self.body.resize(length, 0);
        self.socket.read_exact(&mut self.body)?;
        status.ok_or_else(|| wrong("an answer without its status"))
    }
}

/// Stops after a time.
pub fn after(duration: Duration) -> impl Fn() -> bool + Sync {
    let start = Instant::now();
    move || start.elapsed() >= duration
}

#[cfg(test)]
mod tests {
    use super::ask;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[test]
    fn every_answer_is_judged() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound").to_string();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut request = [0; 1024];
                    while let Ok(read) = socket.read(&mut request).map(|read| &request[..read]) {
                        let odd = read.split(|byte| *byte == b' ').nth(1).is_some_and(|path| path.ends_with(b"1"));
                        let body = if odd { "odd" } else { "even" };
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                        if read.is_empty() || socket.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let asked = AtomicU64::new(0);
        let stop = || asked.load(SeqCst) >= 100;
        let path = |number: u64| format!("/{}", number % 2);
        let judge = |number: u64, status: u16, body: &[u8]| {
            asked.fetch_add(1, SeqCst);
            status == 200 && body == if number % 2 == 1 { &b"odd"[..] } else { b"even" }
        };
        let found = ask(&address, 7, stop, path, judge).expect("asked");
        assert_eq!(found.wrong, 0);
        assert!(found.latencies.count() >= 100 && found.rate > 0.0);
        let never = ask(
            &address,
            1,
            || asked.load(SeqCst) >= 200,
            path,
            |_, _, _| {
                asked.fetch_add(1, SeqCst);
                false
            },
        );
        assert!(never.expect("asked").wrong > 0);
    }
}
