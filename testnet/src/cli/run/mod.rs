//! `honeygraph-testnet run <scenario>`: a named scenario, on the simulated ground (many seeds, virtual time, liars and voters)
//! or on the local one (real processes, sockets and files).
//!
//! *Always holds:* the exit code is 0 only when every run came right; a failure says what repeats it.

mod local;
mod sim;

use std::process::ExitCode;

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario; `list` names them all, with the grounds that they have.
    scenario: String,
    /// Where.
    #[arg(long, value_enum, default_value_t = Ground::Sim)]
    ground: Ground,
    /// Seed of the first run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many runs, each with the next seed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

/// The grounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ground {
    /// One thread, virtual time, the pure machines.
    Sim,
    /// Processes on this machine.
    Local,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    if args.scenario == "list" {
        sim::names().for_each(|name| println!("{name}  --ground sim"));
        local::names().for_each(|name| println!("{name}  --ground local"));
        return ExitCode::SUCCESS;
    }
    let ran = match args.ground {
        Ground::Sim => sim::run(&args.scenario, args.seed, args.seeds),
        Ground::Local => local::run(&args.scenario, args.seed, args.seeds),
    };
    let Some(well) = ran else {
        eprintln!(
            "honeygraph-testnet run: no scenario {} on this ground; `honeygraph-testnet run list` names them",
            args.scenario
        );
        return ExitCode::from(2);
    };
    if well { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
