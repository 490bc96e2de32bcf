//! `honeygraph-bootstrap`: a boot node. Prints where it listens, and runs until it is stopped.

use clap::Parser;
use honeygraph_bootstrap::boot::Boot;
use honeygraph_bootstrap::transport::{Line, Neighbourhood, SwarmError};
use honeygraph_bootstrap::{address, identity};
use libp2p::Multiaddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// A place where honeygraph nodes find each other; it holds no data
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// File of its key; made when it is not there
    #[arg(long, env = "HONEYGRAPH_BOOTSTRAP_KEY", default_value = "./bootstrap.key")]
    key: PathBuf,
    /// Where it listens, several with commas
    #[arg(long, env = "HONEYGRAPH_SWARM_LISTEN", value_delimiter = ',', value_parser = address::parse)]
    #[arg(default_value = "/ip4/0.0.0.0/tcp/4001,/ip4/0.0.0.0/udp/4001/quic-v1")]
    listen: Vec<Multiaddr>,
    /// Where it can be reached from everywhere, several with commas
    #[arg(long, env = "HONEYGRAPH_SWARM_ANNOUNCE", value_delimiter = ',', value_parser = address::parse)]
    announce: Vec<Multiaddr>,
    /// Other boot nodes, several with commas
    #[arg(long, env = "PEERS", value_delimiter = ',', value_parser = address::parse)]
    peers: Vec<Multiaddr>,
    /// File of a pre-shared key, without which nobody can connect
    #[arg(long, env = "HONEYGRAPH_SWARM_PRE_SHARED_KEY")]
    pre_shared_key: Option<PathBuf>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("honeygraph-bootstrap: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), SwarmError> {
    let agent = concat!("honeygraph-bootstrap/", env!("CARGO_PKG_VERSION"));
    let key = identity::load_or_make(&cli.key)?;
    let pre_shared = match &cli.pre_shared_key {
        Some(file) => Some(std::fs::read_to_string(file)?.parse()?),
        None => None,
    };
    let line = Line { key, pre_shared, neighbourhood: Neighbourhood::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let boot = Boot::new(line, agent, &cli.listen, &cli.announce, cli.peers)?;
        tokio::select! {
            () = boot.run(|address| println!("{address}")) => {}
            stopped = tokio::signal::ctrl_c() => stopped?,
        }
        Ok(())
    })
}
