//! What the program says of itself: text or JSON lines on standard error, their level changeable while it runs.
//!
//! Owns the one subscriber of the process (`tracing` has room for one), so the handle to its level lives here too.
//!
//! *Always holds:* standard output carries results only, never log lines.

use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Longest filter taken, in bytes: it may come over HTTP.
pub const MAX_FILTER_BYTES: usize = 1024;

/// Libraries of the state store.
const STORE: [&str; 2] = ["fjall", "lsm_tree"];

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the level was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// Not a filter.
    #[error("log level {0:?}: off, error, warn, info, debug, trace, or a list such as info,honeygraph::feed=debug")]
    Filter(String),
    /// Logging was never started in this process.
    #[error("logging has not been started")]
    NotStarted,
}

/// Checks a filter: a level, or a comma-separated list of `module=level`.
pub fn check(filter: &str) -> Result<(), LevelError> {
    parse(filter).map(drop)
}

/// Starts logging for the process. Later calls change the level and leave the form as it is (tests share a process).
pub fn start(format: Format, filter: &str) -> Result<(), LevelError> {
    let (layer, handle) = reload::Layer::new(parse(filter)?);
    if LEVEL.set(handle).is_err() {
        return set_level(filter);
    }
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(layer);
    let started = match format {
        Format::Text => registry.with(lines).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    // Somebody else's subscriber is there already (a program that embeds a node): theirs decides what is shown.
    started.or(Ok(()))
}

/// Changes the level of the running process.
pub fn set_level(filter: &str) -> Result<(), LevelError> {
    let parsed = parse(filter)?;
    let handle = LEVEL.get().ok_or(LevelError::NotStarted)?;
    handle.reload(parsed).map_err(|_| LevelError::NotStarted)
}

/// The filter in force.
pub fn level() -> Option<String> {
    LEVEL.get()?.with_current(ToString::to_string).ok()
}

fn parse(filter: &str) -> Result<EnvFilter, LevelError> {
    let wrong = || LevelError::Filter(filter.chars().take(80).collect());
    if filter.trim().is_empty() || filter.len() > MAX_FILTER_BYTES {
        return Err(wrong());
    }
    // A bare word that is no level would be read as the name of a module, and silence everything else.
    for part in filter.split(',') {
        let level = part.rsplit('=').next().unwrap_or(part).trim();
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(wrong());
        }
    }
    EnvFilter::try_new(quieted(filter)).map_err(|_| wrong())
}

/// The filter with the store's own libraries at `warn`, unless it names them: at `info` they say more than we do.
fn quieted(filter: &str) -> String {
    let parts = || filter.split(',').map(str::trim);
    // Without a level for everything, or with one that is quiet anyway, they have nothing to say.
    let talks = |part: &str| part.parse::<LevelFilter>().is_ok_and(|level| level > LevelFilter::WARN);
    let named = |name: &str| parts().any(|part| part.split(['=', ':']).next() == Some(name));
    let quiet = STORE.iter().filter(|name| parts().any(talks) && !named(name));
    quiet.fold(filter.to_owned(), |filter, name| format!("{filter},{name}=warn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_taken_and_nothing_else() {
        for good in ["info", "off", "WARN", "info,honeygraph::feed=debug", "honeygraph=trace"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", " ", "loud", "info,loud", "honeygraph=loud", "info,,warn", &"x".repeat(2000)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_store_is_quiet_unless_it_is_named() {
        assert_eq!(quieted("info"), "info,fjall=warn,lsm_tree=warn");
        assert_eq!(quieted("info,honeygraph::feed=debug"), "info,honeygraph::feed=debug,fjall=warn,lsm_tree=warn");
        assert_eq!(quieted("debug,lsm_tree::compaction=info"), "debug,lsm_tree::compaction=info,fjall=warn");
        assert_eq!(quieted("info,fjall=info,lsm_tree=trace"), "info,fjall=info,lsm_tree=trace");
        for quiet in ["off", "error", "warn", "honeygraph=trace"] {
            assert_eq!(quieted(quiet), quiet);
        }
    }

    #[test]
    fn the_level_changes_while_running() {
        start(Format::Text, "warn").unwrap();
        set_level("debug").unwrap();
        let debug = level().unwrap();
        assert!(debug.contains("debug"), "{debug}");
        assert!(set_level("loud").is_err());
        assert_eq!(level(), Some(debug), "a wrong level changes nothing");
        set_level("warn").unwrap();
    }
}
