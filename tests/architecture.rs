//! The tree is the architecture: imports run one way.
//!
//! The order of the modules in `src/lib.rs` is the order in which data flows; a module may use those before it, never
//! those after it. The crates stand in a row too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file longer than this does more than one thing.
const MAX_FILE_LINES: usize = 800;

/// Crates of ours that each crate may use.
const CRATES: [(&str, &str, &[&str]); 4] = [
    ("protocols", "honeygraph-protocols", &[]),
    ("bootstrap", "honeygraph-bootstrap", &["honeygraph-protocols"]),
    (".", "honeygraph", &["honeygraph-protocols", "honeygraph-bootstrap"]),
    ("testnet", "honeygraph-testnet", &["honeygraph-protocols", "honeygraph-bootstrap", "honeygraph"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Modules in the order of `src/lib.rs`.
fn modules(lib: &str) -> Vec<String> {
    let declared = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    declared.map(|rest| rest.trim_end_matches(';').to_owned()).collect()
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Source without comments: a link in a comment is no dependency.
fn code(source: &str) -> String {
    let line = |line: &str| line.split_once("//").map_or(line, |(before, _)| before).to_owned() + "\n";
    source.lines().map(line).collect()
}

/// Top-level modules that a source names through `crate::`, or through as many `super::` as lead out of a file that
/// lies `depth` modules deep.
fn uses(source: &str, depth: usize) -> Vec<String> {
    let code = code(source);
    let out = "super::".repeat(depth);
    let mut found = Vec::new();
    for from in ["crate::", out.as_str()] {
        for (at, _) in code.match_indices(from) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') || code[..at].ends_with("super::") {
                continue;
            }
            found.extend(first_names(&code[at + from.len()..]));
        }
    }
    found
}

/// `a::b` names a; `{a::b, c::{d, e}}` names a and c.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut nesting, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => nesting += 1,
            '}' if nesting == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => nesting -= 1,
            ',' if nesting == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

/// Modules below `module` in the order that the source of one of its files uses.
fn wrong_way(order: &[String], module: &str, source: &str, depth: usize) -> Vec<String> {
    let place = |name: &str| order.iter().position(|m| m == name);
    let own = place(module).unwrap_or_else(|| panic!("src/{module} is not in src/lib.rs"));
    // A submodule may bear a top-level module's name; `super::` in an inline test module means the file's own.
    let declared = |name: &str| source.contains(&format!("mod {name};")) || source.contains(&format!("mod {name} {{"));
    uses(source, depth).into_iter().filter(|name| place(name).is_some_and(|at| at > own) && !declared(name)).collect()
}

#[test]
fn imports_run_one_way() {
    let src = root().join("src");
    let order = modules(&read(&src.join("lib.rs")));
    assert!(order.len() > 3, "src/lib.rs was not understood: {order:?}");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&src).unwrap().with_extension("");
        let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).filter(|p| *p != "mod").collect();
        if matches!(parts[..], ["lib" | "main"]) {
            continue;
        }
        for name in wrong_way(&order, parts[0], &read(&path), parts.len()) {
            wrong.push(format!("{} uses {name}, which stands below it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_planted_violation_is_seen() {
    let order: Vec<String> = ["feed", "fork", "web"].map(str::to_owned).to_vec();
    for planted in [
        "use crate::web::Router;",
        "use crate::{feed, web::Router};",
        "use crate::{\n    feed::{a, b},\n    web,\n};",
        "fn f() { crate::web::run() }",
        "use super::super::web::Router;",
    ] {
        assert_eq!(wrong_way(&order, "fork", planted, 2), ["web"], "{planted}");
    }
    assert_eq!(wrong_way(&order, "feed", "use super::web;", 1), ["web"]);
    for fine in [
        "use crate::feed::{Lane, web};",
        "use crate::fork::web::x;",
        "//! see [`crate::web`]",
        "use super::web;",
        "use mycrate::web;",
    ] {
        assert_eq!(wrong_way(&order, "fork", fine, 2), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn crates_stand_in_a_row() {
    let ours: Vec<&str> = CRATES.iter().map(|(_, name, _)| *name).collect();
    for (folder, name, allowed) in CRATES {
        let manifest: toml::Table = read(&root().join(folder).join("Cargo.toml")).parse().unwrap();
        let none = toml::Table::new();
        let of = |key: &str| manifest.get(key).and_then(toml::Value::as_table).unwrap_or(&none).clone();
        for table in ["dependencies", "build-dependencies"] {
            for dependency in of(table).keys().filter(|d| ours.contains(&d.as_str())) {
                assert!(allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_does_one_thing() {
    let mut files = Vec::new();
    for folder in ["src", "protocols/src", "bootstrap/src", "testnet/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let mut wrong = Vec::new();
    let mut longest = BTreeMap::new();
    for path in &files {
        let text = read(path);
        longest.insert(text.lines().count(), path);
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with //!", path.display()));
        }
    }
    for (lines, path) in longest.range(MAX_FILE_LINES + 1..) {
        wrong.push(format!("{} has {lines} lines, more than {MAX_FILE_LINES}", path.display()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Programs that nothing of ours starts: they read text as commands.
const SHELLS: [&str; 10] = ["sh", "bash", "dash", "zsh", "env", "sudo", "su", "doas", "xargs", "eval"];

/// Where a source starts another program in a way that lets text become a command: a shell by its name or path, `-c`, or a
/// place that is not the one where arguments are a list.
fn shells(file: &str, source: &str) -> Vec<String> {
    let code = code(source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(source));
    let mut wrong = Vec::new();
    for shell in SHELLS {
        let named = [format!("\"{shell}\""), format!("/{shell}\"")];
        if named.iter().any(|named| code.contains(named)) {
            wrong.push(format!("{file} names {shell}"));
        }
    }
    let starts = ["Command::new(", "process::Command", "libc::system", "posix_spawn", "execv"];
    if file != RUNNER && starts.iter().any(|start| code.contains(start)) {
        wrong.push(format!("{file} starts a program past {RUNNER}"));
    }
    if code.contains("\"-c\"") || code.contains("arg(format!") || code.contains("raw_arg") {
        wrong.push(format!("{file} makes an argument of text"));
    }
    wrong
}

/// The one place where programs are started: by a name that is in the source, with a list of arguments.
const RUNNER: &str = "src/snapshots/run.rs";

/// Row 17: the old server ran lines of text in a shell, with sudo.
#[test]
fn no_text_becomes_a_command() {
    let mut files = Vec::new();
    for folder in ["src", "protocols/src", "bootstrap/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    let wrong: Vec<String> = files.iter().flat_map(|path| shells(&name(path), &read(path))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let runner = read(&root().join(RUNNER));
    assert!(runner.contains("pub fn run(program: &'static str, arguments: &[&str])"), "whoever calls it names both");
    assert_eq!(code(&runner).matches("Command::new(").count(), 1);
    assert!(runner.contains(".args(arguments)"), "arguments are a list");
}

#[test]
fn a_planted_shell_is_seen() {
    for planted in [
        "Command::new(\"zfs\").args(names)",
        "run(\"sh\", &[\"-c\", line])",
        "run(\"/bin/bash\", &[line])",
        "run(\"sudo\", &[\"zfs\", \"destroy\", name])",
        "use std::process::Command;",
    ] {
        assert!(!shells("src/web/mod.rs", planted).is_empty(), "{planted}");
    }
    let fine = "run(\"zfs\", &[\"destroy\", name]) // not sh\n#[cfg(test)]\nmod tests { Command::new(\"sh\") }";
    assert_eq!(shells("src/snapshots/zfs.rs", fine), Vec::<String>::new());
}

#[test]
fn the_settings_in_the_documentation_are_the_settings() {
    let page = read(&root().join("docs/operations.md"));
    for setting in honeygraph::config::settings::SETTINGS {
        let names = setting.env.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        let default = if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
        let row = format!("| `{}` | `--{}` | {names} | {default} |", setting.key, setting.flag);
        assert!(page.contains(&row), "docs/operations.md lacks the row\n{row} {} |", setting.about);
    }
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.contains("| `--")).count();
    assert_eq!(rows, honeygraph::config::settings::SETTINGS.len(), "docs/operations.md lists a setting that is gone");
}
