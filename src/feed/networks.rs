//! Which network a feed belongs to, and the way into it.
//!
//! *Always holds:* what waits for a core is bounded in messages ([`INTAKE_MESSAGES`]) and in bytes ([`INTAKE_BYTES`]);
//! every feed belongs to some configured network.

use super::message::ToCore;
use super::recording::tap::Tap;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};

/// Messages that wait for a core before its feeds stop reading. A message holds one frame, or a run of single ops.
pub const INTAKE_MESSAGES: usize = 256;

/// Bytes of frames that wait for a core before its feeds stop reading: one largest frame and some more.
pub const INTAKE_BYTES: usize = 96 << 20;

/// One permit of the intake's semaphore stands for this many bytes (its permits are counted in 32 bits).
const GRAIN: usize = 1024;

/// The way into one network.
#[derive(Clone, Debug)]
pub struct Port {
    /// To the core.
    pub core: mpsc::Sender<ToCore>,
    /// The LSN up to which the network's journal is durable.
    pub durable: watch::Receiver<u64>,
    /// Where its traffic can be listened to.
    pub tap: Arc<Tap>,
    /// Bytes that may wait for the core.
    pub(super) intake: Arc<Semaphore>,
}

impl Port {
    /// A port to this core; `durable` is the journal's.
    pub fn new(core: mpsc::Sender<ToCore>, durable: watch::Receiver<u64>) -> Self {
        Self { core, durable, tap: Arc::default(), intake: Arc::new(Semaphore::new(INTAKE_BYTES / GRAIN)) }
    }

    /// Permits for a message of this many bytes.
    pub(super) fn permits(bytes: usize) -> u32 {
        (bytes.min(INTAKE_BYTES) / GRAIN) as u32
    }
}

/// The configured networks.
#[derive(Clone, Debug)]
pub struct Networks {
    ports: BTreeMap<String, Arc<Port>>,
    tokens: BTreeMap<String, String>,
    default: String,
}

/// A feed's network, and what was wrong with the way it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The network.
    pub network: &'a str,
    /// For an `error` to the feed: a name that is not configured.
    pub complaint: Option<String>,
}

/// Why a set of networks cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworksError {
    /// The default, or a token's network, is not among the ports.
    #[error("network {0} is not configured")]
    Unconfigured(String),
}

impl Networks {
    /// `ports` by network prefix, `tokens` by symbol to the prefix; `default` takes feeds that name nothing known.
    pub fn new(
        default: &str,
        ports: BTreeMap<String, Port>,
        tokens: BTreeMap<String, String>,
    ) -> Result<Self, NetworksError> {
        for network in tokens.values().map(String::as_str).chain([default]) {
            if !ports.contains_key(network) {
                return Err(NetworksError::Unconfigured(network.into()));
            }
        }
        let ports = ports.into_iter().map(|(network, port)| (network, Arc::new(port))).collect();
        Ok(Self { ports, tokens, default: default.into() })
    }

    /// The way into a network.
    pub fn port(&self, network: &str) -> Option<&Arc<Port>> {
        self.ports.get(network)
    }

    /// The network of a feed: `identify.prefix`, else what the URL or else `X-Token` says (a token or a prefix), else
    /// `identify.token`, else the default. A name that nobody knows is passed over, with a complaint.
    pub fn resolve<'a>(&'a self, prefix: Option<&str>, places: &[String], token: Option<&str>) -> Resolved<'a> {
        let mut complaint = None;
        if let Some(prefix) = prefix {
            match self.ports.get_key_value(prefix) {
                Some((network, _)) => return Resolved { network, complaint },
                None => complaint = Some(format!("Unknown network prefix: {}", shown(prefix))),
            }
        }
        for place in places {
            match self.named(place) {
                Some(network) => return Resolved { network, complaint },
                None => drop(complaint.get_or_insert_with(|| format!("Unknown token: {}", shown(place)))),
            }
        }
        match token.map(|token| (token, self.named(token))) {
            Some((_, Some(network))) => Resolved { network, complaint },
            Some((token, None)) => {
                complaint.get_or_insert_with(|| format!("Unknown token: {}", shown(token)));
                Resolved { network: &self.default, complaint }
            }
            None => Resolved { network: &self.default, complaint },
        }
    }

    fn named(&self, name: &str) -> Option<&str> {
        if let Some((network, _)) = self.ports.get_key_value(name) {
            return Some(network);
        }
        let token = self.tokens.get(name).or_else(|| self.tokens.get(&name.to_ascii_uppercase()));
        token.map(String::as_str)
    }
}

/// A name from outside, short enough to be sent back and logged.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(32).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> Networks {
        let port = || Port::new(mpsc::channel(1).0, watch::channel(0).1);
        let ports = ["spkcc_", "spkccT_", "dlux_"].map(|network| (network.to_string(), port())).into();
        let tokens = [("SPK", "spkcc_"), ("LARYNX", "spkcc_"), ("BROCA", "spkcc_"), ("DLUX", "dlux_")];
        let tokens = tokens.map(|(token, network)| (token.to_string(), network.to_string())).into();
        Networks::new("dlux_", ports, tokens).unwrap()
    }

    #[test]
    fn the_first_name_that_is_configured_decides() {
        let networks = networks();
        let cases = [
            (Some("spkccT_"), &["DLUX"][..], Some("SPK"), "spkccT_", false),
            (Some("nope_"), &["SPK"], Some("DLUX"), "spkcc_", true),
            (Some("nope_"), &[], Some("BROCA"), "spkcc_", true),
            (None, &["spkccT_"], Some("DLUX"), "spkccT_", false),
            // Failed once: a URL that names nothing hid what `X-Token` says, and was passed over without a word.
            (None, &["XYZ", "SPK"], Some("DLUX"), "spkcc_", true),
            (None, &["XYZ"], Some("LARYNX"), "spkcc_", true),
            (None, &["XYZ"], None, "dlux_", true),
            (None, &["spk"], None, "spkcc_", false),
            (None, &[], Some("XYZ"), "dlux_", true),
            (None, &[], None, "dlux_", false),
        ];
        for (prefix, places, token, network, complains) in cases {
            let places: Vec<String> = places.iter().map(|place| place.to_string()).collect();
            let resolved = networks.resolve(prefix, &places, token);
            assert_eq!((resolved.network, resolved.complaint.is_some()), (network, complains));
        }
    }

    #[test]
    fn a_token_of_no_network_is_a_mistake_in_the_configuration() {
        let error = Networks::new("dlux_", BTreeMap::new(), BTreeMap::new()).unwrap_err();
        assert_eq!(error, NetworksError::Unconfigured("dlux_".into()));
    }

    #[test]
    fn the_largest_frame_fits_the_intake() {
        assert!(Port::permits(usize::MAX) as usize <= INTAKE_BYTES / GRAIN);
        assert_eq!(Port::permits(100), 0);
    }
}
