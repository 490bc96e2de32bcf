//! What testers ask of a node's HTTP API: answers as JSON, the whole state of a point, and waiting for something to
//! become true.
//!
//! *Always holds:* nothing waits for a time to pass: a wait ends when what it waits for is there, or when nothing
//! changes any more for [`STILL`].

use crate::{STILL, http};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Leaves asked for at a time.
const PAGE: usize = 10_000;

/// A node's API.
#[derive(Clone, Debug)]
pub struct Api {
    address: String,
}

/// Leaves of a state by path, as the API shows them.
pub type Shown = BTreeMap<Vec<String>, Value>;

impl Api {
    /// At `http://host:port`.
    pub fn new(endpoint: &str) -> Self {
        Self { address: endpoint.trim_start_matches("http://").to_owned() }
    }

    /// GET: status and body.
    pub fn get(&self, path: &str) -> Result<(u16, Value)> {
        parsed(path, http::get(&self.address, path)?)
    }

    /// GET that must succeed: the answer.
    pub fn json(&self, path: &str) -> Result<Value> {
        ok(path, self.get(path)?)
    }

    /// POST that must succeed: the answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        ok(path, self.send(path, body)?)
    }

    /// POST: status and body.
    pub fn send(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        parsed(path, http::post(&self.address, path, &body.to_string())?)
    }

    /// The core of a network, as `/api/status` shows it.
    pub fn status(&self, network: &str) -> Result<Value> {
        let mut answer = self.json(&format!("/api/status?network={network}"))?;
        Ok(answer["networks"][0].take())
    }

    /// Looks at a network's status until `look` finds something in it.
    pub fn wait<T>(&self, network: &str, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> Result<T> {
        let (mut before, mut since) = (Value::Null, Instant::now());
        loop {
            let status = self.status(network)?;
            if let Some(found) = look(&status) {
                return Ok(found);
            }
            if status != before {
                (before, since) = (status, Instant::now());
            } else if since.elapsed() > STILL {
                return Err(Error::other(format!("waiting for {what}: nothing changes any more: {status}")));
            }
            #[expect(clippy::disallowed_methods, reason = "looks again for progress; no outcome depends on it")]
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the state has applied all that is durable, and nothing is on its way.
    pub fn settled(&self, network: &str) -> Result<Value> {
        self.wait(network, "the state to catch up", |status| {
            let (lsn, durable, applied) = (&status["lsn"], &status["durable"], &status["applied"]);
            (lsn == durable && durable == applied).then(|| status.clone())
        })
    }

    /// Every leaf of a network's state at a point: `&batch=<id>`, `&fork=<id>`, `&block=<n>`, or nothing for the head.
    /// An empty state and a point before the first batch are both no leaves.
    pub fn leaves(&self, network: &str, point: &str) -> Result<Shown> {
        let top = format!("/api/query/path?network={network}&form=leaves&limit={PAGE}");
        let (mut leaves, mut page) = (Shown::new(), format!("{top}{point}"));
        loop {
            let (status, mut answer) = self.get(&page)?;
            if status == 404 && leaves.is_empty() {
                return Ok(leaves);
            }
            if status != 200 {
                return Err(Error::other(format!("{page}: {status} {answer}")));
            }
            for leaf in answer["data"].as_array_mut().into_iter().flatten() {
                let path = leaf[0].as_array().into_iter().flatten();
                let path = path.map(|segment| segment.as_str().map_or_else(|| segment.to_string(), str::to_owned));
                let path = path.collect();
                leaves.insert(path, leaf[1].take());
            }
            let Some(batch) = answer["next"]["batch"].as_str() else { return Ok(leaves) };
            page = format!("{top}&batch={batch}&from={}", percent_encoded(&answer["next"]["from"].to_string()));
        }
    }
}

fn parsed(path: &str, (status, body): (u16, Vec<u8>)) -> Result<(u16, Value)> {
    let not_json = || Error::other(format!("{path}: {status}, not JSON: {}", String::from_utf8_lossy(&body)));
    Ok((status, serde_json::from_slice(&body).map_err(|_| not_json())?))
}

fn ok(path: &str, (status, answer): (u16, Value)) -> Result<Value> {
    if status == 200 { Ok(answer) } else { Err(Error::other(format!("{path}: {status} {answer}"))) }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::{ok, parsed, percent_encoded};

    #[test]
    fn answers_are_json_or_errors() {
        assert_eq!(parsed("/x", (404, b"{\"code\":1}".to_vec())).expect("JSON").1["code"], 1);
        assert!(parsed("/x", (200, b"<html>".to_vec())).expect_err("not JSON").to_string().contains("<html>"));
        assert!(ok("/x", (500, serde_json::json!({}))).is_err());
        assert_eq!(percent_encoded("[\"a é\"]"), "%5B%22a%20%C3%A9%22%5D");
    }
}
