//! `honeygraph base`: what a network's state was before this replica's history.
//!
//! *Always holds:* nothing runs on the folder while a base is taken (its lock is held); a document is checked before the
//! one in force is replaced.

use super::exit::{Code, Failure, Outcome};
use super::print;
use crate::config::Target;
use crate::data_dir::{DataDir, DataDirError};
use crate::journal::disk::real::RealDisk;
use crate::journal::trim::beginning;
use crate::projection::base::{self, Base, BaseError, Imported, MAX_BYTES};
use crate::proof::claimed::{self, ClaimError};
use crate::proof::gateway::GatewayError;
use crate::proof::source::{self, SourceError};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

/// `honeygraph base ...`
#[derive(Debug, Subcommand)]
pub enum BaseCommand {
    /// Take a root document as the network's base, the next start rebuilds the state on it; with --state lay aside what
    /// honeycomb's GET /state says until a daily root proves it (a node may run)
    Import(Import),
    /// The base in force of each network (or of --network)
    Show,
}

/// `honeygraph base import`
#[derive(Debug, Args)]
pub struct Import {
    /// A file, an address (http://, https://), or a CID (Qm...) to ask the gateways for
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    source: String,
    /// CID that the document must have; a CID as the source says it already
    #[arg(long, value_name = "CID")]
    hash: Option<String>,
    /// The source is honeycomb's `GET /state`, which proves nothing by itself
    #[arg(long, conflicts_with = "hash")]
    state: bool,
}

impl From<BaseError> for Failure {
    fn from(error: BaseError) -> Self {
        let code = match error {
            BaseError::Io { .. } => Code::Failed,
            _ => Code::Refused,
        };
        Failure::new(code, error)
    }
}

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        let code = match error {
            ClaimError::Io { .. } => Code::Failed,
            _ => Code::Refused,
        };
        Failure::new(code, error)
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        let code = match error {
            GatewayError::None => Code::Usage,
            GatewayError::Client(_) => Code::Failed,
            GatewayError::Nowhere { .. } | GatewayError::Url { .. } => Code::NotReachable,
        };
        Failure::new(code, error)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Gateway(error) => error.into(),
            SourceError::File { .. } => Failure::new(Code::NotFound, error),
            SourceError::TooLarge { .. } => Failure::new(Code::Refused, error),
        }
    }
}

/// Runs the command.
pub fn run(command: &BaseCommand, target: &Target, as_json: bool) -> Outcome {
    match command {
        BaseCommand::Import(order) if order.state => claim(order, target, as_json),
        BaseCommand::Import(order) => import(order, target, as_json),
        BaseCommand::Show => show(target, as_json),
    }
}

fn import(order: &Import, target: &Target, as_json: bool) -> Outcome {
    let folder = DataDir::create(&target.data_dir)?;
    let network = named(target)?;
    may_have_a_base(&folder, network)?;
    let (bytes, expected) = fetch(order, target)?;
    let taken = base::import(&folder.base(network), &bytes, expected)?;
    tell(network, &taken, as_json)
}

/// Refuses another base where the state cannot be made again from its beginning.
pub(super) fn may_have_a_base(folder: &DataDir, network: &str) -> Outcome {
    let begins = beginning(&RealDisk, folder.path(), network)?;
    if begins.first <= 1 {
        return Ok(());
    }
    let message = format!(
        "the journal of {network} begins with record {}: its state cannot be made again with another base. Restore a backup from before, or begin anew",
        begins.first
    );
    Err(Failure::new(Code::Refused, message))
}

/// Says which base was taken.
pub(super) fn tell(network: &str, taken: &Imported, as_json: bool) -> Outcome {
    if as_json {
        return print::json(&json!({ "network": network, "base": taken }));
    }
    let Imported { hash, label, leaves, bytes } = taken;
    print::line(&format!("{network}: base {hash} of checkpoint {label}, {leaves} leaves, {bytes} bytes"))?;
    print::line("the next start rebuilds the state on it, where a history has a period that this hash opened")
}

/// Lays a state aside that a root may prove.
fn claim(order: &Import, target: &Target, as_json: bool) -> Outcome {
    let network = named(target)?;
    if !target.data_dir.is_dir() {
        return Err(DataDirError::Missing(target.data_dir.clone()).into());
    }
    let (answer, _) = fetch(order, target)?;
    let leaves = claimed::keep(&target.data_dir, network, &answer)?;
    if as_json {
        return print::json(&json!({ "network": network, "leaves": leaves, "proven": false }));
    }
    print::line(&format!("{network}: {leaves} leaves, worth nothing until a daily root proves them"))?;
    print::line("then they become the base of the network at the next start")
}

fn named(target: &Target) -> Result<&String, Failure> {
    let none = || Failure::new(Code::Usage, "say which network it is the base of: --network");
    target.network.as_ref().ok_or_else(none)
}

/// The document, and the CID that it must have.
fn fetch<'a>(order: &'a Import, target: &Target) -> Result<(Vec<u8>, Option<&'a str>), Failure> {
    let (source, mut expected) = (order.source.as_str(), order.hash.as_deref());
    if source::is_cid(source) {
        if expected.is_some_and(|expected| expected != source) {
            return Err(Failure::new(Code::Usage, "the source is a CID already, and --hash is another one"));
        }
        expected = Some(source);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, error))?;
    Ok((runtime.block_on(source::fetch(source, &target.gateways, MAX_BYTES))?, expected))
}

fn show(target: &Target, as_json: bool) -> Outcome {
    let folder = DataDir::open(&target.data_dir)?;
    let mut bases = Vec::new();
    for network in super::journal::networks(target.network.as_deref(), &folder)? {
        bases.push((Base::current(&folder.base(&network))?.map(|base| base.hash), network));
    }
    if as_json {
        let shown: Vec<_> = bases.iter().map(|(hash, network)| json!({ "network": network, "base": hash })).collect();
        return print::json(&json!({ "networks": shown }));
    }
    print::lines(bases.iter().map(|(hash, network)| {
        format!("{network}  {}", hash.as_ref().map_or("no base".to_owned(), ToString::to_string))
    }))
}
