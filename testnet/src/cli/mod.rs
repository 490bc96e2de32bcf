//! The subcommands, one per file. Exit codes: 0 what was asked for happened, 1 it did not, 2 it was asked for wrongly.

pub mod feed;
pub mod up;

use std::io::Write;

/// A line on standard output; false when nobody reads it any more (`| head`), which is no failure.
fn say(text: &str) -> bool {
    writeln!(std::io::stdout(), "{text}").is_ok()
}
