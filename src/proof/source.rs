//! Where an operator says a document is: a file, an address, or a CID that gateways are asked for.
//!
//! *Always holds:* no more is read than was allowed; what must have a CID says so, and whoever takes it checks.

use super::gateway::{GatewayError, Gateways};

/// Why a document did not come.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Its path, as it was given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than allowed.
    #[error("{path} has {bytes} bytes, more than {most} are not taken")]
    TooLarge {
        /// Its path.
        path: String,
        /// Its size.
        bytes: u64,
        /// What is allowed.
        most: u64,
    },
    /// The gateways, or the address.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

/// Whether a text is a CIDv0.
pub fn is_cid(source: &str) -> bool {
    source.len() == 46 && source.starts_with("Qm") && source.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What is at a file, an address or a CID, of at most `most` bytes.
pub async fn fetch(source: &str, gateways: &[String], most: u64) -> Result<Vec<u8>, SourceError> {
    if is_cid(source) {
        return Ok(Gateways::new(gateways)?.document(source, most).await?);
    }
    if source.contains("://") {
        return Ok(Gateways::new(&[source.to_owned()])?.url(source, most).await?);
    }
    let io = |error| SourceError::File { path: source.to_owned(), source: error };
    let bytes = std::fs::metadata(source).map_err(io)?.len();
    if bytes > most {
        return Err(SourceError::TooLarge { path: source.to_owned(), bytes, most });
    }
    std::fs::read(source).map_err(io)
}
