//! What a peer did wrong, and how often it may.
//!
//! *Always holds:* there is no offence of being slow, silent or wrong about something that nobody can prove; points are
//! forgiven with time; a ban ends.

use serde::Serialize;

/// Points at which a peer is banned.
const BANNED_AT: u32 = 100;
/// A point is forgiven each so many ms: a ban's worth in 100 minutes.
const FORGIVES_MS: u64 = 60 * 1_000;
/// The first ban, ms; each further one doubles.
pub const BAN_MS: u64 = 60 * 60 * 1_000;
/// The longest.
pub const LONGEST_BAN_MS: u64 = 24 * BAN_MS;

/// How often something may happen before it is a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Tolerance {
    /// Never.
    Fatal,
    /// About 5 times.
    Low,
    /// About 10 times.
    Mid,
    /// About 50 times.
    High,
}

impl Tolerance {
    fn points(self) -> u32 {
        match self {
            Self::Fatal => BANNED_AT,
            Self::Low => 20,
            Self::Mid => 10,
            Self::High => 2,
        }
    }
}

/// What a peer did. Its word is log field, metric label and what tests look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offence {
    /// Bytes that are no message of the protocol that it says it speaks.
    Undecodable,
    /// A message longer than any may be.
    Oversize,
    /// An answer of another kind than the question, or of another network.
    NotAnAnswer,
    /// Headers that do not link, or do not begin where they were asked for.
    HeadersBroken,
    /// A header whose ops, all there, do not make the document that its hash names.
    HeaderFalse,
    /// Batches that are not in the period that it was asked for.
    BodyFalse,
    /// Leaves, or a manifest, that are not those of the picture that it was asked for.
    PictureFalse,
    /// Gossip that nobody signed, or that says it is another's.
    Forged,
    /// More requests, bytes or gossip than one peer may have.
    TooMuch,
}

impl Offence {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 9] = [
        Self::Undecodable,
        Self::Oversize,
        Self::NotAnAnswer,
        Self::HeadersBroken,
        Self::HeaderFalse,
        Self::BodyFalse,
        Self::PictureFalse,
        Self::Forged,
        Self::TooMuch,
    ];

    /// How often it may happen.
    pub fn tolerance(self) -> Tolerance {
        match self {
            // No honest program does these, whatever its state.
            Self::Undecodable | Self::Oversize => Tolerance::Fatal,
            Self::NotAnAnswer | Self::HeadersBroken | Self::HeaderFalse | Self::BodyFalse | Self::PictureFalse => {
                Tolerance::Low
            }
            // A peer passes on what others made.
            Self::Forged => Tolerance::Mid,
            Self::TooMuch => Tolerance::High,
        }
    }

    /// In one stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Oversize => "oversize",
            Self::NotAnAnswer => "not_an_answer",
            Self::HeadersBroken => "headers_broken",
            Self::HeaderFalse => "header_false",
            Self::BodyFalse => "body_false",
            Self::PictureFalse => "picture_false",
            Self::Forged => "forged",
            Self::TooMuch => "too_much",
        }
    }
}

/// A peer's points, and its ban.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Penalties {
    pub(super) points: u32,
    /// Until when forgiving has been taken into account, ms.
    pub(super) at: u64,
    /// How often it was banned.
    pub(super) bans: u32,
    pub(super) until: u64,
}

impl Penalties {
    /// As of now.
    pub fn points(&self, now: u64) -> u32 {
        let forgiven = now.saturating_sub(self.at) / FORGIVES_MS;
        self.points.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// Until when it is banned, if it is.
    pub fn banned_until(&self, now: u64) -> Option<u64> {
        (self.until > now).then_some(self.until)
    }

    /// Takes an offence; whether the points are those of a ban now.
    pub(super) fn note(&mut self, now: u64, tolerance: Tolerance) -> bool {
        self.points = self.points(now).saturating_add(tolerance.points()).min(BANNED_AT);
        self.at = self.at.max(now);
        self.points >= BANNED_AT
    }

    /// Begins a ban; after it the peer starts anew.
    pub(super) fn ban(&mut self, now: u64) -> u64 {
        let length = BAN_MS.saturating_mul(1 << self.bans.min(16)).min(LONGEST_BAN_MS);
        self.bans = self.bans.saturating_add(1);
        (self.points, self.until) = (0, now.saturating_add(length));
        self.until
    }

    /// Ends a ban.
    pub(super) fn pardon(&mut self) {
        (self.points, self.until) = (0, 0);
    }
}
