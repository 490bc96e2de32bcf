//! What is worth doing: pure.
//!
//! A floor costs as much writing as the state is large. It is made anew only when what it lets go is as much, so that
//! retention at most doubles what is written.
//!
//! *Always holds:* nothing is planned beyond the floor or the oldest record that is needed.

use crate::fork::record::Lsn;
use crate::journal::trim::Segment;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Rest,
    /// Let the journal begin with this segment; the floor reaches so far.
    BeginAt(Lsn),
    /// Make a new floor first, then let it begin there.
    LayFloor(Lsn),
}

/// The floor that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Last record that it makes up for; 0 without one.
    pub reach: Lsn,
    /// Bytes of it.
    pub bytes: u64,
}

/// What to do with these segments, oldest first, when no record before `needed` is needed. `pressed`: the disk is nearly
/// full, everything that can go is to go.
pub fn plan(segments: &[Segment], needed: Lsn, floor: Standing, pressed: bool) -> Plan {
    let begin = |upto: Lsn| segments.iter().rev().find(|segment| segment.first <= upto).map(|segment| segment.first);
    let Some(oldest) = segments.first().map(|segment| segment.first) else { return Plan::Rest };
    let (wanted, ready) = (begin(needed).unwrap_or(oldest), begin(needed.min(floor.reach + 1)).unwrap_or(oldest));
    let gain: u64 = segments.iter().filter(|segment| (ready..wanted).contains(&segment.first)).map(|s| s.bytes).sum();
    if gain > 0 && (gain >= floor.bytes || pressed) {
        return Plan::LayFloor(wanted);
    }
    if ready > oldest { Plan::BeginAt(ready) } else { Plan::Rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted once: the floor's reach taken for the first record after it.
    #[test]
    fn a_floor_is_made_when_it_pays() {
        let segments: Vec<_> = [1, 101, 201, 301].map(|first| Segment { first, bytes: 10 }).into();
        let floor = |reach, bytes| Standing { reach, bytes };
        let cases = [
            (0, floor(0, 0), false, Plan::Rest),
            (100, floor(0, 0), false, Plan::Rest),
            (101, floor(0, 0), false, Plan::LayFloor(101)),
            (1000, floor(0, 0), false, Plan::LayFloor(301)),
            (301, floor(100, 30), false, Plan::BeginAt(101)),
            (301, floor(100, 20), false, Plan::LayFloor(301)),
            (301, floor(100, 30), true, Plan::LayFloor(301)),
            (301, floor(99, 40), false, Plan::Rest),
            (250, floor(900, 90), false, Plan::BeginAt(201)),
            (50, floor(900, 90), true, Plan::Rest),
        ];
        for (needed, floor, pressed, expected) in cases {
            assert_eq!(plan(&segments, needed, floor, pressed), expected, "{needed} {floor:?} {pressed}");
        }
        assert_eq!(plan(&segments[1..], 150, floor(500, 1), true), Plan::Rest);
        assert_eq!(plan(&[], 150, floor(500, 1), true), Plan::Rest);
    }
}
