//! `honeygraph journal`: looking into the journals of a data folder.
//!
//! *Always holds:* but for `import` nothing is changed; but for `export` nothing runs on the folder meanwhile (its lock is
//! held).

use super::exchange;
use super::exit::{Code, Failure, Outcome};
use super::print;
use crate::config::Target;
use crate::data_dir::DataDir;
use crate::fork::record::{Lsn, Record};
use crate::journal::disk::real::RealDisk;
use crate::journal::verify::{self, Stat};
use crate::journal::{Entry, JournalError, Kind, Reader};
use clap::{Args, Subcommand};
use honeygraph_protocols::op;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const MIB: f64 = (1 << 20) as f64;

/// `honeygraph journal ...`
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Segments, records and bytes of each network; reads, and so checks, every record
    Stat,
    /// The records of a network (the only one with data, or --network), one JSON object a line
    Cat(Cat),
    /// Write a range of a network's records (the only one with data, or --network); a node may run on the folder
    Export(exchange::Export),
    /// Take records into an empty data folder, or behind those that are held: checked whole before anything is taken
    Import(exchange::Import),
}

/// `honeygraph journal cat`
#[derive(Debug, Args)]
pub struct Cat {
    /// First record
    #[arg(long, value_name = "LSN")]
    from: Option<Lsn>,
    /// At most so many records
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// With the operations of each piece
    #[arg(long)]
    bodies: bool,
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let code = match error {
            JournalError::Damage { .. } | JournalError::LostTail { .. } | JournalError::Malformed(_) => Code::Damaged,
            JournalError::Locked(_) => Code::InUse,
            JournalError::NotHeld(_) | JournalError::NoBody(_) => Code::NotFound,
            JournalError::Trimmed { .. } => Code::Refused,
            _ => Code::Failed,
        };
        Failure::new(code, error)
    }
}

/// Networks that a command on the data folder works on: the one that was named, else all that have a journal.
pub fn networks(named: Option<&str>, folder: &DataDir) -> Result<Vec<String>, Failure> {
    let held = folder.networks()?;
    match named {
        None => Ok(held),
        Some(name) if held.iter().any(|held| held == name) => Ok(vec![name.to_owned()]),
        Some(name) => {
            let held = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
            Err(Failure::new(Code::NotFound, format!("no journal of {name} here; there are: {held}")))
        }
    }
}

/// Runs the command.
pub fn run(command: &JournalCommand, target: &Target, as_json: bool) -> Outcome {
    match command {
        JournalCommand::Export(order) => exchange::write(order, target, as_json),
        JournalCommand::Import(order) => exchange::read(order, target, as_json),
        JournalCommand::Stat => {
            let folder = DataDir::open(&target.data_dir)?;
            stat(&folder, &networks(target.network.as_deref(), &folder)?, as_json)
        }
        JournalCommand::Cat(cat) => {
            let folder = DataDir::open(&target.data_dir)?;
            cat_records(&the_one(folder.path(), &networks(target.network.as_deref(), &folder)?)?, cat)
        }
    }
}

/// The only journal with records: a node makes one for each network that it knows.
pub fn the_one(folder: &Path, networks: &[String]) -> Result<Reader, Failure> {
    let mut readers = Vec::new();
    for network in networks {
        readers.push((network, Reader::offline(Arc::new(RealDisk), folder, network)?));
    }
    if readers.len() > 1 {
        readers.retain(|(_, reader)| *reader.durable().borrow() > 0);
    }
    if readers.len() > 1 {
        let names: Vec<&str> = readers.iter().map(|(network, _)| network.as_str()).collect();
        return Err(Failure::new(Code::Usage, format!("several have data, say --network: {}", names.join(", "))));
    }
    let one = readers.pop().map(|(_, reader)| reader);
    one.ok_or_else(|| Failure::new(Code::NotFound, "no journal here has a record"))
}

fn stat(folder: &DataDir, networks: &[String], as_json: bool) -> Outcome {
    let mut stats = Vec::new();
    for network in networks {
        stats.push(verify::stat(Arc::new(RealDisk), folder.path(), network)?);
    }
    if as_json {
        return print::json(&json!({ "networks": stats }));
    }
    let row = |s: &Stat| {
        let records = |kind| s.kinds.iter().find(|k| k.kind == kind).map_or(0, |k| k.records).to_string();
        let (segments, first, last) = (s.segments.to_string(), s.first.to_string(), s.last.to_string());
        let mib = format!("{:.1}", s.bytes as f64 / MIB);
        let compression = format!("{:.1}x", s.compression);
        vec![s.network.clone(), segments, first, last, mib, compression, records(Kind::Piece), records(Kind::Chain)]
    };
    let heading = ["network", "segments", "first", "last", "MiB", "compression", "pieces", "batches"];
    print::table(&heading, stats.iter().map(row).collect())
}

fn cat_records(reader: &Reader, cat: &Cat) -> Outcome {
    let mut cursor = reader.records(cat.from.unwrap_or_else(|| reader.first()));
    let mut left = cat.limit;
    while left > 0 {
        let Some(entry) = cursor.read()? else { break };
        if !print::read_on(&shown(&entry, cat.bodies)?.to_string())? {
            break;
        }
        left -= 1;
    }
    Ok(())
}

fn shown(entry: &Entry<'_>, bodies: bool) -> Result<Value, Failure> {
    let record = entry.record()?;
    let mut value = fields(&record).map_err(|error| Failure::new(Code::Failed, error))?;
    if let Some(bytes) = value.get("ops_hash").and_then(Value::as_array) {
        let hex = bytes.iter().map(|b| format!("{:02x}", b.as_u64().unwrap_or(0))).collect::<String>();
        value["ops_hash"] = hex.into();
    }
    let mut line = json!({ "lsn": entry.lsn, "kind": entry.kind, "record": value });
    if let (true, Record::Piece(_)) = (bodies, &record) {
        line["operations"] = operations(entry)?;
    }
    Ok(line)
}

/// The texts of a piece's operations, as JSON where this parser can hold them (else as the text itself).
fn operations(entry: &Entry<'_>) -> Result<Value, Failure> {
    let body = entry.frame.map(|frame| frame.unpack()).transpose()?.unwrap_or_default();
    let mut list = Vec::new();
    for text in op::texts(&body) {
        let text = text.map_err(|error| Failure::new(Code::Damaged, format!("record {}: {error}", entry.lsn)))?;
        let parsed = std::str::from_utf8(text).ok().and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok());
        let value = parsed.and_then(|raw| serde_json::to_value(raw).ok());
        list.push(value.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned().into()));
    }
    Ok(list.into())
}

fn fields(record: &Record) -> serde_json::Result<Value> {
    match record {
        Record::Piece(record) => serde_json::to_value(record),
        Record::Opened(record) => serde_json::to_value(record),
        Record::Named(record) => serde_json::to_value(record),
        Record::Branch(record) => serde_json::to_value(record),
        Record::Chain(record) => serde_json::to_value(record),
        Record::Head(record) => serde_json::to_value(record),
        Record::Checkpoint(record) => serde_json::to_value(record),
        Record::Gap(record) => serde_json::to_value(record),
        Record::Retired(record) => serde_json::to_value(record),
        Record::Same(record) => serde_json::to_value(record),
        Record::Stands(record) => serde_json::to_value(record),
        Record::Proof(record) => serde_json::to_value(record),
        Record::Trust(record) => serde_json::to_value(record),
        Record::Rebased(record) => serde_json::to_value(record),
        Record::Agreed(record) => serde_json::to_value(record),
    }
}
