//! One WebSocket: frames in, frames out, on a socket that is already upgraded.
//!
//! tungstenite reads and writes the protocol; this drives it by polling, so that a session can read while its peer
//! does not, change the size limit while the connection stands, and see every byte that moves in either direction.
//!
//! *Always holds:* what is said is only queued by [`Wire::say`] and leaves in [`Wire::turn`], many frames to a write.

use super::budget::Budget;
use super::inlet::Inlet;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::PollSemaphore;

/// Bytes that tungstenite takes at a time; also what an idle socket costs.
const READ_BUFFER: usize = 4 * 1024;

/// Largest frame that tungstenite is shown: larger ones reach it in fragments, or are refused.
const MAX_FRAME: usize = 64 * 1024;

/// Most messages handed out in one turn: enough to make a turn cheap, few enough to stay fair.
const MESSAGES_PER_TURN: usize = 256;

/// Most bytes of messages handed out in one turn (a single message may be larger): every socket may hold as much while
/// its core is busy.
const BYTES_PER_TURN: usize = 64 * 1024;

/// Bytes thrown away while a refused client is told why, so that it can read the reason before the reset.
const LINGER_BYTES: usize = 64 << 20;

/// A WebSocket over `io`.
#[derive(Debug)]
pub(super) struct Wire<S> {
    io: S,
    ws: WebSocketContext,
    inlet: Inlet,
    budget: Arc<Budget>,
    /// Where room for a large message is waited for.
    room: PollSemaphore,
    /// Room for the large message that is being read, or was read last.
    permit: Option<OwnedSemaphorePermit>,
    /// Reading ended with this; told once everything heard before it has been handed out.
    failed: Option<Error>,
    /// Bytes queued by us and not taken by the socket.
    unsent: usize,
    /// When the last byte came in.
    heard: Instant,
    /// When the socket last took bytes, or had nothing to take.
    moved: Instant,
}

/// What a turn brought.
#[derive(Debug)]
pub(super) enum Turn {
    /// Messages were put into the inbox.
    Heard,
    /// Everything queued has left.
    Said,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The server's side.
    pub fn new(io: S, budget: Arc<Budget>, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(usize::MAX - 1)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(MAX_FRAME));
        let ws = WebSocketContext::new(Role::Server, Some(config));
        let (now, inlet, room) = (Instant::now(), Inlet::new(max_message), PollSemaphore::new(budget.frames()));
        Self { io, ws, inlet, budget, room, permit: None, failed: None, unsent: 0, heard: now, moved: now }
    }

    /// Changes the size limit of the messages to come.
    pub fn allow(&mut self, max_message: usize) {
        self.ws.set_config(|config| config.max_message_size = Some(max_message));
        self.inlet.allow(max_message);
    }

    /// Room of the last large message: goes where the message goes.
    pub fn take_permit(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }

    /// Whether the next message waits for room.
    pub fn waits(&self) -> bool {
        self.inlet.wants().is_some()
    }

    /// Since when a large message is being read, and its bytes.
    pub fn being_read(&self) -> Option<(Instant, u64)> {
        self.inlet.being_read()
    }

    /// Queues a message.
    pub fn say(&mut self, message: Message) -> Result<(), Error> {
        self.queue(message.len());
        queued(self.ws.write(&mut Deaf, message))
    }

    fn queue(&mut self, bytes: usize) {
        if self.unsent == 0 {
            self.moved = Instant::now();
        }
        self.unsent += bytes + 4; // the frame's own header, as it is for most replies
    }

    /// Queues the close frame.
    pub fn say_close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.unsent += reason.len() + 8;
        // Already closed, or reset: then there is nobody to tell.
        let _ = queued(self.ws.close(&mut Deaf, Some(frame)));
    }

    /// Bytes queued that the socket has not taken.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// When the last byte came in.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// How long the socket has not taken a byte of what is queued.
    pub fn stuck(&self) -> Duration {
        if self.unsent == 0 { Duration::ZERO } else { self.moved.elapsed() }
    }

    /// Writes what is queued and, if `reading`, puts what was heard into `inbox`; whichever comes first. With `single`
    /// no more than one message is read, because it may change the limit for the next.
    pub async fn turn(&mut self, reading: bool, single: bool, inbox: &mut Vec<Message>) -> Result<Turn, Error> {
        std::future::poll_fn(|cx| {
            if self.unsent > 0 && self.poll_flush(cx)?.is_ready() {
                return Poll::Ready(Ok(Turn::Said));
            }
            if !reading {
                return Poll::Pending;
            }
            self.poll_hear(cx, single, inbox).map_ok(|()| Turn::Heard)
        })
        .await
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>, single: bool, inbox: &mut Vec<Message>) -> Poll<Result<(), Error>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let (mut bytes, limit) = (0, if single { 1 } else { MESSAGES_PER_TURN });
        while inbox.len() < limit && bytes < BYTES_PER_TURN {
            if let Some(wanted) = self.inlet.wants() {
                // What was read before gives its room back first: nobody holds room while waiting for more.
                if !inbox.is_empty() {
                    break;
                }
                self.permit = None;
                match self.room.poll_acquire_many(cx, self.budget.permits(wanted)) {
                    Poll::Ready(permit) => self.permit = permit,
                    Poll::Pending => return Poll::Pending,
                }
                self.inlet.grant();
            }
            let inlet = Some(&mut self.inlet);
            let mut io = Polled { io: Pin::new(&mut self.io), inlet, cx: &mut *cx, read: 0, wrote: 0 };
            let read = self.ws.read(&mut io);
            let (got, sent) = (io.read, io.wrote);
            if got > 0 {
                self.heard = Instant::now();
            }
            self.sent(sent);
            match read {
                Ok(message) => {
                    bytes += message.len();
                    let ping = message.is_ping();
                    if ping {
                        self.queue(message.len()); // tungstenite has queued the pong
                    }
                    inbox.push(message);
                    if ping {
                        // Its pong leaves in another turn. So a ping that is sent after that pong is read in another
                        // turn than what came before the first one, which the core has by then (`replay` asks so).
                        break;
                    }
                }
                Err(error) if would_block(&error) && self.inlet.wants().is_some() => {}
                Err(error) if would_block(&error) => break,
                Err(error) if inbox.is_empty() => return Poll::Ready(Err(error)),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if inbox.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut io = Polled { io: Pin::new(&mut self.io), inlet: None, cx, read: 0, wrote: 0 };
        let flushed = self.ws.flush(&mut io);
        let sent = io.wrote;
        self.sent(sent);
        match flushed {
            Ok(()) | Err(Error::ConnectionClosed) => {
                self.unsent = 0;
                Poll::Ready(Ok(()))
            }
            Err(error) if would_block(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn sent(&mut self, bytes: usize) {
        if bytes > 0 {
            self.unsent = self.unsent.saturating_sub(bytes).max(1); // exact again once all is flushed
            self.moved = Instant::now();
        }
    }

    /// Sends what is queued and ends the connection within `patience`: half-closes, then reads on for a while, because
    /// a socket closed over unread bytes is reset and its peer never sees the reason.
    pub async fn finish(mut self, patience: Duration) {
        let ending = async {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await.ok()?;
            self.io.shutdown().await.ok()?;
            let (mut scratch, mut left) = ([0; 4096], LINGER_BYTES);
            while left > 0 {
                match self.io.read(&mut scratch).await.ok()? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            Some(())
        };
        // Whatever is left unsaid after that is not worth waiting for.
        let _ = tokio::time::timeout(patience, ending).await;
    }
}

/// A socket as tungstenite wants it, for the length of one poll.
struct Polled<'a, 'cx, S> {
    io: Pin<&'a mut S>,
    /// What is read goes through it; none: only written.
    inlet: Option<&'a mut Inlet>,
    cx: &'a mut Context<'cx>,
    read: usize,
    wrote: usize,
}

impl<S: AsyncRead> Read for Polled<'_, '_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(inlet) = self.inlet.as_deref_mut() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let (io, cx, read) = (&mut self.io, &mut *self.cx, &mut self.read);
        inlet.read(into, |into| {
            let mut into = ReadBuf::new(into);
            match io.as_mut().poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) => {
                    *read += into.filled().len();
                    Ok(into.filled().len())
                }
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }
}

impl<S: AsyncWrite> Write for Polled<'_, '_, S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self.io.as_mut().poll_write(self.cx, from) {
            Poll::Ready(Ok(wrote)) => {
                self.wrote += wrote;
                Ok(wrote)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.io.as_mut().poll_flush(self.cx) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Takes nothing: what is written while no task is being polled stays queued.
struct Deaf;

impl Read for Deaf {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A write that could not leave has been queued all the same.
fn queued(written: Result<(), Error>) -> Result<(), Error> {
    match written {
        Err(error) if would_block(&error) => Ok(()),
        other => other,
    }
}
