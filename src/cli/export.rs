//! `honeygraph export`: the whole state of a network, from a running node into a file or to standard output.
//!
//! *Always holds:* memory is one chunk; a file with the name asked for is whole, whatever went wrong before.

use super::Context;
use super::exit::{Code, Failure, Outcome};
use super::print;
use super::remote::{encode, query_string};
use crate::web::export::HEADERS;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// `honeygraph export`
#[derive(Debug, Args)]
pub struct Export {
    /// Network, or a token of one; else the network that a read without --network means
    namespace: Option<String>,
    /// One JSON document, or a table of paths and values
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// File to write, else standard output; it is there only once it is whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Export this fork instead of the head's
    #[arg(long)]
    fork: Option<String>,
    /// As of this block
    #[arg(long, conflicts_with = "batch")]
    block: Option<u64>,
    /// As of this batch
    #[arg(long)]
    batch: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    Json,
    Csv,
}

/// `honeygraph export [NAMESPACE]`
pub async fn export(context: &Context, order: &Export) -> Outcome {
    if context.json && order.format == Format::Csv && order.output.is_none() {
        return Err(Failure::new(
            Code::Usage,
            "--json and a table cannot both go to standard output: say --output FILE",
        ));
    }
    let namespace = match order.namespace.clone().or_else(|| context.network.clone()) {
        Some(namespace) => namespace,
        None => context.remote.get("/api/health").await?.value()?["network"].as_str().unwrap_or_default().to_owned(),
    };
    let block = order.block.map(|block| block.to_string());
    let query = query_string(&[
        ("format", (order.format == Format::Csv).then_some("csv")),
        ("fork", order.fork.as_deref()),
        ("block", block.as_deref()),
        ("batch", order.batch.as_deref()),
    ]);
    let path = format!("/namespaces/{}/export{query}", encode(&namespace));
    let Some(file) = &order.output else {
        let headers = context.remote.download(&path, &mut std::io::stdout().lock()).await?;
        print::beside(&about(&headers));
        return Ok(());
    };
    let partial = partial(file);
    let written = into(context, &path, &partial, file).await;
    let headers = match written {
        Ok(headers) => headers,
        Err(failure) => {
            // What is there is half a document, and of no use.
            let _ = std::fs::remove_file(&partial);
            return Err(failure);
        }
    };
    std::fs::rename(&partial, file).map_err(|error| failed(file, &error))?;
    if !context.json {
        return print::line(&format!("{}: {}", file.display(), about(&headers)));
    }
    let mut told = Map::from_iter([("file".to_owned(), json!(file))]);
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    told.extend(headers.iter().map(|(name, text)| (name.clone(), value(text))));
    print::json(&told)
}

async fn into(context: &Context, path: &str, partial: &Path, asked: &Path) -> Result<Vec<(String, String)>, Failure> {
    // Named as it was asked for: of the other name nobody knows.
    let mut file = File::create(partial).map_err(|error| failed(asked, &error))?;
    let headers = context.remote.download(path, &mut file).await?;
    file.flush().and_then(|()| file.sync_all()).map_err(|error| failed(partial, &error))?;
    Ok(headers)
}

fn failed(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("{}: {error}", file.display()))
}

fn partial(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    file.with_file_name(name)
}

/// What the document says of itself, for a person.
fn about(headers: &[(String, String)]) -> String {
    let said = headers.iter().map(|(name, value)| format!("{name} {}", print::short(value)));
    said.collect::<Vec<_>>().join(", ")
}

/// The headers of an answer that say from which point it is, without what their names begin with.
pub fn point(headers: &hyper::HeaderMap) -> Vec<(String, String)> {
    let said = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(HEADERS)?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    said.collect()
}
