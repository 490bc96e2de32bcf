//! Where our own requests may go.
//!
//! *Always holds:* a host that the operator did not name is reached only at a public address, whether a redirect or a name
//! of somebody's leads there.

use super::address::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Url};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Hosts that the operator named.
#[derive(Clone, Debug)]
struct Named(Arc<[String]>);

impl Named {
    fn contains(&self, host: &str) -> bool {
        self.0.iter().any(|named| named.eq_ignore_ascii_case(host))
    }

    /// Whether a URL may be followed, as far as it can be told before its name is looked up.
    fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.contains(host) || address.is_err() || address.is_ok_and(is_public)
    }
}

impl Resolve for Named {
    fn resolve(&self, name: Name) -> Resolving {
        let own = self.contains(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|at| own || is_public(at.ip())).collect();
            if allowed.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A client that asks these URLs, and follows so many redirects of theirs.
pub fn guarded<'a>(builder: ClientBuilder, urls: impl Iterator<Item = &'a str>, redirects: usize) -> ClientBuilder {
    let host = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let named = Named(urls.filter_map(host).collect());
    let judge = named.clone();
    let policy = Policy::custom(move |attempt| {
        if attempt.previous().len() > redirects {
            attempt.error("too many redirects")
        } else if judge.allows(attempt.url()) {
            attempt.follow()
        } else {
            attempt.error("a redirect to an address that is not public")
        }
    });
    builder.redirect(policy).dns_resolver(Arc::new(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 15: the old server asked whatever it was told to. Guards against: a name that leads to this machine is asked.
    #[tokio::test]
    async fn what_others_name_is_public_or_not_asked() {
        let named = Named(["10.0.0.1".to_owned(), "ipfs.internal".to_owned()].into());
        let cases = [
            ("http://10.0.0.1/x", true),
            ("http://8.8.8.8/", true),
            ("http://10.0.0.2/", false),
            ("http://127.0.0.1:5001/api", false),
            ("http://169.254.169.254/latest", false),
            ("http://[::1]/", false),
            ("http://2130706433/", false),
            ("http://elsewhere.example/", true),
        ];
        for (url, allowed) in cases {
            assert_eq!(named.allows(&url.parse().unwrap()), allowed, "{url}");
        }
        let localhost = || "localhost".parse::<Name>().unwrap();
        assert!(named.resolve(localhost()).await.is_err(), "nobody of ours named it");
        let own = Named(["localhost".to_owned()].into());
        assert!(own.resolve(localhost()).await.is_ok());
    }
}
