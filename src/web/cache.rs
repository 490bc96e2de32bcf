//! What a client may keep of an answer: ETags, `Cache-Control`, `Vary`, and compressed forms.
//!
//! *Always holds:* a tag is strong: it is made of all that an answer says of its point and of the request as it was
//! written, so that equal tags mean equal bytes; each compressed form has a tag of its own. What carries no tag is not
//! stored.

use super::answer::ApiError;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{HeaderValue, StatusCode, request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, DefaultPredicate, Predicate, SizeAbove};

/// An answer of a point that was named by its batch: the data never change. Not for longer, because what is known of the
/// point (`complete`, `verified`, `final`) may become more.
const PINNED: HeaderValue = HeaderValue::from_static("max-age=3600, immutable");

/// An answer of the head or of a label: to be asked for again, by its tag.
const MOVING: HeaderValue = HeaderValue::from_static("no-cache");

/// Everything else: errors, status, orders.
const UNKEPT: HeaderValue = HeaderValue::from_static("no-store");

const VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Answers below this many bytes go as they are: a packet is a packet.
const COMPRESSED_ABOVE: u64 = 1_024;

/// Forms that an answer may be compressed to.
const ENCODINGS: [&str; 2] = ["gzip", "zstd"];

/// What a request says about what its client has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    asked: String,
    none_match: Vec<String>,
    encodings: Vec<&'static str>,
}

/// The tag of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    tag: String,
    pinned: bool,
}

impl Kept {
    /// Of a request.
    pub fn of(parts: &request::Parts) -> Self {
        let all = |name: HeaderName| {
            let values = parts.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).map(|value| value.trim().to_owned()).collect::<Vec<_>>()
        };
        let accepted = all(header::ACCEPT_ENCODING);
        let encodings = ENCODINGS.into_iter().filter(|encoding| accepted.iter().any(|one| one.starts_with(encoding)));
        Self { asked: parts.uri.to_string(), none_match: all(header::IF_NONE_MATCH), encodings: encodings.collect() }
    }

    /// The tag of the answer that says `about` of its point; an early end of the request when its client has that answer.
    pub fn tag(&self, about: &[u8], pinned: bool) -> Result<Tag, ApiError> {
        let mut hash = blake3::Hasher::new();
        for part in [env!("CARGO_PKG_VERSION").as_bytes(), self.asked.as_bytes(), about] {
            hash.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        let tag = hash.finalize().to_hex()[..32].to_owned();
        if self.none_match.is_empty() {
            return Ok(Tag { tag, pinned });
        }
        let forms = self.encodings.iter().map(|encoding| format!("\"{tag}-{encoding}\""));
        let known = forms.chain([format!("\"{tag}\""), "*".to_owned()]);
        let kept = |known: &String| self.none_match.iter().any(|kept| kept.trim_start_matches("W/") == known);
        match known.into_iter().find(kept) {
            Some(kept) => {
                let shown = if kept == "*" { tag } else { kept.trim_matches('"').to_owned() };
                Err(ApiError::not_modified(Tag { tag: shown, pinned }))
            }
            None => Ok(Tag { tag, pinned }),
        }
    }
}

impl Tag {
    /// Puts the tag on its answer.
    pub fn on(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        set_tag(headers, &self.tag);
        headers.insert(header::CACHE_CONTROL, if self.pinned { PINNED } else { MOVING });
        headers.insert(header::VARY, VARY);
        response
    }
}

fn set_tag(headers: &mut HeaderMap, tag: &str) {
    // Hexadecimal digits and the name of an encoding: always a header's value.
    if let Ok(value) = HeaderValue::try_from(format!("\"{tag}\"")) {
        headers.insert(header::ETAG, value);
    }
}

/// Compresses answers for who takes that; streams of events are not touched.
pub fn compression() -> CompressionLayer<And<DefaultPredicate, SizeAbove>> {
    CompressionLayer::new().compress_when(compressed())
}

fn compressed() -> And<DefaultPredicate, SizeAbove> {
    DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_ABOVE))
}

/// The last hand on every answer: a compressed form gets its own tag; what has no word on caches is not stored.
pub async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_ACCEPTABLE {
        response = ApiError::not_acceptable().into_response();
    }
    let headers = response.headers_mut();
    let text = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let (Some(tag), Some(encoding)) = (text(headers.get(header::ETAG)), text(headers.get(header::CONTENT_ENCODING)))
    {
        set_tag(headers, &format!("{}-{encoding}", tag.trim_matches('"')));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(UNKEPT);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn kept(uri: &str, headers: &[(HeaderName, &str)]) -> Kept {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        Kept::of(&request.body(Body::empty()).unwrap().into_parts().0)
    }

    /// Planted: the query string left out of the tag; a tag that does not look at what is said of the point.
    #[test]
    fn a_tag_stands_for_the_point_and_the_request() {
        let tag = |uri: &str, about: &str| kept(uri, &[]).tag(about.as_bytes(), false).unwrap().tag;
        assert_eq!(tag("/a?b=1", "p"), tag("/a?b=1", "p"));
        let all = [tag("/a?b=1", "p"), tag("/a?b=2", "p"), tag("/a?b=1", "q"), tag("/a?b=1p", ""), tag("/c?b=1", "p")];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn who_has_the_answer_is_told_so() {
        let tag = kept("/a", &[]).tag(b"p", false).unwrap().tag;
        let has = |none_match: &str, accept: &str| {
            let headers = [(header::IF_NONE_MATCH, none_match), (header::ACCEPT_ENCODING, accept)];
            kept("/a", &headers).tag(b"p", false).is_err()
        };
        assert!(has(&format!("\"{tag}\""), "gzip") && has(&format!("\"x\", W/\"{tag}\""), "") && has("*", ""));
        assert!(has(&format!("\"{tag}-gzip\""), "br, gzip;q=0.5"));
        assert!(
            !has(&format!("\"{tag}-gzip\""), "br") && !has(&format!("\"{tag}-br\""), "br") && !has("\"x\"", "gzip")
        );
    }

    /// Guards against: the predicate of our own without the default one.
    #[test]
    fn a_stream_of_events_is_not_compressed() {
        let answer = |kind: &str| {
            let body = Body::from(vec![b' '; 10_000]);
            Response::builder().header(header::CONTENT_TYPE, kind).body(body).unwrap()
        };
        assert!(compressed().should_compress(&answer("application/json")));
        assert!(!compressed().should_compress(&answer("text/event-stream")));
    }
}
