//! A recording as bytes: in a file, and on the way into it.
//!
//! ```text
//! 8 bytes   "honeyrec"
//! u32       version, 1                      all numbers little-endian
//! chunks    u32 length of the frame, u32 crc32c of the frame, one zstd frame of
//!   events  u32 length of the rest, u8 kind, u64 microseconds since the beginning, u64 socket, body
//! ```
//!
//! Bodies: 0 began and 1 opened JSON, 2 text and 3 binary frame and 4 said as they travelled, 5 acked a u32, 6 closed a
//! text, 7 lost nothing. A chunk without events says that nothing happened.
//!
//! *Always holds:* a file that ends anywhere is read up to its last whole chunk, and says so; one that is damaged in
//! the middle is refused from there on, with the place; no chunk takes more than [`MAX_CHUNK`] of memory.

use super::{Event, Happened};
use hyper::body::Bytes;
use std::io::{self, Read};
use std::path::PathBuf;

/// Happened a file begins with: its name and version.
pub const MAGIC: [u8; 12] = *b"honeyrec\x01\0\0\0";

/// Bytes of events after which a chunk is full. Larger ones pack little better, and a torn end costs one.
pub const CHUNK: usize = 256 << 10;

/// Largest chunk, packed or not: one that is nearly full, and a frame of the largest size behind.
pub const MAX_CHUNK: usize = (64 << 20) + (1 << 20);

/// Bytes of an event before its body, behind its length.
const HEAD: usize = 1 + 8 + 8;

/// zstd level: recording must keep up with the feed.
const LEVEL: i32 = 1;

/// Why a recording cannot be read (further).
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system.
    #[error("reading the recording: {0}")]
    Io(#[from] io::Error),
    /// Something else.
    #[error("this is no recording of a feed")]
    NotARecording,
    /// Of a newer program.
    #[error("this recording has version {0}; this honeygraph knows version 1")]
    Version(u32),
    /// Damage that is no torn end.
    #[error("the recording is damaged at byte {at}: {why}")]
    Damaged {
        /// Where the chunk begins.
        at: u64,
        /// Happened is wrong with it.
        why: &'static str,
    },
    /// One of several files is not there.
    #[error("{0} is missing: later files of the recording are there")]
    Missing(PathBuf),
    /// One of several files does not follow the one before it.
    #[error("{0} is of another recording, or out of its order")]
    Foreign(PathBuf),
    /// One of several files ends early, and is not the last.
    #[error("the end of {0} is torn, and it is not the last file of the recording")]
    Torn(PathBuf),
}

/// Events on their way into a chunk.
#[derive(Debug, Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        let json = |value: Result<Vec<u8>, serde_json::Error>| value.unwrap_or_default();
        let (kind, body): (u8, Bytes) = match &event.what {
            Happened::Began(began) => (0, json(serde_json::to_vec(began)).into()),
            Happened::Opened(opened) => (1, json(serde_json::to_vec(opened)).into()),
            Happened::Heard(frame, binary) => (if *binary { 3 } else { 2 }, frame.clone()),
            Happened::Said(text) => (4, text.clone().into()),
            Happened::Acked(count) => (5, Bytes::copy_from_slice(&count.to_le_bytes())),
            Happened::Closed(why) => (6, why.clone().into()),
            Happened::Lost => (7, Bytes::new()),
        };
        self.0.extend_from_slice(&((HEAD + body.len()) as u32).to_le_bytes());
        self.0.push(kind);
        self.0.extend_from_slice(&event.after_us.to_le_bytes());
        self.0.extend_from_slice(&event.socket.to_le_bytes());
        self.0.extend_from_slice(&body);
    }

    /// Whether the chunk has its size.
    pub fn is_full(&self) -> bool {
        self.0.len() >= CHUNK
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The chunk of what was added since the last one.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let frame = zstd::bulk::compress(&self.0, LEVEL)?;
        self.0.clear();
        let mut chunk = Vec::with_capacity(8 + frame.len());
        chunk.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        chunk.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        chunk.extend_from_slice(&frame);
        Ok(chunk)
    }
}

/// A recording that is read.
#[derive(Debug)]
pub struct Recording<R> {
    from: R,
    at: u64,
    chunk: Bytes,
    torn: bool,
}

impl<R: Read> Recording<R> {
    /// Reads what it is.
    pub fn open(mut from: R) -> Result<Self, FileError> {
        let mut magic = [0; MAGIC.len()];
        if fill(&mut from, &mut magic)? < magic.len() || magic[..8] != MAGIC[..8] {
            return Err(FileError::NotARecording);
        }
        match u32::from_le_bytes([magic[8], magic[9], magic[10], magic[11]]) {
            1 => Ok(Self { from, at: MAGIC.len() as u64, chunk: Bytes::new(), torn: false }),
            other => Err(FileError::Version(other)),
        }
    }

    /// Whether its end was torn, and what was left of the last chunk cut off.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// The next event; none at the end.
    pub fn read(&mut self) -> Result<Option<Event>, FileError> {
        while self.chunk.is_empty() {
            if !self.next_chunk()? {
                return Ok(None);
            }
        }
        match event(&mut self.chunk) {
            Some(event) => Ok(Some(event)),
            None => Err(FileError::Damaged { at: self.at, why: "an event before it that does not parse" }),
        }
    }

    fn next_chunk(&mut self) -> Result<bool, FileError> {
        let at = self.at;
        let damaged = |why| FileError::Damaged { at, why };
        let mut head = [0; 8];
        let got = fill(&mut self.from, &mut head)?;
        let [a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if got < head.len() {
            self.torn = got > 0;
            return Ok(false);
        }
        if length > MAX_CHUNK {
            return Err(damaged("a chunk too large to be one"));
        }
        let mut frame = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut frame)?;
        let whole = frame.len() == length && crc32c::crc32c(&frame).to_le_bytes() == crc;
        if !whole {
            // Happened a power cut leaves of the last chunk may have its length, and holes.
            self.torn = frame.len() < length || fill(&mut self.from, &mut [0])? == 0;
            return if self.torn { Ok(false) } else { Err(damaged("its checksum is another")) };
        }
        let mut events = Vec::new();
        let unpacked = zstd::stream::Decoder::with_buffer(&frame[..]).and_then(|unpacking| {
            // One byte more than allowed is enough to see that it is too much.
            unpacking.take(MAX_CHUNK as u64 + 1).read_to_end(&mut events)
        });
        if unpacked.is_err() || events.len() > MAX_CHUNK {
            return Err(damaged("it does not unpack"));
        }
        self.at += (head.len() + length) as u64;
        self.chunk = events.into();
        Ok(true)
    }
}

/// Takes the first event off a chunk.
fn event(chunk: &mut Bytes) -> Option<Event> {
    let length = u32::from_le_bytes(*chunk.first_chunk()?) as usize;
    if chunk.len() - 4 < length {
        return None;
    }
    let whole = chunk.split_to(4 + length).slice(4..);
    let (kind, rest) = whole.split_first()?;
    let (after, rest) = rest.split_first_chunk()?;
    let (socket, body) = rest.split_first_chunk()?;
    let text = || String::from_utf8(body.to_vec()).ok();
    let what = match kind {
        0 => Happened::Began(serde_json::from_slice(body).ok()?),
        1 => Happened::Opened(serde_json::from_slice(body).ok()?),
        2 | 3 => Happened::Heard(whole.slice(HEAD..), *kind == 3),
        4 => Happened::Said(text()?),
        5 => Happened::Acked(u32::from_le_bytes(body.try_into().ok()?)),
        6 => Happened::Closed(text()?),
        7 => Happened::Lost,
        _ => return None,
    };
    Some(Event { after_us: u64::from_le_bytes(*after), socket: u64::from_le_bytes(*socket), what })
}

/// Reads until the buffer is full or there is no more; how much it was.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match from.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::super::{Began, Opened};
    use super::*;
    use std::path::Path;

    fn sample() -> Vec<Event> {
        let opened = Opened { path: "/ws".into(), token: Some("SPK".into()), client: None, joined: true };
        let began = Began { network: "spkcc_".into(), software: "0.1.0".into(), at_ms: 1_700_000_000_000, fresh: true };
        let all = [
            Happened::Began(began),
            Happened::Opened(opened),
            Happened::Heard(Bytes::from_static(br#"{"type":"identify"}"#), false),
            Happened::Said(r#"{"type":"request_missing","from":0,"to":3}"#.into()),
            Happened::Heard(Bytes::from_static(b"\"W\""), true),
            Happened::Acked(7),
            Happened::Closed("gone".into()),
            Happened::Lost,
        ];
        let events = all.into_iter().zip(0..);
        events.map(|(what, at)| Event { after_us: at * 1000, socket: u64::from(at > 0), what }).collect()
    }

    /// Two chunks, and one that says nothing.
    fn written() -> Vec<u8> {
        let (mut bytes, mut packer) = (MAGIC.to_vec(), Packer::default());
        for events in sample().chunks(5) {
            events.iter().for_each(|event| packer.push(event));
            bytes.extend(packer.chunk().unwrap());
            bytes.extend(packer.chunk().unwrap());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<Event>, Result<bool, FileError>) {
        let mut recording = match Recording::open(bytes) {
            Ok(recording) => recording,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut events = Vec::new();
        loop {
            match recording.read() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, Ok(recording.torn())),
                Err(error) => return (events, Err(error)),
            }
        }
    }

    /// Files that were recorded must stay readable. `BLESS=1` makes the file where there is none.
    #[test]
    fn a_recording_is_golden() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/feed/fixtures/recording/version-1.rec");
        if std::env::var_os("BLESS").is_some() && !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, written()).unwrap();
        }
        let (events, end) = read(&std::fs::read(&path).unwrap());
        assert_eq!((events, end.unwrap()), (sample(), false));
    }

    /// Planted once: the checksum not looked at. Guards against: a torn end taken for damage.
    #[test]
    fn a_torn_end_is_cut_and_damage_is_refused() {
        let bytes = written();
        let (all, end) = read(&bytes);
        assert_eq!((all, end.unwrap()), (sample(), false));
        for cut in MAGIC.len()..bytes.len() {
            let (events, end) = read(&bytes[..cut]);
            assert!(sample().starts_with(&events) && events.len() <= sample().len(), "cut at {cut}");
            end.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        }
        for at in MAGIC.len()..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let (events, end) = read(&damaged);
            assert!(sample().starts_with(&events), "a flipped bit at {at} went unseen: {events:?}");
            assert!(events.len() < sample().len() || at > bytes.len() - 20, "{at}: {end:?}");
        }
        assert!(matches!(read(b"honeyrec").1, Err(FileError::NotARecording)));
        assert!(matches!(read(b"honeyrec\x02\0\0\0").1, Err(FileError::Version(2))));
    }

    /// Guards against: a few bytes that unpack to more than memory holds.
    #[test]
    fn a_chunk_that_unpacks_to_too_much_is_refused() {
        let frame = zstd::bulk::compress(&vec![0; MAX_CHUNK + 1], 1).unwrap();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        bytes.extend_from_slice(&frame);
        assert!(matches!(read(&bytes).1, Err(FileError::Damaged { at: 12, .. })));
    }
}
