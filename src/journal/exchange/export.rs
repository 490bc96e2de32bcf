//! Taking a range out.

use super::super::reader::Reader;
use super::{END_MAGIC, ExchangeError, Head};
use crate::fork::record::Lsn;
use serde::Serialize;
use std::io::Write;

/// Bytes gathered before they are written.
const BLOCK: usize = 1 << 20;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The network.
    pub network: String,
    /// First record.
    pub first: Lsn,
    /// Last record.
    pub last: Lsn,
    /// Bytes in all.
    pub bytes: u64,
    /// Whether the floor is in it.
    pub floor: bool,
}

/// Hashes what it writes.
struct Out<'a, W: Write> {
    out: &'a mut W,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    bytes: u64,
}

impl<W: Write> Out<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ExchangeError> {
        self.hasher.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.out.write_all(&self.buffer).map_err(ExchangeError::io("write"))?;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes the records from `from` to `to`; without `from` everything that there is, with the floor where the journal
/// begins late. `progress` hears of each record.
pub fn export(
    reader: &Reader,
    from: Option<Lsn>,
    to: Option<Lsn>,
    out: &mut impl Write,
    mut progress: impl FnMut(Lsn),
) -> Result<Exported, ExchangeError> {
    let (first, last) = (reader.first(), *reader.durable().borrow());
    let (begin, end) = (from.unwrap_or(first), to.unwrap_or(last).min(last));
    let none = || ExchangeError::Range { from: begin, to: to.unwrap_or(last), first, last };
    if begin < first || end < begin || end == 0 {
        return Err(none());
    }
    let floor = reader.floor().filter(|_| from.is_none() && first > 1);
    // Less than what the floor has taken would be no whole journal.
    if floor.as_ref().is_some_and(|floor| floor.ledger_at().max(floor.state_at()) > end) {
        return Err(none());
    }
    let mut cursor = reader.records(begin);
    let mut out = Out { out, hasher: blake3::Hasher::new(), buffer: Vec::with_capacity(2 * BLOCK), bytes: 0 };
    let mut begun = false;
    while cursor.next() <= end {
        let Some(entry) = cursor.read()? else { return Err(none()) };
        if !begun {
            let prev = u32::from_le_bytes(entry.raw[8..12].try_into().expect("four bytes of a head"));
            let floor_bytes = floor.as_ref().map_or(0, |floor| floor.bytes());
            let head = Head { network: reader.network().into(), first: begin, last: end, prev, floor_bytes };
            out.put(&head.to_bytes())?;
            if let Some(floor) = &floor {
                floor.copy(|bytes| out.put(bytes))?;
            }
            begun = true;
        }
        out.put(entry.raw)?;
        progress(entry.lsn);
    }
    out.put(&END_MAGIC)?;
    out.flush()?;
    let digest = *out.hasher.finalize().as_bytes();
    out.out.write_all(&digest).and_then(|()| out.out.flush()).map_err(ExchangeError::io("write"))?;
    let bytes = out.bytes + digest.len() as u64;
    Ok(Exported { network: reader.network().into(), first: begin, last: end, bytes, floor: floor.is_some() })
}
