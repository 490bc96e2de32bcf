//! The bytes of a socket before its WebSocket reader sees them: how large is the message that begins here, and may it?
//!
//! Owns what was read and not passed on, and the place between two frames. A large frame is passed on as fragments: the
//! reader behind assembles them, and its own buffer, which it keeps, stays small.
//!
//! *Always holds:* of a message above [`FREE_BYTES`] nothing is passed on, and at most one read taken in, before it has
//! been [granted](Inlet::grant) its whole size; what the reader gets means the same as what came.

use super::budget::FREE_BYTES;
use std::io::{self, Cursor, ErrorKind};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 16 * 1024;

/// Largest fragment passed on, in bytes: a multiple of the mask's four, so that the mask goes on as it is.
const FRAGMENT_BYTES: u64 = 16 * 1024;

/// Where the stream stands.
#[derive(Debug)]
enum Place {
    /// Before or in a header.
    Header,
    /// In a payload, so many bytes before its end.
    Payload(u64),
    /// Broken: everything is passed on, the reader will find the same fault.
    Broken,
}

/// The bytes.
#[derive(Debug)]
pub(super) struct Inlet {
    /// Read from the socket, passed on up to `at`.
    raw: Vec<u8>,
    at: usize,
    place: Place,
    /// What is left of the header to be passed on next.
    header: Vec<u8>,
    /// Whether the current frame is a control frame, which may stand inside a message.
    control: bool,
    /// Of a frame that is passed on in fragments: its header, and the bytes behind the fragment that is passed on now.
    rest: Option<(FrameHeader, u64)>,
    /// Bytes of the message so far, the current frame's included; none: between two messages.
    message: Option<u64>,
    /// Whether the current frame is its last.
    last: bool,
    /// Bytes that the next message needs to be granted before it is read.
    wants: Option<usize>,
    /// When it was granted; none: it needs no grant.
    granted: Option<Instant>,
    /// Largest message.
    largest: usize,
}

impl Inlet {
    /// An inlet for messages up to this size.
    pub fn new(largest: usize) -> Self {
        Self {
            raw: Vec::new(),
            at: 0,
            place: Place::Header,
            header: Vec::new(),
            control: false,
            rest: None,
            message: None,
            last: true,
            wants: None,
            granted: None,
            largest,
        }
    }

    /// Changes the size limit of the messages to come.
    pub fn allow(&mut self, largest: usize) {
        self.largest = largest;
    }

    /// Bytes that have to be granted before anything more is read.
    pub fn wants(&self) -> Option<usize> {
        self.wants
    }

    /// The message that waits may be read.
    pub fn grant(&mut self) {
        self.wants = None;
        self.granted = Some(Instant::now());
    }

    /// Since when a granted message is being read, and its bytes.
    pub fn being_read(&self) -> Option<(Instant, u64)> {
        self.granted.zip(self.message)
    }

    /// Puts bytes into `into` for the reader behind, reading from the socket when there are none.
    pub fn read(
        &mut self,
        into: &mut [u8],
        mut socket: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut put = 0;
        while put < into.len() {
            if !self.header.is_empty() {
                let n = self.header.len().min(into.len() - put);
                into[put..put + n].copy_from_slice(&self.header[..n]);
                self.header.drain(..n);
                put += n;
                continue;
            }
            let passes = match &mut self.place {
                Place::Payload(left) => *left,
                Place::Broken => u64::MAX,
                Place::Header => {
                    if self.begin() {
                        continue;
                    }
                    if put > 0 || self.wants.is_some() {
                        break;
                    }
                    0
                }
            };
            let ready = self.raw.len() - self.at;
            if passes == 0 || ready == 0 {
                if put > 0 {
                    break;
                }
                if self.fill(&mut socket)? == 0 {
                    return Ok(0);
                }
                continue;
            }
            let n = ready.min(into.len() - put).min(usize::try_from(passes).unwrap_or(usize::MAX));
            into[put..put + n].copy_from_slice(&self.raw[self.at..self.at + n]);
            (self.at, put) = (self.at + n, put + n);
            if let Place::Payload(left) = &mut self.place {
                *left -= n as u64;
                if *left == 0 && self.ended() {
                    break;
                }
            }
        }
        if put == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(put) }
    }

    /// Reads more behind what is there; an idle socket keeps no buffer.
    fn fill(&mut self, socket: &mut impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.raw.drain(..std::mem::take(&mut self.at));
        let held = self.raw.len();
        self.raw.resize(held + READ_BYTES, 0);
        let read = socket(&mut self.raw[held..]);
        self.raw.truncate(held + read.as_ref().copied().unwrap_or(0));
        if self.raw.is_empty() {
            self.raw = Vec::new();
        }
        read
    }

    /// Takes the next header if it is all there and its frame may be read; whether anything changed.
    fn begin(&mut self) -> bool {
        if self.wants.is_some() {
            return false;
        }
        let mut cursor = Cursor::new(&self.raw[self.at..]);
        let (header, len) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(found)) => found,
            Ok(None) => return false,
            Err(_) => {
                self.place = Place::Broken;
                return true;
            }
        };
        let taken = cursor.position() as usize;
        self.control = matches!(header.opcode, OpCode::Control(_));
        let OpCode::Data(kind) = header.opcode else {
            return self.pass(len, taken);
        };
        let message = self.message.filter(|_| kind == Data::Continue).unwrap_or(0).saturating_add(len);
        // Beyond the limit the reader refuses it by its header alone.
        let refused = message > self.largest as u64;
        if message > FREE_BYTES as u64 && !refused && self.granted.is_none() {
            // How many fragments follow nobody knows: they may be as large as any message.
            self.wants = Some(if header.is_final { message as usize } else { self.largest });
            return false;
        }
        (self.message, self.last) = (Some(message), header.is_final);
        if refused || len <= FRAGMENT_BYTES {
            return self.pass(len, taken);
        }
        self.at += taken;
        self.rest = Some((header, len));
        self.fragment();
        true
    }

    /// Passes a frame on as it is.
    fn pass(&mut self, len: u64, taken: usize) -> bool {
        self.header.extend_from_slice(&self.raw[self.at..self.at + taken]);
        self.at += taken;
        self.place = Place::Payload(len);
        if len == 0 {
            self.ended();
        }
        true
    }

    /// A payload has been passed on to its end; whether a message ends with it. Then the reader behind is left to deal
    /// with it before the next is looked at: it may change what the next is allowed.
    fn ended(&mut self) -> bool {
        if self.rest.is_some() {
            self.fragment();
            return false;
        }
        self.place = Place::Header;
        let ends = self.last && !self.control;
        if ends {
            (self.message, self.granted) = (None, None);
        }
        ends
    }

    /// Begins the next fragment of a large frame.
    fn fragment(&mut self) {
        let Some((header, left)) = self.rest.take() else { return };
        let len = left.min(FRAGMENT_BYTES);
        let last = len == left;
        let shown = FrameHeader { is_final: header.is_final && last, ..header.clone() };
        // Writing into a Vec does not fail, nor does a header that was parsed.
        let _ = shown.format(len, &mut self.header);
        if !last {
            self.rest = Some((FrameHeader { opcode: OpCode::Data(Data::Continue), ..header }, left - len));
        }
        self.place = Place::Payload(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::io::{Read, Write};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketContext};

    /// A socket that gives its bytes in portions.
    struct Portions(VecDeque<Vec<u8>>);

    impl Portions {
        fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(mut first) = self.0.pop_front() else { return Err(ErrorKind::WouldBlock.into()) };
            let n = first.len().min(into.len());
            into[..n].copy_from_slice(&first[..n]);
            if n < first.len() {
                self.0.push_front(first.split_off(n));
            }
            Ok(n)
        }
    }

    /// What tungstenite reads from: an inlet, or the socket itself.
    struct Way<'a>(Option<&'a mut Inlet>, &'a mut Portions);

    impl Read for Way<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let socket = &mut *self.1;
            match &mut self.0 {
                Some(inlet) => inlet.read(into, |into| socket.take(into)),
                None => socket.take(into),
            }
        }
    }

    impl Write for Way<'_> {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            Ok(from.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 0, 9, 200];
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..=125 => bytes.push(0x80 | n as u8),
            n @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((n as u16).to_be_bytes());
            }
            n => {
                bytes.push(0x80 | 127);
                bytes.extend((n as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Everything that is read, the last fault included, and the grants that were asked for.
    fn heard(bytes: &[u8], portion: usize, through: bool) -> (Vec<String>, Vec<usize>) {
        let mut socket = Portions(bytes.chunks(portion).map(<[u8]>::to_vec).collect());
        let mut inlet = Inlet::new(1 << 20);
        let mut ws = WebSocketContext::new(Role::Server, None);
        ws.set_config(|config| config.max_message_size = Some(1 << 20));
        ws.set_config(|config| config.max_frame_size = Some(if through { 64 << 10 } else { 1 << 20 }));
        let (mut said, mut granted) = (Vec::new(), Vec::new());
        loop {
            match ws.read(&mut Way(through.then_some(&mut inlet), &mut socket)) {
                Ok(Message::Binary(bytes)) => said.push(format!("{:?}", blake3::hash(&bytes))),
                Ok(message) => said.push(format!("{message:?}")),
                Err(tokio_tungstenite::tungstenite::Error::Io(_)) => match inlet.wants() {
                    Some(bytes) => {
                        granted.push(bytes);
                        inlet.grant();
                    }
                    None => return (said, granted),
                },
                Err(error) => {
                    said.push(error.to_string().split(':').next().unwrap_or_default().to_owned());
                    return (said, granted);
                }
            }
        }
    }

    /// Planted once: a mask that does not go on in step, a control frame that ends the message it stands in.
    #[test]
    fn whatever_comes_means_the_same_behind_an_inlet() {
        let large: Vec<u8> = (0..200_000u32).map(|at| (at / 7) as u8).collect();
        let wide = "ü€𝄞".repeat(9_000);
        let (odd, small) = (&large[..FRAGMENT_BYTES as usize * 2 + 1], &large[..1000]);
        let cases: Vec<(&str, Vec<Vec<u8>>, Vec<usize>)> = vec![
            ("small ones", vec![frame(0x82, small), frame(0x81, b"{}"), frame(0x82, b"")], vec![]),
            ("a large one", vec![frame(0x82, &large), frame(0x82, small)], vec![200_000]),
            ("cut inside a character", vec![frame(0x81, wide.as_bytes()), frame(0x81, b"x")], vec![wide.len()]),
            ("two large ones", vec![frame(0x82, &large), frame(0x82, odd)], vec![200_000, odd.len()]),
            ("fragments", vec![frame(0x02, odd), frame(0x89, b"p"), frame(0x80, &large)], vec![1 << 20]),
            (
                "many fragments",
                [vec![frame(0x02, b"")], vec![frame(0, small); 40], vec![frame(0x80, small)]].concat(),
                vec![1 << 20],
            ),
            ("not UTF-8", vec![frame(0x81, &large)], vec![200_000]),
            ("too large", vec![frame(0x82, &vec![0; (1 << 20) + 1])], vec![]),
            ("a reserved opcode", vec![frame(0x83, small)], vec![]),
            ("not masked", vec![vec![0x82, 2, 1, 1]], vec![]),
            ("a pong, a close", vec![frame(0x8a, b""), frame(0x88, b"")], vec![]),
        ];
        for (name, frames, grants) in cases {
            let bytes = frames.concat();
            for portion in [1 << 20, 16 << 10, 4093, 13] {
                let (said, granted) = heard(&bytes, portion, true);
                assert_eq!(said, heard(&bytes, 1 << 20, false).0, "{name} in portions of {portion}");
                assert_eq!(granted, grants, "{name}");
                assert!(!said.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn nothing_of_a_large_frame_is_read_before_it_is_granted() {
        let bytes = frame(0x82, &vec![5; 900_000]);
        let mut socket = Portions(bytes.chunks(READ_BYTES).map(<[u8]>::to_vec).collect());
        let (mut inlet, mut into) = (Inlet::new(1 << 20), [0; 4096]);
        for _ in 0..100 {
            assert!(inlet.read(&mut into, |into| socket.take(into)).is_err());
        }
        let left: usize = socket.0.iter().map(Vec::len).sum();
        assert!(left >= bytes.len() - READ_BYTES, "{left}");
        assert_eq!(inlet.wants(), Some(900_000));
    }
}
