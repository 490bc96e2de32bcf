//! A recording in several files: when one has its size the next is begun, `feed.rec`, `feed.rec.0002`, `feed.rec.0003`.
//!
//! Each is a recording by its form; together, in their order, they are one. They are cut between chunks, so that an event
//! is never in two of them.
//!
//! *Always holds:* no file is overwritten; a file has at least one chunk, and else no more than its size; what is read is
//! all of it in order, or says which file is missing, damaged, or of another recording; only the last may be torn.

use super::file::{FileError, MAGIC, MAX_CHUNK, Recording};
use super::{Event, Happened};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Most files of one recording; the last one grows beyond its size.
const PARTS: u32 = 9_999;

/// Path of a part; they are counted from 1.
fn part(path: &Path, number: u32) -> PathBuf {
    if number <= 1 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:04}"));
    name.into()
}

/// Number of the last part that is there, 0 without any. Those in between may be missing.
fn last_part(path: &Path) -> io::Result<u32> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(0) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut last = u32::from(path.exists());
    for entry in std::fs::read_dir(folder)? {
        let found = entry?.file_name();
        let number = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.'));
        let number = number.filter(|number| number.len() == 4).and_then(|number| number.parse().ok());
        last = last.max(number.filter(|number| *number > 1).unwrap_or(0));
    }
    Ok(last)
}

/// Writes what a node sends of a recording: its first bytes, then chunks, cut anywhere.
#[derive(Debug)]
pub struct Parts {
    path: PathBuf,
    size: u64,
    number: u32,
    file: File,
    /// Bytes in the file.
    written: u64,
    /// First bytes of the recording that are still to come: every file has its own.
    name_left: usize,
    /// Of a chunk's head, what has come.
    head: Vec<u8>,
    /// Of a chunk's frame, what is still to come.
    frame_left: usize,
}

/// Bytes before a chunk's frame.
const HEAD: usize = 8;

impl Parts {
    /// Begins the first file; nothing of the name may be there.
    pub fn create(path: &Path, size: u64) -> io::Result<Self> {
        if last_part(path)? > 0 {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = File::create_new(path)?;
        let (head, name_left) = (Vec::with_capacity(HEAD), MAGIC.len());
        Ok(Self { path: path.to_owned(), size, number: 1, file, written: 0, name_left, head, frame_left: 0 })
    }

    /// Whether nothing has come.
    pub fn is_empty(&self) -> bool {
        self.number == 1 && self.written == 0
    }

    /// Makes the file that is written survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// A chunk begins: in the next file when it has no room in this one.
    fn begin(&mut self) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        let length = head.first_chunk().map_or(0, |length| u32::from_le_bytes(*length)) as usize;
        if length > MAX_CHUNK {
            return Err(io::Error::new(ErrorKind::InvalidData, "what the node sends is no recording"));
        }
        let is_full = self.written + (HEAD + length) as u64 > self.size && self.written > MAGIC.len() as u64;
        if is_full && self.number < PARTS {
            self.file.sync_all()?;
            self.number += 1;
            (self.file, self.written) = (File::create_new(part(&self.path, self.number))?, 0);
            self.pass(&MAGIC)?;
        }
        self.frame_left = length;
        self.pass(&head)
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = if self.name_left > 0 {
            let taken = bytes.len().min(self.name_left);
            self.pass(&bytes[..taken])?;
            self.name_left -= taken;
            taken
        } else if self.frame_left > 0 {
            let taken = bytes.len().min(self.frame_left);
            self.pass(&bytes[..taken])?;
            self.frame_left -= taken;
            taken
        } else {
            let taken = bytes.len().min(HEAD - self.head.len());
            self.head.extend_from_slice(&bytes[..taken]);
            if self.head.len() == HEAD {
                self.begin()?;
            }
            taken
        };
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A recording that is read, over all its files.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    number: u32,
    last: u32,
    part: Recording<BufReader<File>>,
    /// When the last event was, in microseconds.
    after_us: u64,
}

impl Reading {
    /// Opens the first file, and sees which others there are.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let part = Recording::open(BufReader::new(File::open(path)?))?;
        Ok(Self { path: path.to_owned(), number: 1, last: last_part(path)?.max(1), part, after_us: 0 })
    }

    /// Files that it is in.
    pub fn parts(&self) -> u32 {
        self.last
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        (1..=self.last).filter_map(|number| part(&self.path, number).metadata().ok()).map(|about| about.len()).sum()
    }

    /// Whether the end of the last file was torn.
    pub fn torn(&self) -> bool {
        self.part.torn()
    }

    /// The next event; none at the end of the last file.
    pub fn read(&mut self) -> Result<Option<Event>, FileError> {
        loop {
            if let Some(event) = self.part.read()? {
                let begins = matches!(event.what, Happened::Began(_));
                if self.number > 1 && (begins || event.after_us < self.after_us) && event.what != Happened::Lost {
                    return Err(FileError::Foreign(part(&self.path, self.number)));
                }
                self.after_us = self.after_us.max(event.after_us);
                return Ok(Some(event));
            }
            if self.number >= self.last {
                return Ok(None);
            }
            if self.part.torn() {
                return Err(FileError::Torn(part(&self.path, self.number)));
            }
            self.number += 1;
            let next = part(&self.path, self.number);
            let file = File::open(&next).map_err(|error| match error.kind() {
                ErrorKind::NotFound => FileError::Missing(next),
                _ => error.into(),
            })?;
            self.part = Recording::open(BufReader::new(file))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Began;
    use super::super::file::Packer;
    use super::*;

    /// A recording of so many chunks of an event each.
    fn stream(chunks: u32) -> Vec<u8> {
        let (mut bytes, mut packer) = (MAGIC.to_vec(), Packer::default());
        for nth in 0..chunks {
            let what = if nth == 0 { Happened::Began(Began::default()) } else { Happened::Acked(nth) };
            packer.push(&Event { after_us: u64::from(nth), socket: 0, what });
            bytes.extend(packer.chunk().unwrap());
        }
        bytes
    }

    fn written(path: &Path, bytes: &[u8], size: u64, cut: usize) {
        let mut parts = Parts::create(path, size).unwrap();
        bytes.chunks(cut).for_each(|piece| parts.write_all(piece).unwrap());
        parts.sync().unwrap();
    }

    fn acks(path: &Path) -> Result<(Vec<u32>, u32), FileError> {
        let mut reading = Reading::open(path)?;
        let mut acks = Vec::new();
        while let Some(event) = reading.read()? {
            acks.extend(if let Happened::Acked(count) = event.what { Some(count) } else { None });
        }
        Ok((acks, reading.parts()))
    }

    #[test]
    fn files_are_begun_at_their_size_and_read_in_their_order() {
        let bytes = stream(40);
        for (cut, size) in [(1, 200), (7, 1), (bytes.len(), 300), (bytes.len(), 1 << 20)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("feed.rec");
            written(&path, &bytes, size, cut);
            let (acks, parts) = acks(&path).unwrap();
            assert_eq!(acks, (1..40).collect::<Vec<_>>(), "{cut} {size}");
            let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
            assert_eq!(files.len(), parts as usize);
            assert!(size == 1 || files.iter().all(|file| file.metadata().unwrap().len() <= size), "{cut} {size}");
            match size {
                1 => assert_eq!(parts, 40, "one chunk each"),
                size if size > bytes.len() as u64 => assert_eq!(parts, 1),
                _ => assert!(parts > 3 && path.with_extension("rec.0002").exists()),
            }
            let again = Parts::create(&path, size).unwrap_err();
            assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        }
    }

    #[test]
    fn a_file_that_is_missing_torn_or_of_another_recording_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed.rec");
        written(&path, &stream(10), 1, 64);
        let third = path.with_extension("rec.0003");
        let whole = std::fs::read(&third).unwrap();
        std::fs::write(&third, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(acks(&path), Err(FileError::Torn(torn)) if torn == third));
        std::fs::copy(&path, &third).unwrap();
        assert!(matches!(acks(&path), Err(FileError::Foreign(foreign)) if foreign == third));
        std::fs::copy(path.with_extension("rec.0009"), &third).unwrap();
        assert!(matches!(acks(&path), Err(FileError::Foreign(_))), "from later on: what follows is earlier");
        std::fs::remove_file(&third).unwrap();
        assert!(matches!(acks(&path), Err(FileError::Missing(missing)) if missing == third));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            Parts::create(&path, 1).unwrap_err().kind(),
            ErrorKind::AlreadyExists,
            "others of the name are there"
        );
        let last = path.with_extension("rec.0010");
        std::fs::copy(&last, &path).unwrap();
        assert!(acks(&path).is_err());
    }

    #[test]
    fn what_is_no_recording_ends_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut parts = Parts::create(&folder.path().join("feed.rec"), 100).unwrap();
        assert!(parts.is_empty());
        parts.write_all(&MAGIC).unwrap();
        assert!(parts.write_all(&[0xff; 8]).is_err());
    }
}
