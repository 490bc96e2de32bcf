//! What a session tells a recording of its network.
//!
//! *Always holds:* a recording hears of a socket first how it was opened; of what it says in the order in which the core
//! gets it; and nothing that authenticates.

use super::Session;
use crate::feed::link::Link;
use crate::feed::recording::{Happened, Opened};
use honeygraph_protocols::honeycomb::{Frame, Malformed};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Bytes;

/// Largest `identify` that is kept for a recording that begins later, in bytes.
const HELLO_BYTES: usize = 4 * 1024;

/// Whether a frame is one that authenticates, as far as we understand it: nobody's business, and of no use twice.
pub(super) fn is_secret(parsed: &Result<Frame, Malformed>, text: &[u8]) -> bool {
    match parsed {
        Ok(Frame::AuthResponse) => true,
        Ok(Frame::Unknown) | Err(_) => text.windows(4).any(|part| part.eq_ignore_ascii_case(b"auth")),
        Ok(_) => false,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Tells a recording, if there is one, what was heard.
    pub(super) fn record(&mut self, text: Bytes, binary: bool, hello: bool) {
        // What chose another network is told there.
        let port = self.link.as_ref().filter(|_| self.leaving.is_none()).map(|link| Arc::clone(&link.port));
        if let Some(port) = port.filter(|port| port.tap.run() > 0) {
            if std::mem::replace(&mut self.recorded, port.tap.run()) != port.tap.run() {
                let before = self.hello.clone().filter(|_| self.spoke);
                let opened = Opened { joined: self.spoke, ..self.visitor.opening.clone() };
                let begins =
                    [Happened::Opened(opened)].into_iter().chain(before.map(|hello| Happened::Heard(hello, false)));
                self.outgoing.note(&port, self.visitor.feed, begins);
            }
            self.outgoing.note(&port, self.visitor.feed, [Happened::Heard(text.clone(), binary)]);
        }
        if hello {
            self.hello = Some(text).filter(|text| text.len() <= HELLO_BYTES);
        }
        self.spoke |= self.link.is_some();
    }

    /// Tells a recording that knows of this socket what it is told.
    pub(super) fn record_said(&self, what: Happened) {
        let recorded = |link: &&Link| self.recorded > 0 && link.port.tap.run() == self.recorded;
        if let Some(link) = self.link.as_ref().filter(recorded)
            && what != Happened::Acked(0)
        {
            link.port.tap.note(self.visitor.feed.0, vec![what], || ());
        }
    }

    /// Tells a recording that knows of this socket that it is gone, behind all that it said.
    pub(super) fn record_end(&mut self, why: &str) {
        let recorded = std::mem::take(&mut self.recorded);
        if let Some(link) = self.link.as_ref().filter(|link| recorded > 0 && link.port.tap.run() == recorded) {
            self.outgoing.note(&Arc::clone(&link.port), self.visitor.feed, [Happened::Closed(why.into())]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use honeygraph_protocols::honeycomb::Parser;

    /// Planted: only the known form looked for.
    #[test]
    fn what_authenticates_is_a_secret() {
        let mut parser = Parser::new(true);
        let mut secret = |text: &str| is_secret(&parser.parse(text.as_bytes()), text.as_bytes());
        assert!(secret(r#"{"type":"auth_response","signature":"x"}"#) && secret(r#"{"type":"authenticate"}"#));
        assert!(secret(r#"{"Authorization":"x""#));
        assert!(!secret(r#"{"type":"put","path":["auth"],"data":1}"#) && !secret(r#"{"type":"what"}"#));
    }
}
