//! The door's task: asks, looks up, lets go; and stands before what serves, so that nobody is served who is not in.
//!
//! *Always holds:* a question of a peer that is not in goes no further; one of a peer about which nothing is decided yet
//! waits, as few as [`WAITING`] in all, and is answered or refused with the decision.

use super::{Door, Effect, Input, Refusal, Rules, Shown};
use crate::access::Access;
use crate::access::dialogue::Proof;
use crate::swarm::host::{AskError, Handle, Protocol, Question};
use crate::swarm::task::{id, key};
use honeygraph_protocols::auth::Account;
use honeygraph_protocols::swarm::binding::{self, Answer, Binding, Request};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::wire::Message;
use libp2p::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// Questions that wait for a decision. More are refused, and asked again in time.
const WAITING: usize = 64;
/// Of them, those of one peer: it asks for our status as soon as it has met us, and hardly for more.
const WAITING_EACH: usize = 2;
/// Questions of those who are in that wait for whoever serves. More are refused.
const QUESTIONS: usize = 32;
/// Look-ups and questions under way: several for each connection there may be. What is beyond is tried again.
const UNDER_WAY: usize = 512;
/// How often it is looked who is connected, beside when that changes: who was let go and is still there is closed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a peer may take to hear that it is let go.
const TELL: Duration = Duration::from_millis(super::TELL_MS);

/// What the door shows: peers that were let go since the start, by why.
pub type LetGo = Arc<BTreeMap<&'static str, u64>>;

/// Who is in.
#[derive(Clone, Debug, Default)]
pub struct Inside(Option<watch::Receiver<Arc<BTreeSet<PeerKey>>>>);

impl Inside {
    /// Whether this peer is.
    pub fn has(&self, peer: &PeerKey) -> bool {
        self.0.as_ref().is_none_or(|inside| inside.borrow().contains(peer))
    }

    /// The same, by its id.
    pub fn has_id(&self, peer: &PeerId) -> bool {
        self.0.is_none() || key(peer).is_some_and(|peer| self.has(&peer))
    }

    /// Waits until somebody else is in; for ever, where everybody is or nobody decides any more.
    pub async fn changed(&mut self) {
        let changed = match &mut self.0 {
            Some(inside) => inside.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }
}

/// The task.
pub struct Keeper {
    door: Door,
    handle: Handle,
    access: Arc<Access>,
    inside: watch::Sender<Arc<BTreeSet<PeerKey>>>,
    let_go: watch::Sender<LetGo>,
    /// Questions of peers about which nothing is decided.
    waiting: Vec<(PeerKey, Question)>,
    served: mpsc::Sender<Question>,
    under_way: JoinSet<Input>,
    began: Instant,
}

impl Keeper {
    /// With these rules; the questions of those who are in.
    pub fn new(rules: Rules, handle: Handle, access: Arc<Access>) -> (Self, mpsc::Receiver<Question>) {
        let (served, questions) = mpsc::channel(QUESTIONS);
        let keeper = Self {
            door: Door::new(rules),
            handle,
            access,
            inside: watch::Sender::default(),
            let_go: watch::Sender::default(),
            waiting: Vec::new(),
            served,
            under_way: JoinSet::new(),
            began: Instant::now(),
        };
        (keeper, questions)
    }

    /// Who is in.
    pub fn inside(&self) -> Inside {
        Inside(Some(self.inside.subscribe()))
    }

    /// Who was let go.
    pub fn let_go(&self) -> watch::Receiver<LetGo> {
        self.let_go.subscribe()
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, mut questions: mpsc::Receiver<Question>, stop: CancellationToken) {
        let mut seen = self.handle.seen();
        seen.mark_changed();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.door.wake_at().map(|at| self.began + Duration::from_millis(at));
            let input = tokio::select! {
                () = stop.cancelled() => break,
                Some(question) = questions.recv() => {
                    self.question(question);
                    continue;
                }
                Ok(()) = seen.changed() => self.connected(),
                _ = look.tick() => self.connected(),
                // One that panicked has said so, and is asked for again when its time is over.
                Some(Ok(input)) = self.under_way.join_next() => input,
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Input::Tick,
            };
            self.on(input);
        }
    }

    /// Who is connected. A peer with a key of another kind is no node of anybody's: it is closed.
    fn connected(&self) -> Input {
        let seen = self.handle.seen().borrow().clone();
        for other in seen.peers.keys().filter(|peer| key(peer).is_none()).copied() {
            let handle = self.handle.clone();
            tokio::spawn(async move { handle.close(other).await });
        }
        Input::Connected(seen.peers.keys().filter_map(key).collect())
    }

    fn on(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.door.on(self.began.elapsed().as_millis() as u64, input, &mut effects);
        // Before anybody is told: who is let go is not served any more.
        let inside = self.door.inside();
        self.inside.send_if_modified(|held| {
            let changed = **held != inside;
            if changed {
                *held = Arc::new(inside);
            }
            changed
        });
        for effect in effects {
            match effect {
                Effect::Ask(peer) => self.ask(peer),
                Effect::Check(binding) => self.check(binding),
                Effect::LetGo(peer, why) => self.close(peer, why),
            }
        }
        self.decided();
    }

    /// A peer asks. What it is asked and told about bindings it needs before it is in.
    fn question(&mut self, question: Question) {
        let Some(peer) = key(&question.peer) else { return };
        if question.protocol == Protocol::Binding {
            // Beyond the bound it is refused, by its being dropped.
            let _ = self.served.try_send(question);
            return;
        }
        if !self.door.knows(&peer) {
            // It asks faster than it was seen to be connected.
            self.on(self.connected());
        }
        let of_it = self.waiting.iter().filter(|(its, _)| *its == peer).count();
        if self.inside.borrow().contains(&peer) {
            let _ = self.served.try_send(question);
        } else if self.door.is_before(&peer) && self.waiting.len() < WAITING && of_it < WAITING_EACH {
            self.waiting.push((peer, question));
        }
    }

    /// Those who wait for a decision that has been made.
    fn decided(&mut self) {
        for (peer, question) in std::mem::take(&mut self.waiting) {
            if self.inside.borrow().contains(&peer) {
                let _ = self.served.try_send(question);
            } else if self.door.is_before(&peer) {
                self.waiting.push((peer, question));
            }
        }
    }

    fn ask(&mut self, peer: PeerKey) {
        let handle = self.handle.clone();
        self.start(Input::Shown(peer, Shown::Silence), async move {
            let asked = match (id(&peer), Request::Show.encode()) {
                (Some(id), Some(bytes)) => handle.ask(id, Protocol::Binding, bytes).await,
                _ => Err(AskError::Gone),
            };
            Input::Shown(peer, shown(&asked))
        });
    }

    fn check(&mut self, binding: Box<Binding>) {
        let access = self.access.clone();
        self.start(Input::Judged(binding.clone(), Proof::Unknown), async move {
            let text = binding::text(&binding.account, &binding.peer, binding.issued_ms);
            let proof = match Account::new(binding.account.as_str()) {
                Some(account) => access.accounts.vouches(&account, text.as_bytes(), binding.signature).await,
                None => Proof::NoAccount,
            };
            Input::Judged(binding, proof)
        });
    }

    /// Starts something; beyond the bound it has come to nothing at once, and is started again in a while.
    fn start(&mut self, otherwise: Input, work: impl Future<Output = Input> + Send + 'static) {
        if self.under_way.len() < UNDER_WAY {
            self.under_way.spawn(work);
        } else {
            self.under_way.spawn(async { otherwise });
        }
    }

    fn close(&mut self, peer: PeerKey, why: Refusal) {
        self.let_go.send_modify(|let_go| *Arc::make_mut(let_go).entry(why.word()).or_default() += 1);
        let Some(id) = id(&peer) else { return };
        match why {
            Refusal::Early => debug!(%peer, "came back too early"),
            _ => info!(%peer, why = why.word(), "a peer is let go (`swarm.accounts`, `swarm.block_accounts`)"),
        }
        let (handle, told) = (self.handle.clone(), why.told().and_then(|told| Request::Away(told).encode()));
        tokio::spawn(async move {
            if let Some(told) = told {
                // Whether it has heard it changes nothing.
                let _ = tokio::time::timeout(TELL, handle.ask(id, Protocol::Binding, told)).await;
            }
            handle.close(id).await;
        });
    }
}

/// What an answer shows.
fn shown(asked: &Result<Vec<u8>, AskError>) -> Shown {
    match asked {
        // Bytes that are no answer show nothing.
        Ok(bytes) => Shown::Binding(Answer::decode(bytes).ok().and_then(|answer| answer.binding).map(Box::new)),
        Err(AskError::Unspoken) => Shown::Unspoken,
        Err(AskError::Broken) => Shown::Binding(None),
        Err(AskError::Gone | AskError::Silent | AskError::Refused | AskError::Stopped) => Shown::Silence,
    }
}
