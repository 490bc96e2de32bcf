//! What answers and errors look like.
//!
//! *Always holds:* an error is `{"error":"<text>","code":"<stable code>", …}`; nothing that went wrong inside is told
//! outside, only logged, with the id of the request.

use super::cache::Tag;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// Characters of a name from outside that are shown again.
const MAX_SHOWN: usize = 64;

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    text: String,
    more: Map<String, Value>,
    /// The client has the answer already: no error, but the same early end.
    tag: Option<Box<Tag>>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), more: Map::new(), tag: None }
    }

    /// 304: the client has this answer.
    pub fn not_modified(tag: Tag) -> Self {
        let (status, text) = (StatusCode::NOT_MODIFIED, String::new());
        Self { status, code: "", text, more: Map::new(), tag: Some(Box::new(tag)) }
    }

    /// 404: nothing has this name.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    /// 404: never seen, but the network's state before we joined is unknown.
    pub fn unknown_before_base(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_before_base", what)
    }

    /// 404: no such network.
    pub fn unknown_network(network: &str, known: Vec<&str>) -> Self {
        let text = format!("network {network} is not configured here; there are: {}", known.join(", "));
        Self::new(StatusCode::NOT_FOUND, "unknown_network", text).with("networks", known)
    }

    /// 400: the route takes no such parameter.
    pub fn unknown_parameter(name: &str, taken: &[&str]) -> Self {
        let name: String = name.chars().take(MAX_SHOWN).collect();
        let text = match taken {
            [] => format!("unknown parameter {name:?}: this route takes none"),
            _ => format!("unknown parameter {name:?}: this route takes {}", taken.join(", ")),
        };
        Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", text).with("parameters", taken.to_vec())
    }

    /// 409: the name of a fork fits several.
    pub fn ambiguous_fork(fork: &str, candidates: Vec<String>) -> Self {
        let text = format!("{fork} fits several forks");
        Self::new(StatusCode::CONFLICT, "ambiguous_fork", text).with("candidates", candidates)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", why)
    }

    /// 410: the point was there and is no longer readable.
    pub fn gone(what: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", what)
    }

    /// 410: the point lies before the base, where not every key is known.
    pub fn before_base(label: Option<u64>) -> Self {
        Self::new(StatusCode::GONE, "before_base", "this point lies before the base").with("base", label)
    }

    /// 410: what is asked for was in records of the journal that are no longer kept.
    pub fn before_journal() -> Self {
        let text = "the operations of this block are no longer kept";
        Self::new(StatusCode::GONE, "before_journal", text)
    }

    /// 413: the answer would be too large.
    pub fn too_large(what: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", what).with("hint", hint)
    }

    /// 409: the batch that was waited for is not on the history that is read.
    pub fn on_another_fork(forks: Vec<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "on_another_fork", "this batch is on another fork").with("forks", forks)
    }

    /// 504: the batch that was waited for has not been seen.
    pub fn batch_not_seen() -> Self {
        let text = "all that is durable is applied, and this batch is not among it";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "batch_not_seen", text)
    }

    /// 504: the state is behind the journal, and the batch that was waited for may be in what is missing.
    pub fn not_applied_in_time(behind: u64) -> Self {
        let text = format!("the state is {behind} records behind, and has not applied this batch yet");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "not_applied_in_time", text).with("behind", behind)
    }

    /// 501: nobody makes snapshots.
    pub fn snapshots_off() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "snapshots_off", "Snapshots are off")
    }

    /// 503: snapshots do not work now.
    pub fn snapshots_unusable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "snapshots_unusable", why)
    }

    /// 409: the name of a snapshot fits several.
    pub fn ambiguous_snapshot(text: String, candidates: Vec<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ambiguous_snapshot", text).with("candidates", candidates)
    }

    /// 501: the node takes no part in the swarm.
    pub fn sync_not_enabled() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "sync_not_enabled", "Sync not enabled")
    }

    /// 401: it is not known who asks, or what they say of it does not hold.
    pub fn unauthorized(why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
    }

    /// 404: Hive has no such account.
    pub fn unknown_account() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_account", "Account not found on Hive")
    }

    /// 503: nobody could say what an account's keys are.
    pub fn keys_unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", "the account's keys cannot be looked up now")
    }

    /// 421: called by a name that is not ours.
    pub fn wrong_host() -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", "this node has another name")
    }

    /// 429: too many requests of one kind.
    pub fn limited(of: &str, limit: u32, retry_after: u64) -> Self {
        let text = format!("too many requests of this {of}: {limit} a minute");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "limited", text);
        error.with("limit", of).with("retry_after", retry_after)
    }

    /// 403: not from here.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", why)
    }

    /// 409: it would do harm or nothing.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "refused", why)
    }

    /// 409: an order of this kind is being carried out.
    pub fn sync_in_progress() -> Self {
        Self::new(StatusCode::CONFLICT, "sync_in_progress", "an order to fetch is being carried out")
    }

    /// 405.
    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this route has other methods")
    }

    /// 406: the client takes no form that there is.
    pub fn not_acceptable() -> Self {
        let text = "accept-encoding refuses every form: identity, gzip, zstd";
        Self::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", text)
    }

    /// 503: too much at once.
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests at once, come back")
    }

    /// 503: it took too long.
    pub fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", "the answer took too long")
    }

    /// 500: ours. The cause goes to the log only.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error")
    }

    /// Adds a field.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.into(), value.into());
        self
    }

    /// Its code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(tag) = self.tag {
            return tag.on(self.status.into_response());
        }
        let retry_after = self.more.get("retry_after").and_then(Value::as_u64);
        let mut body = self.more;
        body.insert("error".into(), self.text.into());
        body.insert("code".into(), self.code.into());
        let mut response = json(&body);
        *response.status_mut() = self.status;
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response.headers_mut().insert("ratelimit-remaining", HeaderValue::from(0));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON answer.
pub fn json<T: Serialize>(body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => json_bytes(body),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A JSON answer that is written already.
pub fn json_bytes(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
