//! Messages on their way from a session to a core, and the room they need there.
//!
//! *Always holds:* they arrive in order, each once the core has room for it, by bytes and by number; ops of bare frames
//! that came together travel together; who records hears of them in the order of their arrival.

use super::message::{FeedId, Load, Said, ToCore};
use super::networks::Port;
use super::recording::Happened;
use honeygraph_protocols::honeycomb::{Framing, Item, Ops, What};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Ops of bare frames joined into one message, at most.
const JOINED_ITEMS: usize = 512;

/// The messages of one session.
#[derive(Debug, Default)]
pub(super) struct Outgoing(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    port: Arc<Port>,
    /// None: only something to be noted.
    message: Option<ToCore>,
    bytes: usize,
    /// Its room in the node's budget, if it came in a large frame.
    frame: Option<OwnedSemaphorePermit>,
    /// What a recording is told when it is handed over, and the socket it is about.
    notes: Vec<Happened>,
    socket: u64,
}

impl Waiting {
    fn new(port: Arc<Port>, message: Option<ToCore>, bytes: usize) -> Self {
        Self { port, message, bytes, frame: None, notes: Vec::new(), socket: 0 }
    }

    /// Gives the core its message, and a recording what is noted of it.
    fn pass(self, send: impl FnOnce(ToCore, Option<OwnedSemaphorePermit>)) {
        let Self { port, message, frame, notes, socket, .. } = self;
        port.tap.note(socket, notes, || {
            if let Some(message) = message {
                send(message, frame);
            }
        });
    }
}

/// Room in a core for one message.
#[derive(Debug)]
pub(super) struct Room {
    load: Option<OwnedSemaphorePermit>,
    place: mpsc::OwnedPermit<ToCore>,
}

impl Outgoing {
    /// Whether everything has been handed over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a message that takes this many bytes behind the others.
    pub fn push(&mut self, port: Arc<Port>, message: ToCore, bytes: usize) {
        self.0.push_back(Waiting::new(port, Some(message), bytes));
    }

    /// What a recording is told once everything that waits now has been handed over.
    pub fn note(&mut self, port: &Arc<Port>, feed: FeedId, what: impl IntoIterator<Item = Happened>) {
        let beside = |last: &Waiting| Arc::ptr_eq(&last.port, port);
        if !self.0.back().is_some_and(beside) {
            self.0.push_back(Waiting::new(Arc::clone(port), None, 0));
        }
        if let Some(last) = self.0.back_mut() {
            last.socket = feed.0;
            last.notes.extend(what);
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|waiting| waiting.bytes).sum()
    }

    /// Puts ops behind the others; those of bare frames join bare ones that wait there, because the core reads live
    /// frames op by op anyway.
    pub fn push_ops(&mut self, port: Arc<Port>, feed: FeedId, ops: Ops, frame: Option<OwnedSemaphorePermit>) {
        let weight = ops.texts.len() + ops.items.len() * size_of::<Item>();
        if let Some(Waiting { message: Some(ToCore::Said(_, Said::Ops(before), _)), bytes, port: theirs, .. }) =
            self.0.back_mut()
            && frame.is_none()
            && Arc::ptr_eq(theirs, &port)
            && before.framing == Framing::Single
            && ops.framing == Framing::Single
            && before.items.len() + ops.items.len() <= JOINED_ITEMS
        {
            *bytes += weight;
            return append(before, ops);
        }
        let message = ToCore::Said(feed, Said::Ops(ops), Load::default());
        self.0.push_back(Waiting { frame, ..Waiting::new(port, Some(message), weight) });
    }

    /// Hands over what there is room for at once; whether anything has to wait.
    pub fn hand_over(&mut self) -> bool {
        while let Some(first) = self.0.front() {
            if first.message.is_none() {
                self.skip();
                continue;
            }
            let load = match Port::permits(first.bytes) {
                0 => None,
                permits => match Arc::clone(&first.port.intake).try_acquire_many_owned(permits) {
                    Ok(load) => Some(load),
                    Err(_) => return true,
                },
            };
            let Ok(place) = first.port.core.clone().try_reserve_owned() else { return true };
            self.fill(Room { load, place });
        }
        false
    }

    /// Waits for room for the first message; for ever when there is none to hand over. None when its core is gone.
    pub async fn room(&self) -> Option<Room> {
        let Some(first) = self.0.front() else { return std::future::pending().await };
        let load = match Port::permits(first.bytes) {
            0 => None,
            permits => Some(Arc::clone(&first.port.intake).acquire_many_owned(permits).await.ok()?),
        };
        Some(Room { load, place: first.port.core.clone().reserve_owned().await.ok()? })
    }

    /// Hands the first message over.
    pub fn fill(&mut self, room: Room) {
        if let Some(first) = self.0.pop_front() {
            first.pass(|message, frame| {
                room.place.send(match message {
                    ToCore::Said(feed, said, _) => ToCore::Said(feed, said, Load(room.load, frame)),
                    other => other,
                });
            });
        }
    }

    /// Notes what the first has to be noted of it, and drops its message, if it has one.
    fn skip(&mut self) {
        if let Some(first) = self.0.pop_front() {
            first.pass(|_, _| ());
        }
    }

    /// Hands everything over; what is meant for a core that is gone is dropped.
    pub async fn finish(mut self) {
        while !self.is_empty() {
            if self.hand_over() {
                match self.room().await {
                    Some(room) => self.fill(room),
                    None => self.skip(),
                }
            }
        }
    }
}

/// Puts the items of one frame behind those of another.
fn append(to: &mut Ops, more: Ops) {
    let shift = to.texts.len();
    to.texts.extend_from_slice(&more.texts);
    to.items.extend(more.items.into_iter().map(|mut item| {
        if let What::Op { text, .. } = &mut item.what {
            *text = text.start + shift..text.end + shift;
        }
        item
    }));
}
