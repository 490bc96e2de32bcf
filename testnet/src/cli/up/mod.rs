//! `honeygraph-testnet up`: a node and two scripted honeycombs that feed it, with everything that happens to real ones: lost
//! ops, lost sockets, restarts, and a twin that comes to disagree. With `--nodes N` also nodes that nobody feeds, which
//! become the same from their peers alone. Whoever watches can kill, wipe, restart and part nodes, and make a fork.
//!
//! *Always holds:* at the end what was acknowledged is held against the node's own answers; the exit code says whether
//! it is right.

mod cast;
mod nodes;
pub(super) mod order;
mod relay;
mod screen;
pub(super) mod script;
mod verdict;

use cast::Cast;
pub(super) use cast::Mood;
use nodes::{Nodes, Row};
use order::Order;
use relay::Relay;
use screen::Screen;
use script::{Next, Script, Seen, Step};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Network of the honeycombs: that of SPK.
const NETWORK: &str = "spkcc_";

/// Ops a second of a honeycomb in a script.
const SCRIPTED_RATE: f64 = 1_500.0;
/// Between two looks at the nodes.
const TICK: Duration = Duration::from_millis(250);

/// How to run.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the nodes' data; without it a temporary one, which is gone afterwards.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the first node's HTTP API listens.
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
    /// Log of the nodes, shown when one fails: off, error, warn, info, debug.
    #[arg(long, default_value = "error")]
    log_level: String,
}

/// Runs until the time is over; 0 when every op was acknowledged and the node's state is the honeycombs'.
pub fn run(args: Args) -> ExitCode {
    let mood = if args.calm { Mood::Calm } else { Mood::Twin };
    if came_right(up(&args, mood, None)) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Plays a script; whether it came to its end, every op was acknowledged and every state is right.
pub(super) fn perform(nodes: u16, mood: Mood, seed: u64, steps: &[Step]) -> bool {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let args = Args {
        data_dir: None,
        api_listen: any,
        feed_listen: any,
        nodes,
        rate: SCRIPTED_RATE,
        seconds: None,
        seed,
        calm: mood == Mood::Calm,
        log_level: "error".to_owned(),
    };
    came_right(up(&args, mood, Some(Script::new(steps))))
}

fn came_right(well: Result<bool, Box<dyn std::error::Error>>) -> bool {
    well.unwrap_or_else(|error| {
        eprintln!("honeygraph-testnet: {error}");
        false
    })
}

/// The play.
struct Play {
    nodes: Nodes,
    relay: Relay,
    cast: Cast,
    screen: Screen,
    interrupted: Receiver<()>,
    orders: Option<Receiver<Order>>,
    script: Option<Script>,
    chosen: usize,
    /// Where the nodes stood at the last look.
    rows: Vec<Row>,
    /// The first node's, as it was last seen: one that was just killed does not answer.
    status: Value,
}

fn up(args: &Args, mood: Mood, script: Option<Script>) -> Result<bool, Box<dyn std::error::Error>> {
    let interrupted = interrupts()?;
    let (folder, temporary) = match &args.data_dir {
        Some(path) => (path.clone(), None),
        None => {
            let folder = tempfile::Builder::new().prefix("honeygraph-up-").tempdir()?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    let listen = (args.api_listen.to_string(), args.feed_listen.to_string());
    let nodes = Nodes::enter(&folder, usize::from(args.nodes), listen, &args.log_level)?;
    let relay = Relay::start(nodes.feed_of(1).unwrap_or_default())?;
    let cast = Cast::enter(&format!("ws://{}", relay.at()), args.seed, args.rate, mood)?;
    let mut screen = Screen::new(&nodes, &folder, temporary.is_some());
    screen.introduce(nodes.others());
    // A script does what it does; nobody else gives orders.
    let orders = if script.is_some() { None } else { Some(order::listen()?) };
    let mut play = Play {
        nodes,
        relay,
        cast,
        screen,
        interrupted,
        orders,
        script,
        chosen: 1,
        rows: Vec::new(),
        status: Value::Null,
    };
    let well = play.run(args.seconds.map(Duration::from_secs));
    order::restore();
    drop(temporary);
    well
}

impl Play {
    fn run(&mut self, time: Option<Duration>) -> Result<bool, Box<dyn std::error::Error>> {
        let until = time.map(|time| Instant::now() + time);
        while !self.cast.main_is_over() && until.is_none_or(|until| Instant::now() < until) {
            if self.look()? || !self.screen.is_heard() || !self.act()? {
                break;
            }
        }
        self.nodes.join()?;
        self.cast.stop();
        // The second Ctrl-C ends the process: it waits for nothing.
        while !self.cast.is_over() {
            self.look()?;
        }
        self.screen.end();
        let first = self.nodes.first();
        let well = verdict::judge(&first, NETWORK, self.cast.leave());
        self.nodes.vouch(&first.status(NETWORK)?);
        let well = self.nodes.are_equal() && well;
        self.nodes.leave()?;
        Ok(well)
    }

    /// Shows where everything stands; whether it was interrupted.
    fn look(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        if let Some(log) = self.nodes.ended() {
            return Err(log.into());
        }
        if let Ok(status) = self.nodes.first().status(NETWORK) {
            self.status = status;
        }
        self.nodes.vouch(&self.status);
        self.rows = self.nodes.rows();
        self.screen.show(&self.status, &self.cast.reports(), &self.rows, self.chosen);
        Ok(self.interrupted.recv_timeout(TICK).is_ok())
    }

    /// Does what is ordered, or what the script says; false at its end.
    fn act(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        while let Some(order) = self.orders.as_ref().and_then(|orders| orders.try_recv().ok()) {
            self.obey(order)?;
        }
        let Some(script) = &mut self.script else { return Ok(true) };
        let acked = self.cast.reports().iter().map(|report| report.acked).sum();
        let forks = self.status["forks"].as_array().map_or(0, |forks| forks.len().saturating_sub(1));
        match script.next(&Seen { acked, forks, rows: &self.rows }) {
            Next::Order(order) => self.obey(order).map(|()| true),
            Next::Wait => Ok(true),
            Next::End => Ok(false),
            Next::Stuck(step) => Err(format!("nothing moves any more while the script waits for {step:?}").into()),
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), Box<dyn std::error::Error>> {
        let said = match order {
            Order::Choose(number) => {
                self.chosen = number;
                return Ok(());
            }
            Order::Node(what, number) => self.nodes.order(what, number.unwrap_or(self.chosen))?,
            Order::Hop(number) => {
                let number = number.unwrap_or(self.chosen);
                match self.nodes.feed_of(number) {
                    Some(feed) => {
                        self.relay.move_to(feed)?;
                        format!("the honeycombs are moved to node {number}")
                    }
                    None => format!("there is no node {number}"),
                }
            }
            Order::Fork => {
                self.cast.fork()?;
                "one more honeycomb feeds node 1, and disagrees from its next period on".to_owned()
            }
        };
        self.screen.tell(&said);
        Ok(())
    }
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
                order::restore();
                std::process::exit(1);
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(interrupted)
}
