//! What a file holds: sparse pages, shared between the image that programs see and the one that survives.
//!
//! *Always holds:* no page lies wholly behind the size, and what lies behind the size in the last page is zero, so
//! that growing a file shows zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Unit in which unsynced data survives or not, in bytes.
pub const PAGE: usize = 4096;

/// Unit in which a page is torn, in bytes: what a disk writes at once.
pub const SECTOR: usize = 512;

/// One page of a file.
pub type Page = [u8; PAGE];

/// Pages and size of a file; a page that is not there is zero.
#[derive(Clone, Debug, Default)]
pub struct Content {
    size: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

/// Numbers of pages that were changed.
pub type Touched = BTreeSet<u64>;

impl Content {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that its pages take.
    pub fn stored(&self) -> u64 {
        (self.pages.len() * PAGE) as u64
    }

    /// The page, if it is not a hole.
    pub fn page(&self, number: u64) -> Option<&Arc<Page>> {
        self.pages.get(&number)
    }

    /// Puts a page (or a hole) in its place.
    pub fn put_page(&mut self, number: u64, page: Option<Arc<Page>>) {
        match page {
            Some(page) => self.pages.insert(number, page),
            None => self.pages.remove(&number),
        };
    }

    /// At most `len` bytes from `offset`, fewer at the end of the file.
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.size.min(offset.saturating_add(len as u64));
        let mut out = vec![0; end.saturating_sub(offset) as usize];
        for (number, range, at) in spans(offset, out.len()) {
            if let Some(page) = self.pages.get(&number) {
                let len = range.len();
                out[at..at + len].copy_from_slice(&page[range]);
            }
        }
        out
    }

    /// Writes `data` at `offset`; the file grows as needed.
    pub fn write(&mut self, offset: u64, data: &[u8], touched: &mut Touched) {
        for (number, range, at) in spans(offset, data.len()) {
            let len = range.len();
            let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[range].copy_from_slice(&data[at..at + len]);
            touched.insert(number);
        }
        self.size = self.size.max(offset + data.len() as u64);
    }

    /// Cuts or grows the file.
    pub fn resize(&mut self, size: u64, touched: &mut Touched) {
        if size < self.size {
            let cut = self.pages.split_off(&size.div_ceil(PAGE as u64));
            touched.extend(cut.into_keys());
            let tail = (size % PAGE as u64) as usize;
            if tail > 0
                && let Some(page) = self.pages.get_mut(&(size / PAGE as u64))
            {
                Arc::make_mut(page)[tail..].fill(0);
                touched.insert(size / PAGE as u64);
            }
        }
        self.size = size;
    }

    /// Makes a range zero without changing the size.
    pub fn punch(&mut self, offset: u64, len: u64, touched: &mut Touched) {
        let end = self.size.min(offset.saturating_add(len));
        for (number, range, _) in spans(offset, end.saturating_sub(offset) as usize) {
            if let Some(page) = self.pages.get_mut(&number) {
                Arc::make_mut(page)[range].fill(0);
                touched.insert(number);
            }
        }
    }
}

/// Splits a byte range into (page, range in the page, offset in the whole).
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = (at % PAGE as u64) as usize;
        let end = PAGE.min(start + (len - done));
        let span = (at / PAGE as u64, start..end, done);
        done += end - start;
        Some(span)
    })
}
