//! Swarm: votes, bindings and evidence by gossip; a binding also by itself, asked for and shown.
//!
//! Holds: what every message holds; a vote's signature covers each of its fields; evidence is of two votes that
//! contradict each other, whichever comes first; what is signed for a binding names its account, peer and time.
//!
//! Planted once: the vote's number left out of what is signed.
#![no_main]

use honeygraph_fuzz::message;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::binding::{self, Answer, Binding, Request};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName};
use honeygraph_protocols::swarm::votes::{Evidence, Said, Vote};
use libfuzzer_sys::fuzz_target;

/// A vote's signed bytes, read.
type Signed = (String, (NetworkName, Label, HashText), (AccountName, PeerKey, u64));

fuzz_target!(|bytes: &[u8]| {
    match message::<Said>(bytes) {
        Some(Said::Vote(vote)) => vote_holds(&vote),
        Some(Said::Binding(binding)) => binding_holds(&binding),
        Some(Said::Evidence(evidence)) => evidence_holds(&evidence),
        None => {}
    }
    message::<Binding>(bytes).iter().for_each(binding_holds);
    message::<Request>(bytes);
    message::<Answer>(bytes).iter().filter_map(|answer| answer.binding.as_ref()).for_each(binding_holds);
});

fn vote_holds(vote: &Vote) {
    let signed: Signed = postcard::from_bytes(&vote.signed_bytes()).expect("what is signed can be read");
    let (name, (network, label, hash), (account, peer, n)) = signed;
    assert_eq!(name, "honeygraph vote 1");
    assert_eq!((&network, label, &hash), (&vote.network, vote.label, &vote.close_hash));
    assert_eq!((&account, peer, n), (&vote.account, vote.peer, vote.n));
}

fn evidence_holds(evidence: &Evidence) {
    let (one, other) = (&evidence.one, &evidence.other);
    vote_holds(one);
    vote_holds(other);
    assert!(one.peer == other.peer && one.label == other.label && one.close_hash != other.close_hash);
    assert_eq!(Evidence::new(other.clone(), one.clone()).as_ref(), Some(evidence));
    assert_eq!(Evidence::new(one.clone(), other.clone()).as_ref(), Some(evidence));
    assert_eq!(Evidence::new(one.clone(), one.clone()), None);
}

fn binding_holds(binding: &Binding) {
    assert!(binding.issued_ms < 1 << 53);
    let text = binding::text(&binding.account, &binding.peer, binding.issued_ms);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "honeygraph bind 1");
    assert_eq!(lines[1].strip_prefix("account: "), Some(binding.account.as_str()));
    assert_eq!(lines[2].strip_prefix("peer: ").and_then(|peer| peer.parse().ok()), Some(binding.peer));
    assert_eq!(lines[3].strip_prefix("issued: ").and_then(|time| time.parse().ok()), Some(binding.issued_ms));
    assert_eq!(lines.len(), 4);
}
