//! A feed's WebSocket from the client's side, on a plain blocking socket: frames leave as they were encoded, and
//! reading is split from writing, so that one thread sends while another counts acks.
//!
//! Only what a client of ours needs: text, ping, close; answers in single frames, as our server sends them.
//!
//! *Always holds:* what is sent is a legal, masked client frame (the mask is zero, which masking allows).

use std::io::{BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Text frame, final.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Set in the length byte of a client's frame.
const MASKED: u8 = 0x80;

/// Largest frame read, in bytes: far above any answer.
const LARGEST: u64 = 16 << 20;

/// Appends one text frame.
pub fn encode_text(text: &str, out: &mut Vec<u8>) {
    encode(TEXT, text.as_bytes(), out);
}

fn encode(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
}

/// Connects to `ws://host:port` on `path` and upgrades: the end that sends and the end that reads.
pub fn connect(url: &str, path: &str, token: &str) -> std::io::Result<(Sender, Receiver)> {
    let address = url.trim_start_matches("ws://");
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    // The key's content does not matter to the server, only its form.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aG9uZXlncmFwaHRlc3RuZQ==\r\nX-Token: {token}\r\n\
         X-Client-Type: honeycomb\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let sender = Sender { socket: socket.try_clone()? };
    let mut receiver = Receiver { reader: BufReader::with_capacity(256 << 10, socket), payload: Vec::new() };
    receiver.upgraded()?;
    Ok((sender, receiver))
}

/// The end that sends.
#[derive(Debug)]
pub struct Sender {
    socket: TcpStream,
}

impl Sender {
    /// Sends encoded frames.
    pub fn send(&mut self, frames: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(frames)
    }

    /// Sends one text.
    pub fn send_text(&mut self, text: &str) -> std::io::Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 14);
        encode_text(text, &mut frame);
        self.send(&frame)
    }

    /// Another handle on the same end (for pongs, from the thread that reads).
    pub fn again(&self) -> std::io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()? })
    }

    /// Ends the connection in both directions, at once.
    pub fn hang_up(&self) {
        // Already gone is as good.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct Receiver {
    reader: BufReader<TcpStream>,
    payload: Vec<u8>,
}

impl Receiver {
    /// The next text; none when the server closed. Pings are answered through `pong`.
    pub fn next_text(&mut self, pong: &mut Sender) -> std::io::Result<Option<&[u8]>> {
        loop {
            match self.frame()? {
                TEXT => return Ok(Some(&self.payload)),
                CLOSE => return Ok(None),
                PING => {
                    let mut frame = Vec::new();
                    encode(PONG, &self.payload, &mut frame);
                    pong.send(&frame)?;
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self) -> std::io::Result<u8> {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head)?;
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.reader.read_exact(&mut long)?;
                u64::from(u16::from_be_bytes(long))
            }
            127 => {
                let mut long = [0; 8];
                self.reader.read_exact(&mut long)?;
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        if length > LARGEST {
            return Err(Error::new(ErrorKind::InvalidData, "a frame larger than any answer"));
        }
        self.payload.resize(length as usize, 0);
        self.reader.read_exact(&mut self.payload)?;
        Ok(head[0])
    }

    fn upgraded(&mut self) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            head.push(byte[0]);
            if head.len() > 16 << 10 {
                return Err(Error::new(ErrorKind::InvalidData, "an endless answer to the upgrade"));
            }
        }
        if head.starts_with(b"HTTP/1.1 101") {
            return Ok(());
        }
        let status = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        Err(Error::new(ErrorKind::ConnectionRefused, format!("no upgrade: {status}")))
    }
}

/// The texts in a run of encoded client frames.
#[cfg(test)]
pub(super) fn decode_for_test(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[0], TEXT);
        let (length, head) = match bytes[1] & !MASKED {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().expect("8 bytes")) as usize, 10),
            short => (usize::from(short), 2),
        };
        texts.push(String::from_utf8(bytes[head + 4..head + 4 + length].to_vec()).expect("UTF-8"));
        bytes = &bytes[head + 4 + length..];
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::connect;
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    /// Both ends of a real WebSocket: ours and tungstenite's.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frames_are_what_a_real_server_understands() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let client = tokio::task::spawn_blocking(move || {
            let (mut sender, mut receiver) = connect(&url, "/fork-stream", "SPK").expect("connected");
            let mut pong = sender.again().expect("a handle");
            for length in [0, 125, 126, 70_000] {
                sender.send_text(&"x".repeat(length)).expect("sent");
                let answer = receiver.next_text(&mut pong).expect("answered").expect("a text");
                assert_eq!(answer.len(), length);
            }
            assert!(receiver.next_text(&mut pong).expect("closed well").is_none());
        });
        let (socket, _) = listener.accept().await.expect("accepted");
        let mut server = tokio_tungstenite::accept_async(socket).await.expect("upgraded");
        for length in [0, 125, 126, 70_000] {
            let message = server.next().await.expect("a frame").expect("a legal frame");
            assert_eq!(message.to_text().expect("a text").len(), length);
            server.send(Message::Ping(vec![1, 2].into())).await.expect("pinged");
            server.send(message).await.expect("answered");
            let pong = server.next().await.expect("a frame").expect("a legal frame");
            assert_eq!(pong, Message::Pong(vec![1, 2].into()));
        }
        server.close(None).await.expect("closed");
        client.await.expect("the client is content");
    }
}
