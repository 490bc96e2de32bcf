//! The operator's word on how much is kept.

use std::fmt;
use std::str::FromStr;

/// Most checkpoints and days: more is `full`.
const MOST: u64 = 1_000_000;

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    #[default]
    Full,
    /// So many closed periods, and the one that is open.
    Checkpoints(u64),
    /// The periods of so many days.
    Days(u64),
}

impl FromStr for Keep {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "full, or a number of checkpoints or days, such as \"2016 checkpoints\" or \"30 days\"";
        if text.trim() == "full" {
            return Ok(Self::Full);
        }
        let (number, unit) = text.trim().split_once(' ').ok_or(wrong)?;
        let number: u64 = number.parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or(wrong)?;
        match unit.trim() {
            "checkpoint" | "checkpoints" => Ok(Self::Checkpoints(number)),
            "day" | "days" => Ok(Self::Days(number)),
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Checkpoints(n) => write!(f, "{n} checkpoints"),
            Self::Days(n) => write!(f, "{n} days"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_read_and_nonsense_is_not() {
        assert_eq!("full".parse(), Ok(Keep::Full));
        assert_eq!("1 checkpoint".parse(), Ok(Keep::Checkpoints(1)));
        assert_eq!(" 30  days".parse(), Ok(Keep::Days(30)));
        for wrong in ["", "0 days", "days", "30", "-1 days", "30 weeks", "30days", "1000001 days", "full 3"] {
            assert!(wrong.parse::<Keep>().is_err(), "{wrong}");
        }
    }
}
