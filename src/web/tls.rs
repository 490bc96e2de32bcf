//! TLS of the listeners.
//!
//! *Always holds:* a certificate goes with its key or is not used; files that change are seen at the next connection, and a
//! change that is broken leaves what was there.

use crate::access::watched::Watched;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificate, and those between it and its root: PEM.
    pub cert_file: PathBuf,
    /// Its key: PEM.
    pub key_file: PathBuf,
    /// Whether only TLS 1.3 is spoken.
    pub only_1_3: bool,
    /// Suites of TLS 1.2; empty: all that are sound. Those of 1.3 are all sound.
    pub cipher_suites: Vec<String>,
}

/// The server's side.
#[derive(Debug)]
pub struct Tls(Watched<ServerConfig>);

impl Tls {
    /// With these files, which have to be sound now.
    pub fn open(config: &TlsConfig) -> Result<Self, String> {
        let (files, config) = (vec![config.cert_file.clone(), config.key_file.clone()], config.clone());
        Watched::over(files, Box::new(move || server(&config))).map(Self)
    }

    /// A connection, its handshake done.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> std::io::Result<TlsStream<S>> {
        let accepting = TlsAcceptor::from(self.0.get()).accept(io);
        tokio::time::timeout(HANDSHAKE, accepting).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

/// Checks names of cipher suites.
pub fn check_suites<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    provider(&names.map(str::to_owned).collect::<Vec<_>>()).map(drop)
}

/// The suites of TLS 1.3, and of 1.2 those that are named. The standard's names end with a hash that others leave out.
fn provider(names: &[String]) -> Result<CryptoProvider, String> {
    let mut provider = aws_lc_rs::default_provider();
    if names.is_empty() {
        return Ok(provider);
    }
    let is = |suite: &rustls::SupportedCipherSuite, name: &String| {
        let its = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        its == *name || its.strip_suffix("_SHA256") == Some(name.as_str())
    };
    if let Some(unknown) = names.iter().find(|name| !provider.cipher_suites.iter().any(|suite| is(suite, name))) {
        let known: Vec<String> = provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
        return Err(format!("{unknown} is not known, or not sound; there are: {}", known.join(", ")));
    }
    provider.cipher_suites.retain(|suite| suite.tls13().is_some() || names.iter().any(|name| is(suite, name)));
    Ok(provider)
}

fn server(config: &TlsConfig) -> Result<ServerConfig, String> {
    let in_file = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certs = CertificateDer::pem_file_iter(&config.cert_file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certs = certs.map_err(|error| in_file(&config.cert_file, &error))?;
    if certs.is_empty() {
        return Err(in_file(&config.cert_file, &"no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key_file).map_err(|error| in_file(&config.key_file, &error))?;
    let versions: &[_] = if config.only_1_3 { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider(&config.cipher_suites)?));
    let builder = builder.with_protocol_versions(versions).map_err(|error| error.to_string())?;
    let mut server = builder.with_no_client_auth().with_single_cert(certs, key).map_err(|error| error.to_string())?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_those_of_the_seeds() {
        let seeds =
            ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"].map(str::to_owned);
        let suites = provider(&seeds).unwrap().cipher_suites;
        assert_eq!(suites.iter().filter(|suite| suite.tls13().is_none()).count(), 2, "{suites:?}");
        assert_eq!(suites.iter().filter(|suite| suite.tls13().is_some()).count(), 3);
        assert!(check_suites(["TLS_RSA_WITH_RC4_128_SHA"].into_iter()).is_err());
    }
}
