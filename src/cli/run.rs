//! `honeygraph run`: the node, from a configuration to a clean stop.

use super::exit::{Code, Failure, Outcome};
use super::print;
use crate::config::Config;
use crate::data_dir::Endpoints;
use crate::node::NodeError;
use crate::{logging, node};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Sockets at their limits, and files of the journal and the state.
const WANTED_FILES: u64 = 18_000;

/// Runs a node until SIGINT or SIGTERM; a second signal ends the process at once (which loses nothing acknowledged).
pub fn run(config: Config, as_json: bool) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error);
    logging::start(config.log_format, &config.log_level).map_err(|error| failed(&error))?;
    for note in &config.notes {
        warn!("{note}");
    }
    if let Some(files) = crate::web::listen::raise_open_files().filter(|files| *files < WANTED_FILES) {
        warn!(files, "the system allows few open files (ulimit -n): not all subscribers and feeds will find room");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(wait_for_signals(shutdown.clone()));
        // Nobody to read it is no reason not to run.
        let say = |endpoints: &Endpoints| {
            let _ = match as_json {
                true => print::json(endpoints),
                false => print::lines(shown(endpoints)),
            };
        };
        node::run(config, shutdown, say).await.map_err(|error| match error {
            NodeError::DataDir(error) => error.into(),
            error => failed(&error),
        })
    })
}

/// Where it listens, a line each.
fn shown(endpoints: &Endpoints) -> impl Iterator<Item = String> {
    let swarm = endpoints.swarm.iter().map(|address| format!("swarm {address}"));
    [format!("api  {}", endpoints.api), format!("feed {}", endpoints.feed)].into_iter().chain(swarm)
}

async fn wait_for_signals(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        warn!("no signal handlers: stop the node by its process id");
        return;
    };
    for first in [true, false] {
        let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
        if first {
            info!("{name}: stopping; once more ends it at once");
            shutdown.cancel();
        } else {
            std::process::exit(Code::Failed as i32);
        }
    }
}
