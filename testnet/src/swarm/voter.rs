//! Accounts with keys of their own, and peers that vote for them.
//!
//! *Always holds:* keys are a function of the name; nobody else ever had them.

use ed25519_dalek::{Signer, SigningKey};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::binding::{self, Binding};
use honeygraph_protocols::swarm::keys::{HiveKey, HiveSignature, PeerKey};
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName};
use honeygraph_protocols::swarm::votes::Vote;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

/// An account of Hive.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    key: SecretKey,
}

/// A peer with its key.
#[derive(Clone, Debug)]
pub struct Voter(SigningKey);

impl Account {
    /// The account of this name.
    pub fn new(name: &str) -> Self {
        let secret = *blake3::hash(format!("account {name}").as_bytes()).as_bytes();
        let key = SecretKey::from_secret_bytes(secret).expect("one in 2^128 is not a key");
        Self { name: AccountName::new(name).expect("a name"), key }
    }

    /// Its public key.
    pub fn key(&self) -> HiveKey {
        self.sign("key").signer(b"key").expect("it signed")
    }

    /// Its nth peer.
    pub fn voter(&self, nth: u32) -> Voter {
        Voter::new(&format!("{} {nth}", self.name))
    }

    /// Its word for a peer.
    pub fn bind(&self, peer: &Voter, issued_ms: u64) -> Binding {
        self.bind_key(peer.key(), issued_ms)
    }

    /// Its word for the peer with this key.
    pub fn bind_key(&self, peer: PeerKey, issued_ms: u64) -> Binding {
        let signature = self.sign(&binding::text(&self.name, &peer, issued_ms));
        Binding { account: self.name.clone(), peer, issued_ms, signature }
    }

    /// As Hive's own tools do: with another nonce until the signature is canonical.
    pub fn sign(&self, text: &str) -> HiveSignature {
        use sha2::Digest;
        let digest: [u8; 32] = sha2::Sha256::digest(text).into();
        let tries = (1_u8..=u8::MAX).map(|nonce| {
            let message = Message::from_digest(digest);
            let signed = RecoverableSignature::sign_ecdsa_recoverable_with_noncedata(message, &self.key, &[nonce; 32]);
            let (recovery, halves) = signed.serialize_compact();
            let mut bytes = [31 + u8::from(recovery); 65];
            bytes[1..].copy_from_slice(&halves);
            bytes
        });
        tries.into_iter().find_map(|bytes| HiveSignature::new(bytes).ok()).expect("every second one is canonical")
    }
}

impl Voter {
    /// The peer of this name.
    pub fn new(name: &str) -> Self {
        Self(SigningKey::from_bytes(blake3::hash(format!("peer {name}").as_bytes()).as_bytes()))
    }

    /// Its public key.
    pub fn key(&self) -> PeerKey {
        PeerKey(self.0.verifying_key().to_bytes())
    }

    /// Its vote.
    pub fn vote(&self, network: &NetworkName, account: &AccountName, label: Label, hash: &HashText, n: u64) -> Vote {
        let (network, close_hash, account) = (network.clone(), hash.clone(), account.clone());
        let mut vote = Vote { network, label, close_hash, account, peer: self.key(), n, signature: [0; 64] };
        vote.signature = self.0.sign(&vote.signed_bytes()).to_bytes();
        vote
    }
}
