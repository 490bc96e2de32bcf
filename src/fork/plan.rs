//! What the runs that a client still has say about a socket's place: which of them it is in, which of them are held, and
//! so where it goes on.
//!
//! *Always holds:* a socket goes on at the end of a lane only when no other lane could be its own and nothing held there
//! differs from what the client shows; else a lane of its own begins the period again, and content decides.

use super::answers::Held;
use super::found::Resume;
use super::machine::{Bodies, Core};
use super::questions::ASK_MAX;
use super::record::Before;
use super::runs::{Kind, Run};
use honeygraph_protocols::honeycomb::{HashText, Item, Ops, What};

/// Last index of the beginnings that are asked for.
pub(super) const LAST: u64 = ASK_MAX - 1;

/// Where a socket goes on, and what lies between that place and its next op.
#[derive(Debug)]
pub(super) struct Plan {
    /// The lane at whose end it stands; none: a lane of its own.
    pub(super) lane: Option<Spot>,
    pub(super) steps: Vec<Step>,
}

/// What a lane does on its way to where its socket is.
#[derive(Debug)]
pub(super) enum Step {
    /// The run has everything up to this index.
    Reached(u64),
    /// The next period.
    Open { label: Option<u64>, hash: Option<HashText>, before: Before },
    /// The daily second run.
    Second,
}

/// What is known of a socket's place when its client shows its runs.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// Last index that the client had sent before the socket, by its own word.
    pub(super) last: u64,
    /// Last index that it has sent meanwhile, and that was taken in without a place.
    pub(super) taken: Option<u64>,
    /// The socket's first item.
    pub(super) first: Option<&'a First>,
    /// First items of its first two runs.
    pub(super) seen: &'a [Vec<Seen>; 2],
    /// The period that it has opened by its own words.
    pub(super) named: Option<&'a Named>,
}

/// A period that a lane has opened by its own words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) hash: HashText,
    /// Last index of its first run, when the lane is in the second.
    pub(super) first_run: Option<u64>,
}

/// What a socket's first item said of its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct First {
    pub(super) index: Option<u64>,
    pub(super) block: Option<u64>,
    pub(super) fork: Option<HashText>,
}

/// Index and block of an item, and blake3 of its text; none is a marker.
pub(super) type Seen = (u64, Option<u64>, Option<[u8; 32]>);

/// The end of a lane's newest period.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spot {
    pub(super) lane: u64,
    pub(super) resume: Resume,
    /// When the lane last grew.
    pub(super) at_ms: u64,
}

impl Spot {
    /// Index that follows.
    pub(super) fn index(&self) -> u64 {
        self.resume.next.saturating_sub(self.resume.base)
    }
}

fn text_of<'a>(item: &Item, texts: &'a [u8]) -> Option<&'a [u8]> {
    match &item.what {
        What::Op { text, .. } => texts.get(text.clone()),
        _ => None,
    }
}

/// What is remembered of an item: a text may be as large as a frame.
pub(super) fn digest_of(item: &Item, texts: &[u8]) -> Option<[u8; 32]> {
    text_of(item, texts).map(|text| *blake3::hash(text).as_bytes())
}

/// Whether these items show all that was seen of a socket within the range asked for.
pub(super) fn shows(items: &[Item], texts: &[u8], seen: &[Seen]) -> bool {
    let mut inside = seen.iter().filter(|(index, ..)| *index <= LAST).peekable();
    // Periods may hold the same: the block that an item was written with tells them apart. A cache may name a block or two
    // off what the live message said (docs/honeycomb.md), periods are further apart.
    let same = |item: &Item, (index, block, digest): &Seen| {
        let same_block = item.block.zip(*block).is_none_or(|(one, other)| one.abs_diff(other) <= 2);
        item.index == Some(*index) && same_block && digest_of(item, texts) == *digest
    };
    inside.peek().is_some() && inside.all(|seen| items.iter().any(|item| same(item, seen)))
}

impl Core {
    /// The runs that a socket may be in.
    pub(super) fn own_runs(&self, evidence: &Evidence<'_>, runs: &[Run], ops: &Ops) -> Vec<usize> {
        if let Some(named) = evidence.named {
            let second = usize::from(named.first_run.is_some());
            let own = (0..runs.len()).filter(|at| hash_of(&runs[*at]) == Some(&named.hash)).map(|at| at + second);
            return own.filter(|at| second == 0 || runs.get(*at).is_some_and(|run| run.kind == Kind::Second)).collect();
        }
        let [seen, after] = evidence.seen;
        let showing = |seen: &[Seen]| -> Vec<usize> {
            let shown = |run: &Run| shows(&ops.items[run.items.clone()], &ops.texts, seen);
            (0..runs.len()).filter(|at| shown(&runs[*at])).collect()
        };
        if seen.iter().any(|(index, ..)| *index <= LAST) {
            return showing(seen);
        }
        if !after.is_empty() {
            return showing(after).into_iter().filter_map(|at| at.checked_sub(1)).collect();
        }
        // So far into a run the label is its own.
        let Some(first) = evidence.first else { return Vec::new() };
        let label = first.block.map(|block| self.rules.label(block));
        let newest = (0..runs.len()).rev().find(|at| self.holds_period(&runs[*at])).unwrap_or(0);
        let own = |at: &usize| match (&runs[*at].kind, &first.fork) {
            (Kind::Period { hash, .. }, Some(fork)) => hash == fork,
            (Kind::Period { label: own, .. }, None) if label.is_some() => *own == label,
            (Kind::Second, _) if label.is_some() => at.checked_sub(1).is_some_and(|at| label_of(&runs[at]) == label),
            // Some versions send no block once a save has returned.
            (Kind::Period { .. } | Kind::Second, _) => label.is_none() && *at >= newest,
            _ => false,
        };
        let long = |at: &usize| runs[*at].items.len() as u64 == ASK_MAX;
        (0..runs.len()).filter(long).filter(own).collect()
    }

    /// How a socket that is in run `own` goes on: from the newest run that is held, through all runs after it.
    pub(super) fn plan(
        &self,
        evidence: &Evidence<'_>,
        runs: &[Run],
        own: usize,
        ops: &Ops,
        bodies: &mut dyn Bodies,
    ) -> Option<Plan> {
        let first = evidence.first.and_then(|first| first.index);
        let fell = evidence.named.is_some() || first.is_some_and(|index| index <= evidence.last);
        let (start, lane) = self.newest_held(runs, own, fell, ops, bodies);
        if start.is_none() && evidence.named.is_some() {
            return None;
        }
        let mut steps = Vec::new();
        let from = match (start, &lane) {
            (Some(at), Some(_)) => at,
            // A lane of its own begins where a period does.
            (at, _) => {
                let from = (0..=at.unwrap_or(own)).rev().find(|at| self.is_period(&runs[*at]))?;
                if runs[from..=own].iter().any(|run| run.kind == Kind::Unknown) {
                    return None;
                }
                let Kind::Period { hash, label } = &runs[from].kind else { return None };
                steps.push(Step::Open { label: *label, hash: Some(hash.clone()), before: Before::Nothing });
                from
            }
        };
        if evidence.named.is_some_and(|named| hash_of(&runs[from]) == Some(&named.hash)) {
            return None;
        }
        let known = match evidence.named {
            Some(named) => named.first_run,
            None => fell.then_some(evidence.last),
        };
        // A second run behind a first one whose end is not known has no place as yet: it is asked for when the first is
        // complete, if the socket is not in it.
        let mut passed_over = false;
        for at in from..own {
            let end = runs[at].end.or(known.filter(|_| at + 1 == own)).filter(|_| !passed_over);
            passed_over = runs[at + 1].kind == Kind::Second && end.is_none() && at + 1 < own;
            if passed_over {
                continue;
            }
            steps.extend(end.map(Step::Reached));
            steps.push(next_step(&runs[at + 1], end.is_some())?);
        }
        steps.extend(evidence.taken.or((!fell).then_some(evidence.last)).map(Step::Reached));
        Some(Plan { lane, steps })
    }

    /// The newest run up to `own` that is held, with the lane that stands there if a socket can go on with it.
    fn newest_held(
        &self,
        runs: &[Run],
        own: usize,
        fell: bool,
        ops: &Ops,
        bodies: &mut dyn Bodies,
    ) -> (Option<usize>, Option<Spot>) {
        for at in (0..=own).rev() {
            let run = &runs[at];
            if run.kind == Kind::Unknown || (hash_of(run).is_some() && !self.is_period(run)) {
                break;
            }
            let lane = self.lane_in(runs, at, ops, bodies).filter(|_| !(fell && at == own));
            if lane.is_some() || self.holds_period(run) {
                return (Some(at), lane);
            }
        }
        (None, None)
    }

    /// Whether a run begins a period, and not one that is written again.
    fn is_period(&self, run: &Run) -> bool {
        matches!(run.kind, Kind::Period { .. }) && !self.is_replay(run)
    }

    fn is_replay(&self, run: &Run) -> bool {
        let Kind::Period { hash, label } = &run.kind else { return false };
        // What is written again is the oldest that a process has, from the day's root on, under its own first label: only
        // where that is the root's own does the run begin with the period that it names.
        let of_root =
            |label: u64| label.checked_sub(self.rules.checkpoint_every).is_some_and(|d| self.rules.has_second_run(d));
        let held = || self.ledger.tree.periods_of(hash).any(|(_, period)| period.label == *label);
        let oldest = run.is_oldest && !label.is_some_and(of_root) && !held();
        oldest || self.is_known_otherwise(hash, *label)
    }

    fn holds_period(&self, run: &Run) -> bool {
        let Kind::Period { hash, .. } = &run.kind else { return false };
        self.ledger.tree.periods_of(hash).next().is_some()
    }

    /// The only lane that stands in this run, if no socket feeds it, nothing of it differs, and no other lane ever was in
    /// the run's period.
    fn lane_in(&self, runs: &[Run], at: usize, ops: &Ops, bodies: &mut dyn Bodies) -> Option<Spot> {
        let before = |at: usize| runs[..at].iter().rev().find_map(hash_of);
        let (hash, old, run) = match &runs[at].kind {
            Kind::Period { hash, .. } => (Some(hash), None, 0),
            Kind::Second => (before(at), None, 1),
            Kind::Unnamed => (None, before(at), 0),
            Kind::Unknown => return None,
        };
        let is_in = |book: &super::book::Book| {
            book.periods.iter().any(|(ordinal, period)| match (hash, old) {
                (Some(_), _) => period.hash.as_ref() == hash,
                (None, Some(_)) => {
                    let before = ordinal.checked_sub(1).and_then(|old| book.periods.get(&old));
                    period.opened && period.hash.is_none() && before.is_some_and(|before| before.hash.as_ref() == old)
                }
                (None, None) => false,
            })
        };
        let mut lanes = self.ledger.books.iter().filter(|(_, book)| is_in(book)).map(|(lane, _)| *lane);
        let (Some(lane), None) = (lanes.next(), lanes.next()) else { return None };
        if self.feeds.values().any(|attached| attached.no == lane && attached.lane.here().is_some()) {
            return None;
        }
        let spot = self.reach_of(lane)?;
        let newest = self.ledger.books[&lane].last()?.1;
        let stands = newest.opened && newest.hash.as_ref() == hash && spot.resume.run == run;
        (stands && self.repeats(&spot, &ops.items[runs[at].items.clone()], &ops.texts, bodies)).then_some(spot)
    }

    /// Whether nothing that is held of a lane's run differs from these items, the run's first.
    fn repeats(&self, spot: &Spot, items: &[Item], texts: &[u8], bodies: &mut dyn Bodies) -> bool {
        let mut held = Held::default();
        items.iter().all(|item| {
            let Some(index) = item.index.filter(|_| !matches!(item.what, What::Refused(_))) else { return true };
            let place = spot.resume.base + index;
            let holds = self.holds(spot.lane, spot.resume.ordinal, place, text_of(item, texts), &mut held, bodies);
            !holds.differs()
        })
    }

    /// Lanes that no socket feeds, with the end of what they hold.
    pub(super) fn loose_spots(&self) -> Vec<Spot> {
        let attached: Vec<u64> = self.feeds.values().filter(|a| a.lane.here().is_some()).map(|a| a.no).collect();
        let loose = self.ledger.books.iter().filter(|(no, _)| !attached.contains(no));
        loose.filter_map(|(no, _)| self.reach_of(*no)).collect()
    }

    /// Where a lane's newest period can be gone on with.
    pub(super) fn reach_of(&self, lane: u64) -> Option<Spot> {
        let book = self.ledger.books.get(&lane)?;
        let (ordinal, period) = book.last()?;
        let before = ordinal.checked_sub(1).and_then(|old| book.periods.get(&old));
        let run = period.runs.len() as u32 - 1;
        let base = period.runs[run as usize];
        let next = period.end().max(base);
        let (label, hash, opened) = (period.label, period.hash.clone(), period.opened);
        let old = (before.and_then(|before| before.label), before.and_then(|before| before.hash.clone()));
        let resume = Resume { ordinal, label, hash, run, base, next, opened, old };
        Some(Spot { lane, resume, at_ms: book.at_ms })
    }
}

/// The step from one run to the next.
fn next_step(next: &Run, end_known: bool) -> Option<Step> {
    let before = if end_known { Before::Seen } else { Before::Unseen };
    match &next.kind {
        Kind::Period { hash, label } => Some(Step::Open { label: *label, hash: Some(hash.clone()), before }),
        Kind::Unnamed => Some(Step::Open { label: None, hash: None, before }),
        Kind::Second if end_known => Some(Step::Second),
        Kind::Second | Kind::Unknown => None,
    }
}

fn hash_of(run: &Run) -> Option<&HashText> {
    match &run.kind {
        Kind::Period { hash, .. } => Some(hash),
        _ => None,
    }
}

fn label_of(run: &Run) -> Option<u64> {
    match &run.kind {
        Kind::Period { label, .. } => *label,
        _ => None,
    }
}
