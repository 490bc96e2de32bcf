//! The book, its scores and its limits.

use super::book::{Consequence, MAX_ADDRESSES, MAX_PEERS, PROBE_MS, PeerBook, Source};
use super::limits::{Bucket, GOSSIP, Rate};
use super::penalty::{BAN_MS, LONGEST_BAN_MS, Offence, Tolerance};
use super::reliability::Reliability;
use honeygraph_protocols::swarm::keys::PeerKey;
use serde::Deserialize;

const NOW: u64 = 1_764_000_000_000;

fn peer(nth: u32) -> PeerKey {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&nth.to_be_bytes());
    PeerKey(key)
}

/// The seeds' cases: `fixtures/peer_sync.json`.
#[test]
fn reliability_is_the_average_of_the_seeds() {
    #[derive(Deserialize)]
    struct File {
        scoring: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        note: String,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Step {
        success: bool,
        reliability: f64,
        is_alive: bool,
        healthy: bool,
    }
    let file: File = serde_json::from_str(include_str!("../fixtures/peer_sync.json")).unwrap();
    for case in &file.scoring {
        let mut reliability = Reliability::new(NOW);
        for (nth, step) in case.steps.iter().enumerate() {
            reliability.note(NOW, step.success);
            let value = reliability.value(NOW);
            assert!((value - step.reliability).abs() < 1e-12, "{} {nth}: {value}", case.note);
            let (alive, preferred) = (reliability.is_alive(NOW), reliability.is_preferred(NOW));
            assert_eq!((alive, alive && preferred), (step.is_alive, step.healthy), "{} {nth}", case.note);
        }
    }
}

#[test]
fn a_dead_peer_is_probed_and_comes_back() {
    let mut book = PeerBook::default();
    (0..30).for_each(|_| book.outcome(NOW, peer(1), false));
    assert_eq!((book.rank(NOW, &peer(1)), book.probes(NOW)), (None, vec![peer(1)]));
    assert_eq!(book.probes(NOW + PROBE_MS - 1), [], "not at once again");
    assert_eq!(book.probes(NOW + PROBE_MS), [peer(1)]);
    // Guards against: a way back that ends above what is preferred, for a peer that has not answered since.
    let day = NOW + 24 * 3_600_000;
    assert_eq!((book.rank(day, &peer(1)), book.rank(day * 2, &peer(1))), (Some(0), Some(0)), "time alone");
    book.outcome(day, peer(1), true);
    assert_eq!(book.rank(day, &peer(1)), Some(1), "and one answer");
}

/// Guards against: a ban on time-out. However often a peer fails, it is never banned for that.
#[test]
fn nobody_is_banned_for_silence() {
    let mut book = PeerBook::default();
    (0..10_000).for_each(|_| book.outcome(NOW, peer(1), false));
    assert!(!book.is_banned(NOW, &peer(1)));
    assert_eq!(book.get(&peer(1)).unwrap().penalties.points(NOW), 0);
}

#[test]
fn penalties_lead_to_a_ban_as_often_as_their_tolerance_says() {
    let times = |offence: Offence| {
        let mut book = PeerBook::default();
        (1..).find(|_| matches!(book.offend(NOW, peer(1), offence), Consequence::Banned(_))).unwrap()
    };
    for offence in Offence::ALL {
        let expected = match offence.tolerance() {
            Tolerance::Fatal => 1,
            Tolerance::Low => 5,
            Tolerance::Mid => 10,
            Tolerance::High => 50,
        };
        assert_eq!(times(offence), expected, "{}", offence.word());
    }
}

#[test]
fn points_are_forgiven_and_bans_end() {
    let mut book = PeerBook::default();
    let minute = 60_000;
    (0..4).for_each(|_| assert_eq!(book.offend(NOW, peer(1), Offence::BodyFalse), Consequence::Noted));
    assert_eq!(book.offend(NOW + 20 * minute, peer(1), Offence::BodyFalse), Consequence::Noted, "one was forgiven");
    let at = NOW + 20 * minute;
    assert_eq!(book.offend(at, peer(1), Offence::BodyFalse), Consequence::Banned(at + BAN_MS));
    assert_eq!((book.is_banned(at, &peer(1)), book.rank(at, &peer(1))), (true, None));
    assert_eq!(book.offend(at, peer(1), Offence::Oversize), Consequence::Noted, "it is banned already");
    let after = at + BAN_MS;
    assert!(!book.is_banned(after, &peer(1)));
    assert_eq!(book.offend(after, peer(1), Offence::Oversize), Consequence::Banned(after + 2 * BAN_MS), "longer");
    let mut now = after;
    for _ in 0..40 {
        now += 2 * LONGEST_BAN_MS;
        let Consequence::Banned(until) = book.offend(now, peer(1), Offence::Oversize) else { panic!("banned again") };
        assert!(until <= now + LONGEST_BAN_MS);
    }
    book.set_banned(now, peer(1), false);
    assert!(!book.is_banned(now, &peer(1)));
}

#[test]
fn a_trusted_peer_is_never_banned_by_the_node() {
    let mut book = PeerBook::default();
    book.trust(NOW, peer(1), true);
    assert_eq!(book.offend(NOW, peer(1), Offence::Oversize), Consequence::Spared);
    assert_eq!((book.is_banned(NOW, &peer(1)), book.rank(NOW, &peer(1))), (false, Some(2)));
    assert_eq!(book.offences.values().sum::<u64>(), 1, "and it is counted");
    book.set_banned(NOW, peer(1), true);
    assert!(book.is_banned(NOW, &peer(1)), "the operator may");
}

#[test]
fn addresses_are_few_and_the_operators_stay() {
    let mut book = PeerBook::default();
    assert!(book.add(NOW, peer(1), "/ip4/1.2.3.4/tcp/4001", Source::Operator));
    for nth in 0..100 {
        assert!(book.add(NOW, peer(1), &format!("/ip4/10.0.0.{nth}/tcp/1"), Source::Exchange));
    }
    let addresses = &book.get(&peer(1)).unwrap().addresses;
    assert_eq!((addresses.len(), addresses[0].1), (MAX_ADDRESSES, Source::Operator));
    assert!(
        !book.add(NOW, peer(1), &"x".repeat(300), Source::Operator) && !book.add(NOW, peer(1), "", Source::Operator)
    );
}

#[test]
fn a_full_book_forgets_the_least_worth_keeping() {
    let mut book = PeerBook::default();
    for nth in 0..MAX_PEERS as u32 {
        assert!(book.add(NOW, peer(nth), "/ip4/1.2.3.4/tcp/1", Source::Exchange));
    }
    book.outcome(NOW, peer(7), false);
    assert!(book.add(NOW, peer(1_000_000), "/ip4/1.2.3.4/tcp/1", Source::Exchange));
    assert_eq!((book.peers.len(), book.get(&peer(7))), (MAX_PEERS, None));
    for nth in 0..=1_000_000_u32 {
        if book.get(&peer(nth)).is_some() {
            book.connected(NOW, peer(nth), true);
        }
    }
    assert!(!book.add(NOW, peer(2_000_000), "/ip4/1.2.3.4/tcp/1", Source::Operator), "all of them are connected");
}

#[test]
fn the_book_on_disk_is_golden() {
    let mut book = PeerBook::default();
    book.add(NOW, peer(1), "/ip4/1.2.3.4/tcp/4001", Source::Bootstrap);
    book.outcome(NOW, peer(1), true);
    book.outcome(NOW, peer(2), false);
    book.offend(NOW, peer(2), Offence::Oversize);
    let bytes = book.to_bytes(NOW);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../fixtures/peer_book.hex").trim());
    let mut back = PeerBook::from_bytes(&bytes).unwrap();
    back.offences = book.offences.clone();
    assert_eq!(back, book);
    for end in 0..bytes.len() {
        assert!(PeerBook::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(PeerBook::from_bytes(&[&bytes[..], &[0]].concat()).is_err() && PeerBook::from_bytes(&[2]).is_err());
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let mut bucket = Bucket::new(Rate { per_second: 10, burst: 50 }, NOW);
    assert!((0..50).all(|_| bucket.take(NOW, 1).is_ok()));
    assert_eq!(bucket.take(NOW, 1), Err(100), "when to come again");
    assert_eq!((bucket.take(NOW + 100, 1), bucket.take(NOW + 100, 1)), (Ok(()), Err(100)));
    assert_eq!(bucket.take(NOW + 60_000, 1_000), Ok(()), "more than it ever holds costs all of it");
    assert_eq!(bucket.take(NOW + 60_000, 1), Err(100));
    let mut gossip = Bucket::new(GOSSIP, NOW);
    assert!((0..200).all(|_| gossip.take(NOW, 1).is_ok()) && gossip.take(NOW, 1).is_err());
}
