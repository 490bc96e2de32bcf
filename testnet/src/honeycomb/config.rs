//! What a scripted honeycomb is like: its network, how much it writes, and which client it speaks through.

use super::fault::Fault;
use super::truth::Keep;

/// Which client the honeycomb speaks through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// honeycomb-spkcc 28237cc with its published client, and everything unpleasant that they do.
    Published,
    /// The client that the seed documents describe: real block numbers, `fork_start`, `sendCheckpoint`.
    Seed,
    /// What honeycomb should send: bare ops, every field, `fork_start` and `checkpoint` for each period.
    Ideal,
}

impl std::str::FromStr for Profile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "published" => Ok(Self::Published),
            "seed" => Ok(Self::Seed),
            "ideal" => Ok(Self::Ideal),
            _ => Err(format!("{text:?} is no profile: published, seed or ideal expected")),
        }
    }
}

/// Where the honeycomb's own history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From nothing: `forkHash` null and `blockNum` 0 until the first save, which is a root.
    Genesis,
    /// From a state of so many accounts that never reaches the feed, as a running network's does not.
    Running {
        /// Accounts in the state before the first op.
        accounts: u64,
    },
}

/// What the tracking fields become when a save returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterSave {
    /// `prevCheckpointHash` becomes equal to `forkHash`, `blockNum` goes from N+1 to N (28237cc).
    Equal,
    /// `forkHash` and `prevCheckpointHash` become null and `blockNum` 0 (other versions).
    Null,
    /// Nothing changes, and the fields were right from the start.
    Right,
}

/// A scripted honeycomb. [`Config::new`] gives a profile's own values; every field may be changed after that.
/// Honest twins share `seed` and everything that is content, and differ in `pace`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Client.
    pub profile: Profile,
    /// `identify.token`
    pub token: String,
    /// `identify.prefix`; the published client sends none.
    pub prefix: Option<String>,
    /// Seed of everything that is written.
    pub seed: u64,
    /// Seed of everything that depends on the machine's speed: when a save returns, how ops are bundled into frames.
    pub pace: u64,
    /// Where it begins.
    pub start: Start,
    /// Block of its first checkpoint; is 1 modulo `checkpoint_every`.
    pub first_block: u64,
    /// Blocks in a period. At least 8.
    pub checkpoint_every: u64,
    /// Blocks between two roots; a multiple of `checkpoint_every`.
    pub root_interval: u64,
    /// A block is the daily accounting when `(block - root_offset) % root_interval == 0`; 5 modulo `checkpoint_every`.
    pub root_offset: u64,
    /// Ops that the transactions of a block write, on average.
    pub ops_per_block: u64,
    /// Accounts that act.
    pub users: u64,
    /// The index restarts at the daily accounting too: a second run in that period.
    pub second_run: bool,
    /// The hash of a save is known at most so many ops after the index restarted. It is content: the put of
    /// `stats.pendingHash` comes at that place.
    pub hash_delay: u64,
    /// A save returns at most so many ops after its hash is known.
    pub save_delay: u64,
    /// What happens to the tracking fields then.
    pub after_save: AfterSave,
    /// Honeycomb writes `put ["stats","pendingHash"]` and a marker when it knows the hash.
    pub pending_hash: bool,
    /// Concurrent writers: a marker may close the ops of two, and the next batch be empty.
    pub interleave: bool,
    /// The last marker of a period may come after the index restarted.
    pub straggle: bool,
    /// One in so many checkpoint messages lacks its hash; 0 for none.
    pub hashless_checkpoint: u64,
    /// Paths are sent as `/a/b` instead of as arrays.
    pub string_paths: bool,
    /// Ops in a `batch` frame at most; 1 sends bare ops only.
    pub batch_size: usize,
    /// Periods the client keeps for `request_missing` at most; it trims at a root only.
    pub cache_periods: usize,
    /// At a root the client forgets all periods before it.
    pub trims_at_root: bool,
    /// The client of 4e7dc0b: ops with index 0 or block 0 are never sent.
    pub drops_zero: bool,
    /// What goes wrong beyond that.
    pub faults: Vec<Fault>,
    /// How much of the truth is kept.
    pub keep: Keep,
}

/// Periods the published client keeps: a day.
const CACHE_PERIODS: usize = 288;
/// Ops the published client puts into one frame.
const BATCH_SIZE: usize = 100;
/// Block of load tests: a checkpoint of the test chain.
const FIRST_BLOCK: u64 = 97_643_601;

impl Config {
    /// The published honeycomb with a seed.
    pub fn published(seed: u64) -> Self {
        Self::new(Profile::Published, seed)
    }

    /// A profile with its own values.
    pub fn new(profile: Profile, seed: u64) -> Self {
        let published = profile == Profile::Published;
        Self {
            profile,
            token: "SPK".to_owned(),
            prefix: None,
            seed,
            pace: seed,
            start: Start::Running { accounts: 20 },
            first_block: FIRST_BLOCK,
            checkpoint_every: 100,
            root_interval: 28_800,
            root_offset: 18_505,
            ops_per_block: 8,
            users: 5000,
            second_run: published,
            hash_delay: if published { 9 } else { 0 },
            save_delay: if published { 30 } else { 0 },
            after_save: if published { AfterSave::Equal } else { AfterSave::Right },
            pending_hash: profile != Profile::Seed,
            interleave: published,
            straggle: published,
            hashless_checkpoint: if published { 3 } else { 0 },
            string_paths: false,
            batch_size: if published { BATCH_SIZE } else { 1 },
            cache_periods: CACHE_PERIODS,
            trims_at_root: true,
            drops_zero: false,
            faults: Vec::new(),
            keep: Keep::Everything,
        }
    }

    /// A small chain for tests: periods of `every` blocks, a root every `periods` periods, few ops and users. It
    /// begins one period after a root.
    pub fn small(mut self, every: u64, periods: u64) -> Self {
        self.checkpoint_every = every;
        self.root_interval = every * periods;
        self.root_offset = 5;
        self.first_block = 3 * every * periods + every + 1;
        self.ops_per_block = 3;
        self.users = 12;
        self
    }

    /// Names what contradicts the way honeycomb counts blocks.
    pub fn check(&self) -> Result<(), String> {
        let every = self.checkpoint_every;
        if every < 8 {
            return Err(format!("checkpoint_every is {every}: the daily accounting needs at least 8"));
        }
        if !self.root_interval.is_multiple_of(every) || self.root_interval == 0 || self.root_offset % every != 5 {
            return Err("root_interval must be a multiple of checkpoint_every, root_offset 5 beyond one".to_owned());
        }
        if self.first_block % every != 1 {
            return Err(format!("first_block {} is no checkpoint block", self.first_block));
        }
        if self.batch_size == 0 {
            return Err("batch_size is 0".to_owned());
        }
        if self.keep == Keep::Open && self.faults.iter().any(|fault| matches!(fault, Fault::Restart { .. })) {
            return Err("a restart needs the day's batches: keep Day or Everything".to_owned());
        }
        Ok(())
    }

    /// True at the block of the daily accounting.
    pub(super) fn is_daily(&self, block: u64) -> bool {
        block >= self.root_offset && (block - self.root_offset).is_multiple_of(self.root_interval)
    }
}
