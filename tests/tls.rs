//! TLS of both ports: who is let in, files that change, and commands that need no certificate.

use futures_util::StreamExt;
use honeygraph_testnet::process::{Launch, Node};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// Puts a certificate where the node looks for its own: the files are renamed into place, as tools do.
fn install(folder: &Path, name: &str) {
    for kind in ["crt", "key"] {
        let fresh = folder.join("fresh");
        std::fs::copy(fixture(&format!("{name}.{kind}")), &fresh).unwrap();
        std::fs::rename(&fresh, folder.join(format!("node.{kind}"))).unwrap();
    }
}

async fn connect(
    to: &str,
    trusted: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(&format!("{trusted}.crt"))).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(to.split("//").nth(1).unwrap()).await?;
    TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn health(node: &Node, trusted: &str) -> std::io::Result<String> {
    let mut stream = connect(&node.endpoints.api, trusted, &[&TLS13, &TLS12]).await?;
    stream.write_all(b"GET /api/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    // The server need not say goodbye.
    let _ = stream.read_to_string(&mut answer).await;
    Ok(answer)
}

/// Guards against: a certificate that is read once; `min_version` that is not looked at.
#[tokio::test]
async fn both_ports_speak_tls_and_take_new_certificates() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "one");
    let (data, cert, key) =
        (folder.path().join("data"), folder.path().join("node.crt"), folder.path().join("node.key"));
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), &data)
        .env("HONEYGRAPH_TLS_CERT_FILE", cert.to_str().unwrap())
        .env("HONEYGRAPH_TLS_KEY_FILE", key.to_str().unwrap())
        .env("HONEYGRAPH_TLS_MIN_VERSION", "1.3");
    let node = launch.start().unwrap();
    assert!(node.endpoints.api.starts_with("https://") && node.endpoints.feed.starts_with("wss://"));
    let answer = health(&node, "one").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("strict-transport-security"), "{answer}");
    assert!(health(&node, "two").await.is_err(), "another certificate than the trusted one");
    assert!(connect(&node.endpoints.api, "one", &[&TLS12]).await.is_err(), "older than min_version");
    let mut plain = TcpStream::connect(node.endpoints.api.split("//").nth(1).unwrap()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");

    let stream = connect(&node.endpoints.feed, "one", &[&TLS13]).await.unwrap();
    let (mut feed, _) = tokio_tungstenite::client_async("ws://localhost/fork-stream", stream).await.unwrap();
    let greeting: Value = serde_json::from_str(feed.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(greeting["type"], "welcome");

    // A certificate without its key changes nothing; with it, the next connection has it.
    std::fs::copy(fixture("two.crt"), folder.path().join("fresh")).unwrap();
    std::fs::rename(folder.path().join("fresh"), &cert).unwrap();
    assert!(health(&node, "one").await.is_ok());
    install(folder.path(), "two");
    assert!(health(&node, "two").await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(health(&node, "one").await.is_err());

    // Commands go through the socket in the data folder: they need no certificate.
    let (status, said) = launch.command(&["log-level", "info"]).unwrap();
    assert!(status.success(), "{said}");
    let endpoints: Value = serde_json::from_slice(&std::fs::read(data.join("endpoints.json")).unwrap()).unwrap();
    assert!(endpoints["admin"].as_str().unwrap().ends_with("/data/admin.sock"), "{endpoints}");
}

#[test]
fn what_cannot_be_served_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "one");
    let cert = folder.path().join("node.crt");
    let start = |key: PathBuf| {
        let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path().join("data"));
        let launch = launch.env("HONEYGRAPH_TLS_CERT_FILE", cert.to_str().unwrap());
        launch.env("HONEYGRAPH_TLS_KEY_FILE", key.to_str().unwrap()).start().map(drop).unwrap_err().to_string()
    };
    assert!(start(fixture("two.key")).contains("TLS"), "a key of another certificate");
    assert!(start(folder.path().join("nothing")).contains("nothing"), "a file that is not there");
    // Failed once: whatever stood in the place of the socket was removed.
    let ledger = folder.path().join("ledger");
    std::fs::write(&ledger, "mine").unwrap();
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path().join("data"));
    let launch = launch.env("HONEYGRAPH_ADMIN_LISTEN", format!("unix:{}", ledger.display()));
    assert!(launch.start().map(drop).unwrap_err().to_string().contains("ledger"));
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "mine");
}
