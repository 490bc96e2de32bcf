//! `honeygraph checkpoints`: snapshots of a node's state on disk.

use super::Context;
use super::client::plain;
use super::exit::Outcome;
use super::print::{self, at};
use super::remote::encode;
use crate::web::checkpoints::TAG;
use clap::Subcommand;
use serde_json::{Value, json};

/// `honeygraph checkpoints ...`. A snapshot is named by its block, its hash or its name.
#[derive(Debug, Subcommand)]
pub enum Checkpoints {
    /// Snapshots that are there, and their clones
    List,
    /// Make a snapshot of a checkpoint, the newest when none is named
    Create {
        /// Block of the checkpoint
        #[arg(long)]
        block: Option<u64>,
        /// Hash of the checkpoint
        #[arg(long)]
        hash: Option<String>,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a snapshot that nobody needs
    Destroy {
        /// Which
        snapshot: String,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy a snapshot, to be written to
    Clone {
        /// Which
        snapshot: String,
        /// Name of the clone
        name: String,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a clone
    Unclone {
        /// Its name
        name: String,
    },
    /// What differs between the checkpoints of two snapshots
    Diff {
        /// The older one
        from: String,
        /// The newer one
        to: String,
        /// Only at and below this path
        #[arg(default_value = "")]
        path: String,
        /// Files that changed, where the file system tells, instead of leaves
        #[arg(long, conflicts_with = "path")]
        files: bool,
    },
    /// Put the head back to the checkpoint of a snapshot
    Rollback {
        /// Which
        snapshot: String,
        /// Why: it is journalled
        #[arg(long)]
        reason: String,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Make the state anew, of a snapshot and the journal behind it
    Restore {
        /// Which
        snapshot: String,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep a snapshot until it is released
    Hold {
        /// Which
        snapshot: String,
        /// The word by which it is held
        #[arg(long, default_value = TAG)]
        tag: String,
    },
    /// Release a snapshot that is held
    Release {
        /// Which
        snapshot: String,
        /// The word by which it is held
        #[arg(long, default_value = TAG)]
        tag: String,
    },
}

/// Runs the command.
pub async fn run(context: &Context, order: &Checkpoints) -> Outcome {
    match order {
        Checkpoints::List => list(context).await,
        Checkpoints::Create { block, hash, dry_run } => {
            let mut body = json!({ "dry_run": dry_run });
            if let Some(block) = block {
                body["blockNum"] = json!(block);
            }
            if let Some(hash) = hash {
                body["ipfsHash"] = json!(hash);
            }
            let word = if *dry_run { "would be made" } else { "is made" };
            told(context, "create", body, |answer| format!("{} {word}", at(answer, "/checkpoint/name"))).await
        }
        Checkpoints::Destroy { snapshot, dry_run } => {
            let word = if *dry_run { "would be removed" } else { "is removed" };
            let path = format!("destroy/{}", encode(snapshot));
            let body = json!({ "dry_run": dry_run });
            told(context, &path, body, |answer| format!("{} {word}", at(answer, "/checkpoint/name"))).await
        }
        Checkpoints::Clone { snapshot, name, dry_run } => {
            let path = format!("clone/{}", encode(snapshot));
            let said = |answer: &Value| match dry_run {
                true => format!("{name} would be made of {}", at(answer, "/clone/of")),
                false => format!("{name} of {} lies in {}", at(answer, "/clone/of"), at(answer, "/clone/folder")),
            };
            told(context, &path, json!({ "cloneName": name, "dry_run": dry_run }), said).await
        }
        Checkpoints::Unclone { name } => {
            let path = format!("clones/{}/destroy", encode(name));
            told(context, &path, json!({}), |_| format!("clone {name} is removed")).await
        }
        Checkpoints::Diff { from, to, files: true, .. } => files(context, from, to).await,
        Checkpoints::Diff { from, to, path, .. } => diff(context, (from, to), path).await,
        Checkpoints::Rollback { snapshot, reason, dry_run } => {
            let word = if *dry_run { "would go" } else { "went" };
            let said = |answer: &Value| {
                let [batch, count] = ["/checkpoint/batch", "/rollback/batches"].map(|pointer| at(answer, pointer));
                format!("the head {word} back to batch {batch}, {count} batches are left behind")
            };
            let body = json!({ "reason": reason, "dry_run": dry_run });
            told(context, &format!("rollback/{}", encode(snapshot)), body, said).await
        }
        Checkpoints::Restore { snapshot, dry_run } => {
            let word = if *dry_run { "would be" } else { "is" };
            let path = format!("restore/{}", encode(snapshot));
            let said = |answer: &Value| {
                let [name, cursor] = ["/checkpoint/name", "/checkpoint/cursor"].map(|pointer| at(answer, pointer));
                format!("the state {word} that of {name}; the journal behind record {cursor} is applied to it")
            };
            told(context, &path, json!({ "dry_run": dry_run }), said).await
        }
        Checkpoints::Hold { snapshot, tag } => held(context, "hold", snapshot, tag).await,
        Checkpoints::Release { snapshot, tag } => held(context, "release", snapshot, tag).await,
    }
}

async fn told(context: &Context, path: &str, body: Value, said: impl FnOnce(&Value) -> String) -> Outcome {
    let answer = context.remote.post(&format!("/api/checkpoints/{path}"), &context.order(body)).await?;
    if context.json { print::line(answer.text()) } else { print::line(&said(&answer.value()?)) }
}

async fn held(context: &Context, order: &str, snapshot: &str, tag: &str) -> Outcome {
    let said = |answer: &Value| {
        let (name, holds) = (at(answer, "/checkpoint/name"), words(&answer["checkpoint"]["holds"]));
        format!("{name} is held by {holds}")
    };
    told(context, &format!("{order}/{}", encode(snapshot)), json!({ "tag": tag }), said).await
}

/// Several words in a cell.
fn words(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { "nobody".to_owned() } else { words.join(",") }
}

async fn list(context: &Context) -> Outcome {
    let answer = context.remote.get(&context.scoped("/api/checkpoints/list", &[])).await?;
    if context.json {
        return print::line(answer.text());
    }
    let answer = answer.value()?;
    let row = |of: &Value| {
        let [block, name, verified, confirmed, cursor] =
            ["/blockNum", "/name", "/verified", "/confirmed", "/cursor"].map(|pointer| at(of, pointer));
        vec![block, name, verified, confirmed, cursor, words(&of["holds"])]
    };
    let rows: Vec<_> = answer["checkpoints"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        print::line("no snapshots yet")?;
    } else {
        print::table(&["block", "name", "verified", "confirmed", "record", "held by"], rows)?;
    }
    for clone in answer["clones"].as_array().into_iter().flatten() {
        print::line(&format!("clone {} of {}", at(clone, "/name"), at(clone, "/of")))?;
    }
    if let Some(alert) = answer["alert"].as_str() {
        print::beside(alert);
    }
    Ok(())
}

async fn files(context: &Context, from: &str, to: &str) -> Outcome {
    let path = format!("/api/checkpoints/files/{}/{}", encode(from), encode(to));
    let answer = context.remote.get(&context.scoped(&path, &[])).await?;
    if context.json {
        return print::line(answer.text());
    }
    match answer.value()?["files"].as_array() {
        None => print::line("this file system does not tell"),
        Some(files) => print::lines(files.iter().map(plain)),
    }
}

/// The first page: whoever wants all asks for the pages as JSON.
async fn diff(context: &Context, (from, to): (&str, &str), path: &str) -> Outcome {
    let url = format!("/api/checkpoints/diff/{}/{}", encode(from), encode(to));
    let path = Some(path).filter(|path| !path.is_empty());
    let answer = context.remote.get(&context.scoped(&url, &[("path", path)])).await?;
    if context.json {
        return print::line(answer.text());
    }
    let answer = answer.value()?;
    let line = |change: &Value| {
        let path: Vec<String> = change["path"].as_array().into_iter().flatten().map(plain).collect();
        format!("{} {}  {} -> {}", at(change, "/change"), path.join("/"), change["old"], change["new"])
    };
    print::lines(answer["changes"].as_array().into_iter().flatten().map(line))?;
    if answer["next"].is_object() {
        print::beside("there is more: --json has where the next page begins");
    }
    Ok(())
}
