//! Keys: a peer's (ed25519, its libp2p identity) and an account's (secp256k1, as Hive writes and signs with them).
//!
//! *Always holds:* a signature has one form: what could be written in two ways is refused, so that nobody but the key's
//! owner can make another one out of it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Public key of a peer. Shown as libp2p shows its peer id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerKey(pub [u8; 32]);

/// What libp2p puts in front of an ed25519 key to make a peer id of it: identity multihash, protobuf of the key.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Why a text is not a key, or a signature not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the id of a peer with an ed25519 key.
    #[error("not a peer id of an ed25519 key (12D3KooW…)")]
    PeerId,
    /// Not a key as Hive writes it.
    #[error("not a Hive public key (STM…)")]
    HiveKey,
    /// Not 130 hex digits of a compact signature, or not a canonical one.
    #[error("not a canonical Hive signature (130 hex digits, the first two 1f to 22)")]
    Signature,
}

impl PeerKey {
    /// Whether this key signed these bytes. Weak keys and signatures with two forms are refused.
    pub fn verify(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(text, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }

    /// The bytes of its libp2p peer id.
    pub fn peer_id(&self) -> Vec<u8> {
        [&PEER_ID_PREFIX[..], &self.0].concat()
    }

    /// Of the bytes of a libp2p peer id.
    pub fn from_peer_id(bytes: &[u8]) -> Result<Self, KeyError> {
        let key = bytes.strip_prefix(&PEER_ID_PREFIX).ok_or(KeyError::PeerId)?;
        key.try_into().map(Self).map_err(|_| KeyError::PeerId)
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.peer_id()).into_string())
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PeerKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; PEER_ID_PREFIX.len() + 32];
        let written = bs58::decode(text).onto(&mut bytes).map_err(|_| KeyError::PeerId)?;
        Self::from_peer_id(&bytes[..written])
    }
}

/// Public key of an account: compressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HiveKey([u8; 33]);

/// What Hive puts in front of a key's text.
const HIVE_PREFIX: &str = "STM";
/// Bytes of the check sum behind the key.
const CHECK_SUM: usize = 4;

impl fmt::Display for HiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = [&self.0[..], &check_sum(&self.0)].concat();
        write!(f, "{HIVE_PREFIX}{}", bs58::encode(text).into_string())
    }
}

impl fmt::Debug for HiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HiveKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_prefix(HIVE_PREFIX).ok_or(KeyError::HiveKey)?;
        let mut bytes = [0; 33 + CHECK_SUM];
        let written = bs58::decode(text).onto(&mut bytes).map_err(|_| KeyError::HiveKey)?;
        let (key, sum) = bytes.split_first_chunk::<33>().ok_or(KeyError::HiveKey)?;
        if written == bytes.len() && *sum == check_sum(key) { Ok(Self(*key)) } else { Err(KeyError::HiveKey) }
    }
}

fn check_sum(key: &[u8; 33]) -> [u8; CHECK_SUM] {
    use ripemd::Digest;
    let digest = ripemd::Ripemd160::digest(key);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// A signature by an account's key: 65 bytes, recoverable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct HiveSignature([u8; 65]);

/// The bytes as serde knows how to carry them.
#[derive(Serialize, Deserialize)]
struct Parts(u8, [u8; 32], [u8; 32]);

impl HiveSignature {
    /// Takes a signature whose halves are as short as they can be and positive, which is how Hive wants them; the other
    /// `s` that fits the same key and text has its highest bit set.
    pub fn new(bytes: [u8; 65]) -> Result<Self, KeyError> {
        let positive = |half: &[u8]| half[0] < 0x80 && (half[0] != 0 || half[1] >= 0x80);
        let canonical = (31..=34).contains(&bytes[0]) && positive(&bytes[1..33]) && positive(&bytes[33..]);
        if canonical { Ok(Self(bytes)) } else { Err(KeyError::Signature) }
    }

    /// The key that signed this text, if any did.
    pub fn signer(&self, text: &[u8]) -> Option<HiveKey> {
        use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
        use sha2::Digest;
        let recovery = RecoveryId::try_from(i32::from(self.0[0]) - 31).ok()?;
        let signature = RecoverableSignature::from_compact(&self.0[1..], recovery).ok()?;
        let digest: [u8; 32] = sha2::Sha256::digest(text).into();
        let key = signature.recover(secp256k1::Message::from_digest(digest)).ok()?;
        Some(HiveKey(key.serialize()))
    }
}

impl fmt::Display for HiveSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HiveSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HiveSignature {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let pair = |pair: &[u8]| Some((digit(&pair[0])? * 16 + digit(&pair[1])?) as u8);
        let bytes: Option<Vec<u8>> =
            text.as_bytes().chunks(2).map(|two| (two.len() == 2).then(|| pair(two))?).collect();
        let bytes = bytes.ok_or(KeyError::Signature)?;
        Self::new(bytes.try_into().map_err(|_| KeyError::Signature)?)
    }
}

impl From<HiveSignature> for Parts {
    fn from(signature: HiveSignature) -> Self {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&signature.0[1..33]);
        s.copy_from_slice(&signature.0[33..]);
        Self(signature.0[0], r, s)
    }
}

impl TryFrom<Parts> for HiveSignature {
    type Error = KeyError;
    fn try_from(Parts(first, r, s): Parts) -> Result<Self, KeyError> {
        let mut bytes = [first; 65];
        bytes[1..33].copy_from_slice(&r);
        bytes[33..].copy_from_slice(&s);
        Self::new(bytes)
    }
}

pub mod signature_bytes {
    //! The 64 bytes of an ed25519 signature (for `#[serde(with)]`).
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// As two halves.
    pub fn serialize<S: Serializer>(bytes: &[u8; 64], to: S) -> Result<S::Ok, S::Error> {
        let (mut first, mut second) = ([0_u8; 32], [0_u8; 32]);
        first.copy_from_slice(&bytes[..32]);
        second.copy_from_slice(&bytes[32..]);
        (first, second).serialize(to)
    }

    /// From two halves.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 64], D::Error> {
        let (first, second) = <([u8; 32], [u8; 32])>::deserialize(from)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&first);
        bytes[32..].copy_from_slice(&second);
        Ok(bytes)
    }
}
