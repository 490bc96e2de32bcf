//! `honeygraph config`: every setting with its value and its origin.

use super::exit::Outcome;
use super::print;
use crate::config::Config;
use serde_json::json;

/// Prints the configuration.
pub fn print(config: &Config, as_json: bool) -> Outcome {
    if as_json {
        let networks: Vec<_> = config.catalog.networks().map(AsRef::as_ref).collect();
        return print::json(&json!({ "settings": config.origins, "networks": networks, "notes": config.notes }));
    }
    let rows = config.origins.iter().map(|s| {
        let value = if s.value.is_empty() { "(not set)" } else { &s.value };
        vec![s.key.to_owned(), value.to_owned(), s.origin.to_string()]
    });
    print::table(&["setting", "value", "origin"], rows.collect())?;
    print::line("")?;
    let rows = config.catalog.networks().map(|n| {
        let tokens = if n.tokens.is_empty() { "-".to_owned() } else { n.tokens.join(",") };
        let feeds = if n.by_token { "token or prefix" } else { "prefix" };
        let grain = format!("{}/{}/{}", n.checkpoint_every, n.root_interval, n.root_offset);
        vec![n.name.clone(), tokens, feeds.to_owned(), grain]
    });
    print::table(&["network", "tokens", "feeds by", "checkpoint/root/offset"], rows.collect())?;
    print::lines(config.notes.iter().map(|note| format!("\nnote: {note}")))
}
