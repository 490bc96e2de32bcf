//! The end of `up`: what the honeycombs wrote held against what the node answers.

use crate::cli::say;
use honeygraph_testnet::api::{Api, Shown};
use honeygraph_testnet::honeycomb::Honeycomb;
use honeygraph_testnet::honeycomb::live::Report;
use indicatif::HumanCount;

/// Says of each honeycomb whether all it wrote was acknowledged, and whether the node's state at its last batch is its
/// own; true when it is so for all.
pub(super) fn judge(api: &Api, network: &str, left: Vec<(&'static str, Honeycomb, Report)>) -> bool {
    let mut well = true;
    if let Err(error) = api.settled(network) {
        say(&format!("the node's state did not catch up: {error}"));
        return false;
    }
    for (name, honeycomb, report) in left {
        let all = report.complete && report.unacked == 0;
        // A dropped op of which the node had the twin's copy by the time it noticed.
        let unsent = honeycomb.written().saturating_sub(report.acked + report.unacked);
        say(&format!(
            "{name}: {} ops written, {} acknowledged, {unsent} never sent (and never asked for), {} lost; {} connections, {} questions, ack p50 {:.1} ms, p99 {:.1} ms",
            HumanCount(honeycomb.written()),
            HumanCount(report.acked),
            report.unacked,
            report.connections,
            report.asked,
            report.ack_p50_ms,
            report.ack_p99_ms,
        ));
        let state = compare(api, network, &honeycomb);
        match &state {
            Ok(text) => say(&format!("  {text}")),
            Err(text) => say(&format!("  WRONG: {text}")),
        };
        if !all {
            let why = report.last_error.as_deref().unwrap_or("no error");
            say(&format!("  WRONG: not everything was acknowledged ({why})"));
        }
        well &= all && state.is_ok();
    }
    well
}

fn compare(api: &Api, network: &str, honeycomb: &Honeycomb) -> Result<String, String> {
    // The first period of a published client has no hash in the stream: durable, and without a place.
    let chain = honeycomb.truth().chain(network);
    let Some(last) = chain.iter().rfind(|batch| batch.period > 0) else {
        return Ok("it saved no checkpoint: nothing has its place in the chain yet".to_owned());
    };
    let found = api.leaves(network, &format!("&batch={}", last.id)).map_err(|error| error.to_string())?;
    let own: Shown =
        honeycomb.seen_from_first_save().iter().map(|(path, value)| (path.clone(), value.clone())).collect();
    if found == own {
        return Ok(format!(
            "the node's state at its last batch, block {}, is its own: {} leaves",
            last.label,
            own.len()
        ));
    }
    let differ = own.iter().filter(|(path, value)| found.get(*path) != Some(*value)).count();
    Err(format!("at block {}: {differ} of {} leaves differ; the node shows {}", last.label, own.len(), found.len()))
}
