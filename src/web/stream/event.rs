//! An event, and the frames that it is sent in.
//!
//! *Always holds:* a frame is written once for all who want the same; frames count as long as anyone holds them.

use super::changes::Changes;
use crate::fork::record::Node;
use axum::body::Bytes;
use honeygraph_protocols::path;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Bytes that are alive: events, and frames that some socket has not taken yet.
pub type Alive = Arc<AtomicUsize>;

/// How a subscriber listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Server-Sent Events.
    Events,
    /// WebSocket.
    Socket,
}

/// What a subscriber wants to see.
pub type Wanted = (Form, Arc<[u8]>);

/// An event.
#[derive(Debug)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// Where whoever has taken it stands.
    pub at: Option<Node>,
    /// The same, for other nodes.
    pub cursor: Arc<str>,
    /// Its members, without the braces.
    members: Vec<u8>,
    changes: Option<Changes>,
    frames: Mutex<BTreeMap<Wanted, Bytes>>,
    alive: Alive,
}

impl Event {
    /// An event.
    pub fn new(
        name: &'static str,
        at: (Option<Node>, Arc<str>),
        members: Vec<u8>,
        changes: Option<Changes>,
        alive: &Alive,
    ) -> Self {
        let event =
            Self { name, at: at.0, cursor: at.1, members, changes, frames: Mutex::default(), alive: Arc::clone(alive) };
        alive.fetch_add(event.bytes(), Relaxed);
        event
    }

    /// Bytes that it takes, without its frames.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.members.len() + self.changes.as_ref().map_or(0, |changes| changes.bytes)
    }

    /// The frame in which a subscriber gets it.
    pub fn frame(&self, wanted: &Wanted) -> Bytes {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = frames.get(wanted) {
            return frame.clone();
        }
        let frame = counted(self.render(wanted), &self.alive);
        frames.insert(wanted.clone(), frame.clone());
        frame
    }

    fn render(&self, (form, prefix): &Wanted) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.cursor.len() + self.changes.as_ref().map_or(0, |c| c.bytes));
        let (name, cursor) = (self.name, &self.cursor);
        // Writing to memory cannot fail. A cursor needs no escapes.
        let _ = match form {
            Form::Events => write!(out, "id: {cursor}\nevent: {name}\ndata: {{\"event\":\"{name}\","),
            Form::Socket => write!(out, "{{\"cursor\":\"{cursor}\",\"event\":\"{name}\","),
        };
        out.extend_from_slice(&self.members);
        if let Some(changes) = &self.changes {
            write_changes(changes, prefix, &mut out);
        }
        match form {
            // Canonical texts have no line break in them.
            Form::Events => out.extend_from_slice(b"}\n\n"),
            Form::Socket => {
                out.push(b'}');
                out = framed(OpCode::Data(Data::Text), &out);
            }
        }
        out
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.bytes(), Relaxed);
    }
}

fn write_changes(changes: &Changes, prefix: &[u8], out: &mut Vec<u8>) {
    let below = changes.below(prefix);
    for (name, gone) in [("put", false), ("removed", true)] {
        let _ = write!(out, ",\"{name}\":[");
        let mut first = true;
        for (at, text) in below.iter().filter(|(_, text)| text.is_none() == gone) {
            // A path of the state decodes: it was encoded by us.
            let Ok(segments) = path::decode(at) else { continue };
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            if let Some(text) = text {
                out.push(b'[');
                path::write_canonical(&segments, out);
                out.push(b',');
                out.extend_from_slice(text);
                out.push(b']');
            } else {
                path::write_canonical(&segments, out);
            }
        }
        out.push(b']');
    }
}

/// Our side's WebSocket frame.
fn framed(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // Writing to memory cannot fail.
    let _ = header.format(payload.len() as u64, &mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    framed(OpCode::Control(Control::Pong), payload)
}

/// The last frame of a WebSocket.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    framed(OpCode::Control(Control::Close), &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Bytes that are counted as long as they are held.
struct Counted(Vec<u8>, Alive);

fn counted(bytes: Vec<u8>, alive: &Alive) -> Bytes {
    alive.fetch_add(bytes.len(), Relaxed);
    Bytes::from_owner(Counted(bytes, Arc::clone(alive)))
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted: a frame that is not counted any more when its event is gone.
    #[test]
    fn a_frame_is_written_once_and_counts_while_it_is_held() {
        let alive = Alive::default();
        let changes = Changes {
            leaves: [("a", Some("1")), ("a/b", None), ("ab", Some("\"x\""))]
                .map(|(at, text)| (path::encode(&path::parse_url(at).unwrap()), text.map(|text| text.into())))
                .into(),
            bytes: 20,
        };
        let event = Event::new("new", (None, "c".into()), br#""count":3"#.to_vec(), Some(changes), &alive);
        let own = alive.load(Relaxed);
        let everything: Wanted = (Form::Events, Arc::new([]));
        let frame = event.frame(&everything);
        let text = r#"{"event":"new","count":3,"put":[[["a"],1],[["ab"],"x"]],"removed":[["a","b"]]}"#;
        assert_eq!(frame, format!("id: c\nevent: new\ndata: {text}\n\n"));
        assert_eq!(event.frame(&everything).as_ptr(), frame.as_ptr());
        assert_eq!(alive.load(Relaxed), own + frame.len());
        let below: Wanted = (Form::Socket, path::encode(&["a".into()]).into());
        let text = r#"{"cursor":"c","event":"new","count":3,"put":[[["a"],1]],"removed":[["a","b"]]}"#;
        assert_eq!(event.frame(&below), [&[0x81, text.len() as u8], text.as_bytes()].concat());
        drop(event);
        assert_eq!(alive.load(Relaxed), frame.len());
        drop(frame);
        assert_eq!(alive.load(Relaxed), 0);
    }
}
