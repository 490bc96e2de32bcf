//! The blocks protocol alone: a node answers 1 MiB of batches at a time out of its journal, and whoever asked decodes them.
//!
//! Yardstick, in the same run: two bare libp2p swarms that speak nothing but request-response, one of which has the very same
//! bytes in memory.
//!
//! A peer may draw so much at once and less for long (`swarm::serve::allowance`): each round is a new peer's, and stays below.
//!
//! `HONEYGRAPH_BENCH_ROUNDS` sets how often both are measured.

use honeygraph_protocols::swarm::blocks::{ANSWER_BYTES, Answer, Request};
use honeygraph_protocols::swarm::wire::Message;
use honeygraph_testnet::api::Api;
use honeygraph_testnet::load::{Mix, Shape, Stream, drive};
use honeygraph_testnet::measure::{Table, median, ms, size};
use honeygraph_testnet::neighbour::{Neighbour, batches};
use honeygraph_testnet::process::{Launch, Node};
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::request_response::{self, Codec, Config, Event, Message as Spoken, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Ops of a batch and of a period, of which the first answer is full: batches as honeycomb writes them, and long ones.
const SHAPES: [(&str, u64, u64); 2] = [("10 ops to a batch", 10, 20_000), ("500 ops to a batch", 500, 40_000)];
const PERIODS: u64 = 12;
/// Answers in a round.
const ANSWERS: usize = 64;
const ROUNDS: u64 = 9;
/// Questions that are out at once, as the planner has them.
const AT_ONCE: usize = 4;
const NETWORK: &str = "spkccT_";
/// Least share of the yardstick's speed.
const BOUND: f64 = 0.7;

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let rounds = size("HONEYGRAPH_BENCH_ROUNDS", ROUNDS);
    let runtime = Runtime::new()?;
    let mut table = Table::new(format!("{ANSWERS} answers of blocks, {AT_ONCE} at once, median of {rounds}"));
    for (name, per_marker, per_period) in SHAPES {
        let folder = tempfile::tempdir()?;
        let mut node = fed(folder.path(), per_marker, per_period)?;
        let (requests, answers) = runtime.block_on(wanted(&node))?;
        let bytes: usize = answers.iter().map(Vec::len).sum();
        let bare = Bare::start(answers)?;
        let (mut ours, mut bares) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bares.push(runtime.block_on(bare.asked())?);
            ours.push(runtime.block_on(asked(&node, &requests, bytes))?);
        }
        node.process.stop()?;
        let (ours, bares) = (median(&ours), median(&bares));
        let rate = |took: Duration| format!("{} ({:.0} MB/s)", ms(took), bytes as f64 / took.as_secs_f64() / 1e6);
        table.figure(format!("{name}: bare request-response"), rate(bares));
        table.figure(format!("{name}: blocks out of the journal, decoded"), rate(ours));
        let ratio = bares.as_secs_f64() / ours.as_secs_f64();
        table.bound(format!("{name}: ratio"), format!("{ratio:.2}"), ">= 0.7", ratio >= BOUND);
    }
    table.finish();
    Ok(())
}

/// A node with a history of full periods.
fn fed(data: &std::path::Path, per_marker: u64, per_period: u64) -> Result<Node, Failed> {
    let node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), data).env("SYNC_ENABLED", "true").start()?;
    let mut mix = Mix::new(1000, 0.02);
    let mut stream = Stream::new(Shape { per_marker, per_period, ..Shape::usual("blocks") });
    for i in 0..PERIODS * per_period {
        let write = mix.write(i, stream.block());
        stream.push(&write);
    }
    stream.finish();
    drive(&node.endpoints.feed, &stream)?;
    Api::new(&node.endpoints.api).settled(NETWORK)?;
    Ok(node)
}

/// Questions that have full answers, in the order in which a peer would ask them, and those answers.
async fn wanted(node: &Node) -> Result<(Vec<Request>, Vec<Vec<u8>>), Failed> {
    let peer = Neighbour::new().await?;
    let id = peer.meet(&node.endpoints.swarm).await?;
    let status = node.json(&format!("/api/status?network={NETWORK}"))?;
    let newest = status["networks"][0]["head"]["period"].as_str().ok_or("the node has no head")?;
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for header in peer.headers(id, NETWORK, newest).await?.iter().rev() {
        let mut from = 0;
        loop {
            let request = batches(header, from);
            let bytes = peer.ask(id, &request).await?;
            let Answer::Batches(found) = Answer::decode(&bytes)? else { return Err("no batches".into()) };
            let Some(last) = found.last().filter(|last| !last.more) else { break };
            from = last.line.end();
            if bytes.len() >= ANSWER_BYTES {
                requests.push(request);
                answers.push(bytes);
            }
        }
    }
    println!("{} different answers, {} bytes", answers.len(), answers.iter().map(Vec::len).sum::<usize>());
    if answers.is_empty() {
        return Err("no period fills an answer".into());
    }
    let all = |n: usize| n % requests.len();
    let (requests, answers): (Vec<_>, Vec<_>) =
        (0..ANSWERS).map(|n| (requests[all(n)].clone(), answers[all(n)].clone())).unzip();
    Ok((requests, answers))
}

/// A new peer asks all of it.
async fn asked(node: &Node, requests: &[Request], bytes: usize) -> Result<Duration, Failed> {
    let peer = Arc::new(Neighbour::new().await?);
    let id = peer.meet(&node.endpoints.swarm).await?;
    let mut rest = requests.iter().cloned();
    let (mut out, mut got) = (JoinSet::new(), 0);
    let start = Instant::now();
    loop {
        while out.len() < AT_ONCE
            && let Some(request) = rest.next()
        {
            let peer = peer.clone();
            out.spawn(async move {
                let bytes = peer.ask(id, &request).await?;
                match Answer::decode(&bytes)? {
                    Answer::Batches(batches) if !batches.is_empty() => Ok::<_, Failed>(bytes.len()),
                    other => Err(format!("no batches: {other:?}").into()),
                }
            });
        }
        match out.join_next().await {
            Some(answer) => got += answer??,
            None => break,
        }
    }
    let took = start.elapsed();
    if got == bytes { Ok(took) } else { Err(format!("{got} bytes came, of {bytes}").into()) }
}

/// Nothing but libp2p: a number is asked for, bytes are answered.
struct Bare {
    answers: Arc<Vec<Vec<u8>>>,
    at: Multiaddr,
    _runs: Runtime,
}

impl Bare {
    /// The one that answers, on threads of its own, as a node has them.
    fn start(answers: Vec<Vec<u8>>) -> Result<Self, Failed> {
        let (runs, answers) = (Runtime::new()?, Arc::new(answers));
        let (mut swarm, held) = (runs.block_on(async { plain() })?, answers.clone());
        let at = runs.block_on(async {
            swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    return Ok::<_, Failed>(address);
                }
            }
        })?;
        runs.spawn(async move {
            loop {
                if let SwarmEvent::Behaviour(Event::Message {
                    message: Spoken::Request { request, channel, .. }, ..
                }) = swarm.select_next_some().await
                {
                    // Who asked may have gone.
                    let _ = swarm.behaviour_mut().send_response(channel, held[request as usize].clone());
                }
            }
        });
        Ok(Self { answers, at, _runs: runs })
    }

    /// A new peer asks all of it.
    async fn asked(&self) -> Result<Duration, Failed> {
        let mut swarm = plain()?;
        swarm.dial(self.at.clone())?;
        let peer: PeerId = loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
                break peer_id;
            }
        };
        let (mut next, mut out, mut got) = (0, 0, 0);
        let start = Instant::now();
        while got < self.answers.len() {
            while out < AT_ONCE && next < self.answers.len() {
                swarm.behaviour_mut().send_request(&peer, next as u32);
                (next, out) = (next + 1, out + 1);
            }
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message { message: Spoken::Response { response, .. }, .. }) => {
                    (out, got) = (out - 1, got + usize::from(!response.is_empty()));
                }
                SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(start.elapsed())
    }
}

fn plain() -> Result<Swarm<request_response::Behaviour<Numbers>>, Failed> {
    let names = [(StreamProtocol::new("/bare/1"), ProtocolSupport::Full)];
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| request_response::Behaviour::with_codec(Numbers, names, Config::default()))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    Ok(swarm)
}

/// As libp2p's own codecs do it: what there is up to the end of the stream.
#[derive(Clone, Copy)]
struct Numbers;

impl Codec for Numbers {
    type Protocol = StreamProtocol;
    type Request = u32;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<u32>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut number = [0; 4];
        io.read_exact(&mut number).await?;
        Ok(u32::from_le_bytes(number))
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(16 << 20).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, number: u32) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&number.to_le_bytes()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}
