//! Progress on a terminal, for what takes long enough to make one wonder.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);
/// Steps between two looks at the clock: a record takes about a microsecond.
const LOOK_EVERY: u64 = 1024;

/// A bar on standard error that appears after two seconds, on a terminal only.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    steps: u64,
    shown: bool,
}

impl Progress {
    /// Towards `end`.
    pub fn new(what: &str, end: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(end), ProgressDrawTarget::hidden()).with_message(what.to_owned());
        let style = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, begun: Instant::now(), steps: 0, shown: false }
    }

    /// So far.
    pub fn reach(&mut self, at: u64) {
        self.steps += 1;
        if !self.steps.is_multiple_of(LOOK_EVERY) {
            return;
        }
        if !self.shown && self.begun.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
        self.bar.set_position(at);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
