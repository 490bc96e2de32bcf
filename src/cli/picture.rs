//! `honeygraph picture`: the state at a root as a file, for newcomers.
//!
//! *Always holds:* an export reads and never writes in the data folder (a node may run on it); nothing runs on the folder
//! while one is imported (its lock is held), and every leaf is checked before the base in force is replaced.

use super::exit::{Code, Failure, Outcome};
use super::{base, print};
use crate::config::Target;
use crate::data_dir::{self, DataDir, DataDirError};
use crate::pictures::file::{Picture, export};
use crate::pictures::{PictureError, part};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// `honeygraph picture ...`
#[derive(Debug, Subcommand)]
pub enum PictureCommand {
    /// Write the newest picture of a network to a file, or the one of a root (a node may run)
    Export(Export),
    /// Take a picture as its network's base: the next start rebuilds the state on it
    Import(Import),
    /// Pictures of each network (or of --network), the newest first
    List,
}

/// `honeygraph picture export`
#[derive(Debug, Args)]
pub struct Export {
    /// The file, which is made
    file: PathBuf,
    /// CID of the root, or its block; else the newest
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
}

/// `honeygraph picture import`
#[derive(Debug, Args)]
pub struct Import {
    /// The file
    file: PathBuf,
    /// CID that the root must have: a picture proves that it is whole, not that it is true
    #[arg(long, value_name = "CID")]
    hash: Option<String>,
}

impl From<PictureError> for Failure {
    fn from(error: PictureError) -> Self {
        let code = match error {
            PictureError::Damaged { .. } => Code::Damaged,
            PictureError::TooLarge => Code::Refused,
            PictureError::Base(error) => return error.into(),
            PictureError::Io { .. } | PictureError::State(_) | PictureError::Stopped => Code::Failed,
        };
        Failure::new(code, error)
    }
}

/// Runs the command.
pub fn run(command: &PictureCommand, target: &Target, as_json: bool) -> Outcome {
    match command {
        PictureCommand::Export(order) => write(order, target, as_json),
        PictureCommand::Import(order) => import(order, target, as_json),
        PictureCommand::List => list(target, as_json),
    }
}

/// The pictures in the data folder, by network.
fn held(target: &Target) -> Result<Vec<(String, Vec<Picture>)>, Failure> {
    if !target.data_dir.is_dir() {
        return Err(DataDirError::Missing(target.data_dir.clone()).into());
    }
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let mut all = Vec::new();
    for network in names(&target.data_dir.join("pictures")) {
        if target.network.as_ref().is_some_and(|wanted| *wanted != network) {
            continue;
        }
        let folder = data_dir::pictures(&target.data_dir, &network);
        // What a running node is making, or lets go of meanwhile, is none.
        let mut pictures: Vec<Picture> =
            names(&folder).iter().filter_map(|name| Picture::open(&folder.join(name)).ok()).collect();
        pictures.sort_by_key(|picture| std::cmp::Reverse(picture.label()));
        all.push((network, pictures));
    }
    Ok(all)
}

fn about(picture: &Picture) -> Value {
    let about = picture.about();
    json!({
        "root": picture.root(),
        "label": picture.label(),
        "bytes": about.manifest.bytes,
        "leaves": about.manifest.leaves.len(),
        "file_bytes": picture.file_bytes(),
    })
}

fn write(order: &Export, target: &Target, as_json: bool) -> Outcome {
    let mut all = held(target)?;
    all.retain(|(_, pictures)| !pictures.is_empty());
    if all.len() > 1 {
        return Err(Failure::new(Code::Usage, "several networks have pictures: say which with --network"));
    }
    let pictures = all.pop().map(|(_, pictures)| pictures).unwrap_or_default();
    let wanted = |picture: &Picture| {
        order.root.as_ref().is_none_or(|root| root == picture.root().as_str() || *root == picture.label().to_string())
    };
    let none = "no such picture: one is made when a root is verified, and the two newest are kept";
    let picture = pictures.into_iter().find(wanted).ok_or_else(|| Failure::new(Code::NotFound, none))?;
    export(&picture, &order.file)?;
    let network = picture.about().of.network.as_str();
    if as_json {
        return print::json(&json!({ "network": network, "picture": about(&picture), "file": order.file }));
    }
    let (root, label) = (picture.root(), picture.label());
    print::line(&format!("{network}: root {root} of checkpoint {label}, {} bytes", picture.file_bytes()))
}

fn import(order: &Import, target: &Target, as_json: bool) -> Outcome {
    let picture = Picture::open(&order.file)?;
    let network = picture.about().of.network.as_str();
    if target.network.as_ref().is_some_and(|wanted| wanted != network) {
        return Err(Failure::new(Code::Refused, format!("it is a picture of {network}")));
    }
    if order.hash.as_ref().is_some_and(|hash| hash != picture.root().as_str()) {
        return Err(Failure::new(Code::Refused, format!("it is the picture of root {}", picture.root())));
    }
    let folder = DataDir::create(&target.data_dir)?;
    base::may_have_a_base(&folder, network)?;
    let taken = part::import(&picture, &folder.fetching(network), &folder.base(network), &|_| ())?;
    base::tell(network, &taken, as_json)
}

fn list(target: &Target, as_json: bool) -> Outcome {
    let all = held(target)?;
    if as_json {
        let shown: Vec<Value> = all
            .iter()
            .map(|(network, pictures)| json!({ "network": network, "pictures": pictures.iter().map(about).collect::<Vec<_>>() }))
            .collect();
        return print::json(&json!({ "networks": shown }));
    }
    let lines = all.iter().flat_map(|(network, pictures)| {
        pictures.iter().map(move |picture| {
            let (label, root, bytes) = (picture.label(), picture.root(), picture.about().manifest.bytes);
            format!("{network}  {label}  {root}  {bytes} bytes, {} packed", picture.file_bytes())
        })
    });
    print::lines(lines)
}
