//! Commands that ask a running node.

use super::Context;
use super::exit::{Code, Failure, Outcome};
use super::print::{self, at, short};
use super::remote::{encode, query_string};
use crate::web::admin::MAX_REASON;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// `honeygraph query`
#[derive(Debug, Args)]
pub struct Query {
    /// Path such as balances/alice; segments percent-encoded; nothing for the whole state
    #[arg(default_value = "")]
    path: String,
    /// Read this fork instead of the head's
    #[arg(long)]
    fork: Option<String>,
    /// Read as of this block
    #[arg(long, conflicts_with = "batch")]
    block: Option<u64>,
    /// Read as of this batch
    #[arg(long)]
    batch: Option<String>,
    /// Print [path, value] pairs: the form that also shows a leaf with leaves below it
    #[arg(long)]
    leaves: bool,
}

/// `honeygraph rollback`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("order").required(true).args(["to", "release"])))]
pub struct Rollback {
    /// Where the head goes: a label (to its last batch), a batch id, or a checkpoint's hash (to the last batch of the
    /// period that this checkpoint closed)
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    to: Option<String>,
    /// Release this earlier verdict instead
    #[arg(long, value_name = "VERDICT", conflicts_with = "dry_run")]
    release: Option<u64>,
    /// Why, for those who come after
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `honeygraph trust`
#[derive(Debug, Args)]
pub struct Trust {
    /// Hash of a checkpoint that you know to be right, from a source other than this node's feed
    #[arg(value_parser = checkpoint)]
    hash: String,
    /// Trust it no longer
    #[arg(long)]
    remove: bool,
    /// Why, for those who come after
    #[arg(long, value_parser = reason)]
    reason: String,
}

/// A reason as an order takes it.
pub fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an order needs a reason".into()),
        text if text.len() > MAX_REASON => Err(format!("longer than {MAX_REASON} bytes: it is journalled")),
        text => Ok(text.to_owned()),
    }
}

/// The hash of a checkpoint: a slip of the hand would be trusted in silence, for a hash may be known before it comes.
fn checkpoint(text: &str) -> Result<String, String> {
    if crate::proof::source::is_cid(text) {
        return Ok(text.to_owned());
    }
    Err("the hash of a checkpoint is a CIDv0: Qm and 44 letters and digits".into())
}

/// A log filter as a node takes it.
pub fn level(text: &str) -> Result<String, String> {
    crate::logging::check(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl Context {
    pub(super) fn scoped(&self, path: &str, more: &[(&str, Option<&str>)]) -> String {
        let mut pairs = vec![("network", self.network.as_deref())];
        pairs.extend_from_slice(more);
        format!("{path}{}", query_string(&pairs))
    }

    /// An order's body, with the network when the operator named one.
    pub(super) fn order(&self, mut body: Value) -> Value {
        if let Some(network) = &self.network {
            body["network"] = json!(network);
        }
        body
    }
}

/// `honeygraph status`
pub async fn status(context: &Context) -> Outcome {
    let answer = context.remote.get(&context.scoped("/api/status", &[])).await?;
    if context.json {
        return print::line(answer.text());
    }
    print::lines(status_lines(&answer.value()?))
}

/// `honeygraph forks [ID]`
pub async fn forks(context: &Context, id: Option<&str>) -> Outcome {
    if let Some(id) = id {
        let answer = context.remote.get(&context.scoped(&format!("/api/forks/{}", encode(id)), &[])).await?;
        return if context.json { print::line(answer.text()) } else { print::line(&pretty(&answer.value()?)) };
    }
    let answer = context.remote.get(&context.scoped("/api/query/forks", &[])).await?;
    if context.json {
        return print::line(answer.text());
    }
    match fork_rows(&answer.value()?["forks"]) {
        none if none.is_empty() => print::line("no history yet: no batch has found its place"),
        rows => print::table(&FORK_COLUMNS, rows),
    }
}

/// `honeygraph forks prune`
pub async fn prune(context: &Context, fork: &str, reason: &str) -> Outcome {
    let body = context.order(json!({ "reason": reason }));
    let answer = context.remote.post(&format!("/api/admin/forks/{}/prune", encode(fork)), &body).await?;
    if context.json {
        return print::line(answer.text());
    }
    let (id, tip) = (at(&answer.value()?, "/fork"), at(&answer.value()?, "/tip"));
    print::line(&format!("fork {id} with the tip {tip} has no view any more; its batches stay in the journal"))
}

/// `honeygraph gaps list`
pub async fn gaps(context: &Context) -> Outcome {
    let answer = context.remote.get(&context.scoped("/api/gaps", &[])).await?;
    if context.json {
        return print::line(answer.text());
    }
    let rows = gap_rows(&answer.value()?["gaps"]);
    if rows.is_empty() {
        return print::line("no gaps");
    }
    print::table(&GAP_COLUMNS, rows)
}

/// `honeygraph gaps accept`
pub async fn accept_gap(context: &Context, id: u64, reason: &str) -> Outcome {
    let body = context.order(json!({ "reason": reason }));
    let answer = context.remote.post(&format!("/api/admin/gaps/{id}/accept"), &body).await?;
    if context.json {
        return print::line(answer.text());
    }
    let behind = at(&answer.value()?, "/first");
    print::line(&format!("gap {id} is given up; the chain goes on behind it at batch {behind}, marked incomplete"))
}

/// `honeygraph query`
pub async fn query(context: &Context, query: &Query) -> Outcome {
    let block = query.block.map(|block| block.to_string());
    let point = [
        ("fork", query.fork.as_deref()),
        ("block", block.as_deref()),
        ("batch", query.batch.as_deref()),
        ("form", query.leaves.then_some("leaves")),
    ];
    let path = format!("/api/query/path/{}", url_path(&query.path));
    let answer = context.remote.get(&context.scoped(&path, &point)).await?;
    if context.json {
        return print::line(answer.text());
    }
    let members = answer.members()?;
    let data = members.get("data").map_or("null", |data| data.get());
    if query.leaves {
        let pairs: Vec<&RawValue> = serde_json::from_str(data).map_err(|e| Failure::new(Code::Failed, e))?;
        print::lines(pairs.iter().map(|pair| pair.get().to_owned()))?;
    } else {
        print::line(data)?;
    }
    // What a reader must know about the answer goes beside it, not into it.
    let about = ["network", "label", "batch", "fork", "complete", "verified", "final"].map(|key| {
        let value = members.get(key).map_or("-", |value| value.get().trim_matches('"'));
        format!("{key} {}", short(value))
    });
    print::beside(&about.join(", "));
    Ok(())
}

/// `honeygraph rollback`
pub async fn rollback(context: &Context, order: &Rollback) -> Outcome {
    if let Some(verdict) = order.release {
        let body = context.order(json!({ "verdict": verdict, "reason": order.reason }));
        let answer = context.remote.post("/api/admin/release", &body).await?;
        if context.json {
            return print::line(answer.text());
        }
        let answer = answer.value()?;
        let (label, batch) = (at(&answer, "/head/label"), at(&answer, "/head/batch"));
        return print::line(&format!("verdict {verdict} is released; the head stands at label {label}, batch {batch}"));
    }
    let body = context.order(json!({ "to": order.to, "reason": order.reason, "dry_run": order.dry_run }));
    let answer = context.remote.post("/api/admin/rollback", &body).await?;
    if context.json {
        return print::line(answer.text());
    }
    let answer = answer.value()?;
    let (from, to) = (at(&answer, "/from/label"), at(&answer, "/to/label"));
    let (batch, batches, left) = (at(&answer, "/to/batch"), at(&answer, "/batches"), at(&answer, "/left"));
    if order.dry_run {
        return print::line(&format!(
            "would go from label {from} to {to} (batch {batch}) and leave {batches} batches as fork {left}"
        ));
    }
    print::line(&format!(
        "head back from label {from} to {to} (batch {batch}); {batches} batches stay as fork {left}"
    ))?;
    print::line(&format!("honeygraph query PATH --fork {left} reads it"))?;
    print::line(&format!("honeygraph rollback --release {} --reason ... lifts the verdict", at(&answer, "/verdict")))
}

/// A segment of a path as text.
pub fn plain(segment: &Value) -> String {
    segment.as_str().map_or_else(|| segment.to_string(), str::to_owned)
}

/// `honeygraph trust`
pub async fn trust(context: &Context, order: &Trust) -> Outcome {
    let body = context.order(json!({ "hash": order.hash, "trusted": !order.remove, "reason": order.reason }));
    let answer = context.remote.post("/api/admin/trust", &body).await?;
    if context.json {
        return print::line(answer.text());
    }
    let answer = answer.value()?;
    let known = match answer["label"].as_u64() {
        Some(label) => format!("checkpoint {label}"),
        None => "a checkpoint that is not known here yet".to_owned(),
    };
    let how = if order.remove { "is trusted no longer" } else { "is trusted" };
    print::line(&format!("{} ({known}) {how}", order.hash))
}

/// `honeygraph log-level`
pub async fn log_level(context: &Context, level: &str) -> Outcome {
    let answer = context.remote.post("/api/admin/log-level", &json!({ "level": level })).await?;
    if context.json { print::line(answer.text()) } else { print::line(&format!("log level is {level}")) }
}

const FORK_COLUMNS: [&str; 7] = ["fork", "tip", "label", "head", "feeds", "operations", "barred by"];
const GAP_COLUMNS: [&str; 7] = ["gap", "state", "label", "run", "from", "to", "tries"];

fn fork_rows(forks: &Value) -> Vec<Vec<String>> {
    let row = |fork: &Value| {
        let of = |pointer| at(fork, pointer);
        // In full: it is what --fork takes.
        let (id, tip) = (of("/tip/fork"), short(&of("/tip/batch")));
        vec![id, tip, of("/tip/label"), of("/is_head"), of("/witnesses"), of("/operations"), of("/barred_by")]
    };
    forks.as_array().into_iter().flatten().map(row).collect()
}

fn gap_rows(gaps: &Value) -> Vec<Vec<String>> {
    let row = |gap: &Value| ["/id", "/state", "/label", "/run", "/from", "/to", "/tries"].map(|p| at(gap, p)).to_vec();
    gaps.as_array().into_iter().flatten().map(row).collect()
}

/// Text form of `/api/status`: one block of lines for each network that has something to say.
fn status_lines(answer: &Value) -> Vec<String> {
    let of = |pointer| at(answer, pointer);
    let mut lines = vec![format!("honeygraph {}  up {} s  feeds {}", of("/version"), of("/uptime"), of("/feeds"))];
    lines.push(match answer["swarm"].is_null() {
        true => "swarm off".into(),
        false => format!("swarm {} peers, as {}", of("/swarm/peers"), of("/swarm/peer")),
    });
    for network in answer["networks"].as_array().into_iter().flatten() {
        network_lines(network, &mut lines);
        let name = network["network"].as_str().unwrap_or_default();
        lines.extend(swarm_line(&answer["swarm"]["networks"][name], !network["head"].is_null()));
    }
    lines
}

/// What is fetched, in one line; none where there is nothing to say.
fn swarm_line(progress: &Value, has_data: bool) -> Option<String> {
    let of = |pointer| at(progress, pointer);
    let offered = progress["offered"].as_array().and_then(|offered| offered.first());
    match progress["phase"].as_str()? {
        "unanchored" => {
            let offered = offered?;
            let (hash, label, peers) = (at(offered, "/hash"), at(offered, "/label"), at(offered, "/peers"));
            let said = format!("{peers} peers say that checkpoint {hash} (label {label}) is verified");
            (!has_data).then(|| {
                format!("  follows nobody: nothing is trusted. {said}: if you know it is, `honeygraph trust {hash}`")
            })
        }
        "synced" => Some("  swarm: all that is vouched for is here".into()),
        phase => {
            let (missing, from, to) = (of("/missing"), of("/from"), of("/to"));
            let rate = format!("{} ops/s, {} s to go, limited by {}", of("/ops_per_s"), of("/eta_s"), of("/limit"));
            Some(format!("  swarm: {phase}, {missing} periods missing (labels {from} to {to}), {rate}"))
        }
    }
}

fn network_lines(network: &Value, lines: &mut Vec<String>) {
    let of = |pointer| at(network, pointer);
    let mut say = |text: String| lines.push(text);
    if network["head"].is_null() && network["lanes"].as_array().is_none_or(Vec::is_empty) {
        return say(format!("\n{}  no data", of("/network")));
    }
    let (name, label, batch) = (of("/network"), of("/head/label"), short(&of("/head/batch")));
    let (durable, applied) = (of("/durable"), of("/applied"));
    say(format!("\n{name}  head {batch}  label {label}  durable {durable}  applied {applied}"));
    let (mib, days) = (network["journal"]["bytes"].as_u64().unwrap_or(0) >> 20, of("/journal/days_until_full"));
    let (first, retention) = (of("/journal/first"), of("/journal/retention"));
    say(format!("  journal from record {first}, {mib} MiB, kept: {retention}, days until full: {days}"));
    for (name, why) in [("held by", "held_by"), ("alert", "alert")] {
        if let Some(text) = network["journal"][why].as_str() {
            say(format!("  journal {name}: {text}"));
        }
    }
    for lane in network["lanes"].as_array().into_iter().flatten() {
        let of = |pointer| at(lane, pointer);
        let state = if lane["parked"].is_null() { String::new() } else { format!("  parked: {}", of("/parked")) };
        let side = match (lane["at"].is_null(), lane["on_head"] == true) {
            (true, _) => "no place yet",
            (_, true) => "on the head's history",
            (_, false) => "on another history",
        };
        let (remote, token, label) = (of("/feed/remote"), of("/feed/token"), of("/label"));
        let (index, numbering) = (of("/last_index"), of("/numbering"));
        say(format!("  feed {remote} {token}  {side}  {numbering} numbering  label {label}  index {index}{state}"));
    }
    if !network["begun_by"].is_null() {
        let (remote, token) = (of("/begun_by/feed/remote"), of("/begun_by/feed/token"));
        say(format!("  begun by feed {remote} {token}: the first that came, so the head began with its history"));
    }
    let forks = network["forks"].as_array().map_or(0, Vec::len);
    let (parked, operations) = (of("/parked/pieces"), of("/parked/operations"));
    say(format!("  live forks {forks}  parked {parked} pieces, {operations} operations"));
    for gap in network["gaps"].as_array().into_iter().flatten() {
        let of = |pointer| at(gap, pointer);
        let (id, state, label) = (of("/id"), of("/state"), of("/label"));
        say(format!("  gap {id} {state}: label {label}, index {}..={}", of("/from"), of("/to")));
    }
    for verdict in network["verdicts"].as_array().into_iter().flatten() {
        let of = |pointer| at(verdict, pointer);
        say(format!("  rolled back by verdict {}: {}; bars fork {}", of("/id"), of("/reason"), of("/fork")));
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// A path as typed becomes a path as sent: what is percent-encoded stays, what must be gets encoded.
fn url_path(path: &str) -> String {
    let segment = |text: &str| text.split('%').map(encode).collect::<Vec<_>>().join("%");
    path.trim_start_matches('/').split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_path_is_sent_encoded_once() {
        assert_eq!(url_path("/balances/alice"), "balances/alice");
        assert_eq!(url_path("a b/c%2Fd/é"), "a%20b/c%2Fd/%C3%A9");
        assert_eq!(url_path(""), "");
        assert_eq!(url_path("x?network=y"), "x%3Fnetwork%3Dy");
    }
}
