//! The task of a newcomer: asks peers, checks and writes what they send, and makes the base of it.
//!
//! *Always holds:* hashing and writing happen on threads that may block; the machine hears of every question that it asked,
//! whatever becomes of the peer; a base that is there is not fetched.

use super::machine::{AskId, Effect, Input, Machine, Phase, Shown};
use crate::pictures::PictureError;
use crate::pictures::part::Part;
use crate::swarm::door::task::Inside;
use crate::swarm::following::Event;
use crate::swarm::host::{AskError, Handle, Protocol};
use crate::swarm::peers::Offence;
use crate::swarm::serve::Held;
use crate::swarm::task::key;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::pictures::{Answer, Manifest, Request};
use honeygraph_protocols::swarm::wire::Message;
use libp2p::PeerId;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What has happened elsewhere and waits: one for each question that may be out, and some.
const HAPPENED: usize = 256;

/// Where a picture lies while it comes, and where the base goes.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Of the part that is here.
    pub fetching: PathBuf,
    /// Of a base that the next start takes.
    pub found: PathBuf,
}

/// What it works with.
pub struct Newcomer {
    /// What is held of the network.
    pub held: Held,
    /// The way to peers.
    pub handle: Handle,
    /// Those that may be asked.
    pub inside: Inside,
    /// What something vouches for.
    pub anchors: watch::Receiver<Arc<BTreeSet<HashText>>>,
    /// Where the swarm's task hears of peers, and whether a base is awaited.
    pub events: mpsc::Sender<Event>,
    /// Where it lies.
    pub folders: Folders,
    /// Told when a base waits.
    pub ready: CancellationToken,
    /// Where it shows itself.
    pub shown: watch::Sender<Arc<Shown>>,
}

/// The task itself.
struct Running {
    newcomer: Newcomer,
    machine: Machine,
    happened: mpsc::Sender<Input>,
    part: Option<Arc<Part>>,
    awaited: Option<bool>,
}

impl Newcomer {
    /// Runs until it is stopped, or the base is there.
    pub async fn run(self, stop: CancellationToken) {
        let (happened, mut inputs) = mpsc::channel(HAPPENED);
        let machine = Machine::new(self.held.network.clone());
        let mut running = Running { newcomer: self, machine, happened, part: None, awaited: None };
        if let Some((root, manifest)) = Part::left(&running.newcomer.folders.fetching) {
            info!(network = %running.newcomer.held.network, %root, "a picture that was begun before is gone on with");
            running.hear(Input::Left(root, Box::new(manifest))).await;
        }
        let (mut seen, mut inside) = (running.newcomer.handle.seen(), running.newcomer.inside.clone());
        let mut anchors = running.newcomer.anchors.clone();
        seen.mark_changed();
        anchors.mark_changed();
        let mut connected = BTreeSet::new();
        loop {
            let wake = running.machine.wake_at(now_ms()).map(|at| Duration::from_millis(at.saturating_sub(now_ms())));
            let wake = wake.map(|pause| Instant::now() + pause);
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = seen.changed() => {
                    seen.mark_unchanged();
                    running.meet(&mut connected).await;
                }
                () = inside.changed() => running.meet(&mut connected).await,
                Ok(()) = anchors.changed() => {
                    let now = anchors.borrow_and_update().as_ref().clone();
                    running.hear(Input::Anchors(now)).await;
                }
                Some(input) = inputs.recv() => {
                    let ends = matches!(input, Input::Taken);
                    running.hear(input).await;
                    if ends {
                        return running.newcomer.ready.cancel();
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    running.hear(Input::Tick).await;
                }
            }
        }
    }
}

impl Running {
    /// Who may be asked now, after who could be before.
    async fn meet(&mut self, connected: &mut BTreeSet<PeerKey>) {
        let answering: BTreeSet<PeerKey> = {
            let seen = self.newcomer.handle.seen();
            let seen = seen.borrow();
            let peers = seen.peers.iter().filter(|(_, peer)| peer.answers);
            peers.filter_map(|(peer, _)| key(peer)).filter(|peer| self.newcomer.inside.has(peer)).collect()
        };
        for gone in connected.difference(&answering).copied().collect::<Vec<_>>() {
            self.hear(Input::Gone(gone)).await;
        }
        for new in answering.difference(connected).copied().collect::<Vec<_>>() {
            self.hear(Input::Connected(new)).await;
        }
        *connected = answering;
    }

    async fn hear(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.machine.on(now_ms(), input, &mut effects);
        for effect in effects {
            self.perform(effect).await;
        }
        let shown = self.machine.shown();
        if matches!(shown.phase, Phase::Looking | Phase::Manifest) {
            self.part = None;
        }
        self.newcomer.shown.send_if_modified(|held| {
            let changed = **held != shown;
            if changed {
                *held = Arc::new(shown);
            }
            changed
        });
        let awaited = self.machine.is_awaited(now_ms());
        if self.awaited.replace(awaited) != Some(awaited) {
            let network = self.newcomer.held.network.clone();
            self.tell(Event::Picture(network, awaited)).await;
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask { id, peer, request } => self.ask(id, peer, &request),
            Effect::Open(root, manifest) => self.open(root, *manifest).await,
            Effect::Finish => self.finish(),
            Effect::Outcome(peer, good) => self.tell(Event::Served(peer, good)).await,
            Effect::Penalty(peer, offence, what) => self.tell(Event::Blamed(peer, offence, what)).await,
        }
    }

    /// A swarm's task that has ended hears nothing any more.
    async fn tell(&self, event: Event) {
        let _ = self.newcomer.events.send(event).await;
    }

    fn ask(&self, id: AskId, peer: PeerKey, request: &Request) {
        let (handle, happened, part) = (self.newcomer.handle.clone(), self.happened.clone(), self.part.clone());
        let group = match request {
            Request::Leaves(wanted) => Some(wanted.group as usize),
            Request::Held(_) | Request::Manifest(_) => None,
        };
        let wants_manifest = matches!(request, Request::Manifest(_));
        let bytes = request.encode();
        tokio::spawn(async move {
            let input = match (PeerId::from_bytes(&peer.peer_id()), bytes) {
                (Ok(peer), Some(bytes)) => match handle.ask(peer, Protocol::Pictures, bytes).await {
                    Ok(bytes) => match (Answer::decode(&bytes), group) {
                        (Ok(Answer::Leaves(packed)), Some(nth)) => take(id, nth, packed, part).await,
                        (Ok(Answer::Held(offers)), None) if !wants_manifest => Input::Held(id, offers.into_vec()),
                        (Ok(Answer::Manifest(manifest)), None) if wants_manifest => {
                            Input::Manifest(id, Box::new(manifest))
                        }
                        (Ok(Answer::NotHeld), _) if group.is_some() || wants_manifest => Input::NotHeld(id),
                        // It has no such network: as one that has no pictures.
                        (Ok(Answer::NotHeld), _) => Input::Held(id, Vec::new()),
                        (Ok(Answer::Busy(ms)), _) => Input::Busy(id, ms),
                        (Ok(_), _) => Input::Senseless(id, Offence::NotAnAnswer),
                        (Err(_), _) => Input::Senseless(id, Offence::Undecodable),
                    },
                    Err(AskError::Broken) => Input::Senseless(id, Offence::Oversize),
                    Err(_) => Input::Failed(id),
                },
                _ => Input::Failed(id),
            };
            // A task that has ended wants no answers.
            let _ = happened.send(input).await;
        });
    }

    async fn open(&mut self, root: HashText, manifest: Manifest) {
        let (network, folder) = (self.newcomer.held.network.clone(), self.newcomer.folders.fetching.clone());
        info!(%network, %root, bytes = manifest.bytes, "a picture is fetched");
        let opened = tokio::task::spawn_blocking(move || {
            let part = Part::begin(&folder, &root, manifest, &|_| ())?;
            let there = part.there()?;
            Ok::<_, PictureError>((Arc::new(part), there))
        });
        let input = match opened.await {
            Ok(Ok((part, there))) => {
                self.part = Some(part);
                Input::Opened(there)
            }
            Ok(Err(error)) => spoiled(&error),
            Err(_) => Input::Spoiled("it panicked".into()),
        };
        let _ = self.happened.send(input).await;
    }

    fn finish(&mut self) {
        let Some(part) = self.part.clone() else { return };
        let (happened, into) = (self.happened.clone(), self.newcomer.folders.found.clone());
        let network = self.newcomer.held.network.clone();
        tokio::spawn(async move {
            let finished = tokio::task::spawn_blocking(move || part.finish(&into, &|_| ())).await;
            let input = match finished {
                Ok(Ok(taken)) => {
                    let (hash, label, leaves) = (taken.hash, taken.label, taken.leaves);
                    info!(%network, hash, label, leaves, "a picture is here: the next start rebuilds the state on it");
                    Input::Taken
                }
                Ok(Err(error)) => spoiled(&error),
                Err(_) => Input::Spoiled("it panicked".into()),
            };
            let _ = happened.send(input).await;
        });
    }
}

fn spoiled(error: &PictureError) -> Input {
    warn!("a picture that peers gave cannot be taken: {error}");
    Input::Spoiled(error.to_string())
}

/// Unpacks, checks and writes a group.
async fn take(id: AskId, nth: usize, packed: Vec<u8>, part: Option<Arc<Part>>) -> Input {
    let Some(part) = part else { return Input::Failed(id) };
    let taken = tokio::task::spawn_blocking(move || part.take(nth, &packed, &|_| ())).await;
    match taken {
        Ok(Ok(checked)) => Input::Group(id, checked.map_err(|wrong| wrong.to_string())),
        Ok(Err(error)) => spoiled(&error),
        Err(_) => Input::Failed(id),
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
