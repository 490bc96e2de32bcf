//! Accounts' keys: from the operator's file, else from Hive (`condenser_api.get_accounts`).
//!
//! The replicated state has a table of keys too (`authorities`). It is not asked: whoever feeds the node writes it, and so
//! would decide who may feed.
//!
//! *Always holds:* an account of the file is never asked for elsewhere; every question ends within [`LOOK_UP`]; an endpoint's
//! answer is bounded and counts only when it is about the account that was asked for.

use super::account_keys::KeyFile;
use super::book::Book;
use super::dialogue::Proof;
use super::watched::Watched;
use honeygraph_bootstrap::client::client;
use honeygraph_protocols::auth::{Account, Authority};
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::swarm::keys::HiveSignature;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long an endpoint may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an endpoint may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long all of them may take together: less than a feed has to prove itself.
const LOOK_UP: Duration = Duration::from_secs(15);
/// Questions at a time; more wait, each no longer than it may take.
const QUESTIONS: usize = 8;
/// Largest answer taken, in bytes: real ones have 4 KiB, a profile's picture included.
const MAX_ANSWER: usize = 256 << 10;

/// Accounts and their keys.
#[derive(Debug)]
pub struct Accounts {
    file: Watched<KeyFile>,
    endpoints: Vec<String>,
    client: reqwest::Client,
    book: Mutex<Book>,
    questions: Semaphore,
    since: Instant,
}

impl Default for Accounts {
    fn default() -> Self {
        Self::new(Watched::default(), Vec::new()).expect("a client without settings")
    }
}

impl Accounts {
    /// Keys of a file, and endpoints that are asked for the others, in this order.
    pub fn new(file: Watched<KeyFile>, endpoints: Vec<String>) -> Result<Self, reqwest::Error> {
        let client = client(|| {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .timeout(ANSWER)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("honeygraph/", env!("CARGO_PKG_VERSION")))
        })?;
        let (book, questions) = (Mutex::default(), Semaphore::new(QUESTIONS));
        Ok(Self { file, endpoints, client, book, questions, since: Instant::now() })
    }

    /// Whether the account's active authority signed this text.
    pub async fn signed(&self, account: &Account, text: &[u8], signatures: &[HiveSignature]) -> Proof {
        if let Some(authority) = self.file.get().get(account).and_then(|keys| keys.active.as_ref()) {
            return proof(authority, text, signatures);
        }
        let known = {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let known = book.known(account, self.since.elapsed()).map(Option::<&Authority>::cloned);
            (known, book.may_be_old(account, self.since.elapsed()))
        };
        match known {
            (Some(Some(authority)), may_be_old) => match proof(&authority, text, signatures) {
                Proof::NotSigned if may_be_old => self.ask(account, text, signatures).await.unwrap_or(Proof::NotSigned),
                proof => proof,
            },
            (Some(None), _) => Proof::NoAccount,
            (None, _) => self.ask(account, text, signatures).await.unwrap_or(Proof::Unknown),
        }
    }

    /// Whether a key of the account signed this text, as a binding of a peer is signed: any key that the operator's file has
    /// of it; of an account that the file has none of, the active authority at Hive.
    pub async fn vouches(&self, account: &Account, text: &[u8], signature: HiveSignature) -> Proof {
        let file = self.file.get();
        match file.get(account).filter(|keys| !keys.all.is_empty()) {
            Some(keys) if signature.signer(text).is_some_and(|signer| keys.all.contains(&signer)) => Proof::Signed,
            Some(_) => Proof::NotSigned,
            None => self.signed(account, text, &[signature]).await,
        }
    }

    /// Asks, writes the answer down and holds the signatures against it.
    async fn ask(&self, account: &Account, text: &[u8], signatures: &[HiveSignature]) -> Option<Proof> {
        let looked_up = tokio::time::timeout(LOOK_UP, async {
            let _room = self.questions.acquire().await.ok()?;
            self.look_up(account).await
        });
        let authority = looked_up.await.ok().flatten()?;
        let answer = authority.as_ref().map_or(Proof::NoAccount, |authority| proof(authority, text, signatures));
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.learn(account.clone(), authority, self.since.elapsed());
        Some(answer)
    }

    async fn look_up(&self, account: &Account) -> Option<Option<Authority>> {
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            match self.endpoint(endpoint, account).await {
                Ok(authority) => return Some(authority),
                // Its address may carry a password: only its place in the list is logged.
                Err(why) => tracing::warn!(endpoint = at + 1, %account, why, "Hive was not asked with success"),
            }
        }
        None
    }

    async fn endpoint(&self, url: &str, account: &Account) -> Result<Option<Authority>, String> {
        let said = |error: reqwest::Error| error.without_url().to_string();
        let question =
            format!(r#"{{"jsonrpc":"2.0","method":"condenser_api.get_accounts","params":[["{account}"]],"id":1}}"#);
        let request = self.client.post(url).header("content-type", "application/json").body(question);
        let mut response = request.send().await.map_err(said)?;
        if !response.status().is_success() {
            return Err(format!("answers {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("sends more than {MAX_ANSWER} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        answered(&bytes, account)
    }
}

fn proof(authority: &Authority, text: &[u8], signatures: &[HiveSignature]) -> Proof {
    if authority.signed(text, signatures) { Proof::Signed } else { Proof::NotSigned }
}

/// The authority that an answer gives; none when it says that there is no such account.
fn answered(bytes: &[u8], account: &Account) -> Result<Option<Authority>, String> {
    let answer = json::parse(bytes).map_err(|_| "the answer is not JSON".to_owned())?;
    let Some(Json::Array(accounts)) = answer.get("result") else { return Err("the answer has no result".into()) };
    let Some(first) = accounts.first() else { return Ok(None) };
    let named = matches!(first.get("name"), Some(Json::Text(name)) if name.as_bytes() == account.as_str().as_bytes());
    if !named {
        return Err("the answer is about another account".into());
    }
    // An authority of other accounts' keys only cannot be met here: as if there were none.
    Ok(first.get("active").and_then(Authority::from_json))
}
