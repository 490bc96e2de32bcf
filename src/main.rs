//! The binary `honeygraph`.

use std::process::ExitCode;

fn main() -> ExitCode {
    honeygraph::cli::main()
}
