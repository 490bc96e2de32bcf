//! Looking for peers: asks the sources while there are too few, remembers those that were met.
//!
//! *Always holds:* a node that is alone keeps trying, ever more rarely, and says so; what it is told by others than its
//! operator it only dials. The file of peers is a cache: without it the next start is slower.

use super::host::{Handle, Seen};
use super::task::Shown;
use honeygraph_bootstrap::cache::{Cache, Known};
use honeygraph_bootstrap::source::{Finder, Source};
use libp2p::futures::future::join_all;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// With so many peers nobody is looked for.
const ENOUGH: usize = 4;
/// First pause between two looks; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(300);
/// Peers of earlier runs that are dialled in one look.
const REMEMBERED: usize = 16;
/// Sources that may be added while the node runs; further ones are refused.
pub const MAX_ADDED: usize = 64;
/// Added sources that wait to be asked.
pub const ADDED_WAITING: usize = 16;
/// Shown of what went wrong with a source, in characters.
const MAX_SHOWN: usize = 200;

/// What the search shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Since when nobody is connected, ms since the epoch.
    pub alone_since_ms: Option<u64>,
    /// When the sources are asked again, ms since the epoch.
    pub next_ms: u64,
    /// Each source that was asked, with how many addresses it gave, or why none.
    pub sources: BTreeMap<String, Result<usize, String>>,
    /// Peers that are remembered.
    pub remembered: usize,
}

/// Looks for peers.
pub struct Find {
    handle: Handle,
    finder: Finder,
    sources: Vec<Source>,
    file: PathBuf,
    cache: Cache,
    /// How well peers serve.
    served: watch::Receiver<Arc<Shown>>,
    shown: watch::Sender<Arc<Search>>,
    tries: u32,
}

impl Find {
    /// Looks in these sources, and among the peers of this file, in which it notes how well they serve.
    pub fn new(
        handle: Handle,
        finder: Finder,
        sources: Vec<Source>,
        (file, served): (PathBuf, watch::Receiver<Arc<Shown>>),
    ) -> Self {
        let cache = Cache::load(&file).unwrap_or_else(|error| {
            warn!(file = %file.display(), %error, "peers of earlier runs are not known");
            Cache::default()
        });
        Self { handle, finder, sources, file, cache, served, shown: watch::Sender::default(), tries: 0 }
    }

    /// What it shows of itself.
    pub fn shown(&self) -> watch::Receiver<Arc<Search>> {
        self.shown.subscribe()
    }

    /// Runs until it is stopped. Sources may be added meanwhile.
    pub async fn run(mut self, mut added: mpsc::Receiver<Source>, stop: CancellationToken) {
        let mut seen = self.handle.seen();
        let mut had_peers = false;
        loop {
            let peers = seen.borrow_and_update().peers.len();
            if peers < ENOUGH {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.look(peers) => {}
                }
            } else {
                self.tries = 0;
            }
            let pause = pause(self.tries, &self.handle.us().to_bytes());
            self.show(peers, pause);
            let until = tokio::time::Instant::now() + pause;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return self.remember(&seen.borrow()),
                    () = tokio::time::sleep_until(until) => break,
                    Some(source) = added.recv() => {
                        self.add(source);
                        self.tries = 0;
                        break;
                    }
                    Ok(()) = seen.changed() => {
                        let peers = seen.borrow_and_update().peers.len();
                        self.show(peers, pause);
                        if peers == 0 && had_peers {
                            self.tries = 0;
                            had_peers = false;
                            break;
                        }
                        had_peers |= peers > 0;
                    }
                }
            }
            self.remember(&seen.borrow());
        }
        self.remember(&seen.borrow());
    }

    fn add(&mut self, source: Source) {
        if !self.sources.contains(&source) && self.sources.len() < MAX_ADDED {
            self.sources.push(source);
        }
    }

    /// Asks everybody who may know somebody.
    async fn look(&mut self, peers: usize) {
        self.tries = self.tries.saturating_add(1);
        let remembered = self.cache.peers().into_iter().take(REMEMBERED);
        let mut found: Vec<_> = remembered.flat_map(|(_, known)| known.addresses.clone()).collect();
        let asked = self.sources.iter().map(|source| async { (named(source), self.finder.ask(source).await) });
        let mut sources = BTreeMap::new();
        for (name, answer) in join_all(asked).await {
            let outcome = match answer {
                Ok(addresses) => {
                    let count = addresses.len();
                    found.extend(addresses);
                    Ok(count)
                }
                Err(error) => Err(error.to_string().chars().take(MAX_SHOWN).collect::<String>()),
            };
            debug!(source = name, ?outcome, "asked for peers");
            sources.insert(name, outcome);
        }
        if peers == 0 && !self.handle.seen().borrow().peers.is_empty() {
            return self.shown.send_modify(|shown| Arc::make_mut(shown).sources = sources);
        }
        if peers == 0 && self.sources.is_empty() && found.is_empty() && self.tries == 1 {
            info!("no peers are configured (`swarm.peers`): this node waits for others to connect");
        }
        if !found.is_empty() {
            self.handle.dial(found).await;
        }
        if peers > 0 {
            self.handle.walk().await;
        }
        self.shown.send_modify(|shown| Arc::make_mut(shown).sources = sources);
    }

    fn show(&self, peers: usize, pause: Duration) {
        let now = now_ms();
        let next_ms = now + pause.as_millis() as u64;
        let was_alone = self.shown.borrow().alone_since_ms;
        self.shown.send_modify(|shown| {
            let shown = Arc::make_mut(shown);
            shown.alone_since_ms = if peers == 0 { Some(was_alone.unwrap_or(now)) } else { None };
            shown.next_ms = next_ms;
            shown.remembered = self.cache.len();
        });
        let known = !self.sources.is_empty() || !self.cache.is_empty();
        // Doubling pauses make these lines rare by themselves.
        if peers == 0 && known && self.tries > 1 {
            info!(tries = self.tries, again_in_s = pause.as_secs(), "no peer is connected; still looking");
        }
    }

    /// Notes who is connected now.
    fn remember(&mut self, seen: &Seen) {
        let (before, served) = (self.cache.clone(), self.served.borrow().clone());
        for (peer, met) in &seen.peers {
            let mut addresses = met.addresses.clone();
            if met.outgoing && !addresses.contains(&met.address) {
                addresses.insert(0, met.address.clone());
            }
            if !addresses.is_empty() {
                let score = served.peers.get(peer).map_or(1.0, |known| known.reliability);
                self.cache.put(*peer, Known { addresses, score, last_success_ms: now_ms() });
            }
        }
        if self.cache != before
            && let Err(error) = self.cache.save(&self.file)
        {
            warn!(file = %self.file.display(), %error, "peers cannot be remembered");
        }
    }
}

fn named(source: &Source) -> String {
    match source {
        Source::Address(address) => address.to_string(),
        Source::Url(url) | Source::Honeycomb(url) => url.clone(),
        Source::Service(domain) => domain.clone(),
    }
}

/// The pause after so many looks: doubling, and up to a quarter longer, as `who` and the count say, so that nodes that
/// were cut off together do not come back together.
fn pause(tries: u32, who: &[u8]) -> Duration {
    let base = PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST);
    let spread = blake3::Hasher::new().update(who).update(&tries.to_le_bytes()).finalize().as_bytes()[0];
    base + base.mul_f64(f64::from(spread) / 1024.0)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let pauses: Vec<Duration> = (0..40).map(|tries| pause(tries, b"a")).collect();
        assert!(pauses[0] >= PAUSE && pauses[3] > pauses[1]);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST.mul_f64(1.25)));
        assert_ne!(pause(20, b"a"), pause(20, b"b"));
    }
}
