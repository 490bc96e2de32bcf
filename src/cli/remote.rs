//! Talking to a running node: a small HTTP/1.1 client.
//!
//! *Always holds:* every request ends within [`TIMEOUT`] and every answer within [`MAX_ANSWER_BYTES`]; of a download each part.

use super::exit::{Code, Failure};
use crate::data_dir::{Endpoints, endpoints_path};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long an answer may take: a rollback is instant, a big subtree is not.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer taken, in bytes: it is held in memory and printed.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A running node's HTTP API.
#[derive(Clone, Debug)]
pub struct Remote {
    host: String,
    address: Address,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Tcp(String),
    Unix(PathBuf),
}

impl Remote {
    /// The node at `api` when given, else the one that says in the data folder where it listens.
    pub fn find(api: Option<&str>, data_dir: &Path) -> Result<Self, Failure> {
        if let Some(url) = api {
            return Self::at(url).map_err(|message| Failure::new(Code::Usage, message));
        }
        let path = endpoints_path(data_dir);
        let text = std::fs::read_to_string(&path).map_err(|_| {
            let shown = path.display();
            Failure::new(
                Code::NotReachable,
                format!("no node runs on this data folder ({shown} is not there); --api URL names one"),
            )
        })?;
        let endpoints: Endpoints = serde_json::from_str(&text)
            .map_err(|error| Failure::new(Code::Failed, format!("{}: {error}", path.display())))?;
        // Where orders are taken everything else is answered, too.
        Self::at(endpoints.admin.as_ref().unwrap_or(&endpoints.api))
            .map_err(|message| Failure::new(Code::Failed, message))
    }

    fn at(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Self { host: "localhost".into(), address: Address::Unix(path.into()) });
        }
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is not a URL"))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => Ok(Self {
                host: authority.to_string(),
                address: Address::Tcp(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80))),
            }),
            (Some("https"), _) => Err("commands speak no TLS: run them on the node's machine, without --api".into()),
            _ => Err(format!("{url:?}: expected http://host:port")),
        }
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// `GET` of what may be larger than memory: its body goes to `into` as it comes. Answers what the headers say of it.
    pub async fn download(&self, path: &str, into: &mut impl Write) -> Result<Vec<(String, String)>, Failure> {
        let unreachable =
            |why: String| Failure::new(Code::NotReachable, format!("no node answers at {}: {why}", self.host));
        let cut = |why: String| Failure::new(Code::Failed, format!("the answer was cut short: {why}"));
        let late = || format!("nothing within {} s", TIMEOUT.as_secs());
        let sent = tokio::time::timeout(TIMEOUT, self.send(Method::GET, path, None)).await;
        let response = sent.map_err(|_| unreachable(late()))?.map_err(|error| unreachable(error.to_string()))?;
        let (status, headers) = (response.status(), super::export::point(response.headers()));
        if !status.is_success() {
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            return match answer(status, &body.map_err(|error| cut(error.to_string()))?.to_bytes()) {
                Err(failure) => Err(failure),
                Ok(_) => Err(cut("no document".into())),
            };
        }
        let mut body = response.into_body();
        loop {
            let frame = tokio::time::timeout(TIMEOUT, body.frame()).await.map_err(|_| cut(late()))?;
            let Some(frame) = frame else { return Ok(headers) };
            let frame = frame.map_err(|error| cut(error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                match into.write_all(data) {
                    // A reader that went away (`| head`) is no failure.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(headers),
                    written => written.map_err(|error| Failure::new(Code::Failed, error))?,
                }
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let unreachable =
            |why: String| Failure::new(Code::NotReachable, format!("no node answers at {}: {why}", self.host));
        match tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await {
            Ok(Ok((status, bytes))) => answer(status, &bytes),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("nothing within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        Ok((status, Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await?.to_bytes()))
    }

    /// Sends a request on a connection of its own, which ends with the answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let mut sender = match &self.address {
            Address::Tcp(address) => opened(TcpStream::connect(address).await?).await?,
            Address::Unix(path) => opened(UnixStream::connect(path).await?).await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::USER_AGENT, concat!("honeygraph/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json");
        let request = match std::env::var("HONEYGRAPH_API_KEY") {
            Ok(key) if !key.is_empty() => request.header("x-api-key", key),
            _ => request,
        };
        let request = request.body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))?;
        Ok(sender.send_request(request).await?)
    }
}

/// A connection that carries requests.
async fn opened<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// What a node answered, byte for byte: numbers and strings of the state do not all survive another parser.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer(String);

impl Answer {
    /// The JSON text as the node wrote it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Parsed, for picking out what is shown.
    pub fn value(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.0).map_err(|error| Failure::new(Code::Failed, format!("the node's answer: {error}")))
    }

    /// Its members, each as written.
    pub fn members(&self) -> Result<BTreeMap<String, Box<RawValue>>, Failure> {
        serde_json::from_str(&self.0).map_err(|error| Failure::new(Code::Failed, format!("the node's answer: {error}")))
    }
}

fn answer(status: StatusCode, bytes: &[u8]) -> Result<Answer, Failure> {
    if status.is_success() {
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
        return text
            .map(|text| Answer(text.trim().to_owned()))
            .ok_or_else(|| Failure::new(Code::Failed, "the node's answer is not JSON"));
    }
    let parsed: Option<Value> = serde_json::from_slice(bytes).ok();
    let text = |key: &str| parsed.as_ref().and_then(|v| v.get(key)).and_then(Value::as_str).map(str::to_owned);
    let code = match status.as_u16() {
        400 => Code::Usage,
        404 => Code::NotFound,
        401..=403 | 405..=499 => Code::Refused,
        _ => Code::Failed,
    };
    let message = text("error").unwrap_or_else(|| format!("the node answered {status}"));
    // What a route calls ?batch= is --batch here.
    let message = message.strip_prefix('?').map_or(message.clone(), |rest| format!("--{rest}"));
    Err(Failure { code, message, reason: text("code") })
}

/// A path segment or query value, percent-encoded down to the unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `?a=1&b=2` of those that are set; empty when none is.
pub fn query_string(pairs: &[(&str, Option<&str>)]) -> String {
    let mut out = String::new();
    for (key, value) in pairs {
        if let Some(value) = value {
            out.push(if out.is_empty() { '?' } else { '&' });
            out.push_str(&format!("{key}={}", encode(value)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_addresses_are_taken() {
        let remote = Remote::at("http://127.0.0.1:3030").unwrap();
        assert_eq!((remote.host.as_str(), remote.address), ("127.0.0.1:3030", Address::Tcp("127.0.0.1:3030".into())));
        assert_eq!(Remote::at("http://node/").unwrap().address, Address::Tcp("node:80".into()));
        assert_eq!(Remote::at("http://[::1]:3030").unwrap().address, Address::Tcp("[::1]:3030".into()));
        for wrong in ["127.0.0.1:3030", "https://node", "ws://node", "", "http://"] {
            assert!(Remote::at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_unreserved_is_encoded() {
        assert_eq!(encode("a/b c%é~"), "a%2Fb%20c%25%C3%A9~");
        assert_eq!(query_string(&[("fork", Some("a&b")), ("block", None), ("n", Some("1"))]), "?fork=a%26b&n=1");
        assert_eq!(query_string(&[("fork", None)]), "");
    }

    #[test]
    fn a_nodes_refusal_keeps_its_code() {
        let refused = answer(StatusCode::CONFLICT, br#"{"error":"two forks","code":"ambiguous"}"#).unwrap_err();
        assert_eq!((refused.code, refused.reason.as_deref()), (Code::Refused, Some("ambiguous")));
        assert_eq!(answer(StatusCode::BAD_REQUEST, b"").unwrap_err().code, Code::Usage);
        let named =
            answer(StatusCode::BAD_REQUEST, br#"{"error":"?batch is no id","code":"bad_request"}"#).unwrap_err();
        assert_eq!(named.message, "--batch is no id", "as it is called here");
        assert_eq!(answer(StatusCode::NOT_FOUND, b"").unwrap_err().code, Code::NotFound);
        assert_eq!(answer(StatusCode::BAD_GATEWAY, b"<html>").unwrap_err().code, Code::Failed);
        assert_eq!(answer(StatusCode::OK, b"<html>").unwrap_err().code, Code::Failed);
    }

    #[test]
    fn what_another_parser_would_change_stays() {
        let text = r#"{"data":{"a":1e400,"b":"\ud800","b":12345678901234567890.5}}"#;
        let answer = answer(StatusCode::OK, text.as_bytes()).unwrap();
        assert_eq!(answer.text(), text);
        assert_eq!(answer.members().unwrap()["data"].get(), &text[8..text.len() - 1]);
    }
}
