//! The body of a piece as it is stored and as it travels: one zstd frame of the length-prefixed op texts.
//!
//! *Always holds:* a frame holds nothing of the node that wrote it; unpacking is bounded by what the frame says of
//! its size before a byte of it is unpacked.

use super::JournalError;
use std::cell::RefCell;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter};

/// Most bytes of a frame: a record has to fit well into a segment and in memory several times over.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of a body: a feed's largest message. Also what a hostile frame can make us allocate.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// zstd level: the journal must keep up with the feed, and level 1 already makes op texts five times smaller.
const LEVEL: i32 = 1;

/// A packed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a>(&'a [u8]);

impl<'a> Frame<'a> {
    /// Takes the bytes of a frame; they are checked when it is unpacked.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The frame as it is stored and sent.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Size of the body in bytes, as the frame declares it.
    pub fn body_bytes(&self) -> Result<usize, JournalError> {
        if self.0.len() > MAX_FRAME_BYTES {
            return Err(too_large("frame", self.0.len(), MAX_FRAME_BYTES));
        }
        match zstd_safe::get_frame_content_size(self.0) {
            Ok(Some(bytes)) if bytes <= MAX_BODY_BYTES as u64 => Ok(bytes as usize),
            Ok(Some(bytes)) => Err(too_large("body", bytes as usize, MAX_BODY_BYTES)),
            _ => Err(JournalError::Malformed("a frame that does not declare its size".into())),
        }
    }

    /// Unpacks the body to the end of `into`.
    pub fn unpack_into(&self, into: &mut Vec<u8>) -> Result<(), JournalError> {
        thread_local!(static UNPACKER: RefCell<Decompressor<'static>> = RefCell::default());
        let bytes = self.body_bytes()?;
        if zstd_safe::find_frame_compressed_size(self.0).ok() != Some(self.0.len()) {
            return Err(JournalError::Malformed("not exactly one zstd frame".into()));
        }
        let start = into.len();
        into.resize(start + bytes, 0);
        let unpacked = UNPACKER.with_borrow_mut(|zstd| zstd.decompress_to_buffer(self.0, &mut into[start..]));
        match unpacked {
            Ok(written) if written == bytes => Ok(()),
            Ok(_) => Err(JournalError::Malformed("a frame shorter than it declares".into())),
            Err(error) => Err(JournalError::Malformed(format!("a frame that does not unpack: {error}"))),
        }
    }

    /// Unpacks the body.
    pub fn unpack(&self) -> Result<Vec<u8>, JournalError> {
        let mut body = Vec::new();
        self.unpack_into(&mut body)?;
        Ok(body)
    }
}

/// Packs bodies; keeps its working memory between them.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub fn new() -> Result<Self, JournalError> {
        let mut zstd = Compressor::new(LEVEL).map_err(unavailable)?;
        zstd.set_parameter(CParameter::ContentSizeFlag(true)).map_err(unavailable)?;
        // The record's crc and the batch's hash cover it.
        zstd.set_parameter(CParameter::ChecksumFlag(false)).map_err(unavailable)?;
        Ok(Self(zstd))
    }

    /// Replaces the contents of `into` with the frame of a body.
    pub fn pack(&mut self, body: &[u8], into: &mut Vec<u8>) -> Result<(), JournalError> {
        into.clear();
        if body.len() > MAX_BODY_BYTES {
            return Err(too_large("body", body.len(), MAX_BODY_BYTES));
        }
        into.reserve(zstd_safe::compress_bound(body.len()));
        self.0.compress_to_buffer(body, into).map_err(unavailable)?;
        if into.len() > MAX_FRAME_BYTES {
            return Err(too_large("frame", into.len(), MAX_FRAME_BYTES));
        }
        Ok(())
    }
}

fn unavailable(error: std::io::Error) -> JournalError {
    JournalError::Malformed(format!("zstd: {error}"))
}

fn too_large(what: &'static str, bytes: usize, limit: usize) -> JournalError {
    JournalError::TooLarge { what, bytes, limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        Packer::new().unwrap().pack(body, &mut frame).unwrap();
        frame
    }

    #[test]
    fn a_body_comes_back() {
        let body = b"{\"type\":\"put\"}".repeat(1000);
        let frame = packed(&body);
        assert!(frame.len() < body.len() / 5);
        assert_eq!(Frame::new(&frame).unpack().unwrap(), body);
    }

    #[test]
    fn hostile_frames_are_refused_before_memory_is_taken() {
        // Declares 1 TiB: single segment, 8-byte content size.
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        bomb.extend_from_slice(&(1_u64 << 40).to_le_bytes());
        bomb.extend_from_slice(&[3, 0, 0]);
        assert!(matches!(Frame::new(&bomb).unpack(), Err(JournalError::TooLarge { what: "body", .. })));
        let mut two = packed(b"one");
        two.extend(packed(b"two"));
        assert!(Frame::new(&two).unpack().is_err());
        let frame = packed(&[7; 500]);
        assert!(Frame::new(&frame[..frame.len() - 1]).unpack().is_err());
        assert!(Frame::new(b"").unpack().is_err());
    }

    #[test]
    fn a_body_over_the_bound_is_refused() {
        let mut frame = Vec::new();
        let refused = Packer::new().unwrap().pack(&vec![0; MAX_BODY_BYTES + 1], &mut frame);
        assert!(matches!(refused, Err(JournalError::TooLarge { what: "body", .. })));
    }
}
