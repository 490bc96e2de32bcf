//! `honeygraph doctor`: everything that can be wrong with a node or its data folder, each with what to do next.
//!
//! Of a running node it reads `/api/status` and `/health`; of a folder on which no node runs, the folder itself.
//!
//! *Always holds:* it changes nothing; a finding names who should act and how.

use super::exit::{Code, Failure, Outcome};
use super::print;
use super::remote::Remote;
use crate::config::Target;
use crate::data_dir::{DataDir, DataDirError};
use crate::journal::disk::real::RealDisk;
use crate::journal::verify::verify;
use crate::projection::base::Base;
use crate::proof::gateway::Gateways;
use rustix::fs::statvfs;
use serde::Serialize;
use serde_json::{Value, json};

/// Room below which a disk is called nearly full: a journal segment and a few tables of the state.
const LITTLE_ROOM: u64 = 1 << 30;
/// Size of a document asked for to see whether a gateway is there: the empty one.
const PROBE_BYTES: u64 = 1024;
/// CIDv0 of no bytes, which every gateway knows.
const PROBE: &str = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Note,
    Bad,
}

/// Something that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    about: String,
    what: String,
    /// What to do next; empty where there is nothing to do.
    todo: String,
}

fn finding(level: Level, about: &str, what: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { level, about: about.to_owned(), what: what.into(), todo: todo.into() }
}

/// Runs the command. Exit code 6 when something is bad.
pub fn run(api: Option<&str>, target: &Target, as_json: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, error))?;
    let mut findings = match Remote::find(api, &target.data_dir) {
        Ok(remote) => runtime.block_on(running(&remote))?,
        Err(failure) if api.is_some() => return Err(failure),
        Err(_) => offline(target)?,
    };
    if api.is_none() {
        // The disk here is not that of a node elsewhere.
        findings.extend(room(target));
    }
    findings.extend(runtime.block_on(gateways(target)));
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    if as_json {
        print::json(&json!({ "findings": findings }))?;
    } else {
        print::lines(findings.iter().map(said))?;
    }
    match worst {
        Level::Bad => Err(Failure::new(Code::Damaged, "something needs you: see above")),
        _ => Ok(()),
    }
}

fn said(finding: &Finding) -> String {
    let Finding { level, about, what, todo } = finding;
    let mark = match level {
        Level::Ok => "ok  ",
        Level::Note => "note",
        Level::Bad => "BAD ",
    };
    let todo = if todo.is_empty() { String::new() } else { format!("\n      -> {todo}") };
    format!("{mark}  {about}: {what}{todo}")
}

async fn running(remote: &Remote) -> Result<Vec<Finding>, Failure> {
    let status = remote.get("/api/status").await?.value()?;
    let mut findings = vec![finding(Level::Ok, "node", "it runs and answers", "")];
    for network in status["networks"].as_array().into_iter().flatten() {
        findings.extend(network_of(network));
    }
    Ok(findings)
}

/// What a network's status says.
fn network_of(status: &Value) -> Vec<Finding> {
    let name = status["network"].as_str().unwrap_or("?");
    let list = |key: &str| status[key].as_array().map_or(&[][..], Vec::as_slice);
    if status["head"].is_null() && list("lanes").is_empty() {
        return vec![finding(Level::Ok, name, "no data and no feed: not used", "")];
    }
    let mut findings = Vec::new();
    if list("lanes").is_empty() {
        let todo = "point a honeycomb at the feed port (README), or look at why its socket closed in the log";
        findings.push(finding(Level::Note, name, "no feed is connected: reads are as old as the head", todo));
    }
    for lane in list("lanes") {
        findings.extend(lane_of(name, lane));
    }
    let recorded: Vec<&Value> = list("gaps").iter().filter(|gap| gap["state"] == "recorded").collect();
    if let Some(gap) = recorded.first() {
        let what = format!("{} holes that no feed could fill, the first is {}", recorded.len(), gap["id"]);
        let todo = "connect the feed that has it again; or give it up: honeygraph gaps accept ID --reason R";
        findings.push(finding(Level::Bad, name, what, todo));
    }
    let parked = status["parked"]["pieces"].as_u64().unwrap_or(0);
    if parked > 0 && recorded.is_empty() {
        findings.push(parked_of(name, parked, &status["parked"]["reasons"]));
    }
    findings.extend(proofs_of(name, status));
    if list("forks").len() > 1 {
        let what = format!("{} histories have a view", list("forks").len());
        findings.push(finding(Level::Note, name, what, "honeygraph forks shows who feeds which"));
    }
    if let Some(verdict) = list("verdicts").first() {
        let what = format!("verdict {} keeps a history from the head: {}", verdict["id"], verdict["reason"]);
        let todo = "honeygraph rollback --release ID --reason R lifts it";
        findings.push(finding(Level::Note, name, what, todo));
    }
    if findings.iter().all(|finding| finding.level == Level::Ok) {
        findings.push(finding(Level::Ok, name, "fed, whole, and as honeycomb hashed it", ""));
    }
    findings
}

/// What is durable and has no place.
fn parked_of(name: &str, pieces: u64, reasons: &Value) -> Finding {
    let reasons = reasons.as_array().into_iter().flatten();
    let reasons: Vec<_> = reasons.map(|one| format!("{} ({} feeds)", one[0].as_str().unwrap_or("?"), one[1])).collect();
    if reasons.is_empty() {
        // Nobody waits: it is what came before anything named a period.
        let what = format!("{pieces} durable pieces came before the first checkpoint: nobody can tell in which period");
        return finding(Level::Ok, name, what, "");
    }
    let what = format!("{pieces} durable pieces have no place yet: {}", reasons.join(", "));
    let todo = "nothing while it shrinks; else honeygraph gaps list, and the words under Trouble in docs/operations.md";
    finding(Level::Note, name, what, todo)
}

fn lane_of(name: &str, lane: &Value) -> Option<Finding> {
    if lane["numbering"] == "seed" && lane["feed"]["source"].as_str().is_some_and(|source| source.contains("spkcc")) {
        let what =
            format!("the feed {} is read in seed numbering though it is the published client", lane["feed"]["remote"]);
        return Some(finding(Level::Note, name, what, "let its socket reconnect (docs/honeycomb.md)"));
    }
    let off = lane["on_head"] == false && lane["parked"].is_null() && !lane["at"].is_null();
    off.then(|| {
        let what = format!("the feed {} is on another history than the head", lane["feed"]["remote"]);
        finding(Level::Note, name, what, "honeygraph forks; which honeycomb is right? honeygraph trust, or rollback")
    })
}

fn proofs_of(name: &str, status: &Value) -> Vec<Finding> {
    let proofs = &status["proofs"];
    let mut findings = Vec::new();
    if let Some(label) = proofs["mismatch"].as_u64() {
        let what =
            format!("checkpoint {label} is not what honeycomb hashed: this replica and honeycomb differ from there");
        let todo = "do not rely on what follows it. honeygraph verify tells whether this disk is sound; if it is, the feed \
                    lied or lost something: feed from another honeycomb, or roll back before it and feed again";
        findings.push(finding(Level::Bad, name, what, todo));
    }
    let newest = proofs["newest"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(alert) = status["journal"]["alert"].as_str() {
        let todo = "make room, raise journal.budget_gib, or keep less (journal.retention)";
        findings.push(finding(Level::Bad, name, alert, todo));
    }
    let no_base = newest.iter().find(|proof| proof["detail"] == "no_base");
    if let Some(root) = no_base {
        let what = "what lies before the first batch is unknown: answers say complete: false";
        let hash = root["hash"].as_str().unwrap_or("CID");
        let todo = format!("stop the node and honeygraph base import {hash} --network {name} (gateways, or a file)");
        findings.push(finding(Level::Note, name, what, todo));
    }
    findings
}

/// A folder on which no node runs.
fn offline(target: &Target) -> Result<Vec<Finding>, Failure> {
    let folder = match DataDir::open(&target.data_dir) {
        Ok(folder) => folder,
        Err(error @ DataDirError::InUse(_)) => {
            let todo = "the node that runs on it says nowhere where it listens: look at its log, or name it with --api";
            return Ok(vec![finding(Level::Bad, "data folder", error.to_string(), todo)]);
        }
        Err(error) => {
            let todo = "honeygraph run makes one; --data-dir names another";
            return Ok(vec![finding(Level::Note, "data folder", error.to_string(), todo)]);
        }
    };
    let mut findings = vec![finding(Level::Ok, "node", "none runs on this data folder", "")];
    for network in folder.networks()? {
        let todo = "honeygraph verify names every damaged place; restore a backup beside it and compare";
        findings.push(match verify(&RealDisk, folder.path(), &network) {
            Ok(found) if found.is_clean() => {
                finding(Level::Ok, &network, format!("the journal is whole up to record {}", found.last), "")
            }
            Ok(found) => {
                let what = found.findings.first().map_or("damaged".to_owned(), |first| first.what.clone());
                finding(Level::Bad, &network, format!("the journal is damaged: {what}"), todo)
            }
            Err(error) => finding(Level::Bad, &network, error.to_string(), todo),
        });
        if let Err(error) = Base::current(&folder.base(&network)) {
            findings.push(finding(Level::Bad, &network, error.to_string(), "import the base again"));
        }
    }
    Ok(findings)
}

/// Room on the disk of the data folder.
fn room(target: &Target) -> Option<Finding> {
    let about = statvfs(&target.data_dir).ok()?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let shown =
        format!("{:.1} GiB free on the disk of {}", free as f64 / f64::from(1 << 30), target.data_dir.display());
    Some(if free < LITTLE_ROOM {
        finding(Level::Bad, "disk", shown, "make room: on a full disk nothing is lost, but nothing is taken in either")
    } else {
        finding(Level::Ok, "disk", shown, "")
    })
}

/// Whether the gateways answer.
async fn gateways(target: &Target) -> Vec<Finding> {
    let mut findings = Vec::new();
    for url in &target.gateways {
        let asked = match Gateways::new(std::slice::from_ref(url)) {
            Ok(gateway) => gateway.document(PROBE, PROBE_BYTES).await.map(drop),
            Err(error) => Err(error),
        };
        findings.push(match asked {
            Ok(()) => finding(Level::Ok, "gateway", format!("{url} answers"), ""),
            Err(error) => finding(Level::Note, "gateway", error.to_string(), "try another one in ipfs.gateways"),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(status: &Value) -> (Level, Vec<String>) {
        let findings = network_of(status);
        let level = findings.iter().map(|finding| finding.level).max().unwrap();
        (level, findings.into_iter().map(|finding| finding.what).collect())
    }

    #[test]
    fn each_trouble_has_its_level_and_a_next_step() {
        let sound = json!({
            "network": "n_", "head": {"label": 1}, "gaps": [], "forks": [1], "verdicts": [],
            "lanes": [{"numbering": "honeycomb", "on_head": true, "parked": null, "at": 1, "feed": {"source": "honeycomb-spkcc"}}],
            "parked": {"pieces": 0}, "proofs": {"mismatch": null, "newest": []},
        });
        assert_eq!(worst(&sound).0, Level::Ok);
        let with = |path: &str, value: Value| {
            let mut status = sound.clone();
            *status.pointer_mut(path).unwrap() = value;
            status
        };
        let cases = [
            (with("/lanes", json!([])), Level::Note),
            (with("/lanes/0/numbering", json!("seed")), Level::Note),
            (with("/lanes/0/on_head", json!(false)), Level::Note),
            (with("/gaps", json!([{"id": 4, "state": "recorded"}])), Level::Bad),
            (with("/gaps", json!([{"id": 4, "state": "asked"}])), Level::Ok),
            (with("/parked", json!({"pieces": 3, "reasons": [["gap", 1]]})), Level::Note),
            (with("/parked/pieces", json!(3)), Level::Ok),
            (with("/proofs/mismatch", json!(101)), Level::Bad),
            (with("/proofs/newest", json!([{"detail": "no_base", "hash": "QmX"}])), Level::Note),
            (with("/forks", json!([1, 2])), Level::Note),
            (with("/verdicts", json!([{"id": 1, "reason": "x"}])), Level::Note),
        ];
        for (status, level) in cases {
            let found = network_of(&status);
            assert_eq!(found.iter().map(|finding| finding.level).max(), Some(level), "{found:?}");
            assert!(found.iter().all(|finding| finding.level == Level::Ok || !finding.todo.is_empty()), "{found:?}");
        }
    }
}
