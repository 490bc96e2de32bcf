//! What a client may keep: tags, 304, compressed forms.

use crate::store::{At, Store, serve};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status, head in lower case, body as it came.
struct Raw {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(its, _)| *its == name).map(|(_, value)| value)
    }
}

async fn raw(at: SocketAddr, path: &str, headers: &str) -> Raw {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let mut body = answer.split_off(end);
    if head.contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Raw { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}

fn store() -> (Store, At, At) {
    let mut store = Store::new();
    store.branch(0, None);
    let puts: Vec<String> =
        (0..200).map(|i| format!(r#"{{"data":{i},"path":["balances","user{i}"],"type":"put"}}"#)).collect();
    let a = store.batch(0, None, "QmA", 101, &puts.iter().map(String::as_str).collect::<Vec<_>>());
    let b = store.batch(0, Some(a), "QmA", 101, &[r#"{"data":1,"path":["x"],"type":"put"}"#]);
    (store, a, b)
}

/// Planted: the tag made of the batch alone (two forms of one point would share it).
#[tokio::test]
async fn reads_carry_a_tag_and_who_has_the_answer_is_told_so() {
    let (mut store, a, b) = store();
    let api = serve(&store).await;
    let mut tags = std::collections::BTreeSet::new();
    let reads = [
        "/api/query/head".to_owned(),
        "/api/query/path/balances".to_owned(),
        "/api/query/path/balances?form=leaves".to_owned(),
        "/api/query/path?path=balances".to_owned(),
        "/api/query/state-at/101".to_owned(),
        "/api/query/block/101/full".to_owned(),
        "/api/query/block/101/operations".to_owned(),
        "/api/query/history/x".to_owned(),
        format!("/api/query/diff?from={}", a.id),
        "/namespaces/DLUX/stats".to_owned(),
        "/namespaces/DLUX/export".to_owned(),
    ];
    for path in &reads {
        let first = raw(api.at, path, "").await;
        assert_eq!(first.status, 200, "{path}");
        let tag = first.header("etag").unwrap_or_else(|| panic!("{path}: {}", first.head)).to_owned();
        assert_eq!(first.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(first.header("vary"), Some("accept-encoding"), "{path}");
        assert_eq!(raw(api.at, path, "").await.header("etag"), Some(tag.as_str()), "{path}");
        let kept = raw(api.at, path, &format!("if-none-match: {tag}\r\n")).await;
        assert_eq!(
            (kept.status, kept.body.as_slice(), kept.header("etag")),
            (304, &b""[..], Some(tag.as_str())),
            "{path}"
        );
        assert_eq!((kept.header("vary"), kept.header("cache-control")), (Some("accept-encoding"), Some("no-cache")));
        assert!(tags.insert((path, tag)), "{path}");
    }
    assert_eq!(tags.iter().map(|(_, tag)| tag).collect::<std::collections::BTreeSet<_>>().len(), reads.len());
    store.batch(0, Some(b), "QmB", 201, &[r#"{"data":2,"path":["x"],"type":"put"}"#]);
    for (path, tag) in tags {
        let again = raw(api.at, path, &format!("if-none-match: {tag}\r\n")).await;
        // The operations of block 101 are what they were: nothing is said of that block that changed.
        let same = path.contains("operations") || path.contains("state-at");
        assert_eq!(again.status, if same { 304 } else { 200 }, "{path}");
    }
}

#[tokio::test]
async fn how_long_an_answer_may_be_kept_depends_on_how_its_point_was_named() {
    let (store, a, b) = store();
    let api = serve(&store).await;
    let control = async |path: String| {
        let answer = raw(api.at, &path, "").await;
        answer.header("cache-control").unwrap_or_else(|| panic!("{path}: {}", answer.head)).to_owned()
    };
    const PINNED: &str = "max-age=3600, immutable";
    assert_eq!(control(format!("/api/query/path/balances?batch={}", a.id)).await, PINNED);
    assert_eq!(control(format!("/namespaces/dlux_/export?batch={}", a.id)).await, PINNED);
    assert_eq!(control(format!("/api/query/diff?from={}&to={}", a.id, b.id)).await, PINNED);
    assert_eq!(control(format!("/api/query/diff?from=101&to={}", b.id)).await, "no-cache");
    assert_eq!(control("/api/query/path/balances?block=101".to_owned()).await, "no-cache");
    for path in ["/api/query/path/nobody", "/api/status", "/nothing", "/health", "/api"] {
        assert_eq!(control(path.to_owned()).await, "no-store", "{path}");
    }
}

/// Planted: one tag for all forms.
#[tokio::test]
async fn a_compressed_form_says_the_same_and_has_a_tag_of_its_own() {
    let (store, ..) = store();
    let api = serve(&store).await;
    for path in ["/api/query/path/balances", "/namespaces/dlux_/export?format=csv"] {
        let plain = raw(api.at, path, "").await;
        assert_eq!(plain.header("content-encoding"), None);
        let tag = plain.header("etag").unwrap().trim_matches('"').to_owned();
        for encoding in ["gzip", "zstd"] {
            let accept = format!("accept-encoding: {encoding}\r\n");
            let small = raw(api.at, path, &accept).await;
            let own = format!("\"{tag}-{encoding}\"");
            assert_eq!((small.header("content-encoding"), small.header("etag")), (Some(encoding), Some(own.as_str())));
            assert!(small.body.len() < plain.body.len() / 2, "{}", small.body.len());
            match encoding {
                "zstd" => assert_eq!(zstd::decode_all(small.body.as_slice()).unwrap(), plain.body),
                _ => assert_eq!(small.body[..2], [0x1f, 0x8b]),
            }
            let kept = raw(api.at, path, &format!("{accept}if-none-match: {own}\r\n")).await;
            assert_eq!((kept.status, kept.header("etag")), (304, Some(own.as_str())));
            let other = raw(api.at, path, &format!("if-none-match: {own}\r\n")).await;
            assert_eq!(other.status, 200, "a client that no longer takes {encoding}");
        }
    }
    let small = raw(api.at, "/api/query/head", "accept-encoding: gzip\r\n").await;
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, Some("accept-encoding")));
    let none = raw(api.at, "/api/query/head", "accept-encoding: identity;q=0\r\n").await;
    assert_eq!(none.status, 406);
    assert!(String::from_utf8_lossy(&none.body).contains("\"not_acceptable\""));
}
