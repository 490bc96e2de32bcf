//! One socket from its upgrade to its end: reads frames, hands them to its network's core, says what the core wants
//! said.
//!
//! *Always holds:* only a full core makes a session stop reading; one that speaks nonsense, never reads, or falls
//! silent is closed with a reason, and what it sent before stays; replies are bounded by [`Limits`].

mod recorded;

use super::budget::{Budget, FREE_BYTES, Waiting};
use super::counters::{Counters, add};
use super::limits::Limits;
use super::link::{Link, Reply, Woke};
use super::message::{FeedId, FeedInfo, Load, Said, ToCore};
use super::networks::{Networks, Port, shown};
use super::outgoing::Outgoing;
use super::recording::{Happened, Opened};
use super::wire::{Turn, Wire};
use crate::access::grant::NotAllowed;
use crate::access::{Access, Admitted};
use honeygraph_protocols::honeycomb::{CheckpointForm, Frame, Parser};
use honeygraph_protocols::reply;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;

/// Bytes of replies given to the socket at a time; what it has not taken stays with the core's replies.
const REPLIES_PER_WRITE: usize = 64 * 1024;

/// Unsent bytes at which a session stops reading: what it hears it would have to answer.
const UNSENT_READING: usize = 2 * REPLIES_PER_WRITE;

/// Bytes of understood messages that may wait for the core before the next one is understood: ops weigh more than
/// their frames.
const UNDERSTOOD_AHEAD: usize = 64 * 1024;

/// Room for the text of most acks.
const ACK_CAPACITY: usize = 48;

/// Token of a feed that names none.
const DEFAULT_TOKEN: &str = "DLUX";

/// How an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/fork-stream` and `/`: `welcome`.
    Fork,
    /// `/ws*` and `/honeygraph/ws`: `connected`, and the lenient forms of older clients.
    Ws,
}

/// Who came in, and where.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The socket.
    pub feed: FeedId,
    /// Remote address.
    pub remote: String,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// Token or network that the URL or `X-Token` names.
    pub places: Vec<String>,
    /// What a recording says of its request.
    pub opening: Opened,
}

impl Visitor {
    /// What it is told as `nodeId`: this node, on this connection.
    pub(super) fn node_id(&self) -> String {
        format!("feed-{}", self.feed.0)
    }
}

/// What all sessions share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The configured networks.
    pub networks: Arc<Networks>,
    /// Counters of all feeds.
    pub counters: Arc<Counters>,
    /// What a peer may do.
    pub limits: Limits,
    /// What all of them may hold.
    pub budget: Arc<Budget>,
    /// Who may feed.
    pub access: Arc<Access>,
    /// The node is stopping.
    pub stop: CancellationToken,
}

/// Why a session ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The peer has left, or cannot be reached.
    Gone,
    /// We close with this code and reason.
    Close(u16, &'static str),
}

/// Where a session goes once its link has said its last replies.
#[derive(Debug)]
enum Next {
    /// To another network.
    Network(String),
    /// Away: the socket is closed with this code and reason.
    Away(u16, &'static str),
}

/// A session.
pub struct Session<S> {
    wire: Wire<S>,
    visitor: Visitor,
    admitted: Admitted,
    around: Surroundings,
    parser: Parser,
    info: FeedInfo,
    identified: bool,
    link: Option<Link>,
    leaving: Option<(Next, Instant)>,
    outgoing: Outgoing,
    /// Replies that it has not read, as the node counts them.
    waiting: Waiting,
    inbox: VecDeque<Message>,
    failed: Option<End>,
    pinged: Instant,
    /// When the heartbeat last rested because we did not read.
    rested: Instant,
    /// The recording that knows of this socket; 0: none.
    recorded: u64,
    /// Its last `identify`, for a recording that begins later.
    hello: Option<Bytes>,
    /// Whether a network's core has heard of it.
    spoke: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session on an upgraded socket, of whom the door has let in.
    pub(super) fn new(wire: Wire<S>, visitor: Visitor, admitted: Admitted, around: Surroundings) -> Self {
        let waiting = Waiting::new(Arc::clone(&around.budget));
        let parser = Parser::new(visitor.dialect == Dialect::Ws);
        let info = FeedInfo { remote: visitor.remote.clone(), token: DEFAULT_TOKEN.into(), ..FeedInfo::default() };
        Self {
            wire,
            visitor,
            admitted,
            around,
            parser,
            info,
            identified: false,
            link: None,
            leaving: None,
            outgoing: Outgoing::default(),
            waiting,
            inbox: VecDeque::new(),
            failed: None,
            pinged: Instant::now(),
            rested: Instant::now(),
            recorded: 0,
            hello: None,
            spoke: false,
        }
    }

    /// Runs it to its end.
    pub async fn run(mut self, now_ms: u64) {
        add(&self.around.counters.sockets, 1);
        let node = self.visitor.node_id();
        let mut greeting = match self.visitor.dialect {
            Dialect::Fork => reply::welcome(&node, now_ms),
            Dialect::Ws => reply::connected(&node, now_ms),
        };
        if let Some(account) = &self.admitted.account {
            greeting = reply::with_account(greeting, account.as_str());
        }
        self.say(greeting);
        let end = self.listen().await;
        tracing::info!(remote = %self.info.remote, ?end, "feed closed");
        self.depart(end).await;
    }

    async fn listen(&mut self) -> End {
        let mut ticks = ticks(&self.around.limits);
        loop {
            self.understand();
            if let Some(end) = self.answer() {
                return end;
            }
            if let Some(end) = self.settle() {
                return end;
            }
            if let Some(end) = self.wait(&mut ticks).await {
                return end;
            }
        }
    }

    /// What can be read next must wait for what was read before.
    fn reading(&self) -> bool {
        let done = self.inbox.is_empty() && self.outgoing.is_empty() && self.leaving.is_none();
        done && self.failed.is_none() && self.wire.unsent() <= UNSENT_READING
    }

    /// Waits for anything to happen.
    async fn wait(&mut self, ticks: &mut Interval) -> Option<End> {
        let (reading, single) = (self.reading(), !self.identified);
        let away = matches!(self.leaving, Some((Next::Away(..), _)));
        let reachable = self.failed != Some(End::Gone);
        let until = self.leaving.as_ref().map(|(_, until)| *until);
        let mut heard = Vec::new();
        tokio::select! {
            biased;
            () = self.around.stop.cancelled(), if !away => {
                self.leave(Next::Away(1001, "node stops"));
                None
            }
            _ = ticks.tick() => self.tick(),
            () = deadline(until) => {
                self.link = None; // the core is stuck: its last replies are not waited for
                None
            }
            woke = wake(&mut self.link) => {
                if woke == Woke::Ended && self.leaving.is_none() {
                    // The core gave the feed up; what it said last is still to be said.
                    self.leave(Next::Away(1008, "replies were not read"));
                }
                None
            }
            room = self.outgoing.room() => match room {
                Some(room) => {
                    self.outgoing.fill(room);
                    None
                }
                None => Some(End::Close(1011, "network stopped")),
            },
            turn = self.wire.turn(reading, single, &mut heard), if reachable => {
                match turn {
                    Ok(Turn::Heard) => self.inbox.extend(heard),
                    Ok(Turn::Said) => {}
                    Err(error) => self.failed = Some(self.verdict(&error)),
                }
                None
            }
        }
    }

    /// Understands what was heard as fast as the core takes it.
    fn understand(&mut self) {
        loop {
            self.hear(UNDERSTOOD_AHEAD);
            self.hand_over();
            if self.inbox.is_empty() || !self.outgoing.is_empty() || self.leaving.is_some() {
                return;
            }
        }
    }

    /// Understands what was heard, up to the first message that changes the network, and until so many bytes wait for
    /// the core.
    fn hear(&mut self, ahead: usize) {
        while self.leaving.is_none()
            && self.outgoing.bytes() < ahead
            && let Some(message) = self.inbox.pop_front()
        {
            let (text, binary): (Bytes, bool) = match message {
                Message::Text(text) => (text.into(), false),
                Message::Binary(bytes) => (bytes, true),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                Message::Close(_) => {
                    self.failed = Some(End::Gone);
                    continue;
                }
            };
            add(&self.around.counters.messages, 1);
            add(&self.around.counters.bytes, text.len() as u64);
            let room = if text.len() > FREE_BYTES { self.wire.take_permit() } else { None };
            let parsed = self.parser.parse(&text);
            let secret = recorded::is_secret(&parsed, &text);
            let hello = matches!(parsed, Ok(Frame::Identify { .. }));
            match parsed {
                Ok(frame) => self.take(frame, text.len(), room),
                Err(malformed) => {
                    add(&self.around.counters.malformed, 1);
                    self.complain(malformed.0);
                }
            }
            if !secret {
                self.record(text, binary, hello);
            }
        }
    }

    fn take(&mut self, frame: Frame, bytes: usize, room: Option<OwnedSemaphorePermit>) {
        let said = match frame {
            Frame::Identify { source, version, token, prefix } => {
                return self.identify(source, version, token, prefix);
            }
            Frame::AuthResponse => return,
            Frame::Unknown => return add(&self.around.counters.unknown, 1),
            Frame::SyncStatus { last_index, .. } => Said::SyncStatus { last_index },
            Frame::Subscribe { last_index, .. } => Said::Subscribe { last_index },
            Frame::ForkStart { hash, block } => Said::ForkStart { hash, block },
            Frame::ForkDetected { old, new, block } => Said::ForkDetected { old, new, block },
            Frame::Checkpoint(mut checkpoint) => {
                // Only the older clients of /ws* wait for an ack of it, which the core sends once it is durable.
                if self.visitor.dialect == Dialect::Fork && checkpoint.form == CheckpointForm::Old {
                    checkpoint.form = CheckpointForm::Published;
                }
                Said::Checkpoint(checkpoint)
            }
            Frame::Ops(ops) => {
                add(&self.around.counters.items, ops.items.len() as u64);
                if let Err(not_allowed) = self.admitted.grant.sends(&ops) {
                    return self.send_away(&not_allowed);
                }
                if let Some(port) = self.port() {
                    self.outgoing.push_ops(port, self.visitor.feed, ops, room);
                }
                return;
            }
        };
        self.tell(said, bytes);
    }

    fn identify(
        &mut self,
        source: Option<String>,
        version: Option<String>,
        token: Option<String>,
        prefix: Option<String>,
    ) {
        add(&self.around.counters.identified, 1);
        self.identified = true;
        self.wire.allow(self.around.limits.after_identify);
        let named = token.clone();
        self.info.source = source.map(|text| shown(&text));
        self.info.version = version.map(|text| shown(&text));
        self.info.token = token.map_or_else(|| DEFAULT_TOKEN.into(), |text| shown(&text));
        let networks = Arc::clone(&self.around.networks);
        let resolved = networks.resolve(prefix.as_deref(), &self.visitor.places, named.as_deref());
        self.say(reply::identify_ack(&self.info.token));
        if let Some(complaint) = resolved.complaint {
            add(&self.around.counters.misnamed, 1);
            self.complain(&complaint);
        }
        if let Err(not_allowed) = self.admitted.grant.feeds(resolved.network, &self.info.token) {
            return self.send_away(&not_allowed);
        }
        match &self.link {
            Some(link) if link.network == resolved.network => {}
            Some(_) => self.leave(Next::Network(resolved.network.into())),
            None => self.join(resolved.network),
        }
    }

    /// Opens the link to a network.
    fn join(&mut self, network: &str) {
        let Some(port) = self.around.networks.port(network).cloned() else {
            self.failed = Some(End::Close(1011, "network stopped"));
            return;
        };
        let (link, outbox) = Link::new(network, Arc::clone(&port));
        let message = ToCore::Open { feed: self.visitor.feed, info: self.info.clone(), outbox };
        self.outgoing.push(port, message, 0);
        (self.link, self.recorded) = (Some(link), 0);
        let account = self.admitted.account.as_ref().map_or("", |account| account.as_str());
        tracing::info!(network, remote = %self.info.remote, account, token = %self.info.token, "feed opened");
    }

    /// Says goodbye to the network; goes on when its last replies have been said.
    fn leave(&mut self, next: Next) {
        if self.leaving.is_none()
            && let Some(link) = &self.link
        {
            let message = ToCore::Gone(self.visitor.feed);
            self.outgoing.push(Arc::clone(&link.port), message, 0);
            self.record_end(match &next {
                Next::Network(_) => "another network",
                Next::Away(_, reason) => reason,
            });
        }
        self.leaving = Some((next, Instant::now() + self.around.limits.leave));
    }

    /// Ends the session of an account that may not do what it tried: an honest one would only try again.
    fn send_away(&mut self, why: &NotAllowed) {
        add(&self.around.counters.not_allowed, 1);
        tracing::warn!(account = ?self.admitted.account, %why, "a feed was sent away");
        self.complain(&why.to_string());
        // What came behind it may be the marker that would close a batch which lacks it.
        self.inbox.clear();
        self.leave(Next::Away(1008, "not allowed"));
    }

    /// Gives the cores what they have room for at once.
    fn hand_over(&mut self) {
        if self.outgoing.hand_over() {
            add(&self.around.counters.pushed_back, 1);
        }
    }

    fn port(&mut self) -> Option<Arc<Port>> {
        if self.link.is_none() {
            let networks = Arc::clone(&self.around.networks);
            let resolved = networks.resolve(None, &self.visitor.places, None);
            if let Some(complaint) = resolved.complaint {
                add(&self.around.counters.misnamed, 1);
                self.complain(&complaint);
            }
            match self.admitted.grant.feeds(resolved.network, &self.info.token) {
                Ok(()) => self.join(resolved.network),
                Err(not_allowed) => self.send_away(&not_allowed),
            }
        }
        self.link.as_ref().map(|link| Arc::clone(&link.port))
    }

    fn tell(&mut self, said: Said, bytes: usize) {
        if let Some(port) = self.port() {
            let message = ToCore::Said(self.visitor.feed, said, Load::default());
            self.outgoing.push(port, message, bytes);
        }
    }

    /// Says what is ready, as much as the socket may hold.
    fn answer(&mut self) -> Option<End> {
        let durable = self.link.as_mut().map_or(0, Link::durable);
        let mut acked = 0;
        while self.wire.unsent() < REPLIES_PER_WRITE
            && let Some(next) = self.link.as_mut().and_then(|link| link.next(durable))
        {
            let counters = &self.around.counters;
            let is_ack = matches!(next, Reply::Ack(_));
            let text = match next {
                Reply::Ack(index) => {
                    add(&counters.acks, 1);
                    let mut text = String::with_capacity(ACK_CAPACITY);
                    reply::op_ack(&mut text, index);
                    text
                }
                Reply::SyncStatus(last_index) => reply::sync_status(last_index),
                Reply::Ask(from, to) => {
                    add(&counters.questions, 1);
                    reply::request_missing(from, to)
                }
                Reply::Error(error) => {
                    add(&counters.errors, 1);
                    reply::error(&error)
                }
                Reply::Close(code, reason) => return Some(End::Close(code, reason)),
            };
            if is_ack {
                acked += 1;
            } else {
                self.record_said(Happened::Acked(std::mem::take(&mut acked)));
                self.record_said(Happened::Said(text.clone()));
            }
            // A failed write shows itself when the socket is read.
            let _ = self.wire.say(Message::Text(text.into()));
        }
        self.record_said(Happened::Acked(acked));
        self.waiting.set(self.wire.unsent() + self.link.as_ref().map_or(0, Link::held_bytes));
        if self.wire.unsent() > self.around.limits.unread || self.waiting.too_much() {
            return Some(self.unread());
        }
        None
    }

    /// Acts on a link that has come to its end, and on a socket that has.
    fn settle(&mut self) -> Option<End> {
        if self.leaving.is_some() {
            if self.link.as_ref().is_some_and(|link| !link.finished()) {
                return None;
            }
            self.link = None;
            match self.leaving.take() {
                Some((Next::Network(network), _)) => {
                    self.join(&network);
                    self.understand();
                }
                Some((Next::Away(code, reason), _)) => return Some(End::Close(code, reason)),
                None => {}
            }
            return None;
        }
        let heard_out = self.inbox.is_empty() && self.outgoing.is_empty();
        if heard_out { self.failed.take() } else { None }
    }

    fn tick(&mut self) -> Option<End> {
        let limits = self.around.limits;
        if self.wire.stuck() >= limits.stuck {
            let ready = self.link.as_ref().map_or(0, Link::ready_bytes);
            if self.wire.unsent() + ready > limits.unread || self.wire.unsent() > UNSENT_READING {
                return Some(self.unread());
            }
        }
        let now = Instant::now();
        if !self.reading() || self.wire.waits() {
            self.rested = now; // its silence is ours
            return None;
        }
        if let Some((since, bytes)) = self.wire.being_read()
            && now - since.max(self.rested) > limits.frame + Duration::from_secs(bytes >> 20)
        {
            add(&self.around.counters.slow, 1);
            return Some(End::Close(1008, "message too slow"));
        }
        let heard = self.wire.heard().max(self.rested);
        if now - heard.max(self.pinged) < limits.ping {
            return None;
        }
        if heard < self.pinged && now - heard >= limits.ping * 2 {
            add(&self.around.counters.silent, 1);
            return Some(End::Gone);
        }
        self.pinged = now;
        let _ = self.wire.say(Message::Ping(Bytes::new())); // fails only on a socket that is closing
        None
    }

    fn unread(&self) -> End {
        add(&self.around.counters.unread, 1);
        End::Close(1008, "replies were not read")
    }

    fn verdict(&self, error: &Error) -> End {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                add(&self.around.counters.too_large, 1);
                End::Close(1009, "message too large")
            }
            Error::Utf8(_) => {
                add(&self.around.counters.protocol_errors, 1);
                End::Close(1007, "text is not UTF-8")
            }
            Error::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                End::Gone
            }
            Error::Protocol(_) | Error::Capacity(_) => {
                add(&self.around.counters.protocol_errors, 1);
                End::Close(1002, "protocol error")
            }
            _ => End::Gone,
        }
    }

    fn say(&mut self, text: String) {
        let _ = self.wire.say(Message::Text(text.into())); // fails only on a socket that is closing
    }

    fn complain(&mut self, what: &str) {
        add(&self.around.counters.errors, 1);
        self.say(reply::error(what));
    }

    /// Ends: what was heard goes to the core all the same, then the core is told, while the socket closes.
    async fn depart(mut self, end: End) {
        self.hear(usize::MAX);
        if let Some(link) = &self.link
            && self.leaving.is_none()
            && !link.ended()
        {
            let message = ToCore::Gone(self.visitor.feed);
            self.outgoing.push(Arc::clone(&link.port), message, 0);
        }
        self.record_end(match &end {
            End::Gone => "gone",
            End::Close(_, reason) => reason,
        });
        let (outgoing, linger) = (std::mem::take(&mut self.outgoing), self.around.limits.linger);
        self.link = None;
        self.waiting.set(self.wire.unsent());
        let telling = outgoing.finish();
        let closing = async {
            if let End::Close(code, reason) = end {
                self.wire.say_close(code, reason);
            }
            self.wire.finish(linger).await;
        };
        if self.around.stop.is_cancelled() {
            // The core may be gone already.
            let _ = tokio::join!(tokio::time::timeout(self.around.limits.leave, telling), closing);
        } else {
            tokio::join!(telling, closing);
        }
        add(&self.around.counters.closed, 1);
    }
}

/// Often enough for the shortest of the limits that ticks watch over.
fn ticks(limits: &Limits) -> Interval {
    let mut ticks =
        tokio::time::interval(limits.ping.min(limits.stuck).min(limits.frame).max(Duration::from_millis(2)) / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn deadline(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn wake(link: &mut Option<Link>) -> Woke {
    match link {
        Some(link) => link.wake().await,
        None => std::future::pending().await,
    }
}
