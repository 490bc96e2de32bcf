//! The client of our own requests over HTTP.

use reqwest::{Client, ClientBuilder};
use tracing::warn;

/// Makes a client. Where the system has no certificates it is made all the same, and that is told: no address by TLS is
/// believed then, but a node needs none to run.
pub fn client(builder: impl Fn() -> ClientBuilder) -> Result<Client, reqwest::Error> {
    builder().build().or_else(|error| {
        let client = builder().tls_certs_only([]).build()?;
        warn!("no https address can be asked: the system has no certificates (Debian: ca-certificates): {error}");
        Ok(client)
    })
}
