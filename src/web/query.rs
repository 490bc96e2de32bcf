//! The parameters of a request's query string, and its body.

use super::answer::ApiError;
use super::cache::{Kept, Tag};
use super::index;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;

/// Most parameters taken.
const MAX_PARAMETERS: usize = 16;

/// Parameters, percent-decoded, in the order in which they stand; the first of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
    kept: Kept,
}

impl Query {
    /// Parameters that came in another way than in the query string.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
        Self { pairs, kept: Kept::default() }
    }

    /// These parameters, and one that goes before all.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.pairs.insert(0, (name.into(), value.into()));
        self
    }

    /// Reads a query string.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let mut query = Self::default();
        for pair in pairs {
            if query.pairs.len() == MAX_PARAMETERS {
                return Err(ApiError::bad_request("too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.pairs.push((decoded(name)?, decoded(value)?));
        }
        Ok(query)
    }

    /// Refuses parameters that the route does not take: a misspelt one would otherwise be answered as if it were not there.
    fn only(self, taken: &'static [&'static str]) -> Result<Self, ApiError> {
        match self.pairs.iter().find(|(name, _)| !taken.contains(&name.as_str())) {
            Some((name, _)) => Err(ApiError::unknown_parameter(name, taken)),
            None => Ok(self),
        }
    }

    /// The value of a parameter; an empty one counts as missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(its, _)| its == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The tag of the answer that says `about` of its point. An early end of the request when its client has that answer.
    pub fn tag(&self, about: &[u8]) -> Result<Tag, ApiError> {
        self.kept.tag(about, self.get("batch").is_some())
    }

    /// The same of an answer of which it is known whether it ever changes.
    pub fn tag_pinned(&self, about: &[u8], pinned: bool) -> Result<Tag, ApiError> {
        self.kept.tag(about, pinned)
    }

    /// The value of a parameter that is a number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let number = |text: &str| text.parse().map_err(|_| ApiError::bad_request(format!("{name} is not a number")));
        self.get(name).map(number).transpose()
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let route = parts.extensions.get::<MatchedPath>();
        let taken = route.map_or(&[][..], |route| index::parameters(route.as_str()));
        let query = Self::parse(parts.uri.query().unwrap_or_default())?.only(taken)?;
        Ok(Self { kept: Kept::of(parts), ..query })
    }
}

/// A request's body, of bounded size.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Bytes::from_request(request, state).await {
            Ok(body) => Ok(Self(body)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::too_large("the body is too large", "a body has at most 64 KiB"))
            }
            Err(error) => Err(ApiError::bad_request(error.to_string())),
        }
    }
}

/// The block in a route's path.
pub(super) fn block_number(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request("the block is not a number"))
}

fn decoded(text: &str) -> Result<String, ApiError> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| (digit as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(ApiError::bad_request("broken percent-encoding"));
                };
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(out).map_err(|_| ApiError::bad_request("a parameter is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_first_counts() {
        let query = Query::parse("fork=a%2Fb&block=7&fork=c&empty=&flag&%C3%A9=1+2").unwrap();
        assert_eq!(query.get("fork"), Some("a/b"));
        assert_eq!(query.number("block"), Ok(Some(7)));
        assert_eq!((query.get("empty"), query.get("flag"), query.get("none")), (None, None, None));
        assert_eq!(query.get("é"), Some("1 2"));
    }

    #[test]
    fn broken_ones_are_refused() {
        for broken in ["a=%", "a=%4", "a=%zz", "a=%ff", &"a=1&".repeat(17)] {
            assert_eq!(Query::parse(broken).unwrap_err().code(), "bad_request", "{broken}");
        }
        assert!(Query::parse("block=1").unwrap().only(&["block"]).is_ok());
        assert_eq!(Query::parse("block=1&blok=1").unwrap().only(&["block"]).unwrap_err().code(), "unknown_parameter");
        assert_eq!(Query::parse("block=x").unwrap().number("block").unwrap_err().code(), "bad_request");
    }
}
