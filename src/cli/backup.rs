//! `honeygraph backup`: everything that cannot be made again, in one file, while the node runs.
//!
//! ```text
//! journal/<network>/<segment>   its records up to one of them
//! journal/<network>/first       and floor: where it begins, when that is not record 1
//! base/<network>/<cid>.json     the base, if there is one
//! swarm/key                     who this node is to others, if it has ever taken part
//! swarm/binding.json            the account that it votes for, and
//! swarm/votes-<network>         what it said, so that it never says two things
//! keys.json                     hashes of the keys that were given out, if there are any
//! honeygraph.toml               the settings, if they come from a file
//! manifest.json                 last: what is in it, with the blake3 of each file
//! ```
//!
//! A zstd-packed tar. The state is not in it: it is made again from the journal.
//!
//! *Always holds:* the file is whole or not there, and its owner's alone, as are the keys in it; a restore takes nothing whose
//! hash is not the manifest's, and writes into an empty data folder only.

use super::exit::{Code, Failure, Outcome};
use super::print;
use super::progress::Progress;
use crate::access::keys::keys_path;
use crate::config::Target;
use crate::data_dir::{DataDir, swarm_key};
use crate::fork::record::Lsn;
use crate::journal::disk::real::RealDisk;
use crate::journal::extents::extents;
use crate::journal::verify::verify;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Format of the file.
const VERSION: u32 = 1;
/// Name of the last entry.
const MANIFEST: &str = "manifest.json";
/// The node's key.
const KEY: &str = "swarm/key";
/// Hashes of the keys that were given out.
const GIVEN_OUT: &str = "keys.json";
/// Folder of what a node is to others.
const SWARM: &str = "swarm";
/// Largest manifest read, in bytes: a name and a hash for each segment of 64 MiB.
const MANIFEST_BYTES: u64 = 16 << 20;
/// zstd level: bodies are packed already; what packs well are zeros and chain records.
const LEVEL: i32 = 3;
/// How often a backup begins anew because what it was about to copy had gone.
const AGAIN: u32 = 3;

/// `honeygraph backup ...`
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Write a backup of a data folder, on which a node may run
    Create {
        /// The file, .tar.zst by custom; it must not be there
        file: PathBuf,
    },
    /// Make a data folder of a backup; the folder must be empty or not there
    Restore {
        /// The file
        file: PathBuf,
    },
}

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    created_at_ms: u64,
    /// Last record of each network's journal.
    networks: BTreeMap<String, Lsn>,
    /// Bytes and blake3 of each file.
    files: BTreeMap<String, (u64, String)>,
}

/// Runs the command.
pub fn run(command: &BackupCommand, target: &Target, settings: Option<&Path>, as_json: bool) -> Outcome {
    match command {
        BackupCommand::Create { file } => create(file, target, settings, as_json),
        BackupCommand::Restore { file } => restore(file, target, as_json),
    }
}

/// A failure at a file.
fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Code::Damaged,
            _ => Code::Failed,
        };
        Failure::new(code, format!("{}: {error}", path.display()))
    }
}

fn create(file: &Path, target: &Target, settings: Option<&Path>, as_json: bool) -> Outcome {
    if file.exists() {
        return Err(Failure::new(Code::Refused, format!("{} is there already", file.display())));
    }
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut written = write(&part, target, settings);
    for _ in 0..AGAIN {
        // Retention may take away what was about to be copied.
        if !matches!(&written, Err(failure) if failure.code == Code::NotFound && part.exists()) {
            break;
        }
        std::fs::remove_file(&part).map_err(at(&part))?;
        written = write(&part, target, settings);
    }
    let manifest = match written {
        Ok(manifest) => manifest,
        Err(failure) => {
            // What is there of it is no backup.
            let _ = std::fs::remove_file(&part);
            return Err(failure);
        }
    };
    std::fs::rename(&part, file).map_err(at(file))?;
    report(&manifest, "backed up", as_json)
}

fn write(part: &Path, target: &Target, settings: Option<&Path>) -> Result<Manifest, Failure> {
    let folder = &target.data_dir;
    let networks = journals(folder)?;
    if networks.is_empty() {
        return Err(Failure::new(Code::NotFound, format!("{}: no journal here", folder.display())));
    }
    let io = at(part);
    let packed = zstd::Encoder::new(private(part).map_err(&io)?, LEVEL).map_err(&io)?;
    let mut archive = Archive { tar: tar::Builder::new(packed), manifest: Manifest::new() };
    for network in &networks {
        // What is acknowledged before this moment is in it.
        let found = extents(&RealDisk, folder, network)?;
        archive.manifest.networks.insert(network.clone(), found.last);
        let mut progress = Progress::new(network, found.files.iter().map(|(_, bytes)| bytes).sum());
        let mut done = 0;
        for path in found.beside {
            archive.file(&format!("journal/{network}"), &path, None)?;
        }
        for (path, bytes) in found.files {
            archive.file(&format!("journal/{network}"), &path, Some(bytes))?;
            done += bytes;
            progress.reach(done);
        }
        let base = folder.join("base").join(network);
        for path in listed(&base)?.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
            archive.file(&format!("base/{network}"), &path, None)?;
        }
    }
    let key = swarm_key(folder);
    if key.exists() {
        archive.named(KEY, &key, None)?;
    }
    for path in listed(&folder.join(SWARM))?.into_iter().filter(|path| is_vote(path)) {
        archive.file(SWARM, &path, None)?;
    }
    let given_out = keys_path(folder);
    if given_out.exists() {
        archive.named(GIVEN_OUT, &given_out, None)?;
    }
    if let Some(path) = settings {
        archive.named("honeygraph.toml", path, None)?;
    }
    let Archive { mut tar, manifest } = archive;
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Failure::new(Code::Failed, error))?;
    tar.append_data(&mut header(text.len() as u64), MANIFEST, text.as_slice()).map_err(&io)?;
    let packed = tar.into_inner().map_err(&io)?;
    packed.finish().map_err(&io)?.sync_all().map_err(&io)?;
    Ok(manifest)
}

/// A new file that only its owner reads and writes.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Networks that have a journal in a folder that a node may have locked.
fn journals(folder: &Path) -> Result<Vec<String>, Failure> {
    let names = listed(&folder.join("journal"))?.into_iter().filter(|path| path.is_dir());
    Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
}

/// What is in a folder, in order; nothing when it is not there.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(folder))?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    if let Ok(paths) = &mut paths {
        paths.sort();
    }
    paths.map_err(at(folder))
}

/// A backup that is being written.
struct Archive<W: Write> {
    tar: tar::Builder<W>,
    manifest: Manifest,
}

impl<W: Write> Archive<W> {
    fn file(&mut self, folder: &str, path: &Path, bytes: Option<u64>) -> Result<(), Failure> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.named(&format!("{folder}/{name}"), path, bytes)
    }

    fn named(&mut self, name: &str, path: &Path, bytes: Option<u64>) -> Result<(), Failure> {
        let io = at(path);
        let file = File::open(path).map_err(&io)?;
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => file.metadata().map_err(&io)?.len(),
        };
        let mut hashed = Hashed { inner: file.take(bytes), hasher: blake3::Hasher::new(), bytes: 0 };
        self.tar.append_data(&mut header(bytes), name, &mut hashed).map_err(&io)?;
        if hashed.bytes != bytes {
            return Err(io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.manifest.files.insert(name.to_owned(), (bytes, hashed.hasher.finalize().to_hex().to_string()));
        Ok(())
    }
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    header
}

impl Manifest {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Self { version: VERSION, created_at_ms: now, networks: BTreeMap::new(), files: BTreeMap::new() }
    }
}

/// Hashes what passes.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Whether a file of the swarm's folder is what the node said, or for whom.
fn is_vote(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "binding.json" || (name.starts_with("votes-") && !name.ends_with(".tmp"))
}

fn restore(file: &Path, target: &Target, as_json: bool) -> Outcome {
    let folder = &target.data_dir;
    if !listed(folder)?.is_empty() {
        return Err(Failure::new(Code::Refused, format!("{} is not empty", folder.display())));
    }
    let held = DataDir::create(folder)?;
    let unpacked = unpack(file, folder);
    if let Err(failure) = unpacked {
        // Half a journal must not be taken for one.
        for part in ["journal", "base", "swarm"] {
            let _ = std::fs::remove_dir_all(folder.join(part));
        }
        for file in [GIVEN_OUT, "honeygraph.toml"] {
            let _ = std::fs::remove_file(folder.join(file));
        }
        return Err(failure);
    }
    let manifest = unpacked?;
    for (network, last) in &manifest.networks {
        let found = verify(&RealDisk, held.path(), network)?;
        if !found.is_clean() || found.last != *last {
            let message = format!("{network}: the journal ends at record {} and not at {last}", found.last);
            return Err(Failure::new(Code::Damaged, message));
        }
    }
    report(&manifest, "restored", as_json)
}

fn unpack(file: &Path, folder: &Path) -> Result<Manifest, Failure> {
    let io = at(file);
    let packed = zstd::Decoder::new(File::open(file).map_err(&io)?).map_err(&io)?;
    let mut archive = tar::Archive::new(packed);
    let (mut found, mut manifest) = (BTreeMap::new(), None);
    for entry in archive.entries().map_err(&io)? {
        let mut entry = entry.map_err(&io)?;
        let path = entry.path().map_err(&io)?.into_owned();
        let name = path.to_str().map(str::to_owned).unwrap_or_default();
        if name == MANIFEST {
            let mut text = Vec::new();
            entry.by_ref().take(MANIFEST_BYTES).read_to_end(&mut text).map_err(&io)?;
            let read = serde_json::from_slice::<Manifest>(&text);
            manifest = Some(read.map_err(|error| Failure::new(Code::Damaged, format!("{MANIFEST}: {error}")))?);
            continue;
        }
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let of_swarm = path.parent() == Some(Path::new(SWARM)) && is_vote(&path);
        let single = [KEY, GIVEN_OUT, "honeygraph.toml"].contains(&name.as_str()) || of_swarm;
        let ours = single || name.starts_with("journal/") || name.starts_with("base/");
        if !plain || !ours || found.contains_key(&name) || !entry.header().entry_type().is_file() {
            return Err(Failure::new(Code::Damaged, format!("{name:?} has no place in a backup")));
        }
        let to = folder.join(&path);
        let io = at(&to);
        std::fs::create_dir_all(to.parent().unwrap_or(folder)).map_err(&io)?;
        let mut hashed = Hashed { inner: entry, hasher: blake3::Hasher::new(), bytes: 0 };
        let secret = [KEY, GIVEN_OUT].contains(&name.as_str());
        let mut out = if secret { private(&to) } else { File::create_new(&to) }.map_err(&io)?;
        io::copy(&mut hashed, &mut out).map_err(at(file))?;
        out.sync_all().map_err(&io)?;
        found.insert(name, (hashed.bytes, hashed.hasher.finalize().to_hex().to_string()));
    }
    let damaged = |what: &str| Failure::new(Code::Damaged, format!("{}: {what}", file.display()));
    let manifest = manifest.ok_or_else(|| damaged("cut short: it has no manifest"))?;
    if manifest.version != VERSION {
        return Err(damaged("written by another version of this program"));
    }
    if manifest.files != found {
        return Err(damaged("its files are not those of its manifest"));
    }
    Ok(manifest)
}

fn report(manifest: &Manifest, what: &str, as_json: bool) -> Outcome {
    if as_json {
        return print::json(&json!({ "networks": manifest.networks, "created_at_ms": manifest.created_at_ms }));
    }
    let lines = manifest.networks.iter();
    print::lines(lines.map(|(network, last)| format!("{network}  {what} up to record {last}")))
}
