//! What can go wrong at one honeycomb, and its short form on the command line.

use std::str::FromStr;

/// A fault. Ops of the stream are counted from 1, markers included, replays not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `disagree:<period>:<salt>`: from that period on (0 is the first) it writes something of its own.
    Disagree {
        /// First period that differs.
        period: u64,
        /// Two twins with one salt agree.
        salt: u64,
    },
    /// `wrong-hash:<period>`: announces a hash for the opening of that period which no document has.
    WrongHash {
        /// The period opened by the lie.
        period: u64,
    },
    /// `flip:<op>`: sends another value than it keeps (at the first put at or after that op).
    Flip {
        /// Op of the stream.
        op: u64,
    },
    /// `omit:<op>`: keeps it and never says it, and no index shows that (the first op at or after that one).
    Omit {
        /// Op of the stream.
        op: u64,
    },
    /// `exchange:<op>`: says two ops in the other order than it keeps them, under right indexes (the first two of one
    /// batch at or after that op).
    Exchange {
        /// Op of the stream.
        op: u64,
    },
    /// `silent:<from>:<to>`: sends nothing while it works on these blocks (counted from its first, `to` excluded).
    Silent {
        /// First silent block.
        from: u64,
        /// First block after.
        to: u64,
    },
    /// `drop:<op>`: that op is never sent unasked.
    Drop {
        /// Op of the stream.
        op: u64,
    },
    /// `dup:<op>`: sent twice.
    Duplicate {
        /// Op of the stream.
        op: u64,
    },
    /// `swap:<op>`: sent after its successor.
    Swap {
        /// Op of the stream.
        op: u64,
    },
    /// `disconnect:<op>`: the socket closes right after that op.
    Disconnect {
        /// Op of the stream.
        op: u64,
    },
    /// `restart:<blocks>:<back>`: after so many blocks the process dies and starts again from the checkpoint that is
    /// `back` saves older than the newest, replaying the day up to it.
    Restart {
        /// Blocks worked on before.
        blocks: u64,
        /// Saves to go back.
        back: u64,
    },
    /// `mute`: never answers `request_missing`.
    Mute,
}

/// A text that names no fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no fault: disagree:PERIOD:SALT, wrong-hash:PERIOD, flip:OP, omit:OP, exchange:OP, silent:FROM:TO, drop:OP, dup:OP, swap:OP, disconnect:OP, restart:BLOCKS:BACK or mute expected"
)]
pub struct NotAFault(String);

impl FromStr for Fault {
    type Err = NotAFault;
    fn from_str(text: &str) -> Result<Self, NotAFault> {
        let wrong = || NotAFault(text.to_owned());
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let numbers = rest.split(':').filter(|part| !part.is_empty()).map(str::parse);
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().map_err(|_| wrong())?;
        Ok(match (name, numbers.as_slice()) {
            ("disagree", &[period, salt]) => Self::Disagree { period, salt },
            ("wrong-hash", &[period]) => Self::WrongHash { period },
            ("flip", &[op]) => Self::Flip { op },
            ("omit", &[op]) => Self::Omit { op },
            ("exchange", &[op]) => Self::Exchange { op },
            ("silent", &[from, to]) => Self::Silent { from, to },
            ("drop", &[op]) => Self::Drop { op },
            ("dup", &[op]) => Self::Duplicate { op },
            ("swap", &[op]) => Self::Swap { op },
            ("disconnect", &[op]) => Self::Disconnect { op },
            ("restart", &[blocks, back]) => Self::Restart { blocks, back },
            ("mute", &[]) => Self::Mute,
            _ => return Err(wrong()),
        })
    }
}
