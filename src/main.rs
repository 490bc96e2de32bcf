//! The binary `honeygraph`.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A sixth of the processor's time went into the system's allocator while honeycomb's stream is taken in. `no_thp`: huge pages
/// cost 90 MB; `v2`: the third version gives memory back after a second, which large frames double meanwhile.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    honeygraph::cli::main()
}
