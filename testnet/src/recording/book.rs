//! The book of a recording feed: every op it ever wrote, where it stood, and whether it was acknowledged.
//!
//! *Always holds:* no two ops of a book have the same text, so each can be counted wherever it turns up; an op once
//! acknowledged stays so.

use crate::powercut::Chance;

/// Block of the first checkpoint: one of the test chain.
const FIRST_BLOCK: u64 = 97_643_601;

/// Blocks between two checkpoints.
const BLOCKS: u64 = 100;

/// The daily accounting restarts the index in the period whose opening block is this one, modulo [`DAY`].
const DAILY_BLOCK: u64 = 18_501;

/// Blocks of a day.
const DAY: u64 = 28_800;

/// One op.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path as a JSON array.
    pub path: String,
    /// Data as JSON text.
    pub data: String,
    /// Whether an ack came for it, on any connection.
    pub acked: bool,
}

impl Entry {
    /// The canonical text: what a journal holds of it.
    pub fn text(&self) -> String {
        format!("{{\"data\":{},\"path\":{},\"type\":\"put\"}}", self.data, self.path)
    }
}

/// What stands at one index of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The op with this number.
    Op(usize),
    /// A write marker.
    Marker,
}

/// A period, or one of the two runs of a daily one.
#[derive(Clone, Debug)]
pub struct Period {
    /// Block of its opening checkpoint.
    pub block: u64,
    /// Its hash.
    pub hash: String,
    /// Hash of the period before it.
    before: Option<String>,
    /// Items by index.
    pub items: Vec<Item>,
    /// It ends at so many items.
    length: usize,
}

/// Place of an item: period, index.
pub type Place = (usize, usize);

/// Everything a feed wrote.
#[derive(Clone, Debug)]
pub struct Book {
    name: String,
    /// Every op, by number.
    pub entries: Vec<Entry>,
    /// Every period.
    pub periods: Vec<Period>,
    chance: Chance,
    since_marker: u64,
}

impl Book {
    /// An empty book; the name tells its ops from those of other books, the seed shapes periods and batches.
    pub fn new(name: impl Into<String>, seed: u64) -> Self {
        let (name, chance) = (name.into(), Chance::new(seed));
        Self { name, entries: Vec::new(), periods: Vec::new(), chance, since_marker: 0 }
    }

    /// Top of the paths of all its ops, those apart that open periods.
    pub fn table(&self) -> [&str; 2] {
        ["kills", &self.name]
    }

    /// Writes the next item (or the two that open a period) and returns their places.
    pub fn write(&mut self) -> Vec<Place> {
        if self.periods.last().is_none_or(|period| period.items.len() >= period.length) {
            return self.open();
        }
        // One marker in 50 follows another: an empty batch. Batches have 8 ops in the middle.
        let marker = if self.since_marker == 0 { self.chance.percent(2) } else { self.chance.below(8) == 0 };
        let last = self.periods.last().is_some_and(|period| period.items.len() + 1 >= period.length);
        if marker || last {
            return vec![self.put(Item::Marker)];
        }
        let number = self.entries.len();
        let path = format!("[\"kills\",\"{}\",\"op{number}\"]", self.name);
        vec![self.op(path, number.to_string())]
    }

    fn open(&mut self) -> Vec<Place> {
        // Longer than what can be under way: no period is lost as a whole.
        let length = 400 + self.chance.below(1600) as usize;
        if let Some(first) = self.first_of_two_runs() {
            self.periods.push(Period { items: Vec::new(), length, ..first });
            return self.write();
        }
        let before = self.periods.last().map(|period| period.hash.clone());
        let block = self.periods.last().map_or(FIRST_BLOCK, |period| period.block + BLOCKS);
        let hash = crate::load::cid(&format!("{} {block}", self.name));
        self.periods.push(Period { block, hash: hash.clone(), before, items: Vec::new(), length });
        let opening = self.op("[\"stats\",\"pendingHash\"]".to_owned(), format!("\"{hash}\""));
        vec![opening, self.put(Item::Marker)]
    }

    /// The first run of the daily period, where the second comes next.
    fn first_of_two_runs(&self) -> Option<Period> {
        let (last, others) = self.periods.split_last()?;
        let second = others.last().is_some_and(|period| period.block == last.block);
        (last.block % DAY == DAILY_BLOCK && !second).then(|| last.clone())
    }

    fn op(&mut self, path: String, data: String) -> Place {
        self.entries.push(Entry { path, data, acked: false });
        self.put(Item::Op(self.entries.len() - 1))
    }

    fn put(&mut self, item: Item) -> Place {
        self.since_marker = if item == Item::Marker { 0 } else { self.since_marker + 1 };
        let at = self.periods.len() - 1;
        self.periods[at].items.push(item);
        (at, self.periods[at].items.len() - 1)
    }

    /// Where an op stands.
    pub fn place(&self, number: usize) -> Option<Place> {
        let at = |period: &Period| period.items.iter().position(|item| *item == Item::Op(number));
        self.periods.iter().enumerate().find_map(|(period, its)| Some((period, at(its)?)))
    }

    /// Whether the last item is a marker.
    pub fn ends_with_marker(&self) -> bool {
        self.periods.last().is_none_or(|period| period.items.last() == Some(&Item::Marker))
    }

    /// The item as a bare frame, with every field that the published client sends.
    pub fn frame(&self, (period, index): Place) -> String {
        let period = &self.periods[period];
        let prev = period.before.as_ref().map_or("null".to_owned(), |hash| format!("\"{hash}\""));
        let (block, hash) = (period.block, &period.hash);
        let tail =
            format!("\"index\":{index},\"blockNum\":{block},\"forkHash\":\"{hash}\",\"prevCheckpointHash\":{prev}}}");
        match period.items[index] {
            Item::Op(number) => {
                let Entry { path, data, .. } = &self.entries[number];
                format!("{{\"type\":\"put\",\"path\":{path},\"data\":{data},{tail}")
            }
            Item::Marker => format!("{{\"type\":\"write_marker\",{tail}"),
        }
    }

    /// The items as one `batch`, without hashes, as the published client sends them.
    pub fn batch(&self, places: &[Place], token: &str) -> String {
        let items: Vec<String> = places.iter().map(|place| self.batch_item(*place)).collect();
        format!("{{\"type\":\"batch\",\"operations\":[{}],\"token\":\"{token}\"}}", items.join(","))
    }

    fn batch_item(&self, (period, index): Place) -> String {
        let period = &self.periods[period];
        let block = period.block;
        match period.items[index] {
            Item::Op(number) => {
                let Entry { path, data, .. } = &self.entries[number];
                let what = format!("\"opType\":\"put\",\"path\":{path},\"data\":{data}");
                format!("{{\"index\":{index},\"blockNum\":{block},{what}}}")
            }
            Item::Marker => format!("{{\"index\":{index},\"blockNum\":{block},\"opType\":\"write_marker\"}}"),
        }
    }

    /// Items with these indexes in each of the last `cached` periods.
    pub fn range(&self, from: usize, to: usize, cached: usize) -> Vec<Place> {
        let first = self.periods.len().saturating_sub(cached);
        let periods = self.periods.iter().enumerate().skip(first);
        periods
            .flat_map(|(at, period)| (from..period.items.len().min(to.saturating_add(1))).map(move |i| (at, i)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, Item};
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_daily_period_has_two_runs() {
        let mut book = Book::new("a", 1);
        while book.periods.len() < 75 {
            book.write();
        }
        let twice = book.periods.windows(2).filter(|pair| pair[0].hash == pair[1].hash);
        let twice: Vec<u64> = twice.map(|pair| pair[1].block).collect();
        assert_eq!(twice, [97_650_501]);
    }

    #[test]
    fn a_book_writes_whole_periods_and_no_op_twice() {
        let mut book = Book::new("a", 1);
        let places: Vec<_> = std::iter::repeat_with(|| book.write()).take(9000).flatten().collect();
        let texts: BTreeSet<String> = book.entries.iter().map(|entry| entry.text()).collect();
        assert_eq!(texts.len(), book.entries.len());
        assert!(book.periods.len() > 5);
        for period in &book.periods[..book.periods.len() - 1] {
            assert_eq!(period.items.last(), Some(&Item::Marker), "a period ends with a marker");
        }
        for place in &places {
            let frame: Value = serde_json::from_str(&book.frame(*place)).expect("JSON");
            assert_eq!(frame["index"], place.1);
        }
        let batch: Value = serde_json::from_str(&book.batch(&places, "SPK")).expect("JSON");
        assert_eq!(batch["operations"].as_array().map(Vec::len), Some(places.len()));
        assert_eq!(book.range(0, 1, 3).len(), 6);
        assert_eq!(book.range(5000, 6000, 3), []);
    }
}
