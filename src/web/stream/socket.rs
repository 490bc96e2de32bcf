//! A subscriber's WebSocket. Frames go out as they are made, shared by all; what comes in is answered, and held to be
//! nothing: pings, pongs and the close.
//!
//! tungstenite's own connection would copy every frame for every subscriber, and keep the room.
//!
//! *Always holds:* an incoming frame takes no more than [`HEARD`] bytes; a socket that takes nothing is dropped.

use super::event::{close, pong};
use super::subscriber::Subscriber;
use futures_util::StreamExt;
use std::io::{Cursor, Error, ErrorKind};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};
use tokio_util::sync::CancellationToken;

/// Room for what comes in: a control frame has at most 125 bytes and its header.
const HEARD: usize = 256;
/// Largest payload of a control frame.
const MAX_CONTROL: usize = 125;
/// How long a frame may take to leave.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pongs that wait: a client that pings faster than it reads gets fewer.
const PONGS: usize = 1;

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Ping(Vec<u8>),
    Pong,
    /// It closes, or does what it must not: the code to close with.
    End(u16),
}

/// Sends a subscriber's frames until either side ends it, or `cut` does.
pub async fn pump<S: AsyncRead + AsyncWrite + Send>(
    io: S,
    subscriber: Subscriber,
    cut: CancellationToken,
    stop: CancellationToken,
) {
    let (read, mut write) = tokio::io::split(io);
    let (say, mut pongs) = mpsc::channel(PONGS);
    let mut listening = pin!(listen(read, say));
    let mut frames = pin!(subscriber.frames());
    let mut heard = None;
    let code = loop {
        let frame = tokio::select! {
            () = cut.cancelled() => return,
            code = &mut listening, if heard.is_none() => {
                heard = Some(code);
                break code;
            }
            Some(payload) = pongs.recv() => pong(&payload).into(),
            frame = frames.next() => match frame {
                Some(frame) => frame,
                None if stop.is_cancelled() => break 1001,
                None => break 1013,
            },
        };
        if !matches!(timeout(PATIENCE, write.write_all(&frame)).await, Ok(Ok(()))) {
            return;
        }
    };
    let why = match code {
        1000 => "bye",
        1001 => "the node stops: come back with the last cursor",
        1013 => "let go: come back with the last cursor",
        1003 => "nothing is taken here",
        _ => "this is not how WebSockets speak",
    };
    let closing = async {
        write.write_all(&close(code, why)).await?;
        write.shutdown().await?;
        // A socket closed over unread bytes is reset, and its peer never sees why.
        if heard.is_none() {
            listening.await;
        }
        Ok::<(), Error>(())
    };
    let _ = timeout(PATIENCE, closing).await;
}

/// Reads until the client ends it; the code to close with.
async fn listen(mut io: impl AsyncRead + Unpin, say: mpsc::Sender<Vec<u8>>) -> u16 {
    let (mut room, mut filled) = ([0; HEARD], 0);
    loop {
        match hear(&room[..filled]) {
            Ok(Some((heard, taken))) => {
                room.copy_within(taken..filled, 0);
                filled -= taken;
                match heard {
                    // One that waits already says enough.
                    Heard::Ping(payload) => drop(say.try_send(payload)),
                    Heard::Pong => {}
                    Heard::End(code) => return code,
                }
            }
            Ok(None) => match io.read(&mut room[filled..]).await {
                Ok(0) | Err(_) => return 1000,
                Ok(read) => filled += read,
            },
            Err(_) => return 1002,
        }
    }
}

/// The first frame of what came, and its bytes; none when it is not all there.
fn hear(bytes: &[u8]) -> Result<Option<(Heard, usize)>, Error> {
    let wrong = || Error::from(ErrorKind::InvalidData);
    let mut cursor = Cursor::new(bytes);
    let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| wrong())? else { return Ok(None) };
    let Some(mask) = header.mask else { return Err(wrong()) };
    let kind = match header.opcode {
        OpCode::Data(_) => return Ok(Some((Heard::End(1003), bytes.len()))),
        OpCode::Control(kind) => kind,
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_CONTROL && header.is_final);
    let from = cursor.position() as usize;
    let upto = from + length.ok_or_else(wrong)?;
    let Some(payload) = bytes.get(from..upto) else { return Ok(None) };
    let heard = match kind {
        Control::Ping => Heard::Ping(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()),
        Control::Pong => Heard::Pong,
        Control::Close => Heard::End(1000),
        Control::Reserved(_) => return Err(wrong()),
    };
    Ok(Some((heard, upto)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted: the length is not looked at.
    #[test]
    fn only_control_frames_are_heard() {
        let ping = [0x89, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2, 0x8a];
        assert_eq!(hear(&ping).unwrap(), Some((Heard::Ping(b"hi".to_vec()), 8)));
        for part in 0..8 {
            assert_eq!(hear(&ping[..part]).unwrap(), None, "{part}");
        }
        assert_eq!(hear(&[0x88, 0x80, 0, 0, 0, 0]).unwrap(), Some((Heard::End(1000), 6)));
        assert_eq!(hear(&[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().unwrap().0, Heard::End(1003));
        for wrong in [&[0x89, 0x01, 0][..], &[0x89, 0xfe, 0, 200, 0, 0, 0, 0], &[0x09, 0x80, 0, 0, 0, 0], &[0x8f; 14]] {
            assert!(hear(wrong).is_err(), "{wrong:?}");
        }
    }
}
