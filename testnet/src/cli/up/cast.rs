//! Who feeds the node in `up`, and what happens to them.

use super::NETWORK;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::live::{Pace, Report};
use honeygraph_testnet::honeycomb::{Config, Fault, Honeycomb, Keep};
use std::time::Duration;

/// The main honeycomb loses an op, repeats one and loses its socket once in so many ops…
const TROUBLE_EVERY: u64 = 4000;
/// …so many times; then it is left in peace. The lists of faults are looked through for every op.
const TROUBLES: u64 = 40;
/// A flapping one loses its socket once in so many ops…
const FLAPS_EVERY: u64 = 250;
/// …so many times.
const FLAPS: u64 = 100;
/// Blocks of a day: short, so that roots, second runs and replays of the day come within a minute.
const DAY: u64 = 800;
/// Its accounting block, modulo [`DAY`].
const ACCOUNTING: u64 = 105;
/// The twin disagrees from this period on…
const DISAGREES_FROM: u64 = 4;
/// …and leaves after so many ops.
const TWIN_OPS: u64 = 25_000;
/// Nothing moves for so long: the feed is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the honeycombs are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Mood {
    /// One, and nothing goes wrong.
    Calm,
    /// A twin that comes to disagree, and what goes wrong with real ones.
    Twin,
    /// One that loses its socket all the time.
    Flapping,
}

/// The honeycombs of the play.
pub(super) struct Cast {
    feeds: Vec<(&'static str, Feeding)>,
    feed: String,
    rate: f64,
    /// What all of them write, but for what goes wrong.
    common: Config,
    /// How many forks were ordered.
    forks: u64,
}

impl Cast {
    /// Starts to feed the node at `ws://host:port`.
    pub(super) fn enter(feed: &str, seed: u64, rate: f64, mood: Mood) -> Result<Self, Box<dyn std::error::Error>> {
        let mut main = Config::published(seed);
        main.keep = Keep::Day;
        (main.root_interval, main.root_offset) = (DAY, ACCOUNTING);
        let common = main.clone();
        let mut twin = Config { pace: seed.wrapping_add(1), ..main.clone() };
        twin.faults.push(Fault::Disagree { period: DISAGREES_FROM, salt: 1 });
        main.faults = match mood {
            Mood::Calm => Vec::new(),
            Mood::Twin => troubles(),
            Mood::Flapping => (1..=FLAPS).map(|n| Fault::Disconnect { op: n * FLAPS_EVERY }).collect(),
        };
        let mut feeds = vec![("honeycomb", Self::feeding(feed, Honeycomb::new(main)?, rate, 0)?)];
        if mood == Mood::Twin {
            feeds.push(("twin", Self::feeding(feed, Honeycomb::new(twin)?, rate, TWIN_OPS)?));
        }
        Ok(Self { feeds, feed: feed.to_owned(), rate, common, forks: 0 })
    }

    /// One more honeycomb starts, which has written the same until now, and disagrees from its next period on.
    pub(super) fn fork(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        self.forks += 1;
        let pace = self.common.pace.wrapping_add(1 + self.forks);
        let mut rebel = Honeycomb::new(Config { pace, ..self.common.clone() })?;
        let now = self.feeds.first().map_or(0, |(_, feeding)| feeding.report().block);
        rebel.steps(now.saturating_sub(self.common.first_block));
        rebel.restart(0);
        rebel.disagree(self.forks + 1);
        self.feeds.push(("rebel", Self::feeding(&self.feed, rebel, self.rate, TWIN_OPS)?));
        Ok(())
    }

    fn feeding(feed: &str, honeycomb: Honeycomb, rate: f64, ops: u64) -> Result<Feeding, Box<dyn std::error::Error>> {
        let pace = Pace {
            ops,
            rate: rate.max(0.0),
            reconnect: Duration::from_millis(200),
            reconnect_max: Duration::from_secs(2),
            patience: PATIENCE,
            ..Pace::new(format!("{feed}/ws"))
        };
        Ok(Feeding::start(honeycomb, pace)?)
    }

    /// How far each is.
    pub(super) fn reports(&self) -> Vec<Report> {
        self.feeds.iter().map(|(_, feeding)| feeding.report()).collect()
    }

    /// No further blocks; what was written is still sent and waited for.
    pub(super) fn stop(&self) {
        self.feeds.iter().for_each(|(_, feeding)| feeding.stop());
    }

    /// Whether the main honeycomb has come to its end: told to stop, or given up.
    pub(super) fn main_is_over(&self) -> bool {
        self.feeds.first().is_none_or(|(_, feeding)| feeding.is_over())
    }

    /// Whether all of them have.
    pub(super) fn is_over(&self) -> bool {
        self.feeds.iter().all(|(_, feeding)| feeding.is_over())
    }

    /// Waits for their ends.
    pub(super) fn leave(&mut self) -> Vec<(&'static str, Honeycomb, Report)> {
        let left = self.feeds.drain(..).map(|(name, feeding)| (name, feeding.finish()));
        left.map(|(name, (honeycomb, report))| (name, honeycomb, report)).collect()
    }
}

/// The network as the nodes must know it: a configuration.
pub(super) fn short_day() -> String {
    format!("[networks.{NETWORK}]\nroot_interval = {DAY}\nroot_offset = {ACCOUNTING}\n")
}

fn troubles() -> Vec<Fault> {
    let of = |n: u64| {
        // Not in the first period, which has no place anyway.
        let at = n * TROUBLE_EVERY + 2500;
        [Fault::Drop { op: at }, Fault::Duplicate { op: at + 700 }, Fault::Disconnect { op: at + 1500 }]
    };
    (0..TROUBLES).flat_map(of).collect()
}
