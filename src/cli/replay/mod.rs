//! `honeygraph replay`: plays a recorded feed against a node.
//!
//! *Always holds:* a node that has data of the network is not touched unless that is asked for.

mod player;
mod socket;

use super::exit::{Code, Failure, Outcome};
use super::print;
use super::record::unreadable;
use super::remote::{Remote, encode};
use crate::data_dir::{Endpoints, endpoints_path};
use crate::feed::recording::file::FileError;
use crate::feed::recording::parts::Reading;
use crate::feed::recording::{Began, Happened};
use clap::Args;
use hyper::Uri;
use player::{Played, Player, Speed, Target};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// A node that has taken everything shows the same twice, so far apart: it makes its status every 200 ms.
const SETTLED: Duration = Duration::from_millis(300);

/// How long a node may take to apply what it has taken, while nothing changes.
const STILL: Duration = Duration::from_secs(60);

/// `honeygraph replay FILE`
#[derive(Debug, Args)]
pub struct Replay {
    /// What honeygraph record wrote; the files that follow it (FILE.0002, ...) are played too
    file: PathBuf,
    /// Where honeycomb would connect, ws://host:port; else the node that runs on the data folder
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// real, max, or how many times as fast as it was recorded
    #[arg(long, value_name = "SPEED", default_value = "max")]
    speed: Speed,
    /// Play it also to a node that has data of the network
    #[arg(long)]
    force: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    network: &'a str,
    #[serde(flatten)]
    played: &'a Played,
    /// The end of the file was torn, and cut.
    torn: bool,
    seconds: f64,
    head: Value,
    forks: usize,
}

/// Runs the command.
pub async fn run(order: &Replay, data_dir: &Path, as_json: bool) -> Outcome {
    let mut recording = Reading::open(&order.file).map_err(|error| match error {
        FileError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Failure::new(Code::NotFound, format!("{}: {error}", order.file.display()))
        }
        error => unreadable(error),
    })?;
    let target = target(order, data_dir)?;
    let remote = Remote::find(Some(&target.url.replacen("ws://", "http://", 1)), data_dir)?;
    let first = recording.read().map_err(unreadable)?;
    let Some((Happened::Began(began), first)) = first.map(|first| (first.what.clone(), first)) else {
        return Err(Failure::new(Code::Usage, "the recording is empty"));
    };
    let status = status(&remote, &began.network).await?;
    if status["lsn"] != 0 && !order.force {
        let message = format!(
            "the node has data of {} already: play it to a node with an empty folder, or --force",
            began.network
        );
        return Err(Failure::new(Code::Refused, message));
    }
    note(&began);
    let start = Instant::now();
    let mut player = Player::new(target, order.speed, remote.clone());
    player.play(first).await?;
    while let Some(event) = recording.read().map_err(unreadable)? {
        player.play(event).await?;
    }
    player.finish().await;
    let status = settled(&remote, &began.network).await?;
    let told = Told {
        network: &began.network,
        played: &player.played.clone(),
        torn: recording.torn(),
        seconds: start.elapsed().as_secs_f64(),
        head: status["head"].clone(),
        forks: status["forks"].as_array().map_or(0, Vec::len),
    };
    player.hang_up().await;
    say(&told, as_json)
}

fn note(began: &Began) {
    if !began.fresh {
        print::beside("note: the recorded node had data before: this replay does not give its ids and state");
    }
}

fn say(told: &Told<'_>, as_json: bool) -> Outcome {
    let Told { network, played, torn, seconds, head, forks } = told;
    if as_json {
        print::json(told)?;
    } else {
        let Played { sockets, frames, .. } = played;
        print::line(&format!("{network}: {frames} frames on {sockets} sockets in {seconds:.1} s"))?;
        let (label, batch) = (print::at(head, "/label"), print::at(head, "/batch"));
        print::line(&format!("head {label}  {batch}  histories {forks}"))?;
    }
    if *torn {
        print::beside("note: the end of the file was torn; it was played up to there");
    }
    if played.lost {
        print::beside("note: the recording ends early: its file was not written fast enough");
    }
    match played.differing + played.unsent {
        0 => Ok(()),
        _ => Err(Failure::new(
            Code::Failed,
            format!(
                "not as recorded: {} sockets were told something else, {} frames found their socket closed",
                played.differing, played.unsent
            ),
        )),
    }
}

fn target(order: &Replay, data_dir: &Path) -> Result<Target, Failure> {
    let usage = |message: String| Failure::new(Code::Usage, message);
    let url = match &order.url {
        Some(url) => url.clone(),
        None => {
            let path = endpoints_path(data_dir);
            let text = std::fs::read_to_string(&path).map_err(|_| {
                let message = format!("no node runs on this data folder ({} is not there)", path.display());
                Failure::new(Code::NotReachable, format!("{message}; --url ws://host:port names one"))
            })?;
            let endpoints: Endpoints = serde_json::from_str(&text)
                .map_err(|error| Failure::new(Code::Failed, format!("{}: {error}", path.display())))?;
            endpoints.feed
        }
    };
    let uri: Uri = url.parse().map_err(|_| usage(format!("{url:?} is not a URL")))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("ws"), Some(authority)) => Ok(Target {
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            url: format!("ws://{authority}"),
            path: Some(uri.path().to_owned()).filter(|path| path != "/"),
        }),
        (Some("wss"), _) => Err(usage("wss is not there yet: use ws on a trusted network".into())),
        _ => Err(usage(format!("{url:?}: expected ws://host:port"))),
    }
}

async fn status(remote: &Remote, network: &str) -> Result<Value, Failure> {
    let mut status = remote.get(&format!("/api/status?network={}", encode(network))).await?.value()?;
    Ok(status["networks"][0].take())
}

/// Waits until the node has applied all that it has taken.
async fn settled(remote: &Remote, network: &str) -> Result<Value, Failure> {
    let (mut before, mut since) = (Value::Null, Instant::now());
    loop {
        let status = status(remote, network).await?;
        let applied = status["lsn"] == status["durable"] && status["durable"] == status["applied"];
        if status != before {
            (before, since) = (status, Instant::now());
        } else if applied || since.elapsed() > STILL {
            return Ok(status);
        }
        tokio::time::sleep(SETTLED).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_word_or_a_number() {
        assert_eq!("real".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("2.5".parse(), Ok(Speed::Times(2.5)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        for wrong in ["", "fast", "0", "-1", "inf", "NaN"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn where_to_is_a_plain_websocket() {
        let to = |url: &str| {
            let order = Replay { file: PathBuf::new(), url: Some(url.into()), speed: Speed::Max, force: false };
            target(&order, Path::new(""))
        };
        let found = to("ws://127.0.0.1:4000").unwrap();
        assert_eq!((found.address.as_str(), found.path), ("127.0.0.1:4000", None));
        assert_eq!(to("ws://node/ws").unwrap().path.as_deref(), Some("/ws"));
        for wrong in ["wss://node", "http://node", "127.0.0.1:4000", ""] {
            assert!(to(wrong).is_err(), "{wrong}");
        }
    }
}
