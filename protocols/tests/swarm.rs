//! What peers say to each other: golden bytes, limits, hostile bytes.

use ed25519_dalek::{Signer, SigningKey};
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::binding::{self, Binding};
use honeygraph_protocols::swarm::blocks::{self, Answer, Batch, CloseKind, Frame, Header, Line, Walk};
use honeygraph_protocols::swarm::heads::{self, Announced};
use honeygraph_protocols::swarm::keys::{HiveKey, HiveSignature, PeerKey};
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName, Software};
use honeygraph_protocols::swarm::negotiate;
use honeygraph_protocols::swarm::pictures::{self, LeavesWanted, Manifest, Named, Offer};
use honeygraph_protocols::swarm::status::{self, Base, Checkpoint, Head, Held, NetworkStatus, Status};
use honeygraph_protocols::swarm::votes::{self, Evidence, Said, Vote};
use honeygraph_protocols::swarm::wire::{self, List, Message, Refused};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn network() -> NetworkName {
    NetworkName::new("spkcc_").unwrap()
}

fn hash(text: &str) -> HashText {
    HashText::new(text).unwrap()
}

fn account(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

fn checkpoint(text: &str, label: u64) -> Checkpoint {
    Checkpoint { hash: hash(text), label: Label::new(label) }
}

fn id(byte: u8) -> BatchId {
    BatchId::from_digest([byte; 32])
}

fn status_message() -> Status {
    let of = NetworkStatus {
        network: network(),
        base: Base::Root(checkpoint("QmRoot", 1)),
        held: List::first_of([Held { from: checkpoint("QmA", 101), to: checkpoint("QmC", 301), periods: 3 }]),
        head: Some(Head { period: checkpoint("QmD", 401), next: 17, batch: id(7) }),
        verified: Some(checkpoint("QmD", 401)),
        confirmed: None,
    };
    let bare = NetworkStatus {
        network: NetworkName::new("dlux_").unwrap(),
        base: Base::None,
        held: List::default(),
        head: None,
        verified: None,
        confirmed: None,
    };
    Status {
        software: Software::new("honeygraph/0.1.0").unwrap(),
        capabilities: status::CAN_SERVE | status::CAN_GOSSIP,
        networks: List::first_of([of, bare]),
    }
}

fn line() -> Line {
    Line { seq: 2, count: 3, marker: true, label: Label::new(101), ops_hash: [9; 32] }
}

fn header() -> Header {
    Header {
        network: network(),
        open_hash: hash("QmA"),
        label: Label::new(101),
        prev: Some(hash("QmZ")),
        close_hash: hash("QmB"),
        close_kind: CloseKind::Delta,
        count: 2,
        ops: 5,
        last_batch_id: id(2),
        batch_ids_hash: blocks::batch_ids_hash([&id(1), &id(2)]),
    }
}

fn named() -> Named {
    Named { network: network(), root: hash("QmRoot") }
}

fn offer() -> Offer {
    let (label, bytes) = (Label::new(18_505).unwrap(), 300_000);
    Offer { label, root: hash("QmRoot"), bytes, leaves: 2, anchored: true }
}

fn manifest() -> Manifest {
    Manifest { bytes: 300_000, leaves: List::first_of([[1; 32], [2; 32]]) }
}

fn peer(seed: u8) -> (SigningKey, PeerKey) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let public = PeerKey(key.verifying_key().to_bytes());
    (key, public)
}

fn vote(hash_text: &str, n: u64) -> Vote {
    let (key, peer) = peer(1);
    let label = Label::new(201).unwrap();
    let (network, close_hash, account) = (network(), hash(hash_text), account("alice"));
    let mut vote = Vote { network, label, close_hash, account, peer, n, signature: [0; 64] };
    vote.signature = key.sign(&vote.signed_bytes()).to_bytes();
    vote
}

/// Signs as Hive's own tools do: again with another nonce until the signature is canonical.
fn hive_sign(text: &str) -> HiveSignature {
    use multihash_codetable::MultihashDigest;
    use secp256k1::ecdsa::RecoverableSignature;
    let wif = bs58::decode("5JYZpBXePTCArruvtZdj18QkrtpG8FFxbb2rbY6gv1XKrG8ZnKC").into_vec().unwrap();
    let key = secp256k1::SecretKey::from_secret_bytes(wif[1..33].try_into().unwrap()).unwrap();
    let digest = multihash_codetable::Code::Sha2_256.digest(text.as_bytes());
    let digest: [u8; 32] = digest.digest().try_into().unwrap();
    let tries = (1_u8..).map(|nonce| {
        let message = secp256k1::Message::from_digest(digest);
        let signed = RecoverableSignature::sign_ecdsa_recoverable_with_noncedata(message, &key, &[nonce; 32]);
        let (recovery, halves) = signed.serialize_compact();
        let mut bytes = [31 + u8::from(recovery); 65];
        bytes[1..].copy_from_slice(&halves);
        bytes
    });
    tries.into_iter().find_map(|bytes| HiveSignature::new(bytes).ok()).unwrap()
}

fn bound() -> Binding {
    let (account, peer, issued_ms) = (account("alice"), peer(1).1, 1_764_000_000_000);
    let signature = hive_sign(&binding::text(&account, &peer, issued_ms));
    Binding { account, peer, issued_ms, signature }
}

/// The messages of the fixture, by name.
struct Golden(BTreeMap<String, String>);

impl Golden {
    fn read() -> Self {
        Self(serde_json::from_slice(include_bytes!("../fixtures/swarm.json")).unwrap())
    }

    /// This message has these bytes, these bytes are this message, and nothing shorter or longer is.
    fn holds<M: Message + PartialEq + Debug>(&self, name: &str, message: &M) {
        let encoded = message.encode().unwrap();
        assert_eq!(Some(&hex(&encoded)), self.0.get(name), "{name}");
        assert_eq!(M::decode_canonical(&encoded).as_ref(), Ok(message), "{name}");
        for end in 0..encoded.len() {
            assert!(M::decode(&encoded[..end]).is_err(), "{name} cut at {end}");
        }
        let longer = [&encoded[..], &[0]].concat();
        assert!(matches!(M::decode(&longer), Err(Refused::Trailing { bytes: 1, .. })), "{name}");
    }
}

#[test]
fn messages_are_golden() {
    let golden = Golden::read();
    golden.holds("status request, all", &status::Request::default());
    golden.holds("status request", &status::Request { networks: List::first_of([network()]) });
    golden.holds("status", &status_message());
    let wanted = |walk| blocks::HeadersWanted { network: network(), from: hash("QmB"), walk, most: 256 };
    golden.holds("headers back", &blocks::Request::Headers(wanted(Walk::Back)));
    golden.holds("headers forward", &blocks::Request::Headers(wanted(Walk::Forward)));
    let (open, period) = (hash("QmA"), header().id());
    let lines = blocks::LinesWanted { network: network(), open: open.clone(), period, skip: 5 };
    golden.holds("lines wanted", &blocks::Request::Lines(lines));
    let batches = blocks::BatchesWanted { network: network(), open: open.clone(), period, from: 2, skip: 0, to: 900 };
    golden.holds("batches wanted", &blocks::Request::Batches(batches));
    let newest = blocks::NewestWanted { network: network(), open, after: Some([7; 32]), skip: 0 };
    golden.holds("newest wanted", &blocks::Request::Newest(newest));
    golden.holds("headers", &Answer::Headers(List::first_of([header()])));
    golden.holds("lines", &Answer::Lines(List::first_of([line()])));
    let frames = List::first_of([Frame { count: 3, bytes: vec![1, 2, 3] }]);
    let batch = Batch { line: line(), frames, more: false };
    golden.holds("batches", &Answer::Batches(List::first_of([batch])));
    golden.holds("not held", &Answer::NotHeld);
    golden.holds("busy", &Answer::Busy(1_000));
    let head = status_message().networks[0].head.clone().unwrap();
    golden.holds("head", &Announced { network: network(), n: 1_764_000_000_000, head });
    golden.holds("vote", &Said::Vote(vote("QmB", 1)));
    golden.holds("binding", &Said::Binding(bound()));
    golden.holds("evidence", &Said::Evidence(Evidence::new(vote("QmC", 2), vote("QmB", 1)).unwrap()));
    golden.holds("binding wanted", &binding::Request::Show);
    golden.holds("let go", &binding::Request::Away(binding::Away::NotLetIn));
    golden.holds("binding shown", &binding::Answer { binding: Some(bound()) });
    golden.holds("no binding", &binding::Answer::default());
    golden.holds("pictures wanted", &pictures::Request::Held(network()));
    golden.holds("manifest wanted", &pictures::Request::Manifest(named()));
    golden.holds("leaves wanted", &pictures::Request::Leaves(LeavesWanted { of: named(), group: 7 }));
    golden.holds("pictures", &pictures::Answer::Held(List::first_of([offer()])));
    golden.holds("manifest", &pictures::Answer::Manifest(manifest()));
    golden.holds("leaves", &pictures::Answer::Leaves(vec![1, 2, 3]));
    golden.holds("picture not held", &pictures::Answer::NotHeld);
    golden.holds("pictures busy", &pictures::Answer::Busy(1_000));
    assert_eq!(golden.0.len(), 29, "a message of the fixture is not tested");
}

#[test]
fn ids_and_topics_are_golden() {
    assert_eq!((status::ID, blocks::ID), ("/honeygraph/status/1", "/honeygraph/blocks/1"));
    assert_eq!(binding::ID, "/honeygraph/binding/1");
    assert_eq!(pictures::ID, "/honeygraph/pictures/1");
    assert_eq!(heads::topic(&network()), "/honeygraph/spkcc_/heads/1");
    assert_eq!(votes::topic(&network()), "/honeygraph/spkcc_/votes/1");
    assert_eq!(format!("{:?}", header().id()), "fee97764f79a", "the id of a period");
    let same = Header { label: None, prev: None, close_kind: CloseKind::Root, ..header() };
    assert_eq!(same.id(), header().id(), "what a node may not have heard is not in it");
    let other = Header { close_hash: hash("QmX"), ..header() };
    assert_ne!(other.id(), header().id());
    let of = |line: &Line| line.id(&network(), &hash("QmA"), Parent::Batch(id(1)));
    assert_eq!(of(&line()), of(&Line { label: None, marker: false, ..line() }), "nor is it in a batch's");
}

#[test]
fn keys_and_signatures_are_read_and_checked() {
    let (_, key) = peer(1);
    assert_eq!(key.to_string(), "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5", "as libp2p shows it");
    assert_eq!(key.to_string().parse(), Ok(key));
    assert!("12D3KooW".parse::<PeerKey>().is_err() && "QmNotAnEd25519Peer".parse::<PeerKey>().is_err());

    let vote = vote("QmB", 1);
    assert!(vote.is_signed());
    // Planted once: a field left out of the signed bytes.
    let altered = [
        Vote { network: NetworkName::new("dlux_").unwrap(), ..vote.clone() },
        Vote { label: Label::new(301).unwrap(), ..vote.clone() },
        Vote { close_hash: hash("QmC"), ..vote.clone() },
        Vote { account: account("bob"), ..vote.clone() },
        Vote { peer: peer(2).1, ..vote.clone() },
        Vote { n: 2, ..vote.clone() },
    ];
    assert!(altered.iter().all(|vote| !vote.is_signed()));
    assert!(Evidence::new(vote.clone(), vote.clone()).is_none(), "one vote is no evidence");
    assert!(Evidence::new(vote.clone(), altered[1].clone()).is_none(), "two labels neither");
}

/// `vectors/auth_signatures.json`: what Hive's own tools sign is what we recover.
#[test]
fn hive_signatures_are_recovered() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Case {
        note: String,
        message: String,
        signature: String,
        recovered_key: String,
    }
    let file: File = serde_json::from_slice(include_bytes!("../fixtures/hive_signatures.json")).unwrap();
    assert!(!file.cases.is_empty());
    for case in file.cases {
        let signature: HiveSignature = case.signature.parse().unwrap();
        let key: HiveKey = case.recovered_key.parse().unwrap();
        assert_eq!(signature.signer(case.message.as_bytes()), Some(key), "{}", case.note);
        assert_eq!((key.to_string(), signature.to_string()), (case.recovered_key, case.signature));
    }
    assert!("STM4zpmTePnD91Sra4iy1Cf8gSKK3fr9CbTyQjZn4Widrp6jPv2Cc".parse::<HiveKey>().is_err(), "its check sum");
    for refused in ["", "00", &"20".repeat(64), &"20".repeat(66), &"zz".repeat(65), &format!("1e{}", "11".repeat(64))] {
        assert!(refused.parse::<HiveSignature>().is_err(), "{refused}");
    }
}

#[test]
fn the_other_form_of_a_signature_is_refused() {
    let half = |hex: &str| format!("200acca665fcfeb2416702ef13c227514f86d64d3d6dc6553d8aab4a15234355cf{hex}");
    assert!(half("60528fb679e29d1bbc739d5dd6e620c7a17e0994c46a1fc3c7ee221160181789").parse::<HiveSignature>().is_ok());
    // Planted once: `new` without its look at the highest bits.
    let negated = half("9fad7049861d62e4438c62a22919df37193cd351eadf80f7f7e43c7b701e29b8");
    assert!(negated.parse::<HiveSignature>().is_err());
}

#[test]
fn the_text_of_a_binding_is_what_was_signed() {
    let binding = bound();
    let text = binding::text(&binding.account, &binding.peer, binding.issued_ms);
    assert_eq!(
        text,
        "honeygraph bind 1\naccount: alice\npeer: 12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5\n\
         issued: 1764000000000\n"
    );
    let key = "STM4zpmTePnD91Sra4iy1Cf8gSKK3fr9CbTyQjZn4Widrp6jPv2Cb".parse().ok();
    assert_eq!(binding.signer(), key);
    assert_ne!(Binding { account: account("bob"), ..binding.clone() }.signer(), key);
    assert_ne!(Binding { peer: peer(2).1, ..binding }.signer(), key);
}

#[test]
fn names_and_numbers_are_held_to_their_ranges() {
    for (text, fits) in [("spkcc_", true), ("_", false), ("a_", true), ("spkcc", false), ("../x_", false), ("", false)]
    {
        assert_eq!(NetworkName::new(text).is_some(), fits, "{text}");
    }
    for (text, fits) in [("alice", true), ("a.b-c1", true), ("al", false), ("Alice", false), ("1abc", false)] {
        assert_eq!(AccountName::new(text).is_some(), fits, "{text}");
    }
    assert!(Label::new(Label::MAX).is_some() && Label::new(1 << 53).is_none());
    let refused = |message: &[u8]| matches!(status::Request::decode(message), Err(Refused::Malformed { .. }));
    assert!(refused(b"\x01\x05spkcc"), "a name that is none");
    assert!(refused(b"\x11"), "17 networks, before the first has come");
    assert!(matches!(Answer::decode(&[0, 0]), Ok(Answer::Headers(list)) if list.is_empty()));
    assert_eq!(
        status::Request::decode(&[0x80, 0]).map_err(|_| ()),
        Ok(status::Request::default()),
        "zero, in two bytes"
    );
    assert_eq!(status::Request::decode_canonical(&[0x80, 0]), Err(Refused::NotCanonical("status request")));
}

#[test]
fn what_contradicts_itself_is_neither_sent_nor_taken() {
    let headers = |header: Header| Answer::Headers(List::first_of([header]));
    let line = |line: Line| Answer::Lines(List::first_of([line]));
    let frame = |count| Frame { count, bytes: vec![0] };
    let batch = |frames: Vec<Frame>, more| {
        Answer::Batches(List::first_of([Batch { line: self::line(), frames: List::first_of(frames), more }]))
    };
    let refused = [
        headers(Header { count: 0, ..header() }),
        headers(Header { count: blocks::MAX_PERIOD_BATCHES + 1, ..header() }),
        headers(Header { ops: u64::MAX, ..header() }),
        headers(Header { close_hash: hash("QmA"), ..header() }),
        headers(Header { prev: Some(hash("QmA")), ..header() }),
        line(Line { seq: u64::MAX, ..self::line() }),
        line(Line { count: u64::MAX, ..self::line() }),
        batch(vec![frame(4)], false),
        batch(vec![frame(u32::MAX), frame(u32::MAX)], false),
        batch(vec![], true),
    ];
    for answer in refused {
        assert_eq!(answer.encode(), None, "{answer:?}");
        let bytes = postcard::to_stdvec(&answer).unwrap();
        assert!(matches!(Answer::decode(&bytes), Err(Refused::Contradiction { .. })), "{answer:?}");
    }
}

/// Planted once: `fits` without its look at the number of leaves.
#[test]
fn a_picture_is_as_long_as_its_leaves_and_no_longer_than_any() {
    let bytes = pictures::MAX_BYTES;
    let all = Manifest { bytes, leaves: List::first_of(std::iter::repeat_n([7; 32], pictures::MAX_LEAVES)) };
    assert!(pictures::Answer::Manifest(all.clone()).encode().is_some(), "the largest one fits");
    assert_eq!((all.groups(), all.group(all.groups())), (pictures::MAX_GROUPS, 4096..4096));
    assert_eq!((manifest().group(0), manifest().group_bytes(0), manifest().group_bytes(1)), (0..2, 300_000, 0));
    let refused = [
        pictures::Answer::Manifest(Manifest { bytes: bytes - pictures::MAX_BYTES, ..all.clone() }),
        pictures::Answer::Manifest(Manifest { bytes: bytes + 1, ..all.clone() }),
        pictures::Answer::Manifest(Manifest { bytes: 1, ..all }),
        pictures::Answer::Held(List::first_of([Offer { leaves: 1, ..offer() }])),
        pictures::Answer::Held(List::first_of([Offer { bytes: u64::MAX, leaves: u32::MAX, ..offer() }])),
        pictures::Answer::Leaves(vec![0; pictures::MAX_GROUP_BYTES + 1]),
    ];
    for answer in refused {
        assert_eq!(answer.encode(), None);
        let bytes = postcard::to_stdvec(&answer).unwrap();
        let refused = pictures::Answer::decode(&bytes).is_err();
        assert!(refused);
    }
    assert!(pictures::Answer::Leaves(vec![0; pictures::MAX_GROUP_BYTES]).encode().is_some());
}

#[test]
fn a_length_is_judged_before_anything_is_reserved() {
    let cap = u32::try_from(blocks::Request::CAP).unwrap();
    assert_eq!(wire::length::<blocks::Request>(cap.to_le_bytes()), Ok(blocks::Request::CAP));
    let refused = |length: u32| wire::length::<blocks::Request>(length.to_le_bytes()).is_err();
    assert!(refused(cap + 1) && refused(u32::MAX));
    assert_eq!(wire::prefix::<blocks::Request>(&[0; 300]), 300_u32.to_le_bytes());
    let long = vec![0; blocks::Request::CAP + 1];
    assert!(matches!(blocks::Request::decode(&long), Err(Refused::TooLong { .. })));
}

/// The largest answers that the limits allow are within their cap, and so is the memory that they take.
#[test]
fn the_caps_hold_what_the_limits_allow() {
    let long = "h".repeat(HashText::MAX_BYTES);
    let full = Header { open_hash: hash(&long), prev: Some(hash("Qm")), close_hash: hash(&long[1..]), ..header() };
    let headers = Answer::Headers(List::first_of(std::iter::repeat_n(full, blocks::MAX_HEADERS)));
    assert!(headers.encode().is_some());
    let lines = Answer::Lines(List::first_of(std::iter::repeat_n(line(), blocks::MAX_LINES)));
    assert!(lines.encode().is_some_and(|bytes| bytes.len() < blocks::ANSWER_BYTES));
    let small = Batch { line: line(), frames: List::default(), more: false };
    let largest = List::first_of([Frame { count: 1, bytes: vec![0; blocks::MAX_FRAME_BYTES] }]);
    let last = Batch { frames: largest, ..small.clone() };
    let batches = std::iter::repeat_n(small, blocks::MAX_BATCHES - 1).chain([last]);
    assert!(Answer::Batches(List::first_of(batches)).encode().is_some());
    let full = std::iter::repeat_n(status_message().networks[0].clone(), status::MAX_NETWORKS);
    assert!(Status { networks: List::first_of(full), ..status_message() }.encode().is_some());
}

/// What a second version would look like: another id, another type; a node lists both and speaks the newest that the
/// other side knows.
#[test]
fn a_node_that_offers_two_versions_speaks_the_first_with_a_node_of_the_first() {
    const SECOND: &str = "/honeygraph/status/2";
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Second {
        networks: List<NetworkName, 16>,
        since_ms: u64,
    }
    impl Message for Second {
        const WHAT: &'static str = "status request, version 2";
        const CAP: usize = 1024;
    }
    let (old, new) = ([status::ID], [SECOND, status::ID]);
    assert_eq!(negotiate(&new, &old), Some(status::ID));
    assert_eq!(negotiate(&old, &new), Some(status::ID));
    assert_eq!(negotiate(&new, &new), Some(SECOND));
    assert_eq!(negotiate(&old, &["/honeygraph/status/3"]), None);
    // That is why the id decides and not the bytes: they do not say which version they are.
    let second = Second { networks: List::first_of([network()]), since_ms: 0 }.encode().unwrap();
    assert!(matches!(status::Request::decode(&second), Err(Refused::Trailing { .. })));
}

proptest! {
    /// Hostile bytes: golden messages with some bytes changed, and noise.
    #[test]
    fn nothing_panics_and_what_is_taken_can_be_sent(
        name in 0_usize..29, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..200), mutate in any::<bool>(),
    ) {
        let mut message = bytes(Golden::read().0.values().nth(name).unwrap());
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let message = if mutate { message } else { noise };
        fn take<M: Message + PartialEq + Debug>(bytes: &[u8]) {
            let Ok(taken) = M::decode(bytes) else { return };
            let again = taken.encode().expect("what was taken can be sent");
            assert_eq!(M::decode_canonical(&again), Ok(taken));
        }
        take::<status::Request>(&message);
        take::<Status>(&message);
        take::<blocks::Request>(&message);
        take::<Answer>(&message);
        take::<pictures::Request>(&message);
        take::<pictures::Answer>(&message);
        take::<Announced>(&message);
        take::<Said>(&message);
        take::<binding::Request>(&message);
        take::<binding::Answer>(&message);
        if let Ok(Said::Binding(binding)) = Said::decode(&message) {
            binding.signer();
        }
    }
}
