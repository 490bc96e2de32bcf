//! `honeygraph record`: what the feeds of a running node say, into a file that `replay` plays again.
//!
//! *Always holds:* no file is overwritten; whatever ends it, what is in the file up to then is a recording.

use super::Context;
use super::exit::{Code, Failure, Outcome};
use super::print;
use super::remote::query_string;
use crate::feed::recording::file::FileError;
use crate::feed::recording::parts::{Parts, Reading};
use crate::feed::recording::{Event, Happened};
use crate::web::record::GATHER;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use tokio::time::timeout;

/// Largest recording unless --max-bytes says another: hours of a busy feed, and no disk is full of it.
const MAX_BYTES: u64 = 1 << 30;

/// Size of a file after which the next is begun, unless --part-bytes says another: what a mail or a chat takes no more,
/// and a copy begins anew when it fails.
const PART_BYTES: u64 = 256 << 20;

/// Smallest such size: a chunk is not much smaller.
const LEAST_PART: u64 = 4 << 10;

/// `honeygraph record`
#[derive(Debug, Args)]
pub struct Record {
    /// File to write; it must not be there yet
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// End after so many seconds; else at Ctrl-C
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// End when the recording would grow beyond this many bytes, all its files together
    #[arg(long, value_name = "BYTES", default_value_t = MAX_BYTES)]
    max_bytes: u64,
    /// Begin the next file (FILE.0002, FILE.0003, ...) where one would grow beyond this many bytes
    #[arg(long, value_name = "BYTES", default_value_t = PART_BYTES, value_parser = clap::value_parser!(u64).range(LEAST_PART..))]
    part_bytes: u64,
}

/// What is in a recording.
#[derive(Debug, Default, Serialize)]
struct Summary {
    file: PathBuf,
    /// Files that it is in.
    files: u32,
    network: String,
    sockets: usize,
    frames: u64,
    frame_bytes: u64,
    bytes: u64,
    seconds: f64,
    /// The node could not get rid of it fast enough: the rest is missing.
    lost: bool,
    /// Some sockets had spoken before it began, or the network had data: a replay cannot give the same.
    joined: bool,
}

/// `honeygraph record --network N --out FILE`
pub async fn record(context: &Context, order: &Record) -> Outcome {
    let network = context.network.as_deref().ok_or_else(|| {
        Failure::new(Code::Usage, "which network? --network NAME (honeygraph status lists those of the node)")
    })?;
    let failed = |error: std::io::Error| Failure::new(Code::Failed, format!("{}: {error}", order.out.display()));
    let mut file = Parts::create(&order.out, order.part_bytes).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(Code::Usage, format!("{} is there already: name another file", order.out.display()))
        }
        _ => failed(error),
    })?;
    let (seconds, bytes) = (order.seconds.map(|seconds| seconds.to_string()), order.max_bytes.to_string());
    let query = query_string(&[
        ("network", Some(network)),
        ("seconds", seconds.as_deref()),
        ("max_bytes", Some(bytes.as_str())),
    ]);
    print::beside(&format!("recording {network} into {}; Ctrl-C ends it", order.out.display()));
    let path = format!("/api/admin/record{query}");
    let ended = {
        let mut download = pin!(context.remote.download(&path, &mut file));
        tokio::select! {
            ended = &mut download => ended.map(drop),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(failed)?;
                // What was said up to now comes once its chunk has been gathered.
                timeout(2 * GATHER, download).await.unwrap_or(Ok(Vec::new())).map(drop)
            }
        }
    };
    file.sync().map_err(failed)?;
    if let Err(failure) = ended {
        if file.is_empty() {
            // Nothing was recorded: the name is free for the next try.
            let _ = std::fs::remove_file(&order.out);
        }
        return Err(failure);
    }
    let summary = summary(&order.out)?;
    if context.json {
        print::json(&summary)?;
    } else {
        print::line(&told(&summary))?;
    }
    match summary.lost {
        true => Err(Failure::new(Code::Failed, "the file was not written fast enough: the recording ends early")),
        false => Ok(()),
    }
}

/// What was recorded, read back.
fn summary(path: &Path) -> Result<Summary, Failure> {
    let mut recording = Reading::open(path).map_err(unreadable)?;
    let (bytes, files) = (recording.bytes(), recording.parts());
    let mut summary = Summary { file: path.to_owned(), files, bytes, ..Summary::default() };
    let mut sockets = BTreeSet::new();
    while let Some(Event { after_us, socket, what }) = recording.read().map_err(unreadable)? {
        summary.seconds = summary.seconds.max(after_us as f64 / 1e6);
        match what {
            Happened::Began(began) => (summary.network, summary.joined) = (began.network, !began.fresh),
            Happened::Opened(opened) => {
                sockets.insert(socket);
                summary.joined |= opened.joined;
            }
            Happened::Heard(frame, _) => {
                summary.frames += 1;
                summary.frame_bytes += frame.len() as u64;
            }
            Happened::Lost => summary.lost = true,
            Happened::Said(_) | Happened::Acked(_) | Happened::Closed(_) => {}
        }
    }
    summary.sockets = sockets.len();
    Ok(summary)
}

fn told(summary: &Summary) -> String {
    let Summary { files, network, sockets, frames, frame_bytes, bytes, seconds, joined, .. } = summary;
    let mut text = format!(
        "{}: {frames} frames of {sockets} sockets of {network} in {seconds:.1} s, {frame_bytes} bytes packed into {bytes}",
        summary.file.display()
    );
    if *files > 1 {
        text += &format!(" in {files} files");
    }
    match joined {
        true => format!("{text}\nit began in the middle: a replay does not give this node's ids and state"),
        false => text,
    }
}

/// What an unreadable recording is to the shell.
pub fn unreadable(error: FileError) -> Failure {
    let code = match error {
        FileError::Io(_) => Code::Failed,
        FileError::NotARecording | FileError::Version(_) => Code::Usage,
        FileError::Missing(_) => Code::NotFound,
        FileError::Damaged { .. } | FileError::Foreign(_) | FileError::Torn(_) => Code::Damaged,
    };
    Failure::new(code, error)
}
