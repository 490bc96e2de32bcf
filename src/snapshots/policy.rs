//! When a snapshot is made, and which one goes: pure.
//!
//! *Always holds:* what somebody holds, a clone stands on, a live fork goes back to, or this program did not make never
//! goes, nor does the newest; the rest thins with its age, so that a hundred reach from minutes to years.

use super::about::About;
use super::{Room, Snapshot};
use crate::fork::record::Node;
use crate::projection::state::Chain;

/// Room is low below this many bytes…
const LOW_BYTES: u64 = 2 << 30;
/// …or, on a small disk, below this part of it.
const LOW_PART: u64 = 20;

/// Whether room is low.
pub fn is_low(room: Room) -> bool {
    room.free < LOW_BYTES.min(room.total / LOW_PART)
}

/// The first of these checkpoints that is worth a snapshot: there is none of it, and its history has none within so many
/// blocks before it.
pub fn due(checkpoints: Vec<About>, have: &[Snapshot], interval_blocks: u64) -> Option<About> {
    let is_covered = |wanted: &About| {
        have.iter().any(|snapshot| {
            let (label, hash) = (snapshot.name.label(), snapshot.name.hash());
            let same_fork = snapshot.about.as_ref().is_some_and(|about| about.fork == wanted.fork);
            let near = label <= wanted.label && wanted.label - label < interval_blocks;
            hash == wanted.hash || (same_fork && near)
        })
    };
    checkpoints.into_iter().find(|wanted| !is_covered(wanted))
}

/// For each of these snapshots, whether it has to stay. `histories` are the live ones, the head's first.
pub fn needed(snapshots: &[Snapshot], histories: &[Chain]) -> Vec<bool> {
    let is_on =
        |chain: &Chain, node: Node| chain.iter().any(|at| at.branch == node.branch && node.version <= at.version);
    let newest = |on: &dyn Fn(Node) -> bool| {
        let places =
            snapshots.iter().enumerate().filter_map(|(nth, snapshot)| Some((snapshot.about.as_ref()?.node, nth)));
        places.filter(|(node, _)| on(*node)).max_by_key(|(node, _)| node.version).map(|(_, nth)| nth)
    };
    let mut needed: Vec<bool> = snapshots
        .iter()
        .map(|snapshot| snapshot.about.is_none() || !snapshot.holds.is_empty() || !snapshot.clones.is_empty())
        .collect();
    for chain in histories {
        let head = histories.first().unwrap_or(chain);
        // Where it stands, and where it can be left for the head's history.
        let both = [newest(&|node| is_on(chain, node)), newest(&|node| is_on(chain, node) && is_on(head, node))];
        for nth in both.into_iter().flatten() {
            needed[nth] = true;
        }
    }
    let made = |nth: &usize| snapshots[*nth].about.as_ref().map_or(0, |about| about.at_ms);
    if let Some(last) = (0..snapshots.len()).max_by_key(made) {
        needed[last] = true;
    }
    needed
}

/// The snapshot that goes first: its neighbours in time are nearest to each other, measured by its age. The oldest goes
/// last. None when all have to stay.
pub fn victim(snapshots: &[Snapshot], needed: &[bool]) -> Option<usize> {
    let at = |nth: usize| snapshots[nth].about.as_ref().map(|about| about.at_ms);
    let mut order: Vec<(u64, usize)> = (0..snapshots.len()).filter_map(|nth| Some((at(nth)?, nth))).collect();
    order.sort_unstable();
    let newest = order.last()?.0;
    // A smaller fraction goes first; compared crosswise, so that nothing is rounded.
    let mut best: Option<(u128, u128, usize)> = None;
    for three in order.windows(3) {
        let [(before, _), (own, nth), (after, _)] = three else { continue };
        let (gap, age) = (u128::from(after - before), u128::from(newest - own) + 1);
        if !needed[*nth] && best.is_none_or(|(best_gap, best_age, _)| gap * best_age < best_gap * age) {
            best = Some((gap, age, *nth));
        }
    }
    let oldest = order.first().filter(|(_, nth)| !needed[*nth]).map(|(_, nth)| *nth);
    best.map(|(_, _, nth)| nth).or(oldest)
}

#[cfg(test)]
mod tests {
    use super::super::name::Name;
    use super::*;

    const PERIOD: u64 = 300_000;

    fn snapshot(label: u64, at_ms: u64, node: (u32, u64)) -> Snapshot {
        let hash = format!("Qm{label}x{}", node.0);
        let about = About {
            label,
            hash: hash.clone(),
            fork: format!("fork{}", node.0),
            batch: "b".into(),
            node: Node { branch: node.0, version: node.1 },
            cursor: 0,
            verified: true,
            confirmed: None,
            at_ms,
            software: "0".into(),
            format: 1,
        };
        let name = Name::new("checkpoint", label, &hash).unwrap();
        Snapshot { name, about: Some(about), holds: vec![], clones: vec![], bytes: None }
    }

    /// Two months of a snapshot every five minutes. Planted: the oldest first (nothing older than a day is left).
    #[test]
    fn a_hundred_reach_from_minutes_to_months() {
        let mut have: Vec<Snapshot> = Vec::new();
        for nth in 0..17_280u64 {
            have.push(snapshot(nth, nth * PERIOD, (0, nth)));
            while have.len() > 100 {
                let needed = needed(&have, &[]);
                have.remove(victim(&have, &needed).unwrap());
            }
        }
        let times: Vec<u64> = have.iter().map(|snapshot| snapshot.name.label()).collect();
        assert_eq!((times.len(), times[0], times[99]), (100, 0, 17_279));
        assert_eq!(times[95..], [17_275, 17_276, 17_277, 17_278, 17_279], "the newest are all there: {times:?}");
        for pair in times.windows(2) {
            let age = 17_279 - pair[0];
            assert!(
                pair[1] - pair[0] <= age / 3 + 2,
                "between {pair:?} at the age of {age} nothing is left: {times:?}"
            );
        }
    }

    /// Planted: holds, clones, forks and strangers looked at one by one left out.
    #[test]
    fn what_is_needed_never_goes() {
        let mut have: Vec<Snapshot> = (0..12).map(|nth| snapshot(nth, nth * PERIOD, (0, nth))).collect();
        have[2].holds.push("operator".into());
        have[3].clones.push("test".into());
        have[4].about = None;
        // A fork that left the head's history behind the sixth, and has a snapshot of its own.
        have.push(snapshot(7, 20 * PERIOD, (1, 50)));
        let head = vec![Node { branch: 0, version: 100 }];
        let fork = vec![Node { branch: 1, version: 60 }, Node { branch: 0, version: 6 }];
        let stays = needed(&have, &[head, fork]);
        let kept: Vec<usize> = (0..have.len()).filter(|nth| stays[*nth]).collect();
        assert_eq!(kept, [2, 3, 4, 6, 11, 12]);
        let mut gone = Vec::new();
        let (mut have, mut stays) = (have, stays);
        while let Some(nth) = victim(&have, &stays) {
            gone.push(have.remove(nth).name.label());
            stays.remove(nth);
        }
        gone.sort_unstable();
        assert_eq!((gone, have.len()), (vec![0, 1, 5, 7, 8, 9, 10], 6));
        assert_eq!((victim(&[], &[]), needed(&[], &[])), (None, vec![]));
    }

    #[test]
    fn a_checkpoint_is_due_once_and_in_its_interval() {
        let about = |label, fork| snapshot(label, 0, (fork, 0)).about.unwrap();
        let have = [snapshot(100, 0, (0, 0))];
        let due = |wanted: Vec<About>, interval| due(wanted, &have, interval).map(|about| about.hash);
        assert_eq!(due(vec![about(100, 0)], 0), None, "it is there");
        assert_eq!(due(vec![about(200, 0)], 0).as_deref(), Some("Qm200x0"));
        assert_eq!(due(vec![about(200, 0)], 101), None);
        assert_eq!(due(vec![about(200, 0)], 100).as_deref(), Some("Qm200x0"));
        assert_eq!(due(vec![about(100, 0), about(150, 1)], 1000).as_deref(), Some("Qm150x1"), "another history");
        assert_eq!(due(vec![about(50, 0)], 1000).as_deref(), Some("Qm50x0"), "before the one that is there");
    }

    #[test]
    fn room_is_low_by_bytes_or_by_part() {
        let low = |free, total| is_low(Room { free, total });
        assert!(low((2 << 30) - 1, 1 << 40) && !low(2 << 30, 1 << 40));
        assert!(low(9, 200) && !low(10, 200) && !low(0, 0));
    }
}
