//! Holding a state store against its journal: `honeygraph verify`.
//!
//! The journal is replayed into a temporary store, and the state at every live tip and at some other readable points
//! is compared leaf by leaf.
//!
//! *Always holds:* the replay knows nothing but the journal; what differs is named by point and path.

use super::base::Base;
use super::open::{Found, find};
use super::state::kv::Fjall;
use super::state::{State, StateError};
use crate::fork::record::{Lsn, Node, Record};
use crate::journal::{JournalError, Reader};
use honeygraph_protocols::path;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Readable points compared beside the tips.
pub const POINTS: usize = 10;
/// Versions tried to find them: below the floor nothing is readable.
const TRIES: usize = 1000;
/// Most findings listed: one leaf is enough to distrust a point.
const MAX_FINDINGS: usize = 100;

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Last record that the store has applied.
    pub cursor: Lsn,
    /// Why the store cannot be read, if so: a power cut can tear what was never synced. Nothing is lost and nothing
    /// wrong is served, because the next start rebuilds it from the journal.
    pub unreadable: Option<String>,
    /// Points compared.
    pub points: Vec<Node>,
    /// Leaves compared, over all points.
    pub leaves: u64,
    /// What differs.
    pub findings: Vec<String>,
}

/// Why no comparison was possible.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Reading the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A store, stored or replayed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Compares the store in `folder`, which stands on `base`, with a replay of the journal into `scratch`, an empty folder.
/// `seed` chooses the points beside the tips; `progress` hears of each record replayed.
pub fn verify(
    reader: &Reader,
    folder: &Path,
    base: Option<Base>,
    scratch: &Path,
    seed: u64,
    mut progress: impl FnMut(Lsn),
) -> Result<Report, VerifyError> {
    let stored = match find(folder, Default::default())? {
        Found::Readable(stored) => stored,
        Found::Unreadable(why) => return Ok(Report { unreadable: Some(why), ..Report::default() }),
    };
    if stored.base_hash()? != base.as_ref().map(|base| base.hash.to_string()) {
        let why = "it was made with another base".to_owned();
        return Ok(Report { unreadable: Some(why), ..Report::default() });
    }
    let mut report = Report { cursor: stored.cursor(), ..Report::default() };
    let last = *reader.durable().borrow();
    if report.cursor > last {
        report.findings.push(format!("the state has applied record {}, the journal ends at {last}", report.cursor));
        return Ok(report);
    }
    let floor = reader.floor().filter(|_| reader.first() > 1);
    if let Some(floor) = floor.as_ref().filter(|floor| report.cursor < floor.state_at()) {
        // Half a step behind, after a power cut: nothing to hold it against.
        let why =
            format!("it has applied record {}, the journal's floor stands at {}", report.cursor, floor.state_at());
        return Ok(Report { unreadable: Some(why), ..report });
    }
    let mut replayed = match &floor {
        Some(floor) => {
            super::picture::state_on(floor, Fjall::open(scratch, Default::default()).map_err(StateError::from)?)
                .map_err(StateError::from)?
        }
        None => State::open(scratch, Default::default())?,
    };
    if let Some(base) = base {
        replayed.stand_on_base(base)?;
    }
    let chained = replay(&mut replayed, reader, report.cursor, &mut progress)?;
    report.points = points(&stored, &chained, seed)?;
    let (stored, replayed) = (stored.reader().snapshot(), replayed.reader().snapshot());
    let heads = (stored.head()?.map(|head| head.node), replayed.head()?.map(|head| head.node));
    if heads.0 != heads.1 {
        report.findings.push(format!("the head is {:?}, by the journal {:?}", heads.0, heads.1));
    }
    for point in report.points.clone() {
        // A retired branch is gone from both; a floor only from the store, which then does not call it readable.
        let (ours, theirs) = (stored.view(point)?, replayed.view(point)?);
        let (mut ours, mut theirs) = (ours.scan(&[], None), theirs.scan(&[], None));
        loop {
            let (our, their) = (ours.next().transpose()?, theirs.next().transpose()?);
            if our.is_none() && their.is_none() {
                break;
            }
            report.leaves += 1;
            if our != their && report.findings.len() < MAX_FINDINGS {
                report.findings.push(difference(point, our.as_ref(), their.as_ref()));
                break;
            }
        }
    }
    Ok(report)
}

/// Applies the journal up to `to`; gives back the batches in it.
fn replay(
    state: &mut State,
    reader: &Reader,
    to: Lsn,
    progress: &mut impl FnMut(Lsn),
) -> Result<Vec<Node>, VerifyError> {
    let mut chained = Vec::new();
    let mut cursor = reader.records(state.cursor() + 1);
    while cursor.next() <= to {
        let Some(entry) = cursor.read()? else { break };
        let (lsn, record) = (entry.lsn, entry.record()?);
        state.apply(lsn, &record, &mut |piece| Ok(reader.body(piece)?))?;
        if let Record::Chain(chain) = record {
            chained.push(Node { branch: chain.branch, version: lsn });
        }
        progress(lsn);
    }
    state.commit()?;
    Ok(chained)
}

/// Every readable tip, and [`POINTS`] other readable batches.
fn points(stored: &State, chained: &[Node], seed: u64) -> Result<Vec<Node>, VerifyError> {
    let snapshot = stored.reader().snapshot();
    let mut points = BTreeSet::new();
    for fork in snapshot.forks() {
        let fork = fork?;
        if let Some(tip) = fork.tip.filter(|_| fork.row.live) {
            points.insert(tip.batch.node);
        }
    }
    let tips = points.len();
    for n in 0..TRIES as u64 {
        if chained.is_empty() || points.len() >= tips + POINTS {
            break;
        }
        let node = chained[(mixed(seed.wrapping_add(n)) % chained.len() as u64) as usize];
        if snapshot.readable(node)? {
            points.insert(node);
        }
    }
    Ok(points.into_iter().collect())
}

/// splitmix64: well spread, and the same for the same seed.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn difference<P: AsRef<[u8]> + Ord>(point: Node, ours: Option<&(P, P)>, theirs: Option<&(P, P)>) -> String {
    // Both go in the order of paths: the smaller path is the one that the other side lacks.
    let first = match (ours, theirs) {
        (Some(our), Some(their)) => our.0.as_ref().min(their.0.as_ref()),
        (Some((path, _)), None) | (None, Some((path, _))) => path.as_ref(),
        (None, None) => &[],
    };
    let name = path::decode(first).map(|segments| path::display(&segments)).unwrap_or_else(|_| format!("{first:?}"));
    let text = |leaf: Option<&(P, P)>| match leaf.filter(|leaf| leaf.0.as_ref() == first) {
        Some((_, text)) => String::from_utf8_lossy(&text.as_ref()[..text.as_ref().len().min(80)]).into_owned(),
        None => "nothing".to_owned(),
    };
    let (version, branch) = (point.version, point.branch);
    format!("version {version} of branch {branch}: {name} is {}, by the journal {}", text(ours), text(theirs))
}
