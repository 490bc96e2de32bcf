//! `honeygraph verify`: everything on disk held against itself, offline.
//!
//! First the frames (every byte of the journal by its crc and hashes), then the chain (every id and link recomputed),
//! then the state (at every live tip and ten other points, against a replay). What stands on something damaged is not
//! judged.

use super::exit::{Code, Failure, Outcome};
use super::journal::networks;
use super::print;
use super::progress::Progress;
use crate::config::Target;
use crate::data_dir::DataDir;
use crate::fork::audit::{Audit, Older};
use crate::fork::record::{Lsn, Record};
use crate::journal::disk::real::RealDisk;
use crate::journal::verify::{Report, verify};
use crate::journal::{JournalError, Reader};
use crate::projection::base::Base;
use crate::projection::generation;
use crate::projection::state::StateError;
use crate::projection::verify::{Report as StateReport, VerifyError, verify as verify_state};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Most findings listed of each kind; the rest is counted.
const MAX_FINDINGS: usize = 100;

/// What was found in one network.
#[derive(Debug, Serialize)]
struct Verified {
    network: String,
    clean: bool,
    journal: Report,
    /// None when the journal is damaged.
    chain: Option<ChainReport>,
    /// None when the chain is wrong, or when there is no state store: the next start makes it.
    state: Option<StateReport>,
}

#[derive(Debug, Default, Serialize)]
struct ChainReport {
    batches: u64,
    branches: usize,
    findings: Vec<Wrong>,
    more_findings: u64,
}

#[derive(Debug, Serialize)]
struct Wrong {
    lsn: Lsn,
    what: String,
}

/// Runs the command.
pub fn run(target: &Target, as_json: bool) -> Outcome {
    let folder = DataDir::open(&target.data_dir)?;
    let mut verified = Vec::new();
    let networks = networks(target.network.as_deref(), &folder)?;
    if networks.is_empty() {
        // Nothing was found wrong because nothing was looked at: that must not read as "clean".
        let message = format!("{}: no journal here, so nothing was verified", folder.path().display());
        return Err(Failure::new(Code::NotFound, message));
    }
    for network in networks {
        verified.push(network_of(&folder, &network)?);
    }
    let clean = verified.iter().all(|network| network.clean);
    if as_json {
        print::json(&json!({ "clean": clean, "networks": verified }))?;
    } else {
        print::lines(verified.iter().flat_map(said))?;
    }
    if clean { Ok(()) } else { Err(Failure::new(Code::Damaged, "damage was found")) }
}

fn network_of(folder: &DataDir, network: &str) -> Result<Verified, Failure> {
    let journal = verify(&RealDisk, folder.path(), network)?;
    let chain = if journal.is_clean() { Some(chain_of(folder, network)?) } else { None };
    let sound = chain.as_ref().is_some_and(|chain| chain.findings.is_empty());
    let state = if sound { state_of(folder, network)? } else { None };
    let clean = sound && state.as_ref().is_none_or(|state| state.findings.is_empty());
    Ok(Verified { network: network.to_owned(), clean, journal, chain, state })
}

/// The replay lies beside the data, because the system's temporary folder may be too small for it.
fn state_of(folder: &DataDir, network: &str) -> Result<Option<StateReport>, Failure> {
    let store = generation::newest(&folder.state(network));
    if !store.is_dir() {
        return Ok(None);
    }
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error);
    let scratch = folder.scratch()?;
    let base = Base::current(&folder.base(network)).map_err(|error| failed(&error))?;
    let reader = Reader::offline(Arc::new(RealDisk), folder.path(), network)?;
    let mut progress = Progress::new(&format!("{network} state"), *reader.durable().borrow());
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
    let report = verify_state(&reader, &store, base, scratch.path(), seed, |lsn| progress.reach(lsn));
    report.map(Some).map_err(|error| match error {
        VerifyError::State(error @ StateError::Damaged { .. }) => Failure::new(Code::Damaged, error),
        VerifyError::Journal(error) => error.into(),
        error => failed(&error),
    })
}

fn chain_of(folder: &DataDir, network: &str) -> Result<ChainReport, Failure> {
    let reader = Reader::offline(Arc::new(RealDisk), folder.path(), network)?;
    let mut progress = Progress::new(network, *reader.durable().borrow());
    let mut audit = Audit::new(network, reader.first());
    let mut report = ChainReport::default();
    // What lies before the floor is history; what follows it is what everything else is made of.
    let mut floor = reader.floor().filter(|_| reader.first() > 1);
    let mut cursor = reader.records(reader.first());
    while let Some(entry) = cursor.read()? {
        progress.reach(entry.lsn);
        let lsn = entry.lsn;
        if let Some(floor) = floor.take_if(|floor| floor.ledger_at() < lsn) {
            audit.knows(&floor.ledger()?);
        }
        let Some(what) = audit.take(lsn, entry.record()?, &mut &reader)? else { continue };
        if report.findings.len() < MAX_FINDINGS {
            report.findings.push(Wrong { lsn, what });
        } else {
            report.more_findings += 1;
        }
    }
    (report.batches, report.branches) = (audit.batches, audit.branches());
    Ok(report)
}

impl Older<JournalError> for &Reader {
    fn record(&mut self, lsn: Lsn) -> Result<Record, JournalError> {
        Reader::record(self, lsn)
    }

    fn body(&mut self, lsn: Lsn) -> Result<Vec<u8>, JournalError> {
        Reader::body(self, lsn)
    }
}

fn said(network: &Verified) -> Vec<String> {
    let (name, journal) = (&network.network, &network.journal);
    let mut lines = Vec::new();
    let mut line = |text: String| lines.push(text);
    let late = if journal.first > 1 { format!(", from record {}", journal.first) } else { String::new() };
    line(format!(
        "{name}  journal: {} records, {} bodies, {} segments{late}",
        journal.records, journal.bodies, journal.segments
    ));
    if journal.torn_bytes > 0 {
        let bytes = journal.torn_bytes;
        line(format!("  {bytes} bytes of a torn write at the end, never acknowledged: the next start cuts them off"));
    }
    for finding in &journal.findings {
        let segment = finding.segment.display();
        line(format!("  DAMAGE {segment} at byte {}, record {}: {}", finding.offset, finding.lsn, finding.what));
    }
    match &network.chain {
        Some(chain) => {
            line(format!("{name}  chain: {} batches on {} branches", chain.batches, chain.branches));
            chain.findings.iter().for_each(|wrong| line(format!("  WRONG record {}: {}", wrong.lsn, wrong.what)));
        }
        None => line(format!("{name}  chain: not judged, because the journal is damaged")),
    }
    if let Some(state) = &network.state {
        line(format!(
            "{name}  state: {} leaves at {} points, up to record {}",
            state.leaves,
            state.points.len(),
            state.cursor
        ));
        if let Some(why) = &state.unreadable {
            line(format!("  the store cannot be read ({why}): the next start rebuilds it from the journal"));
        }
        state.findings.iter().for_each(|wrong| line(format!("  WRONG {wrong}")));
    }
    let more = journal.more_findings + network.chain.as_ref().map_or(0, |chain| chain.more_findings);
    if more > 0 {
        line(format!("  and {more} more"));
    }
    line(format!("{name}  {}", if network.clean { "clean" } else { "NOT clean" }));
    lines
}
