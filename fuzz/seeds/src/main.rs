//! Writes the corpora with which the fuzz targets begin: all golden bytes of `protocols/fixtures`, each where it is read.
//!
//! `seeds FOLDER` writes `FOLDER/TARGET/golden-N`. Files that are there and have other names stay: a corpus grows from
//! run to run.
//!
//! *Always holds:* every fixture is read, and every target gets at least one seed, or nothing is said to be well.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// Between the frames of a sequence, and between two texts; stands in no UTF-8.
const BETWEEN: u8 = 0xFF;

/// Frames in a sequence: enough for more hashes than a parser keeps.
const SEQUENCE: usize = 8;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../protocols/fixtures/", $name, ".json"))
    };
}

/// Seeds by target.
#[derive(Default)]
struct Corpora(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Corpora {
    fn add(&mut self, target: &'static str, seed: impl AsRef<[u8]>) {
        let seeds = self.0.entry(target).or_default();
        if !seeds.iter().any(|known| known == seed.as_ref()) {
            seeds.push(seed.as_ref().to_vec());
        }
    }

    fn write(&self, folder: &Path) -> std::io::Result<()> {
        for (target, seeds) in &self.0 {
            let own = folder.join(target);
            std::fs::create_dir_all(&own)?;
            for (n, seed) in seeds.iter().enumerate() {
                std::fs::write(own.join(format!("golden-{n:03}")), seed)?;
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: seeds FOLDER");
        return ExitCode::from(2);
    };
    let mut corpora = Corpora::default();
    let read = [frames, values, paths, trees, batches, swarm, keys].iter().try_for_each(|read| read(&mut corpora));
    let written = read.map_err(|error| format!("a fixture has another form: {error}")).and_then(|()| {
        corpora.write(Path::new(&folder)).map_err(|error| format!("{}: {error}", Path::new(&folder).display()))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

fn cases<'a, T: Deserialize<'a>>(fixture: &'a str) -> Result<Vec<T>, serde_json::Error> {
    serde_json::from_str(fixture).map(|file: Cases<T>| file.cases)
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// `honeycomb.json`: frames, each and in sequences; the texts of their ops.
fn frames(to: &mut Corpora) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct Case {
        frame: String,
        expect: Value,
    }
    let cases: Vec<Case> = cases(fixture!("honeycomb"))?;
    for case in &cases {
        to.add("frames", &case.frame);
        let ops = case.expect.get("ops").and_then(Value::as_array).into_iter().flatten();
        ops.filter_map(|item| item.get("op")?.as_str()).for_each(|text| to.add("ops", text));
    }
    let short: Vec<&[u8]> = cases.iter().map(|case| case.frame.as_bytes()).filter(|frame| frame.len() < 96).collect();
    short.chunks(SEQUENCE).for_each(|frames| to.add("frames", frames.join(&BETWEEN)));
    Ok(())
}

/// `json.json`, `replies.json`: values, numbers, texts.
fn values(to: &mut Corpora) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
        refused: Vec<String>,
        overflow: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Case {
        r#in: String,
        out: String,
    }
    #[derive(Deserialize)]
    struct Replies {
        replies: Vec<String>,
    }
    let file: File = serde_json::from_str(fixture!("json"))?;
    let good = file.cases.into_iter().flat_map(|case| [case.r#in, case.out]);
    for text in good.chain(file.refused).chain(file.overflow) {
        to.add("json", &text);
        for token in text.split(['[', ']', ',', ' ']) {
            if token.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                to.add("number", token);
            }
        }
    }
    let replies: Replies = serde_json::from_str(fixture!("replies"))?;
    for reply in replies.replies {
        to.add("json", &reply);
        to.add("frames", &reply);
    }
    Ok(())
}

/// `paths.json`: encodings, their texts and numbers, and the same paths in a URL.
fn paths(to: &mut Corpora) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct Case<'a> {
        /// Raw: one of them holds half a surrogate pair.
        #[serde(borrow)]
        path: &'a RawValue,
        hex: String,
    }
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for case in cases::<Case>(fixture!("paths"))? {
        let encoded = hex(&case.hex);
        to.add("path", &encoded);
        match encoded.split_first() {
            Some((2, double)) if double.len() == 8 => to.add("number", double),
            Some((3, text)) => texts.push(text[..text.len() - 1].to_vec()),
            _ => {}
        }
        to.add("leaves", format!("[[{},1]]", case.path));
        let Ok(segments) = serde_json::from_str::<Vec<Value>>(case.path.get()) else { continue };
        let shown: Vec<String> = segments.iter().map(|segment| percent(&text_of(segment))).collect();
        to.add("url", shown.join("/"));
        to.add("url", segments.iter().map(text_of).collect::<Vec<_>>().join("/"));
    }
    texts.windows(2).for_each(|pair| to.add("text", pair.join(&BETWEEN)));
    Ok(())
}

fn text_of(segment: &Value) -> String {
    segment.as_str().map_or_else(|| segment.to_string(), str::to_owned)
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// `root.json`, `pathwise_leaves.json`, `cid.json`: documents, leaves, contents.
fn trees(to: &mut Corpora) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct RootCase {
        leaves: Value,
        out: Option<String>,
    }
    #[derive(Deserialize)]
    struct PutCase {
        path: Value,
        data: Value,
        leaves: Value,
    }
    #[derive(Deserialize)]
    struct CidCase {
        content: Option<String>,
    }
    for case in cases::<RootCase>(fixture!("root"))? {
        to.add("leaves", case.leaves.to_string());
        if let Some(out) = case.out {
            to.add("root", &out);
            to.add("json", &out);
        }
    }
    for PutCase { path, data, leaves } in cases(fixture!("pathwise_leaves"))? {
        to.add("leaves", leaves.to_string());
        to.add("ops", format!("{{\"data\":{data},\"path\":{path},\"type\":\"put\"}}"));
        to.add("root", format!("[97643702,{{\"a\":{data}}}]"));
    }
    for content in cases::<CidCase>(fixture!("cid"))?.into_iter().filter_map(|case| case.content) {
        to.add("cid", format!("\u{10}{content}"));
        to.add("json", &content);
        to.add("delta", content);
    }
    Ok(())
}

/// `batch.json`: headers, ids (also as the CID in a header), bodies, names.
fn batches(to: &mut Corpora) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct Case {
        network: String,
        period: String,
        ops: Vec<String>,
        header_hex: String,
        id: String,
    }
    /// A CID in CBOR: its tag, and the head of 37 bytes.
    const TAGGED: &[u8] = &[0xD8, 0x2A, 0x58, 0x25];
    for case in cases::<Case>(fixture!("batch"))? {
        let header = hex(&case.header_hex);
        if let Some(at) = header.windows(TAGGED.len()).position(|window| window == TAGGED) {
            let cid = &header[at..at + TAGGED.len() + 37];
            to.add("batch_id", cid);
            to.add("batch_id", &cid[TAGGED.len() + 1..]);
        }
        to.add("header", header);
        to.add("batch_id", case.id);
        let mut body = Vec::new();
        for text in &case.ops {
            to.add("ops", text);
            body.extend((text.len() as u32).to_le_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        to.add("bodies", body);
        to.add("names", case.network);
        to.add("names", case.period);
    }
    Ok(())
}

/// `swarm.json`: each message where it is read, and those of streams behind their lengths.
fn swarm(to: &mut Corpora) -> Result<(), serde_json::Error> {
    let messages: BTreeMap<String, String> = serde_json::from_str(fixture!("swarm"))?;
    let mut stream = Vec::new();
    for (name, message) in messages {
        let message = hex(&message);
        let target = match name.as_str() {
            "status" | "status request" | "status request, all" => "status",
            "headers back" | "headers forward" | "lines wanted" | "batches wanted" | "newest wanted" => {
                "blocks_request"
            }
            "headers" | "lines" | "batches" | "not held" | "busy" => "blocks_answer",
            "pictures wanted" | "manifest wanted" | "leaves wanted" | "pictures" | "manifest" | "leaves"
            | "picture not held" | "pictures busy" => "pictures",
            "head" => "heads",
            "vote" | "evidence" | "binding wanted" | "let go" | "binding shown" | "no binding" => "votes",
            "binding" => {
                to.add("votes", &message[1..]);
                "votes"
            }
            other => return Err(serde::de::Error::custom(format!("no target reads the message {other:?}"))),
        };
        to.add(target, &message);
        if ["status", "blocks_request", "blocks_answer"].contains(&target) {
            let framed = [&(message.len() as u32).to_le_bytes()[..], &message].concat();
            to.add("wire", &framed);
            stream.extend(framed);
        }
    }
    to.add("wire", stream);
    Ok(())
}

/// `hive_signatures.json`: keys and signatures as text and bytes, and a peer's key in the two forms of its id.
fn keys(to: &mut Corpora) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Case {
        signature: String,
        recovered_key: String,
    }
    /// The peer of the messages in `swarm.json`.
    const PEER: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    for case in cases::<Case>(fixture!("hive_signatures"))? {
        to.add("keys", hex(&case.signature));
        to.add("keys", case.signature);
        to.add("keys", case.recovered_key);
    }
    to.add("keys", hex(&format!("002408011220{PEER}")));
    to.add("keys", "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5");
    ["alice", "a.b-c1", "spkcc_", "honeygraph/0.1.0"].iter().for_each(|name| to.add("names", name));
    Ok(())
}
