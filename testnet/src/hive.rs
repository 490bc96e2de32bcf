//! A Hive of our own: accounts with keys that sign as Hive's libraries do, and the RPC node that knows them.
//!
//! *Always holds:* the same seed gives the same key; the node says what it was told to and counts who asks.

use honeygraph_protocols::swarm::keys::HiveSignature;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A key of an account.
#[derive(Clone, Debug)]
pub struct Signer(SecretKey);

impl Signer {
    /// The key of a seed.
    ///
    /// # Panics
    /// Never: the digest of no text is zero or beyond the group's order.
    pub fn new(seed: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(seed).into();
        Self(SecretKey::from_secret_bytes(digest).expect("a secret key"))
    }

    /// Its public half, as Hive writes it.
    pub fn key(&self) -> String {
        let key = PublicKey::from_secret_key(&self.0).serialize();
        let sum = ripemd::Ripemd160::digest(key);
        format!("STM{}", bs58::encode([&key[..], &sum[..4]].concat()).into_string())
    }

    /// Signs a text: the first nonce that gives the canonical form, as Hive's libraries look for it.
    ///
    /// # Panics
    /// Never: a signature is canonical with odds of one in four.
    pub fn sign(&self, text: &str) -> HiveSignature {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let canonical = (0..u64::MAX).find_map(|n| {
            let mut data = [0; 32];
            data[..8].copy_from_slice(&n.to_le_bytes());
            let message = Message::from_digest(digest);
            let signature = RecoverableSignature::sign_ecdsa_recoverable_with_noncedata(message, &self.0, &data);
            let (recovery, compact) = signature.serialize_compact();
            let mut bytes = [31 + recovery.to_u8(); 65];
            bytes[1..].copy_from_slice(&compact);
            HiveSignature::new(bytes).ok()
        });
        canonical.expect("a canonical signature")
    }

    /// The `auth_response` to an `auth_required`.
    pub fn answer(&self, account: &str, required: &Value) -> Value {
        let message = json!({"account": account, "challenge": required["challenge"], "timestamp": 1}).to_string();
        let signature = self.sign(&message).to_string();
        json!({"type": "auth_response", "account": account, "signature": signature, "message": message})
    }
}

/// How the RPC node answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Honest,
    /// Never.
    Silent,
    /// With 503.
    Failing,
    /// With something that is not JSON.
    Babbling,
    /// About another account.
    Confused,
    /// Without end.
    Endless,
    /// Elsewhere.
    Redirecting,
}

#[derive(Default)]
struct Known {
    accounts: BTreeMap<String, Value>,
    manner: Manner,
    asked: u64,
}

/// The RPC node; ends with the process.
pub struct Hive {
    known: Arc<Mutex<Known>>,
    at: SocketAddr,
}

impl Hive {
    /// Starts it on a port of the system's choice.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (known, at) = (Arc::<Mutex<Known>>::default(), listener.local_addr()?);
        let served = known.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = served.clone();
                // One that hangs up is served no further.
                std::thread::spawn(move || serve(stream, &known));
            }
        });
        Ok(Self { known, at })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Knows this account from now on, with these keys and weights.
    pub fn register(&self, account: &str, threshold: u64, keys: &[(String, u64)]) {
        let active = json!({"weight_threshold": threshold, "account_auths": [], "key_auths": keys});
        let posting =
            json!({"weight_threshold": 1, "account_auths": [], "key_auths": [[Signer::new("posting").key(), 1]]});
        let account_is = json!({"id": 1, "name": account, "active": active, "posting": posting, "owner": posting});
        self.lock().accounts.insert(account.into(), account_is);
    }

    /// Answers like this from now on.
    pub fn behave(&self, manner: Manner) {
        self.lock().manner = manner;
    }

    /// Questions so far.
    pub fn asked(&self) -> u64 {
        self.lock().asked
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, known: &Mutex<Known>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            _ if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = question["params"][0][0].as_str().unwrap_or_default();
    let (account, manner) = {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.asked += 1;
        (known.accounts.get(name).cloned(), known.manner)
    };
    let ok = question["method"] == "condenser_api.get_accounts";
    let mut result: Vec<Value> = account.into_iter().filter(|_| ok).collect();
    if manner == Manner::Confused {
        result.iter_mut().for_each(|account| account["name"] = "somebody".into());
    }
    let mut text = json!({"jsonrpc": "2.0", "result": result, "id": 1}).to_string();
    let mut head = "200 OK".to_owned();
    match manner {
        Manner::Failing => head = "503 Service Unavailable".into(),
        Manner::Redirecting => head = "302 Found\r\nlocation: http://127.0.0.1:1/".into(),
        Manner::Babbling => text = "<html>".into(),
        // Until the other side has had enough.
        Manner::Silent => return std::io::copy(&mut reader, &mut std::io::sink()).map(drop),
        Manner::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[")?;
            loop {
                stream.write_all(&[b' '; 4096])?;
            }
        }
        Manner::Honest | Manner::Confused => {}
    }
    write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}
