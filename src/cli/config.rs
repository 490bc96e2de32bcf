//! `honeygraph config`: every setting with its value and its origin.

use super::exit::Outcome;
use super::print;
use crate::config::{Config, Shown};
use serde_json::json;

/// Prints the configuration.
pub fn print(config: &Config, as_json: bool) -> Outcome {
    let settings: Vec<_> =
        config.origins.iter().map(|shown| Shown { value: without_secrets(&shown.value), ..shown.clone() }).collect();
    if as_json {
        let networks: Vec<_> = config.catalog.networks().map(AsRef::as_ref).collect();
        return print::json(&json!({ "settings": settings, "networks": networks, "notes": config.notes }));
    }
    let rows = settings.iter().map(|s| {
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

/// A value as it may be shown: what stands in addresses before the `@` is a password.
fn without_secrets(value: &str) -> String {
    let hidden = |url: &str| match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host.to_owned(), |(_, host)| format!("***@{host}"));
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    };
    value.split(',').map(hidden).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let cases = [
            ("https://me:pass@host/x,http://b", "https://***@host/x,http://b"),
            ("https://host/a@b", "https://host/a@b"),
            ("./data", "./data"),
        ];
        for (value, shown) in cases {
            assert_eq!(without_secrets(value), shown);
        }
    }
}
