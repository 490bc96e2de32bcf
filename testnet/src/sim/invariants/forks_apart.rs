//! Forks never mix: every history that a node ever chained is, batch by batch, what one honeycomb that feeds it wrote,
//! and the state at every live tip, every kept point and some other readable points has exactly that honeycomb's leaves
//! there.

use super::{Broken, Look};
use crate::honeycomb::Leaves;
use crate::sim::histories::{Histories, history};
use crate::sim::node::Running;
use honeygraph::fork::record::{Lsn, Node, Record, Same};
use honeygraph::projection::state::reader::Snapshot;
use honeygraph::projection::state::{State, StateError, kv::Memory};
use honeygraph_protocols::path::{self, Segment};
use serde_json::Value;

const RULE: &str = "forks_apart";
/// Readable points read beside the tips and the kept ones, out of so many tried.
const OTHERS: (usize, usize) = (4, 12);

/// At any time. Committed state only: that is what readers see.
pub fn check(look: &Look<'_>, histories: &mut Histories, draw: &mut dyn FnMut(usize) -> usize) -> Result<(), Broken> {
    let snapshot = look.running.state.reader().snapshot();
    for (branch, state) in look.running.core.ledger().tree.branches() {
        let batches = history(&look.chains, Node { branch, version: state.tip });
        if !batches.is_empty() && histories.writer(&batches, |feeder| look.is_fed_by(feeder)).is_none() {
            return Err(mixed(look, histories, branch, &batches));
        }
    }
    let points = points(look, &snapshot, draw)?;
    points.into_iter().try_for_each(|point| leaves(look, &snapshot, histories, point))
}

/// Every live tip, every kept point, and some others that can be read.
fn points(
    look: &Look<'_>,
    snapshot: &Snapshot<Memory>,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Vec<Node>, Broken> {
    let wrong = |error: StateError| Broken::new(RULE, error.to_string());
    let cursor = snapshot.cursor().map_err(wrong)?;
    let mut points: Vec<Node> = snapshot.kept().map_err(wrong)?;
    for fork in snapshot.forks() {
        let fork = fork.map_err(wrong)?;
        points.extend(fork.tip.filter(|_| fork.row.live).map(|tip| tip.batch.node));
    }
    let chained: Vec<Node> =
        look.chains.range(..=cursor).map(|(lsn, chain)| Node { branch: chain.branch, version: *lsn }).collect();
    let mut others = Vec::new();
    for _ in 0..OTHERS.1.min(chained.len()) {
        let point = chained[draw(chained.len())];
        if others.len() < OTHERS.0 && snapshot.readable(point).map_err(wrong)? {
            others.push(point);
        }
    }
    points.extend(others);
    Ok(points)
}

fn mixed(look: &Look<'_>, histories: &Histories, branch: u32, batches: &[&honeygraph::fork::record::Chain]) -> Broken {
    let upto = (1..=batches.len())
        .rev()
        .find(|upto| histories.writer(&batches[..*upto], |feeder| look.is_fed_by(feeder)).is_some());
    let at = batches.get(upto.unwrap_or(0));
    let place = at.map(|chain| format!("{}/{}+{} label {:?}", chain.period, chain.seq, chain.count, chain.label));
    let written = |feeder: usize| {
        let same =
            histories.of(feeder).chain.iter().filter(|batch| at.is_some_and(|at| batch.header.period == at.period));
        let near = same.filter(|batch| at.is_some_and(|at| batch.header.seq.abs_diff(at.seq) < 8));
        near.map(|batch| format!("{}+{}", batch.header.seq, batch.header.count)).collect::<Vec<_>>().join(" ")
    };
    let fed = (0..look.feeders.len()).filter(|feeder| look.is_fed_by(*feeder));
    let piece = at.and_then(|chain| look.node.log.get(*chain.pieces.first()? as usize - 1)).map(|(record, _)| record);
    let what = format!(
        "branch {branch} of node {}: the first {} of its {} batches are one honeycomb's, not {place:?}; there they wrote {:?}; it is {piece:?}",
        look.number,
        upto.unwrap_or(0),
        batches.len(),
        fed.map(written).collect::<Vec<_>>()
    );
    Broken::new(RULE, what)
}

fn leaves(look: &Look<'_>, snapshot: &Snapshot<Memory>, histories: &mut Histories, point: Node) -> Result<(), Broken> {
    let batches = history(&look.chains, point);
    let writer = histories.writer(&batches, |feeder| look.is_fed_by(feeder));
    let (feeder, from) = writer.ok_or_else(|| Broken::new(RULE, format!("{point:?} is no honeycomb's batch")))?;
    let expected = histories.leaves(feeder, from, from + batches.len() - 1);
    compare(snapshot, point, &expected).map_err(|what| {
        let anew = match rebuilt(look, point).and_then(|anew| compare(&anew, point, &expected)) {
            Ok(()) => "right".to_owned(),
            Err(what) => format!("wrong too, {what}"),
        };
        let chain = snapshot.chain(point);
        let what = format!("the state of node {} at {chain:?}: {what}; built anew it is {anew}", look.number);
        Broken::new(RULE, what)
    })
}

/// A state built from the records up to a point, from which nothing was ever swept.
fn rebuilt(look: &Look<'_>, point: Node) -> Result<Snapshot<Memory>, String> {
    let mut state = State::on(Memory::new()).map_err(|error| error.to_string())?;
    let body = |lsn: Lsn| look.node.log.get(lsn as usize - 1).and_then(|entry| entry.1.clone()).unwrap_or_default();
    let nothing = Record::Same(Same { pieces: Vec::new(), node: point });
    for (lsn, (record, _)) in (1..=point.version).zip(&look.node.log) {
        // Here no point is ever given up.
        let record = if matches!(record, Record::Retired(_)) { &nothing } else { record };
        state.apply(lsn, record, &mut |lsn| Ok(body(lsn))).map_err(|error| error.to_string())?;
    }
    state.commit().map_err(|error| error.to_string())?;
    Ok(state.reader().snapshot())
}

/// Compares the leaves at a point, by scan and by get.
fn compare(snapshot: &Snapshot<Memory>, point: Node, expected: &Leaves) -> Result<(), String> {
    let words = |error: StateError| error.to_string();
    let view = snapshot.view(point).map_err(words)?;
    let mut expected = expected.iter();
    for leaf in view.scan(&[], None) {
        let (encoded, text) = leaf.map_err(words)?;
        let got = view.get(&encoded).map_err(words)?;
        let path = path::decode(&encoded).map_err(|error| error.to_string())?;
        let shown = path::display(&path);
        if got.as_ref() != Some(&text) {
            return Err(format!("{shown} is {text:?} by scan and {got:?} by get"));
        }
        let Some((their_path, their_value)) = expected.next() else { return Err(format!("{shown} is too many")) };
        let same = path.len() == their_path.len() && path.iter().zip(their_path).all(|(ours, theirs)| is(ours, theirs));
        if !same {
            return Err(format!("{shown} stands where /{} should", their_path.join("/")));
        }
        let value: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if value != *their_value {
            return Err(format!("{shown} is {value}, not {their_value}"));
        }
    }
    expected.next().map_or(Ok(()), |(path, _)| Err(format!("/{} is missing", path.join("/"))))
}

fn is(ours: &Segment, theirs: &str) -> bool {
    matches!(ours, Segment::Text(text) if text.as_bytes() == theirs.as_bytes())
}

/// Whether the state has come to the end of the journal.
pub fn is_at_the_end(running: &Running) -> bool {
    running.state.cursor() == running.core.ledger().lsn
}
