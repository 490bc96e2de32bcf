//! Which history is the head's: a pure verdict over candidates and evidence (`docs/decisions/0007-choose.md`).
//!
//! *Always holds:* nothing barred is chosen; without better evidence the head stays where it is, or goes on along its
//! own history.

use super::record::Node;

/// A history that could be the head's: a live branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its tip.
    pub tip: Node,
    /// Pinned by the operator.
    pub pinned: bool,
    /// It has a confirmed checkpoint that the head's history has not.
    pub confirmed: bool,
    /// The head's history has a confirmed checkpoint that it has not: only the operator leaves that behind.
    pub crosses: bool,
    /// Accounts of the electorate that vouch for a checkpoint of it that not all candidates have.
    pub accounts: usize,
    /// Own feeds that stand on it.
    pub feeds: usize,
    /// Peers that the operator trusts whose head stands on it.
    pub peers: usize,
    /// Barred by a verdict.
    pub barred: bool,
    /// A checkpoint on it does not have the hash that was announced.
    pub mismatch: bool,
    /// Whether the head lies on it.
    pub extends_head: bool,
}

/// What to do with the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave it.
    Stay,
    /// Move it there, because.
    Move(Node, &'static str),
}

/// Weighs the candidates: pinned, confirmed, without a mismatch, more accounts of the electorate, more own feeds, where more
/// trusted peers stand, then *stay*: the head's own history goes on, whatever its length. A rival needs evidence; without any the head stays, and
/// nothing crosses a confirmed checkpoint but a pin.
pub fn choose(head: Option<Node>, candidates: &[Candidate]) -> Verdict {
    let weight = |candidate: &Candidate| {
        let proven = (candidate.pinned, candidate.confirmed, !candidate.mismatch);
        (proven, candidate.accounts, candidate.feeds, candidate.peers, candidate.extends_head)
    };
    let mut best: Option<&Candidate> = None;
    let eligible = |candidate: &&Candidate| {
        let evidence = candidate.confirmed || candidate.accounts + candidate.feeds + candidate.peers > 0;
        let may = candidate.pinned || (evidence && !candidate.crosses);
        !candidate.barred && (head.is_none() || candidate.extends_head || may)
    };
    for candidate in candidates.iter().filter(eligible) {
        if best.is_none_or(|best| weight(candidate) > weight(best)) {
            best = Some(candidate);
        }
    }
    let Some(best) = best else { return Verdict::Stay };
    if head == Some(best.tip) {
        return Verdict::Stay;
    }
    let own = candidates.iter().find(|own| own.extends_head && !own.barred);
    let (accounts, feeds) = own.map_or((0, 0), |own| (own.accounts, own.feeds));
    let why = match head {
        None => "first history",
        Some(_) if best.extends_head => "the head's history goes on",
        Some(_) if best.pinned => "pinned",
        Some(_) if best.confirmed => "confirmed",
        Some(_) if own.is_some_and(|own| own.mismatch) && !best.mismatch => "no mismatch",
        Some(_) if best.accounts > accounts => "more accounts",
        Some(_) if best.feeds > feeds => "more own feeds",
        Some(_) => "trusted peers",
    };
    Verdict::Move(best.tip, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(branch: u32, version: u64) -> Node {
        Node { branch, version }
    }

    fn candidate(branch: u32, feeds: usize, flags: &str) -> Candidate {
        Candidate {
            tip: node(branch, 10 + u64::from(branch)),
            pinned: flags.contains('p'),
            confirmed: flags.contains('c'),
            crosses: flags.contains('x'),
            accounts: flags.chars().filter(|flag| *flag == 'a').count(),
            feeds,
            peers: flags.chars().filter(|flag| *flag == 't').count(),
            barred: flags.contains('b'),
            mismatch: flags.contains('m'),
            extends_head: flags.contains('e'),
        }
    }

    #[test]
    fn the_table_of_cases() {
        let head = Some(node(0, 5));
        let to = |branch: u32| Some(node(branch, 10 + u64::from(branch)));
        let cases: &[(&str, Option<Node>, &[Candidate], Option<Node>)] = &[
            ("nothing there", None, &[], None),
            ("the first history", None, &[candidate(0, 1, "")], to(0)),
            ("the head's history goes on", head, &[candidate(0, 1, "e")], to(0)),
            ("one feed each: stay on our own", head, &[candidate(0, 1, "e"), candidate(1, 1, "")], to(0)),
            ("a rival without feeds: stay", head, &[candidate(1, 0, "")], None),
            ("a rival without feeds, our own with none", head, &[candidate(0, 0, "e"), candidate(1, 0, "")], to(0)),
            ("more own feeds on the rival", head, &[candidate(0, 1, "e"), candidate(1, 2, "")], to(1)),
            ("a pin beats feeds", head, &[candidate(0, 3, "e"), candidate(1, 0, "p")], to(1)),
            ("a barred history never wins", head, &[candidate(0, 3, "eb"), candidate(1, 1, "")], to(1)),
            ("all barred: stay", head, &[candidate(0, 3, "eb")], None),
            ("a mismatch loses to a fed history without", head, &[candidate(0, 3, "em"), candidate(1, 1, "")], to(1)),
            (
                "a mismatch stays beside a rival that nobody feeds",
                head,
                &[candidate(0, 0, "em"), candidate(1, 0, "")],
                to(0),
            ),
            ("a mismatch beside a mismatch", head, &[candidate(0, 1, "em"), candidate(1, 1, "m")], to(0)),
            (
                "a pin beats a mismatch",
                head,
                &[candidate(0, 1, "em"), candidate(1, 1, ""), candidate(2, 0, "pm")],
                to(2),
            ),
            ("confirmed beats feeds", head, &[candidate(0, 3, "e"), candidate(1, 0, "c")], to(1)),
            ("a pin beats confirmed", head, &[candidate(0, 1, "e"), candidate(1, 0, "c"), candidate(2, 0, "p")], to(2)),
            ("accounts beat feeds", head, &[candidate(0, 3, "e"), candidate(1, 0, "a")], to(1)),
            ("more accounts beat fewer", head, &[candidate(0, 3, "ea"), candidate(1, 0, "aa")], to(1)),
            ("as many: feeds, then stay", head, &[candidate(0, 1, "ea"), candidate(1, 1, "a")], to(0)),
            ("confirmed beats more accounts", head, &[candidate(0, 0, "eaaa"), candidate(1, 0, "c")], to(1)),
            ("a mismatch loses, whoever vouches", head, &[candidate(0, 1, "e"), candidate(1, 1, "am")], to(0)),
            ("nothing crosses a confirmed checkpoint", head, &[candidate(0, 0, "e"), candidate(1, 5, "xaaa")], to(0)),
            ("not even another one", head, &[candidate(0, 0, "e"), candidate(1, 0, "xc")], to(0)),
            ("but a pin", head, &[candidate(0, 0, "e"), candidate(1, 0, "xp")], to(1)),
            ("what crosses is no reason to move", head, &[candidate(1, 3, "x")], None),
            ("a barred one never, whoever vouches", head, &[candidate(0, 0, "e"), candidate(1, 0, "bca")], to(0)),
            ("a trusted peer leads where nobody feeds", head, &[candidate(0, 0, "e"), candidate(1, 0, "t")], to(1)),
            ("the own feed beats a trusted peer", head, &[candidate(0, 1, "e"), candidate(1, 0, "tt")], to(0)),
            ("as many feeds: the trusted peer", head, &[candidate(0, 1, "e"), candidate(1, 1, "t")], to(1)),
            ("a pin beats trusted peers", head, &[candidate(0, 0, "ep"), candidate(1, 0, "tt")], to(0)),
            ("as many trusted peers: stay", head, &[candidate(0, 0, "et"), candidate(1, 0, "t")], to(0)),
            ("no trusted peer crosses", head, &[candidate(0, 0, "e"), candidate(1, 0, "xt")], to(0)),
            ("nor into what is barred", head, &[candidate(0, 0, "e"), candidate(1, 0, "bt")], to(0)),
            ("nor into a mismatch", head, &[candidate(0, 0, "e"), candidate(1, 0, "mt")], to(0)),
            ("a barred pin does not count", head, &[candidate(0, 1, "e"), candidate(1, 0, "pb")], to(0)),
        ];
        for (name, head, candidates, expected) in cases {
            let verdict = match choose(*head, candidates) {
                Verdict::Stay => None,
                Verdict::Move(to, _) => Some(to),
            };
            assert_eq!(verdict, *expected, "{name}");
        }
    }

    #[test]
    fn order_of_candidates_decides_nothing_but_ties() {
        let mut candidates = vec![candidate(0, 1, "e"), candidate(1, 2, ""), candidate(2, 0, "")];
        let first = choose(Some(node(0, 5)), &candidates);
        candidates.reverse();
        assert_eq!(first, choose(Some(node(0, 5)), &candidates));
    }
}
