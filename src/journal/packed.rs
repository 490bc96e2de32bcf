//! Batches from elsewhere, looked at before the core sees them: the frames as they came, or the texts of a document.
//!
//! *Always holds:* a [`Packed`] holds canonical op texts and nothing else, as many as it says and with the hash that it
//! says; what unpacks to more than its bounds is refused before it is unpacked.

use super::JournalError;
use super::codec::MAX_META_BYTES;
use super::frame::{Frame, MAX_BODY_BYTES, MAX_FRAME_BYTES, Packer};
use crate::fork::lane::{BATCH_MAX_BYTES, BATCH_MAX_OPS, PIECE_BYTES};
use crate::fork::supply::Packed;
use honeygraph_protocols::op::{self, Op, OpError};

/// Frames of one batch: the record that chains it names a piece for each, 9 bytes at most, and has to stay below its own
/// bound. A batch of the most ops in pieces of an answer's size has half as many.
pub const MAX_FRAMES: usize = 65_536;

/// Why a batch is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// The frame.
    #[error(transparent)]
    Frame(#[from] JournalError),
    /// An op in it.
    #[error(transparent)]
    Op(#[from] OpError),
    /// It has more ops or bytes than a batch may have.
    #[error("a batch of more than {BATCH_MAX_OPS} ops, {BATCH_MAX_BYTES} bytes or {MAX_FRAMES} frames")]
    TooLarge,
    /// A frame larger than what it holds: it was filled up.
    #[error("a frame of {frame} bytes that holds {body}")]
    Padded {
        /// Its bytes.
        frame: usize,
        /// What it holds.
        body: usize,
    },
}

/// Looks at the frames of one batch, in order; none for a batch without ops.
pub fn frames(frames: Vec<Vec<u8>>) -> Result<Packed, PackedError> {
    let mut whole = Whole::default();
    let mut body = Vec::new();
    if frames.len() > MAX_FRAMES {
        return Err(PackedError::TooLarge);
    }
    for bytes in frames {
        body.clear();
        // What it would unpack to counts before it is unpacked.
        let size = Frame::new(&bytes).body_bytes()?;
        if bytes.len() > zstd::zstd_safe::compress_bound(size) {
            return Err(PackedError::Padded { frame: bytes.len(), body: size });
        }
        whole.bytes += size as u64;
        whole.within_bounds()?;
        Frame::new(&bytes).unpack_into(&mut body)?;
        whole.add(bytes, &body)?;
    }
    whole.finish()
}

/// Packs op texts into one batch.
pub struct Packing {
    packer: Packer,
    body: Vec<u8>,
    whole: Whole,
}

impl Packing {
    /// Packs nothing yet.
    pub fn new() -> Result<Self, PackedError> {
        Ok(Self { packer: Packer::new()?, body: Vec::new(), whole: Whole::default() })
    }

    /// The next op of the batch.
    pub fn op(&mut self, text: &[u8]) -> Result<(), PackedError> {
        if text.len() > op::MAX_TEXT_BYTES {
            return Err(OpError::Limits.into());
        }
        op::push_text(text, &mut self.body);
        if self.body.len() >= PIECE_BYTES { self.spill() } else { Ok(()) }
    }

    /// The batch; the next one begins.
    pub fn batch(&mut self) -> Result<Packed, PackedError> {
        if !self.body.is_empty() {
            self.spill()?;
        }
        std::mem::take(&mut self.whole).finish()
    }

    fn spill(&mut self) -> Result<(), PackedError> {
        let mut frame = Vec::new();
        self.packer.pack(&self.body, &mut frame)?;
        self.whole.bytes += self.body.len() as u64;
        self.whole.within_bounds()?;
        self.whole.add(frame, &self.body)?;
        self.body.clear();
        Ok(())
    }
}

/// What is known of the batch so far.
#[derive(Default)]
struct Whole {
    packed: Option<Packed>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Whole {
    fn within_bounds(&self) -> Result<(), PackedError> {
        let ops = self.packed.as_ref().map_or(0, Packed::count);
        if self.bytes > BATCH_MAX_BYTES || ops > BATCH_MAX_OPS { Err(PackedError::TooLarge) } else { Ok(()) }
    }

    fn add(&mut self, frame: Vec<u8>, body: &[u8]) -> Result<(), PackedError> {
        let mut count = 0;
        for text in op::texts(body) {
            Op::parse_text(text?)?;
            count += 1;
        }
        let ops_hash = *blake3::hash(body).as_bytes();
        match &mut self.packed {
            None => {
                self.packed = Some(Packed::new(frame, count, ops_hash));
                self.hasher.update(body);
            }
            Some(packed) => {
                self.hasher.update(body);
                packed.push(frame, count, ops_hash, *self.hasher.finalize().as_bytes());
            }
        }
        self.within_bounds()
    }

    fn finish(self) -> Result<Packed, PackedError> {
        self.within_bounds()?;
        Ok(self.packed.unwrap_or_else(|| Packed::new(Vec::new(), 0, *blake3::hash(b"").as_bytes())))
    }
}

const _: () = assert!(MAX_FRAMES * 9 + 4_096 <= MAX_META_BYTES);
const _: () = assert!(PIECE_BYTES + op::MAX_TEXT_BYTES + op::PREFIX <= MAX_BODY_BYTES);
const _: () = assert!(PIECE_BYTES + op::MAX_TEXT_BYTES + op::PREFIX <= MAX_FRAME_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    const OP: &[u8] = br#"{"data":1,"path":["a"],"type":"put"}"#;

    fn packed(texts: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut body, mut frame) = (Vec::new(), Vec::new());
        texts.iter().for_each(|text| op::push_text(text, &mut body));
        Packer::new().unwrap().pack(&body, &mut frame).unwrap();
        (body, frame)
    }

    #[test]
    fn frames_and_texts_give_the_same_batch() {
        let (body, frame) = packed(&[OP, OP]);
        let of_frames = frames(vec![frame]).unwrap();
        assert_eq!((of_frames.count(), of_frames.ops_hash()), (2, *blake3::hash(&body).as_bytes()));
        let mut packing = Packing::new().unwrap();
        packing.op(OP).unwrap();
        packing.op(OP).unwrap();
        assert_eq!(packing.batch().unwrap(), of_frames);
        let empty = packing.batch().unwrap();
        assert_eq!((empty.clone(), empty.count(), empty.bytes()), (frames(vec![]).unwrap(), 0, 0));
    }

    #[test]
    fn a_large_batch_is_several_frames_with_one_hash() {
        let text = format!(r#"{{"data":"{}","path":["a"],"type":"put"}}"#, "x".repeat(PIECE_BYTES / 2));
        let (mut packing, mut body) = (Packing::new().unwrap(), Vec::new());
        for _ in 0..5 {
            op::push_text(text.as_bytes(), &mut body);
            packing.op(text.as_bytes()).unwrap();
        }
        let batch = packing.batch().unwrap();
        assert_eq!((batch.count(), batch.ops_hash()), (5, *blake3::hash(&body).as_bytes()));
    }

    /// Planted once: the frame's op texts were counted and not read.
    #[test]
    fn what_is_no_canonical_op_is_refused() {
        for bad in
            [&b"x"[..], b"", br#"{"path":["a"],"data":1,"type":"put"}"#, br#"{"data":1.0,"path":["a"],"type":"put"}"#]
        {
            let (_, frame) = packed(&[OP, bad]);
            assert!(matches!(frames(vec![frame]), Err(PackedError::Op(_))), "{}", String::from_utf8_lossy(bad));
            let mut packing = Packing::new().unwrap();
            assert!(packing.op(bad).and_then(|()| packing.batch()).is_err());
        }
        let (_, frame) = packed(&[OP]);
        assert!(matches!(frames(vec![frame[..frame.len() - 1].to_vec()]), Err(PackedError::Frame(_))));
        assert!(matches!(frames(vec![Vec::new()]), Err(PackedError::Frame(_))));
        // A raw block of nothing, again and again, in front of the last one.
        let mut padded = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 0];
        padded.extend([0, 0, 0].repeat(1_000));
        padded.extend([1, 0, 0]);
        assert!(matches!(frames(vec![padded]), Err(PackedError::Padded { .. })));
        let mut cut = Vec::new();
        Packer::new().unwrap().pack(&[9, 0, 0, 0, b'x'], &mut cut).unwrap();
        assert!(matches!(frames(vec![cut]), Err(PackedError::Op(OpError::Body(_)))));
    }

    #[test]
    fn frames_that_unpack_to_more_than_a_batch_are_refused_before() {
        let mut large = Vec::new();
        Packer::new().unwrap().pack(&vec![0; MAX_BODY_BYTES], &mut large).unwrap();
        let mut whole = Whole { bytes: BATCH_MAX_BYTES - 1, ..Whole::default() };
        whole.bytes += Frame::new(&large).body_bytes().unwrap() as u64;
        assert!(matches!(whole.within_bounds(), Err(PackedError::TooLarge)));
        let (_, frame) = packed(&[OP]);
        assert_eq!(frames(vec![frame.clone(); MAX_FRAMES]).unwrap().count(), MAX_FRAMES as u64);
        assert!(matches!(frames(vec![frame; MAX_FRAMES + 1]), Err(PackedError::TooLarge)));
    }
}
