//! `honeygraph-testnet feed`: one scripted honeycomb on one node.

use super::say;
use honeygraph_testnet::honeycomb::live::{self, Pace, Report};
use honeygraph_testnet::honeycomb::{AfterSave, Config, Fault, Honeycomb, Keep, Profile, Start};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::Duration;

/// What to feed, where to, how fast, and what goes wrong.
#[derive(clap::Args)]
pub struct Args {
    /// The node's feed socket.
    #[arg(long, default_value = "ws://127.0.0.1:4000/ws")]
    url: String,
    /// Client that speaks: published, seed or ideal.
    #[arg(long, default_value = "published")]
    profile: Profile,
    /// Token symbol of identify.
    #[arg(long, default_value = "SPK")]
    token: String,
    /// Network prefix of identify; the published client sends none.
    #[arg(long)]
    prefix: Option<String>,
    /// Ops a second; 0 is as fast as possible.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Ops to write (the last block is finished); 0 goes on until Ctrl-C.
    #[arg(long, default_value_t = 10_000)]
    ops: u64,
    /// Seed of what is written; honest twins share it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seed of what only depends on the machine's speed.
    #[arg(long)]
    pace: Option<u64>,
    /// Blocks in a period.
    #[arg(long, default_value_t = 100)]
    checkpoint_every: u64,
    /// Blocks between two roots; default 288 periods.
    #[arg(long)]
    root_interval: Option<u64>,
    /// Offset of the daily accounting block; default as honeycomb's, or 5.
    #[arg(long)]
    root_offset: Option<u64>,
    /// Block it starts at; a checkpoint block.
    #[arg(long)]
    first_block: Option<u64>,
    /// Ops that the transactions of a block write, on average.
    #[arg(long)]
    ops_per_block: Option<u64>,
    /// Accounts that act.
    #[arg(long)]
    users: Option<u64>,
    /// Start the chain from nothing instead of from a state that is never sent.
    #[arg(long)]
    genesis: bool,
    /// Send forkHash null and blockNum 0 after a save, as some versions do.
    #[arg(long)]
    null_hashes: bool,
    /// Send paths as /a/b.
    #[arg(long)]
    string_paths: bool,
    /// A fault, repeatable: disagree:PERIOD:SALT, wrong-hash:PERIOD, flip:OP, silent:FROM:TO, drop:OP, dup:OP, swap:OP,
    /// disconnect:OP, restart:BLOCKS:BACK, mute.
    #[arg(long = "fault")]
    faults: Vec<Fault>,
    /// Wait before the first reconnect, in milliseconds; each further one half as long again, up to 30 times this.
    #[arg(long, default_value_t = 1000)]
    reconnect_ms: u64,
    /// Give up when nothing moves for so many seconds.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    json: bool,
}

/// Longest wait before a reconnect, in first waits.
const RECONNECT_GROWTH: u32 = 30;

impl Args {
    fn config(&self) -> Config {
        let mut config = Config::new(self.profile, self.seed);
        config.token.clone_from(&self.token);
        config.prefix.clone_from(&self.prefix);
        config.pace = self.pace.unwrap_or(self.seed);
        if self.checkpoint_every != config.checkpoint_every {
            let periods = config.root_interval / config.checkpoint_every;
            config.root_interval = self.checkpoint_every.saturating_mul(periods);
            config.root_offset = 5;
            config.checkpoint_every = self.checkpoint_every;
            config.first_block -= (config.first_block - 1) % self.checkpoint_every.max(1);
        }
        config.root_interval = self.root_interval.unwrap_or(config.root_interval);
        config.root_offset = self.root_offset.unwrap_or(config.root_offset);
        config.first_block = self.first_block.unwrap_or(config.first_block);
        config.ops_per_block = self.ops_per_block.unwrap_or(config.ops_per_block);
        config.users = self.users.unwrap_or(config.users);
        config.string_paths = self.string_paths;
        config.faults.clone_from(&self.faults);
        if self.genesis {
            config.start = Start::Genesis;
        }
        if self.null_hashes {
            config.after_save = AfterSave::Null;
        }
        let restarts = self.faults.iter().any(|fault| matches!(fault, Fault::Restart { .. }));
        config.keep = if restarts { Keep::Day } else { Keep::Open };
        config
    }

    fn pace(&self) -> Pace {
        let mut pace = Pace::new(self.url.clone());
        pace.ops = self.ops;
        pace.rate = self.rate.max(0.0);
        pace.reconnect = Duration::from_millis(self.reconnect_ms.max(1));
        pace.reconnect_max = pace.reconnect * RECONNECT_GROWTH;
        pace.patience = Duration::from_secs(self.patience);
        if self.profile != Profile::Published {
            pace.pause = Duration::ZERO;
        }
        pace
    }
}

/// Runs the feed; 0 when everything was acknowledged.
pub fn run(args: Args) -> ExitCode {
    let honeycomb = match Honeycomb::new(args.config()) {
        Ok(honeycomb) => honeycomb,
        Err(wrong) => {
            eprintln!("honeygraph-testnet feed: {wrong}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("honeygraph-testnet feed: no runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let line = status_line(&args);
    let told = line.clone();
    let (_, report) =
        runtime.block_on(live::feed(honeycomb, args.pace(), interrupted(), move |report| show(&told, report)));
    line.finish_and_clear();
    if args.json {
        say(&serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        print_summary(&report);
    }
    ExitCode::from(u8::from(!report.complete))
}

/// The first Ctrl-C ends the writing, the second does not wait for what is not acknowledged yet.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    });
}

fn status_line(args: &Args) -> ProgressBar {
    if args.json {
        return ProgressBar::hidden();
    }
    let line = if args.ops > 0 { ProgressBar::new(args.ops) } else { ProgressBar::no_length() };
    let template = if args.ops > 0 { "{bar:30} {msg}" } else { "{spinner} {msg}" };
    line.with_style(ProgressStyle::with_template(template).expect("a constant template"))
}

fn show(line: &ProgressBar, report: &Report) {
    line.set_position(report.acked);
    let trouble = report.last_error.as_deref().map(|error| format!(" | {error}")).unwrap_or_default();
    line.set_message(format!(
        "{} acked, {} waiting, {:.0}/s, ack p50 {:.1} ms, block {}, {} checkpoints{trouble}",
        HumanCount(report.acked),
        HumanCount(report.unacked),
        report.ops_per_second,
        report.ack_p50_ms,
        report.block,
        report.checkpoints,
    ));
}

fn print_summary(report: &Report) {
    say(&format!(
        "{} ops sent, {} acknowledged, {} not; {} frames, {}, {} connections, {} questions, {} errors",
        report.sent,
        report.acked,
        report.unacked,
        report.frames,
        HumanBytes(report.bytes),
        report.connections,
        report.asked,
        report.errors,
    ));
    say(&format!(
        "{:.1} s, {:.0} ops/s, ack p50 {:.2} ms, p99 {:.2} ms; block {}, {} checkpoints, newest {}",
        report.seconds,
        report.ops_per_second,
        report.ack_p50_ms,
        report.ack_p99_ms,
        report.block,
        report.checkpoints,
        report.checkpoint.as_deref().unwrap_or("none"),
    ));
    if let Some(error) = &report.last_error {
        say(&format!("last error: {error}"));
    }
}
