//! `honeygraph-testnet`: parts of a honeygraph network on one desk, for hands and scripts.

mod cli;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// A whole honeygraph network on one desk.
#[derive(Parser)]
#[command(name = "honeygraph-testnet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Feed a node as a honeycomb would, with real checkpoints, until every op is acknowledged.
    Feed(cli::feed::Args),
    /// Start nodes and honeycombs that feed one of them, with a live table.
    Up(cli::up::Args),
    /// Run a named scenario, simulated or with real processes.
    Run(cli::run::Args),
    /// What `honeygraph` does, in this program: so are the nodes of `up` started.
    #[command(hide = true, disable_help_flag = true)]
    Node {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Feed(args) => cli::feed::run(args),
        Command::Up(args) => cli::up::run(args),
        Command::Run(args) => cli::run::run(&args),
        Command::Node { args } => cli::node(args),
    }
}
