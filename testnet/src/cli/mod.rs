//! The subcommands, one per file. Exit codes: 0 what was asked for happened, 1 it did not, 2 it was asked for wrongly.

pub mod feed;
pub mod run;
pub mod up;

use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// `honeygraph` with these words, which ends when whoever started it has ended.
pub fn node(args: Vec<OsString>) -> ExitCode {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        eprintln!("honeygraph-testnet node: it may outlive its parent: {error}");
    }
    honeygraph::cli::main_with(std::iter::once("honeygraph".into()).chain(args).collect())
}

/// A line on standard output; false when nobody reads it any more (`| head`), which is no failure.
fn say(text: &str) -> bool {
    writeln!(std::io::stdout(), "{text}").is_ok()
}
