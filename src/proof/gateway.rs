//! Documents by CID, from IPFS gateways.
//!
//! *Always holds:* a gateway is believed nothing: what it sends is bounded in size and time while it comes, and counts
//! only when its own CID is the one that was asked for; the next gateway is asked whatever the one before did.

use crate::access::outbound::guarded;
use honeygraph_bootstrap::client::client;
use honeygraph_protocols::document::CidV0;
use std::time::Duration;

/// How long a gateway may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may send nothing: a gateway may have to find the content first.
const STALL: Duration = Duration::from_secs(20);
/// Slowest it may be on the whole, bytes per second, beyond [`STALL`].
const SLOWEST: u64 = 64 << 10;
/// Redirects followed.
const REDIRECTS: usize = 3;

/// Why a document did not come.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// None is configured.
    #[error("no gateway is configured: set ipfs.gateways (IPFS_GATEWAYS)")]
    None,
    /// The client cannot be made.
    #[error("HTTP client: {0}")]
    Client(reqwest::Error),
    /// No gateway had it; what each of them did.
    #[error("{cid}: {}", tried.join("; "))]
    Nowhere {
        /// What was asked for.
        cid: String,
        /// What each gateway did.
        tried: Vec<String>,
    },
    /// An address did not give it.
    #[error("{url}: {why}")]
    Url {
        /// The address.
        url: String,
        /// What it did.
        why: String,
    },
}

/// The gateways.
pub struct Gateways {
    client: reqwest::Client,
    urls: Vec<String>,
    stall: Duration,
}

impl Gateways {
    /// These gateways, asked in this order: `http(s)://host[:port][/path]`.
    pub fn new(urls: &[String]) -> Result<Self, GatewayError> {
        Self::with_patience(urls, STALL)
    }

    /// The same; each may send nothing for so long.
    pub fn with_patience(urls: &[String], stall: Duration) -> Result<Self, GatewayError> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .read_timeout(stall)
                .user_agent(concat!("honeygraph/", env!("CARGO_PKG_VERSION")));
            guarded(builder, urls.iter().map(String::as_str), REDIRECTS)
        };
        let client = client(builder);
        Ok(Self { client: client.map_err(GatewayError::Client)?, urls: urls.to_vec(), stall })
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// The document with this CIDv0, of at most `most` bytes.
    pub async fn document(&self, cid: &str, most: u64) -> Result<Vec<u8>, GatewayError> {
        if self.urls.is_empty() {
            return Err(GatewayError::None);
        }
        let mut tried = Vec::new();
        for gateway in &self.urls {
            let url = format!("{}/ipfs/{cid}", gateway.trim_end_matches('/'));
            match self.get(&url, most).await {
                Ok((bytes, found)) if found == cid => return Ok(bytes),
                Ok((_, found)) => tried.push(format!("{gateway} sent other content ({found})")),
                Err(why) => tried.push(format!("{gateway} {why}")),
            }
        }
        Err(GatewayError::Nowhere { cid: cid.to_owned(), tried })
    }

    /// Whatever is at an address, of at most `most` bytes.
    pub async fn url(&self, url: &str, most: u64) -> Result<Vec<u8>, GatewayError> {
        let got = self.get(url, most).await;
        got.map(|(bytes, _)| bytes).map_err(|why| GatewayError::Url { url: url.to_owned(), why })
    }

    /// The content, and its CID.
    async fn get(&self, url: &str, most: u64) -> Result<(Vec<u8>, String), String> {
        let longest = self.stall + Duration::from_secs(most / SLOWEST);
        let get = async {
            let response = self.client.get(url).send().await.map_err(|error| said(&error))?;
            if !response.status().is_success() {
                return Err(format!("answers {}", response.status().as_u16()));
            }
            let (mut response, mut bytes, mut cid) = (response, Vec::new(), CidV0::default());
            while let Some(chunk) = response.chunk().await.map_err(|error| said(&error))? {
                if (bytes.len() + chunk.len()) as u64 > most {
                    return Err(format!("sends more than {most} bytes"));
                }
                cid.push(&chunk);
                bytes.extend_from_slice(&chunk);
            }
            Ok((bytes, cid.finish()))
        };
        let too_slow = || format!("takes longer than {} s", longest.as_secs());
        tokio::time::timeout(longest, get).await.unwrap_or_else(|_| Err(too_slow()))
    }
}

/// An error with its causes, without the address, which stands in front of it.
fn said(error: &reqwest::Error) -> String {
    let mut words = if error.is_timeout() { "does not answer in time".to_owned() } else { "fails".to_owned() };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
