//! `honeygraph key`: who this node is to others.

use super::exit::{Code, Failure, Outcome};
use super::print;
use crate::config::Target;
use crate::data_dir::{DataDir, swarm_key};
use clap::Subcommand;
use honeygraph_bootstrap::identity;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// The id by which other nodes know this one
    Show,
    /// Make a new key: other nodes will take this one for a stranger (on a data folder on which no node runs)
    Rotate,
}

pub(super) fn run(command: &KeyCommand, target: &Target, as_json: bool) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error);
    let path = swarm_key(&target.data_dir);
    let (peer, before) = match command {
        KeyCommand::Show => match identity::load(&path).map_err(|error| failed(&error))? {
            Some(key) => (identity::peer_id(&key), None),
            None => {
                return Err(failed(&format!("{}: no key yet: the first `honeygraph run` makes one", path.display())));
            }
        },
        KeyCommand::Rotate => {
            let _ours = DataDir::open(&target.data_dir)?;
            // One that cannot be read is what rotating is for.
            let before = identity::load(&path).ok().flatten().map(|key| identity::peer_id(&key));
            (identity::peer_id(&identity::make(&path).map_err(|error| failed(&error))?), before)
        }
    };
    if as_json {
        let before = before.map(|peer| peer.to_string());
        return print::json(&json!({ "peer": peer.to_string(), "before": before }));
    }
    print::line(&peer.to_string())?;
    match before {
        Some(before) => print::line(&format!("was {before}")),
        None => Ok(()),
    }
}
