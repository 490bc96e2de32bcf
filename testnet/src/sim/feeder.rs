//! A honeycomb with its socket to a node: what is on the wire both ways, and what it has had acknowledged.
//!
//! *Always holds:* a socket carries frames in order and loses only its end; the honeycomb counts as sent what it handed
//! to the socket; an acknowledgement is believed only of what the node has read.

use super::node::Node;
use crate::honeycomb::{Fault, Honeycomb, Ledger, Sent};
use honeygraph::feed::message::{FeedId, FromCore};
use honeygraph_protocols::honeycomb::{Frame, Parser, What};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A honeycomb.
pub struct Feeder {
    /// It.
    pub honeycomb: Honeycomb,
    /// The node that it feeds.
    pub node: usize,
    /// The socket it writes into.
    pub socket: Option<Socket>,
    /// Its own books, as the live client keeps them.
    pub books: Ledger,
    /// What it was told is durable.
    pub acked: Acked,
    /// Errors it was told.
    pub errors: u64,
    /// It may connect from this time on, ms.
    pub from: u64,
    /// Its process has died once and started again.
    pub restarted: bool,
    /// The block it has to stop at before faults may go on.
    said_sent: u64,
}

/// A socket. When the honeycomb has given it up, the node may still read what is on the wire.
pub struct Socket {
    /// Its number at the node.
    pub feed: FeedId,
    /// On its way to the node.
    pub up: VecDeque<Sent>,
    /// On its way back.
    pub down: VecDeque<FromCore>,
    parser: Parser,
    /// Ops that the node has read and not acknowledged.
    waiting: VecDeque<Unacked>,
}

/// An op that the node has read and not acknowledged.
struct Unacked {
    serial: u64,
    index: u64,
    text: Vec<u8>,
    /// It was shown again in an answer, perhaps beside what was asked for.
    again: bool,
}

/// What a honeycomb was told is durable, by the process that wrote it: a restarted one numbers its ops anew.
#[derive(Default)]
pub struct Acked {
    serials: BTreeSet<u64>,
    /// How many different ops with a text were acknowledged, by process.
    pub lives: Vec<BTreeMap<Vec<u8>, u32>>,
}

impl Feeder {
    /// A honeycomb before its first socket.
    pub fn new(honeycomb: Honeycomb, node: usize, from: u64) -> Self {
        let acked = Acked { serials: BTreeSet::new(), lives: vec![BTreeMap::new()] };
        Self {
            honeycomb,
            node,
            socket: None,
            books: Ledger::default(),
            acked,
            errors: 0,
            from,
            restarted: false,
            said_sent: 0,
        }
    }

    /// Whether it writes a history of its own.
    pub fn dissents(&self) -> bool {
        let own = |fault: &Fault| matches!(fault, Fault::Disagree { .. } | Fault::WrongHash { .. });
        self.honeycomb.config().faults.iter().any(own)
    }

    /// Opens a socket and says hello.
    pub fn connect(&mut self, feed: FeedId) {
        self.said_sent = self.honeycomb.last_sent();
        let mut socket = Socket::new(feed);
        socket.up.extend(self.honeycomb.hello().into_iter().map(|text| Sent { text: Some(text), ..Sent::default() }));
        self.socket = Some(socket);
    }

    /// The honeycomb gives its socket up.
    pub fn disconnect(&mut self) -> Option<Socket> {
        self.books.disconnect();
        self.socket.take()
    }

    /// Hands the next frame to the socket. True when the client closes it, or died.
    pub fn send(&mut self, limit: usize) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        let Some(sent) = self.honeycomb.next_frame(limit) else { return false };
        if sent.died {
            self.books.forget();
            self.acked.lives.push(BTreeMap::new());
        }
        self.books.send(&sent.expects, 0);
        let closes = sent.close;
        if sent.text.is_some() {
            socket.up.push_back(sent);
        }
        closes
    }

    /// A message of the node arrives. An error is a broken promise.
    pub fn hear(&mut self, message: FromCore, node: &Node) -> Result<(), String> {
        match message {
            FromCore::Acks { indexes, .. } => {
                for index in indexes.into_iter().flatten() {
                    self.books.ack(index, 0);
                    let Some(socket) = &mut self.socket else { continue };
                    socket.acknowledged(index, &mut self.acked, node)?;
                }
            }
            FromCore::SyncStatus { last_index, .. } => self.books.sync(last_index, self.said_sent),
            FromCore::Ask { from, to } => {
                self.honeycomb.on_frame(&honeygraph_protocols::reply::request_missing(from, to));
            }
            FromCore::Error(_) => self.errors += 1,
            FromCore::Close { .. } => {}
        }
        Ok(())
    }
}

impl Socket {
    fn new(feed: FeedId) -> Self {
        let (up, down, waiting) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { feed, up, down, parser: Parser::new(true), waiting }
    }

    /// Ops that the node has read on it, and of which nothing shows that it holds them. (What an answer brings beside
    /// what was asked for is neither taken nor acknowledged.)
    pub fn unheld(&self, acked: &Acked, node: &Node) -> Vec<(u64, String)> {
        let held = |serial: &u64, text: &[u8]| acked.serials.contains(serial) || node.durable_texts.contains_key(text);
        let missing = self.waiting.iter().filter(|op| !op.again && !held(&op.serial, &op.text));
        missing.map(|op| (op.index, String::from_utf8_lossy(&op.text).into_owned())).collect()
    }

    /// The node reads the next frame. The texts of its ops are remembered until they are acknowledged.
    pub fn read(&mut self) -> Option<Frame> {
        let sent = self.up.pop_front()?;
        let frame = self.parser.parse(sent.text?.as_bytes()).expect("a honeycomb sends what can be read");
        if let Frame::Ops(ops) = &frame {
            let texts = ops.items.iter().filter_map(|item| match &item.what {
                What::Op { text, .. } => ops.texts.get(text.start + 4..text.end),
                _ => None,
            });
            let again = sent.again;
            self.waiting.extend(sent.expects.iter().zip(texts).map(|((serial, index), text)| Unacked {
                serial: *serial,
                index: *index,
                text: text.to_vec(),
                again,
            }));
        }
        Some(frame)
    }

    /// An acknowledgement: of the oldest op with that index whose text the node holds once more than was acknowledged.
    fn acknowledged(&mut self, index: u64, acked: &mut Acked, node: &Node) -> Result<(), String> {
        let Acked { serials, lives } = acked;
        let life = lives.last_mut().expect("begins with one");
        let with_index: Vec<(usize, &Unacked)> =
            self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.index == index).collect();
        if with_index.is_empty() {
            // Said twice: the op was sent twice, and both copies lay under one acknowledgement's index.
            return Ok(());
        }
        let held = |text: &[u8]| node.durable_texts.get(text).copied().unwrap_or(0);
        let told = |text: &[u8]| life.get(text).copied().unwrap_or(0);
        let counts = |(_, op): &&(usize, &Unacked)| serials.contains(&op.serial) || told(&op.text) < held(&op.text);
        // An answer shows one index of many periods. Which of them an acknowledgement means it does not say: where every
        // durable one is spoken for, it is said of one that was durable before.
        let found = with_index.iter().find(counts).map(|(at, _)| (*at, true));
        let durable = || with_index.iter().find(|(_, op)| held(&op.text) > 0).map(|(at, _)| (*at, false));
        let Some((at, counts)) = found.or_else(durable) else {
            return Err(format!("index {index} was acknowledged and no op with it is durable"));
        };
        let Some(Unacked { serial, text, .. }) = self.waiting.remove(at) else { return Ok(()) };
        if counts && serials.insert(serial) {
            *life.entry(text).or_default() += 1;
        }
        Ok(())
    }
}
