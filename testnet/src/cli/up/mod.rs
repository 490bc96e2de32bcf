//! `honeygraph-testnet up`: a node in this process and two scripted honeycombs that feed it, with everything that
//! happens to real ones: lost ops, lost sockets, restarts, and a twin that comes to disagree. With `--nodes N` also nodes
//! that nobody feeds, which become the same from their peers alone.
//!
//! *Always holds:* at the end what was acknowledged is held against the node's own answers; the exit code says whether
//! it is right.

mod cast;
mod others;
mod screen;
mod verdict;

use cast::Cast;
use honeygraph::logging::{self, Format};
use honeygraph_testnet::local::LocalNode;
use others::Others;
use screen::Screen;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Network of the honeycombs: that of SPK.
const NETWORK: &str = "spkcc_";

/// Between two looks at the node.
const TICK: Duration = Duration::from_millis(250);

/// How to run.
#[derive(clap::Args)]
pub struct Args {
    /// Data folder of the node; without it a temporary one, which is gone afterwards.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the node's HTTP API listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    api_listen: SocketAddr,
    /// Where honeycombs connect.
    #[arg(long, default_value = "127.0.0.1:0")]
    feed_listen: SocketAddr,
    /// Nodes in all: the honeycombs feed the first, the others have it as their peer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20))]
    nodes: u16,
    /// Ops a second of each honeycomb.
    #[arg(long, default_value_t = 300.0)]
    rate: f64,
    /// Stop after so many seconds; else at Ctrl-C.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Seed of what is written and of what goes wrong.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One honeycomb, and nothing goes wrong.
    #[arg(long)]
    calm: bool,
    /// Log of the node: off, error, warn, info, debug.
    #[arg(long, default_value = "error")]
    log_level: String,
}

/// Runs until the time is over; 0 when every op was acknowledged and the node's state is the honeycombs'.
pub fn run(args: Args) -> ExitCode {
    match up(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("honeygraph-testnet up: {error}");
            ExitCode::from(1)
        }
    }
}

fn up(args: &Args) -> Result<bool, Box<dyn std::error::Error>> {
    logging::start(Format::Text, &args.log_level)?;
    let interrupted = interrupts()?;
    let (folder, temporary) = match &args.data_dir {
        Some(path) => (path.clone(), None),
        None => {
            let folder = tempfile::Builder::new().prefix("honeygraph-up-").tempdir()?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    let mut config = others::config(&folder)?;
    config.swarm.enabled = args.nodes > 1;
    (config.api_listen, config.feed_listen) = (args.api_listen, args.feed_listen);
    let node = LocalNode::start(config)?;
    let cast = Cast::enter(&node.endpoints().feed, args.seed, args.rate, args.calm)?;
    let mut others = Others::enter(&node, &folder, usize::from(args.nodes) - 1)?;
    let mut screen = Screen::new(node.endpoints(), &folder, temporary.is_some());
    screen.introduce(others.apis());
    let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while node.runs() && !cast.main_is_over() && until.is_none_or(|until| Instant::now() < until) {
        let status = node.api().status(NETWORK)?;
        others.vouch(&status);
        screen.show(&status, &cast.reports(), &others.line(&status));
        if interrupted.recv_timeout(TICK).is_ok() || !screen.is_heard() {
            break;
        }
    }
    cast.stop();
    while node.runs() && !cast.is_over() {
        let status = node.api().status(NETWORK)?;
        others.vouch(&status);
        screen.show(&status, &cast.reports(), &others.line(&status));
        // The second Ctrl-C ends the process: it waits for nothing.
        let _ = interrupted.recv_timeout(TICK);
    }
    screen.end();
    let well = node.runs() && verdict::judge(&node.api(), NETWORK, cast.leave());
    others.vouch(&node.api().status(NETWORK)?);
    let well = others.are_equal(&node) && well;
    others.leave()?;
    node.stop()?;
    drop(temporary);
    Ok(well)
}

/// Hears of the first Ctrl-C; the second ends the process at once, which loses nothing acknowledged.
fn interrupts() -> std::io::Result<Receiver<()>> {
    let (heard, interrupted) = sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = heard.send(());
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(1);
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(interrupted)
}
