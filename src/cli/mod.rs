//! The command line: `run` is the node, everything else asks a running one or reads the data folder.
//!
//! *Always holds:* standard output carries the result and nothing else (one JSON value with `--json`); what went wrong
//! stands on standard error; the exit code says who should act ([`exit::Code`]).

mod backup;
mod base;
mod bind;
mod checkpoints;
mod client;
mod compare;
mod config;
mod doctor;
mod exchange;
pub mod exit;
mod export;
mod flags;
mod journal;
mod key;
mod keys;
mod picture;
mod print;
mod progress;
mod record;
mod remote;
mod replay;
mod run;
mod verify;

use crate::config::{Config, Sources, Target};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::{Code, Failure, Outcome};
use flags::{CommonFlags, NodeFlags};
use remote::Remote;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Read replica for honeycomb token networks.
#[derive(Debug, Parser)]
#[command(name = "honeygraph", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE", env = "HONEYGRAPH_CONFIG")]
    config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Node to ask, http://host:port; else the one that runs on the data folder
    #[arg(long, global = true, value_name = "URL", env = "HONEYGRAPH_API")]
    api: Option<String>,
    #[command(flatten)]
    flags: CommonFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until it is stopped
    Run(NodeFlags),
    /// What a running node is doing: head, feeds, gaps, verdicts
    Status,
    /// Forks of a running node
    #[command(args_conflicts_with_subcommands = true)]
    Forks {
        /// Only this one, with its newest operations: id, hash of a period, or head id
        id: Option<String>,
        #[command(subcommand)]
        order: Option<Forks>,
    },
    /// Holes in the stream
    #[command(subcommand)]
    Gaps(Gaps),
    /// Read the state of a running node
    Query(client::Query),
    /// Write the whole state of a network to a file
    Export(export::Export),
    /// Write what a network's feeds say to a file, as it comes
    Record(record::Record),
    /// Play a recorded feed against a node
    Replay(replay::Replay),
    /// Snapshots of the state on disk
    #[command(subcommand)]
    Checkpoints(checkpoints::Checkpoints),
    /// Put the head back, or release an earlier verdict
    Rollback(client::Rollback),
    /// Vouch for a checkpoint's hash, or do so no longer
    Trust(client::Trust),
    /// Change the log level of a running node
    LogLevel {
        /// off, error, warn, info, debug, trace, or a list such as info,honeygraph::feed=debug
        #[arg(value_parser = client::level)]
        level: String,
    },
    /// Hold everything in a data folder, on which no node runs, against itself
    Verify,
    /// What a network's state was before this replica's history (on a data folder on which no node runs)
    #[command(subcommand)]
    Base(base::BaseCommand),
    /// The state at a root as a file, for newcomers
    #[command(subcommand)]
    Picture(picture::PictureCommand),
    /// Copy everything that cannot be made again into one file, or back
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Keys for readers, operators and feeds
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Hold the state of a running node against honeycomb's own
    Compare(compare::Compare),
    /// Look at everything that can be wrong, and say what to do next
    Doctor,
    /// Look into the journals of a data folder, take records out and put them in
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Who this node is to others
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Let an account of Hive say that this node votes for it
    Bind(bind::Bind),
    /// Print every setting with its value and its origin
    Config(NodeFlags),
}

impl Command {
    /// Whether it asks a running node.
    fn asks(&self) -> bool {
        !matches!(
            self,
            Command::Run(_)
                | Command::Config(_)
                | Command::Journal(_)
                | Command::Verify
                | Command::Base(_)
                | Command::Picture(_)
                | Command::Backup(_)
                | Command::Key(_)
                | Command::Bind(_)
                | Command::Keys(_)
                | Command::Replay(_)
        )
    }
}

#[derive(Debug, Subcommand)]
enum Forks {
    /// Take the view from a fork that nobody feeds and nothing stands on
    Prune {
        /// The fork, or its last batch
        id: String,
        /// Why, for those who come after
        #[arg(long, value_parser = client::reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
enum Gaps {
    /// Holes that are known now
    List,
    /// Give a hole up: the chain goes on behind it, marked as incomplete
    Accept {
        /// Number of the hole
        id: u64,
        /// Why, for those who come after
        #[arg(long, value_parser = client::reason)]
        reason: String,
    },
}

/// What a client command has at hand.
struct Context {
    remote: Remote,
    /// Network that the operator named; else the node chooses.
    network: Option<String>,
    json: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    main_with(std::env::args_os().collect())
}

/// The same with these words, the program's name first: for a program that has the node in it.
pub fn main_with(args: Vec<OsString>) -> ExitCode {
    let parsed = Cli::command().try_get_matches_from(&args).and_then(|matches| {
        let told = matches.value_source("api") == Some(ValueSource::CommandLine);
        Ok((Cli::from_arg_matches(&matches)?, told))
    });
    let (cli, api_told) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            if error.use_stderr() && args.iter().any(|arg| arg == "--json") {
                return Failure::new(Code::Usage, in_one_line(&error)).report(true);
            }
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Code::Usage as u8 } else { 0 });
        }
    };
    let json = cli.common.json;
    if api_told && !cli.command.asks() {
        let message = "--api names a node to ask; this command asks none";
        return Failure::new(Code::Usage, message).report(json);
    }
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let Cli { common, command } = cli;
    match command {
        Command::Run(flags) => run::run(read(&common, flags)?, common.json),
        Command::Config(flags) => config::print(&read(&common, flags)?, common.json),
        Command::Journal(command) => journal::run(&command, &target(&common)?, common.json),
        Command::Base(command) => base::run(&command, &target(&common)?, common.json),
        Command::Picture(command) => picture::run(&command, &target(&common)?, common.json),
        Command::Backup(command) => backup::run(&command, &target(&common)?, common.config.as_deref(), common.json),
        Command::Key(command) => key::run(&command, &target(&common)?, common.json),
        Command::Bind(order) => bind::run(&order, &target(&common)?, common.json),
        Command::Keys(command) => keys::run(command, &target(&common)?, common.json),
        Command::Doctor => doctor::run(common.api.as_deref(), &target(&common)?, common.json),
        Command::Replay(order) => {
            let data_dir = target(&common)?.data_dir;
            runtime()?.block_on(replay::run(&order, &data_dir, common.json))
        }
        Command::Verify => verify::run(&target(&common)?, common.json),
        remote => ask(common, remote),
    }
}

/// What is wrong with the command line, without the help around it.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sources(common: &Common, node: NodeFlags) -> Sources {
    let mut flags = common.flags.0.clone();
    flags.extend(node.0);
    let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    Sources { flags, env, file: common.config.clone() }
}

/// The settings of a node.
fn read(common: &Common, node: NodeFlags) -> Result<Config, Failure> {
    sources(common, node).read().map_err(|error| Failure::new(Code::Usage, error))
}

/// What every other command works on.
fn target(common: &Common) -> Result<Target, Failure> {
    sources(common, NodeFlags::default()).target().map_err(|error| Failure::new(Code::Usage, error))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Code::Failed, error))
}

/// Commands that talk to a running node.
fn ask(common: Common, command: Command) -> Outcome {
    let Target { data_dir, network, .. } = target(&common)?;
    let context = Context { remote: Remote::find(common.api.as_deref(), &data_dir)?, network, json: common.json };
    runtime()?.block_on(async {
        match command {
            Command::Status => client::status(&context).await,
            Command::Forks { order: Some(Forks::Prune { id, reason }), .. } => {
                client::prune(&context, &id, &reason).await
            }
            Command::Forks { id, order: None } => client::forks(&context, id.as_deref()).await,
            Command::Gaps(Gaps::List) => client::gaps(&context).await,
            Command::Gaps(Gaps::Accept { id, reason }) => client::accept_gap(&context, id, &reason).await,
            Command::Query(query) => client::query(&context, &query).await,
            Command::Export(order) => export::export(&context, &order).await,
            Command::Record(order) => record::record(&context, &order).await,
            Command::Checkpoints(order) => checkpoints::run(&context, &order).await,
            Command::Rollback(order) => client::rollback(&context, &order).await,
            Command::Trust(order) => client::trust(&context, &order).await,
            Command::Compare(order) => {
                compare::run(&context.remote, context.network.as_deref(), &order, context.json).await
            }
            Command::LogLevel { level } => client::log_level(&context, &level).await,
            Command::Run(_)
            | Command::Config(_)
            | Command::Journal(_)
            | Command::Verify
            | Command::Base(_)
            | Command::Picture(_)
            | Command::Backup(_)
            | Command::Key(_)
            | Command::Bind(_)
            | Command::Keys(_)
            | Command::Replay(_)
            | Command::Doctor => {
                unreachable!("dispatched before")
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_are_flags() {
        let cli =
            Cli::try_parse_from(["honeygraph", "run", "--api-listen", "127.0.0.1:0", "--data-dir", "/x"]).unwrap();
        assert_eq!(cli.common.flags.0["data_dir"], "/x");
        let Command::Run(flags) = cli.command else { panic!("run") };
        assert_eq!(flags.0["api_listen"], "127.0.0.1:0");
        assert!(Cli::try_parse_from(["honeygraph", "status", "--api-listen", "127.0.0.1:0"]).is_err());
        assert!(Cli::try_parse_from(["honeygraph", "run", "--nonsense"]).is_err());
    }

    #[test]
    fn a_rollback_says_where_to_and_why() {
        for wrong in [
            &["honeygraph", "rollback"][..],
            &["honeygraph", "rollback", "--to", "100"],
            &["honeygraph", "rollback", "--reason", "x"],
            &["honeygraph", "rollback", "--to", "100", "--release", "1", "--reason", "x"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
        assert!(Cli::try_parse_from(["honeygraph", "rollback", "--to", "100", "--reason", "x", "--dry-run"]).is_ok());
    }
}
