//! Measuring: percentiles, what the machine itself can do, and the table that a bench prints.
//!
//! A figure means little beside another machine's; every bench measures its yardstick in the same run and is judged
//! by the ratio.
//!
//! *Always holds:* a bench ends with failure when a ratio misses its bound, so that a run can be trusted unread.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Durations, sorted.
#[derive(Clone, Debug)]
pub struct Percentiles(Vec<Duration>);

impl Percentiles {
    /// Of these; at least one.
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The duration that this share (0 to 1) does not exceed.
    pub fn at(&self, share: f64) -> Duration {
        let at = ((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// The one in the middle; zero of none.
pub fn median(durations: &[Duration]) -> Duration {
    Percentiles::of(durations.to_vec()).at(0.5)
}

/// Milliseconds with three digits behind the point.
pub fn ms(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}

/// What the file system under `folder` takes for an append of 4 KiB with fdatasync, one after the other with `pause`
/// between them: a processor that was idle, and a disk that was, take longer.
pub fn append_and_sync(folder: &Path, rounds: usize, pause: Duration) -> std::io::Result<Percentiles> {
    let path = folder.join("append-and-sync");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut durations = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        #[expect(clippy::disallowed_methods, reason = "the pause is what it measures at")]
        std::thread::sleep(pause);
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        durations.push(start.elapsed());
    }
    drop(file);
    std::fs::remove_file(path)?;
    Ok(Percentiles::of(durations))
}

/// The table of a bench, with its verdict.
#[derive(Debug)]
pub struct Table {
    title: String,
    rows: Vec<[String; 3]>,
    missed: bool,
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new(), missed: false }
    }

    /// A figure.
    pub fn figure(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.rows.push([what.into(), figure.into(), String::new()]);
    }

    /// A figure with a bound and whether it keeps it.
    pub fn bound(&mut self, what: impl Into<String>, figure: impl Into<String>, bound: &str, kept: bool) {
        let verdict = if kept { "ok" } else { "MISSED" };
        self.missed |= !kept;
        self.rows.push([what.into(), figure.into(), format!("{bound}: {verdict}")]);
    }

    /// Prints it; the process ends with failure when a bound was missed.
    pub fn finish(self) {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        let mut text = format!("\n{}\n", self.title);
        for [what, figure, verdict] in &self.rows {
            // Writing into a String does not fail.
            let _ = writeln!(text, "  {what:<first$}  {figure:>second$}  {verdict}");
        }
        println!("{text}");
        if self.missed {
            std::process::exit(1);
        }
    }
}

/// A size of a bench, from the environment or as given.
pub fn size(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::{Percentiles, append_and_sync};
    use std::time::Duration;

    #[test]
    fn percentiles_are_those_of_the_sorted() {
        let found = Percentiles::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((found.at(0.5), found.at(0.99), found.at(1.0)), ms((51, 100, 100)));
        assert_eq!(Percentiles::of(Vec::new()).at(0.5), Duration::ZERO);
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(append_and_sync(folder.path(), 3, Duration::ZERO).expect("measured").count(), 3);
    }

    fn ms(three: (u64, u64, u64)) -> (Duration, Duration, Duration) {
        (Duration::from_millis(three.0), Duration::from_millis(three.1), Duration::from_millis(three.2))
    }
}
