//! A path as a request names it: in the URL, in a parameter, in a body.
//!
//! A path stands in the URL as percent-encoded text segments, `balances/alice`. A number segment has no form there; a JSON
//! array, `["a",5]`, names any path.
//!
//! *Always holds:* no longer than a path of the state can be.

use super::answer::ApiError;
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::path::{self, Segment};

/// Longest path in a query, in bytes.
const MAX_PATH_TEXT: usize = 32 << 10;

/// A path as it was asked for.
pub(super) struct Asked {
    /// Its segments.
    pub segments: Vec<Segment>,
    /// Its encoding.
    pub encoded: Vec<u8>,
}

impl Asked {
    /// Of these segments.
    pub fn new(segments: Vec<Segment>) -> Result<Self, ApiError> {
        let encoded = path::encode(&segments);
        if encoded.len() > path::MAX_PATH_BYTES {
            return Err(ApiError::bad_request("the path is too long"));
        }
        Ok(Self { segments, encoded })
    }

    /// Percent-encoded text segments.
    pub fn in_url(text: &str) -> Result<Self, ApiError> {
        Self::new(path::parse_url(text).map_err(|error| ApiError::bad_request(error.to_string()))?)
    }

    /// A JSON array of strings and numbers, else the text form.
    pub fn in_query(text: &str) -> Result<Self, ApiError> {
        if text.len() > MAX_PATH_TEXT {
            return Err(ApiError::bad_request("the path is too long"));
        }
        if !text.starts_with('[') {
            return Self::in_url(text);
        }
        match json::parse(text.as_bytes()) {
            Ok(Json::Array(segments)) => Self::in_array(segments),
            _ => Err(wrong()),
        }
    }

    /// The segments of a JSON array.
    pub fn in_array(segments: Vec<Json>) -> Result<Self, ApiError> {
        let segments: Option<Vec<_>> = segments.into_iter().map(Segment::from_json).collect();
        Self::new(segments.ok_or_else(wrong)?)
    }

    /// Appends the path as a member: its text form, or the array when that cannot say it.
    pub fn describe(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""path":"#);
        if self.segments.iter().all(|segment| matches!(segment, Segment::Text(_))) {
            Segment::from(path::display(&self.segments).as_str()).write_canonical(out);
        } else {
            path::write_canonical(&self.segments, out);
        }
    }
}

/// Appends an encoded path of the state as a JSON array.
pub(super) fn write_encoded(path: &[u8], out: &mut Vec<u8>) -> Result<(), ApiError> {
    path::write_canonical(&path::decode(path).map_err(|error| ApiError::internal(&error))?, out);
    Ok(())
}

fn wrong() -> ApiError {
    ApiError::bad_request("a path is percent-encoded text, or a JSON array of strings and numbers")
}
