//! `honeygraph-testnet`: parts of a honeygraph network on one desk, for hands and scripts.

mod cli;

use clap::{Parser, Subcommand};
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
    /// Start a node and honeycombs that feed it, with a live status line.
    Up(cli::up::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Feed(args) => cli::feed::run(args),
        Command::Up(args) => cli::up::run(args),
    }
}
