//! How often: requests of one address, one key, one network, one token, one endpoint.
//!
//! *Always holds:* a request that is refused counts for nothing; who is remembered is bounded by [`MAX_REMEMBERED`], and when
//! there is no room, those who are new share one allowance.

use super::crowd::block;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Allowances remembered.
pub const MAX_REMEMBERED: usize = 1 << 16;

/// Part of a minute's requests that may come at once.
const BURST: u32 = 6;

/// Pause between two searches for allowances that are whole again, when there is no room.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Requests a minute; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of one address (of IPv6 one network of 2^64).
    pub address: u32,
    /// Of one key, or of one account that signs.
    pub key: u32,
    /// To one network, whoever asks.
    pub network: u32,
    /// To one token, whoever asks.
    pub token: u32,
    /// To one endpoint, whoever asks.
    pub endpoint: u32,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// An address.
    Address(IpAddr),
    /// A key's id, or an account.
    Key(String),
    /// A network.
    Network(String),
    /// A token.
    Token(String),
    /// A route.
    Endpoint(String),
    /// All addresses for which there was no room.
    Others,
}

impl Counted {
    /// An address, as it is counted.
    pub fn address(ip: IpAddr) -> Self {
        Self::Address(block(ip))
    }

    /// Its word in an answer.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Address(_) | Self::Others => "address",
            Self::Key(_) => "key",
            Self::Network(_) => "network",
            Self::Token(_) => "token",
            Self::Endpoint(_) => "endpoint",
        }
    }
}

/// What is left of the tightest allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests a minute.
    pub limit: u32,
    /// Requests that may come at once now.
    pub remaining: u32,
    /// Until it is whole again.
    pub reset: Duration,
}

/// Too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Of what.
    pub of: &'static str,
    /// Requests a minute.
    pub limit: u32,
    /// When the next one would be taken.
    pub retry_after: Duration,
}

/// Allowances. Times are since any one moment.
#[derive(Debug, Default)]
pub struct Limits {
    rates: Rates,
    /// When each allowance is whole again.
    whole_at: BTreeMap<Counted, Duration>,
    cleared: Duration,
}

impl Limits {
    /// With these rates.
    pub fn new(rates: Rates) -> Self {
        Self { rates, ..Self::default() }
    }

    fn rate(&self, counted: &Counted) -> u32 {
        match counted {
            Counted::Address(_) | Counted::Others => self.rates.address,
            Counted::Key(_) => self.rates.key,
            Counted::Network(_) => self.rates.network,
            Counted::Token(_) => self.rates.token,
            Counted::Endpoint(_) => self.rates.endpoint,
        }
    }

    /// Counts a request against all of these, or against none of them when one is used up.
    pub fn take(&mut self, counted: Vec<Counted>, now: Duration) -> Result<Option<Left>, TooMany> {
        let mut limited = Vec::with_capacity(counted.len());
        for counted in counted {
            match self.rate(&counted) {
                0 => {}
                rate => limited.push((self.known(counted, now), rate)),
            }
        }
        let mut tightest: Option<Left> = None;
        let mut taken = Vec::new();
        for (counted, rate) in limited {
            let (each, burst) = (Duration::from_secs(60) / rate, (rate / BURST).max(1));
            let whole_at = self.whole_at.get(&counted).copied().unwrap_or(now).max(now);
            let after = whole_at + each;
            let room = each * burst;
            if after - now > room {
                return Err(TooMany { of: counted.word(), limit: rate, retry_after: after - now - room });
            }
            let remaining = ((room - (after - now)).as_nanos() / each.as_nanos().max(1)) as u32;
            let left = Left { limit: rate, remaining, reset: after - now };
            tightest = Some(tightest.filter(|tightest| tightest.remaining <= remaining).unwrap_or(left));
            taken.push((counted, after));
        }
        self.whole_at.extend(taken);
        Ok(tightest)
    }

    /// Itself, or what it is counted as when there is no room to remember it.
    fn known(&mut self, counted: Counted, now: Duration) -> Counted {
        if self.whole_at.len() < MAX_REMEMBERED || self.whole_at.contains_key(&counted) {
            return counted;
        }
        if now.saturating_sub(self.cleared) >= CLEAR_EVERY {
            self.cleared = now;
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
        if self.whole_at.len() < MAX_REMEMBERED { counted } else { Counted::Others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(n: u32) -> Counted {
        Counted::address(IpAddr::from(n.to_be_bytes()))
    }

    /// Row 16: nothing was limited. Guards against: a refused request counts; what is used up never comes back.
    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let mut limits = Limits::new(Rates { address: 60, ..Rates::default() });
        for left in (0..10).rev() {
            assert_eq!(limits.take(vec![address(1)], SECOND).unwrap().unwrap().remaining, left);
        }
        for _ in 0..100 {
            let refused = limits.take(vec![address(1)], SECOND).unwrap_err();
            assert_eq!(refused, TooMany { of: "address", limit: 60, retry_after: SECOND });
        }
        assert!(limits.take(vec![address(2)], SECOND).is_ok(), "another one's is its own");
        assert!(limits.take(vec![address(1)], SECOND * 2).is_ok());
        assert!(limits.take(vec![address(1)], SECOND * 2).is_err());
        assert_eq!(limits.take(vec![address(1)], SECOND * 600).unwrap().unwrap().remaining, 9);
    }

    /// Guards against: the first allowance is used although the second is used up.
    #[test]
    fn all_of_them_or_none() {
        let mut limits = Limits::new(Rates { address: 600, network: 6, ..Rates::default() });
        let both = || vec![address(1), Counted::Network("dlux_".into()), Counted::Key("unlimited".into())];
        assert_eq!(limits.take(both(), SECOND).unwrap().unwrap(), Left { limit: 6, remaining: 0, reset: SECOND * 10 });
        for _ in 0..1000 {
            assert_eq!(limits.take(both(), SECOND).unwrap_err().of, "network");
        }
        assert_eq!(limits.take(vec![address(1)], SECOND).unwrap().unwrap().remaining, 98);
        assert_eq!(limits.take(vec![Counted::Endpoint("/x".into())], SECOND), Ok(None), "no limit");
    }

    #[test]
    fn without_room_the_new_ones_share() {
        let mut limits = Limits::new(Rates { address: 6, ..Rates::default() });
        for n in 0..MAX_REMEMBERED as u32 {
            limits.take(vec![address(n)], SECOND).unwrap();
        }
        assert!(limits.take(vec![address(u32::MAX)], SECOND).is_ok());
        assert!(limits.take(vec![address(u32::MAX - 1)], SECOND).is_err(), "one for all of them");
        assert!(limits.whole_at.len() <= MAX_REMEMBERED + 1);
        assert!(limits.take(vec![address(u32::MAX)], SECOND * 100).is_ok());
        assert!(limits.whole_at.len() < 10, "who is whole again is forgotten");
    }
}
