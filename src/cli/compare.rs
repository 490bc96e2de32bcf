//! `honeygraph compare`: the state of a running node against honeycomb's own (`GET /state`).
//!
//! Both are read while both go on, so leaves that change with every block differ; those that should not tell.
//!
//! *Always holds:* our side is read at one point; nothing of the other side is believed or kept.

use super::exit::{Code, Failure, Outcome};
use super::remote::{Remote, encode};
use super::{client, print};
use crate::projection::base::MAX_BYTES;
use crate::proof::claimed::{self, ClaimError};
use crate::proof::gateway::Gateways;
use clap::Args;
use honeygraph_protocols::path::{self, Segment};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Leaves of a page.
const PAGE: usize = 10_000;

/// `honeygraph compare`
#[derive(Debug, Args)]
pub struct Compare {
    /// Honeycomb's HTTP API, http(s)://host; or the address of the document itself
    #[arg(long, value_name = "URL")]
    honeycomb: String,
    /// Differences shown
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Deserialize)]
struct Page {
    batch: String,
    label: Option<u64>,
    data: Vec<(Vec<serde_json::Value>, Box<RawValue>)>,
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    from: Box<RawValue>,
}

/// Runs the command.
pub async fn run(remote: &Remote, network: Option<&str>, order: &Compare, as_json: bool) -> Outcome {
    let url = if order.honeycomb.ends_with("/state") {
        order.honeycomb.clone()
    } else {
        format!("{}/state", order.honeycomb.trim_end_matches('/'))
    };
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(Failure::new(Code::Usage, format!("{:?}: expected http://host or https://host", order.honeycomb)));
    }
    let bytes = Gateways::new(std::slice::from_ref(&url))?.url(&url, MAX_BYTES).await?;
    let theirs = leaves_of(&bytes).map_err(|why| Failure::new(Code::Failed, format!("{url}: {why}")))?;
    let (ours, batch, label) = ours(remote, network).await?;
    let mut differences = Vec::new();
    let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
    for key in keys {
        let (mine, other) = (ours.get(key), theirs.get(key));
        if mine != other {
            differences.push((key, mine, other));
        }
    }
    differences.sort_by_key(|(key, ..)| *key);
    if as_json {
        let shown = differences.iter().take(order.limit);
        let shown: Vec<_> = shown
            .map(|(key, mine, other)| serde_json::json!({ "path": display(key), "ours": mine, "honeycomb": other }))
            .collect();
        print::json(&serde_json::json!({
            "batch": batch, "label": label, "ours": ours.len(), "honeycomb": theirs.len(),
            "differing": differences.len(), "first": shown,
        }))?;
    } else {
        print::line(&format!("{} leaves here, {} there, {} differ", ours.len(), theirs.len(), differences.len()))?;
        print::lines(differences.iter().take(order.limit).map(|(key, mine, other)| {
            let mut line = display(key);
            let none = || "nothing".to_owned();
            let _ = write!(line, "  here {}", mine.cloned().unwrap_or_else(none));
            let _ = write!(line, "  there {}", other.cloned().unwrap_or_else(none));
            line
        }))?;
    }
    if differences.is_empty() { Ok(()) } else { Err(Failure::new(Code::Failed, "the two states differ")) }
}

fn display(key: &[u8]) -> String {
    path::decode(key).map_or_else(|_| "?".to_owned(), |path| path::display(&path))
}

/// Leaves by encoded path. Number segments print as text in honeycomb's document, so ours are compared by their text.
fn leaves_of(answer: &[u8]) -> Result<BTreeMap<Vec<u8>, String>, ClaimError> {
    let leaves = claimed::leaves(&claimed::state_text(answer)?)?;
    let text = |text: Vec<u8>| String::from_utf8_lossy(&text).into_owned();
    Ok(leaves.into_iter().map(|(path, leaf)| (path, text(leaf))).collect())
}

/// Our leaves at the head, page by page of one point, with that point's batch and label.
async fn ours(
    remote: &Remote,
    network: Option<&str>,
) -> Result<(BTreeMap<Vec<u8>, String>, String, Option<u64>), Failure> {
    let mut leaves = BTreeMap::new();
    let scope = network.map_or(String::new(), |network| format!("&network={}", encode(network)));
    let top = format!("/api/query/path?form=leaves&limit={PAGE}{scope}");
    let mut page = top.clone();
    loop {
        let answer = remote.get(&page).await?;
        let read: Result<Page, _> = serde_json::from_str(answer.text());
        let Page { batch, label, data, next } = read.map_err(|error| Failure::new(Code::Failed, error))?;
        for (segments, value) in data {
            let segments: Vec<Segment> =
                segments.iter().map(|segment| Segment::from(client::plain(segment).as_str())).collect();
            leaves.insert(path::encode(&segments), value.get().to_owned());
        }
        let Some(next) = next else { return Ok((leaves, batch, label)) };
        page = format!("{top}&batch={batch}&from={}", encode(next.from.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_read_in_our_form() {
        let leaves = leaves_of(br#"{"state": {"b": {"x": 1.0, "y": [true]}, "a": "\u0041"}, "node": "z"}"#).unwrap();
        let shown: Vec<(String, &str)> = leaves.iter().map(|(key, text)| (display(key), text.as_str())).collect();
        let expected = [("a".to_owned(), "\"A\""), ("b/x".to_owned(), "1"), ("b/y/0".to_owned(), "true")];
        assert_eq!(shown, expected);
        assert!(leaves_of(b"[]").is_err() && leaves_of(b"{\"state\":{").is_err());
    }
}
