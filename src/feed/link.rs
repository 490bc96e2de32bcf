//! A feed's tie to the core of its network: what the core wants said waits here until the journal is durable so far.
//!
//! *Always holds:* replies leave in the order in which the core gave them, none before its LSN is durable, and only as
//! fast as the socket takes them.

use super::message::{FromCore, OUTBOX_CAPACITY};
use super::networks::Port;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rough size of an ack on the wire, for the count of unread replies.
const ACK_BYTES: usize = 40;

/// The tie.
#[derive(Debug)]
pub(super) struct Link {
    /// Network.
    pub network: String,
    /// The way to its core.
    pub port: Arc<Port>,
    outbox: mpsc::Receiver<FromCore>,
    durable: tokio::sync::watch::Receiver<u64>,
    held: VecDeque<FromCore>,
    /// Acks of the first of `held` that have been said.
    said: usize,
    /// Bytes, roughly, of `held`.
    bytes: usize,
    /// The core has dropped its end: nothing more will come.
    ended: bool,
}

/// One thing to say now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `ack` of an op.
    Ack(Option<u64>),
    /// `sync_status`
    SyncStatus(u64),
    /// `request_missing`
    Ask(u64, u64),
    /// `error`
    Error(String),
    /// Close.
    Close(u16, &'static str),
}

/// What a link woke for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woke {
    /// There may be something to say.
    Replies,
    /// The core has dropped its end.
    Ended,
}

impl Link {
    /// A link to this network, and the end that the core gets.
    pub fn new(network: &str, port: Arc<Port>) -> (Self, mpsc::Sender<FromCore>) {
        let (to, outbox) = mpsc::channel(OUTBOX_CAPACITY);
        let durable = port.durable.clone();
        let held = VecDeque::new();
        (Self { network: network.into(), port, outbox, durable, held, said: 0, bytes: 0, ended: false }, to)
    }

    /// Waits for the core or for the journal. Cancel-safe.
    pub async fn wake(&mut self) -> Woke {
        let room = !self.ended && self.held.len() < OUTBOX_CAPACITY;
        // Not "an LSN above the durable one": the journal may have moved on since the last look, and `changed` then says
        // so at once, while nobody else would.
        let waits = self.held.front().and_then(lsn).is_some();
        tokio::select! {
            reply = self.outbox.recv(), if room => match reply {
                Some(reply) => {
                    self.hold(reply);
                    self.collect();
                    Woke::Replies
                }
                None => {
                    self.ended = true;
                    Woke::Ended
                }
            },
            // An error is a journal that is gone: its core drops the outbox too, or the deadline of the session ends it.
            Ok(()) = self.durable.changed(), if waits => Woke::Replies,
            else => std::future::pending().await,
        }
    }

    /// Takes what has come meanwhile: one wake for many replies.
    fn collect(&mut self) {
        while self.held.len() < OUTBOX_CAPACITY {
            match self.outbox.try_recv() {
                Ok(reply) => self.hold(reply),
                Err(_) => break,
            }
        }
    }

    fn hold(&mut self, reply: FromCore) {
        self.bytes += bytes(&reply);
        self.held.push_back(reply);
    }

    fn drop_first(&mut self) -> Option<FromCore> {
        let first = self.held.pop_front()?;
        self.bytes -= bytes(&first);
        Some(first)
    }

    /// Bytes, roughly, of the replies that wait, whether they could be said now or not.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the core has dropped its end and everything has been said.
    pub fn finished(&self) -> bool {
        self.ended && self.held.is_empty()
    }

    /// Whether the core has dropped its end.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The journal's LSN that replies have to wait for.
    pub fn durable(&mut self) -> u64 {
        *self.durable.borrow_and_update()
    }

    /// The next thing to say, the journal being durable up to `durable`.
    pub fn next(&mut self, durable: u64) -> Option<Reply> {
        loop {
            let first = self.held.front()?;
            if lsn(first).is_some_and(|lsn| lsn > durable) {
                return None;
            }
            if let FromCore::Acks { indexes, .. } = first {
                if let Some(index) = indexes.get(self.said) {
                    self.said += 1;
                    return Some(Reply::Ack(*index));
                }
                self.said = 0;
                self.drop_first();
                continue;
            }
            return self.drop_first().and_then(|first| match first {
                FromCore::Acks { .. } => None,
                FromCore::SyncStatus { last_index, .. } => Some(Reply::SyncStatus(last_index)),
                FromCore::Ask { from, to } => Some(Reply::Ask(from, to)),
                FromCore::Error(error) => Some(Reply::Error(error)),
                FromCore::Close { code, reason } => Some(Reply::Close(code, reason)),
            });
        }
    }

    /// Bytes, roughly, of the replies that could be said now: walks them, so not for every turn.
    pub fn ready_bytes(&self) -> usize {
        let durable = *self.durable.borrow();
        let ready = self.held.iter().take_while(|reply| lsn(reply).is_none_or(|lsn| lsn <= durable));
        ready.map(bytes).sum()
    }
}

fn bytes(reply: &FromCore) -> usize {
    match reply {
        FromCore::Acks { indexes, .. } => indexes.len() * ACK_BYTES,
        FromCore::Error(error) => error.len() + ACK_BYTES,
        _ => ACK_BYTES,
    }
}

fn lsn(reply: &FromCore) -> Option<u64> {
    match reply {
        FromCore::Acks { lsn, .. } | FromCore::SyncStatus { lsn, .. } => Some(*lsn),
        FromCore::Ask { .. } | FromCore::Error(_) | FromCore::Close { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;

    #[tokio::test]
    async fn nothing_is_said_before_it_is_durable_and_the_order_stays() {
        let (durable, watched) = watch::channel(4);
        let port = Arc::new(Port::new(mpsc::channel(1).0, watched));
        let (mut link, core) = Link::new("dlux_", port);
        let acks = |lsn, indexes: &[u64]| FromCore::Acks { lsn, indexes: indexes.iter().map(|i| Some(*i)).collect() };
        core.try_send(acks(4, &[0, 1])).unwrap();
        core.try_send(FromCore::Ask { from: 2, to: 3 }).unwrap();
        core.try_send(acks(5, &[])).unwrap();
        core.try_send(acks(5, &[7])).unwrap();
        core.try_send(FromCore::Error("no".into())).unwrap();
        drop(core);
        assert_eq!(link.wake().await, Woke::Replies);
        let at = link.durable();
        let said: Vec<_> = std::iter::from_fn(|| link.next(at)).collect();
        assert_eq!(said, [Reply::Ack(Some(0)), Reply::Ack(Some(1)), Reply::Ask(2, 3)]);
        assert_eq!(link.wake().await, Woke::Ended);
        assert!(!link.finished());
        durable.send(5).unwrap();
        assert_eq!(link.wake().await, Woke::Replies);
        let at = link.durable();
        let said: Vec<_> = std::iter::from_fn(|| link.next(at)).collect();
        assert_eq!(said, [Reply::Ack(Some(7)), Reply::Error("no".into())]);
        assert!(link.finished());
    }
}
