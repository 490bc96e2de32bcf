//! `honeygraph journal export | import`: a range of a journal as one file, or through a pipe.
//!
//! *Always holds:* an import changes nothing before all of it was checked: each record by itself, and the chain that its
//! batches make behind what is held.

use super::exit::{Code, Failure, Outcome};
use super::journal::the_one;
use super::print;
use super::progress::Progress;
use crate::config::Target;
use crate::data_dir::DataDir;
use crate::fork::audit::{Audit, Older};
use crate::fork::ledger::Ledger;
use crate::fork::record::{Lsn, Record};
use crate::fork::snapshot;
use crate::journal::disk::real::RealDisk;
use crate::journal::exchange::{ExchangeError, Staged, Terms, export, stage};
use crate::journal::{JournalError, Reader, ledger_file};
use crate::projection::generation;
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Standard input or output.
const PIPE: &str = "-";
/// A label instead of a record's number.
const LABEL: &str = "label:";

/// `honeygraph journal export`
#[derive(Debug, Args)]
pub struct Export {
    /// The file, which must not be there; - is standard output
    file: PathBuf,
    /// First record, or label:N for the first that a batch of this block or a later one is made of; without it everything
    #[arg(long, value_name = "LSN|label:N")]
    from: Option<String>,
    /// Last record, or label:N for the last batch of this block or an earlier one
    #[arg(long, value_name = "LSN|label:N")]
    to: Option<String>,
}

/// `honeygraph journal import`
#[derive(Debug, Args)]
pub struct Import {
    /// The file; - is standard input
    file: PathBuf,
    /// Take the state that a journal which begins late stands on: nothing in the file can prove it
    #[arg(long)]
    believe_floor: bool,
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let code = match error {
            ExchangeError::Journal(error) => return error.into(),
            ExchangeError::Io { .. } => Code::Failed,
            ExchangeError::Format { .. } | ExchangeError::Record { .. } => Code::Damaged,
            _ => Code::Refused,
        };
        Failure::new(code, error)
    }
}

/// A failure at a file.
fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Failed };
        Failure::new(code, format!("{}: {error}", path.display()))
    }
}

/// Writes a range; a node may run on the folder.
pub fn write(order: &Export, target: &Target, as_json: bool) -> Outcome {
    let networks = match &target.network {
        Some(network) => vec![network.clone()],
        None => crate::journal::verify::networks(&RealDisk, &target.data_dir)?,
    };
    let reader = the_one(&target.data_dir, &networks)?;
    let from = order.from.as_deref().map(|text| resolve(&reader, text, true)).transpose()?;
    let to = order.to.as_deref().map(|text| resolve(&reader, text, false)).transpose()?;
    let end = to.unwrap_or_else(|| *reader.durable().borrow());
    let mut progress = Progress::new(reader.network(), end);
    let reached = |lsn| progress.reach(lsn);
    if order.file.as_os_str() == PIPE {
        // What is told about it goes beside the bytes.
        let done = export(&reader, from, to, &mut BufWriter::new(io::stdout().lock()), reached)?;
        print::beside(&json!(done).to_string());
        return Ok(());
    }
    let mut part = order.file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    if order.file.exists() {
        return Err(Failure::new(Code::Refused, format!("{} is there already", order.file.display())));
    }
    let mut file = File::create_new(&part).map_err(at(&part))?;
    let written = export(&reader, from, to, &mut file, reached).map_err(Failure::from);
    let written = written.and_then(|done| file.sync_all().map(|()| done).map_err(at(&part)));
    let done = match written {
        Ok(done) => done,
        Err(failure) => {
            // What is there of it is no export.
            let _ = std::fs::remove_file(&part);
            return Err(failure);
        }
    };
    std::fs::rename(&part, &order.file).map_err(at(&order.file))?;
    if as_json {
        return print::json(&done);
    }
    let floor = if done.floor { ", and what it stands on" } else { "" };
    print::line(&format!("{}  records {} to {}, {} bytes{floor}", done.network, done.first, done.last, done.bytes))
}

/// The record that a text names.
fn resolve(reader: &Reader, text: &str, first: bool) -> Result<Lsn, Failure> {
    let usage = || Failure::new(Code::Usage, format!("{text:?} is neither a record's number nor label:N"));
    let Some(label) = text.strip_prefix(LABEL) else { return text.parse().map_err(|_| usage()) };
    let label: u64 = label.parse().map_err(|_| usage())?;
    let mut cursor = reader.records(reader.first());
    let mut found = None;
    while let Some(entry) = cursor.read()? {
        let lsn = entry.lsn;
        if entry.kind != crate::journal::Kind::Chain {
            continue;
        }
        let Record::Chain(chain) = entry.record()? else { continue };
        if first && chain.label.is_some_and(|of| of >= label) {
            found = chain.pieces.iter().copied().chain([lsn]).min();
            break;
        }
        if !first && chain.label.is_some_and(|of| of <= label) {
            found = Some(lsn);
        }
    }
    found.ok_or_else(|| Failure::new(Code::NotFound, format!("no batch of block {label} here")))
}

/// Takes a range into the data folder.
pub fn read(order: &Import, target: &Target, as_json: bool) -> Outcome {
    let folder = DataDir::create(&target.data_dir)?;
    let scratch = folder.scratch()?;
    let input: Box<dyn Read> = match order.file.as_os_str() == PIPE {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(&order.file).map_err(at(&order.file))?),
    };
    let mut progress: Option<Progress> = None;
    let terms = Terms { network: target.network.as_deref(), believe_floor: order.believe_floor, ..Terms::default() };
    let places = (folder.path(), scratch.path());
    let staged = stage(Arc::new(RealDisk), places, terms, input, |head, lsn| {
        progress.get_or_insert_with(|| Progress::new(&head.network, head.last)).reach(lsn);
    })?;
    drop(progress);
    let ledger = chained(&staged)?;
    let (head, added) = (staged.head.clone(), staged.added);
    let state = folder.state(&head.network);
    generation::settle(&state).map_err(at(&state))?;
    if staged.held.last == 0 && state.exists() {
        // Made of another journal, if of any: it is made again.
        std::fs::remove_dir_all(&state).map_err(at(&state))?;
    }
    staged.commit()?;
    if let Some(ledger) = ledger {
        // The next start is quicker with it, and as right without.
        let bytes = snapshot::to_bytes(&ledger).map_err(|error| Failure::new(Code::Failed, error))?;
        let journal = folder.journal(&head.network);
        ledger_file::save(&RealDisk, &journal, &bytes).map_err(at(&journal))?;
    }
    if as_json {
        return print::json(&json!({
            "network": head.network, "first": head.first, "last": head.last, "added": added, "floor": head.floor_bytes > 0,
        }));
    }
    print::line(&format!("{}  records {} to {}: {added} are new", head.network, head.first, head.last))
}

/// What is held and what is new, as one journal.
struct Both {
    held: Option<Reader>,
    last: Lsn,
    new: Reader,
}

impl Both {
    fn of(&self, lsn: Lsn) -> &Reader {
        self.held.as_ref().filter(|_| lsn <= self.last).unwrap_or(&self.new)
    }
}

impl Older<JournalError> for &Both {
    fn record(&mut self, lsn: Lsn) -> Result<Record, JournalError> {
        self.of(lsn).record(lsn)
    }

    fn body(&mut self, lsn: Lsn) -> Result<Vec<u8>, JournalError> {
        self.of(lsn).body(lsn)
    }
}

/// Holds the chain that the new records make against itself, and against what is held. Gives the ledger behind the last.
fn chained(staged: &Staged) -> Result<Option<Ledger>, Failure> {
    let Some(new) = staged.reader()? else { return Ok(None) };
    let both = Both { held: staged.held.reader(), last: staged.held.last, new: new.clone() };
    let network = &staged.head.network;
    let (mut audit, mut ledger, mut floor) = match &both.held {
        Some(held) => {
            let ledger = held.ledger_at(both.last)?;
            let mut audit = Audit::new(network, held.first());
            audit.knows(&ledger);
            (audit, ledger, None)
        }
        None => {
            let floor = new.floor();
            let ledger = floor.as_ref().map_or_else(|| Ok(Ledger::default()), |floor| floor.ledger())?;
            (Audit::new(network, new.first()), ledger, floor)
        }
    };
    let mut progress = Progress::new(network, staged.head.last);
    let mut cursor = new.records(new.first());
    while let Some(entry) = cursor.read()? {
        let (lsn, record) = (entry.lsn, entry.record()?);
        progress.reach(lsn);
        if floor.take_if(|floor| floor.ledger_at() < lsn).is_some() {
            audit.knows(&ledger);
        }
        let wrong = |what: String| Failure::new(Code::Damaged, format!("record {lsn}: {what}; nothing was taken"));
        // Written by somebody else: a record that no honest node writes must not take this one down later.
        if lsn > ledger.lsn {
            let applied = catch_unwind(AssertUnwindSafe(|| ledger.apply(lsn, &record)));
            applied.map_err(|_| wrong("it does not fit what came before".into()))?;
        }
        if let Some(what) = audit.take(lsn, record, &mut &both)? {
            return Err(wrong(what));
        }
    }
    Ok(Some(ledger))
}
