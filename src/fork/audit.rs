//! Holding the chain against itself: what `honeygraph verify` asks of the records of a journal.
//!
//! Pure: records come in order, older ones are asked for by LSN. It knows nothing of lanes or of why a batch was placed
//! where it is; it recomputes every id and follows every link.
//!
//! *Always holds:* a journal without a finding is a tree of batches in which every id is the hash of its header, every
//! header's link is its predecessor, and every batch consists of the pieces that it names.

use super::ledger::Ledger;
use super::record::{Branch, BranchNo, Chain, Head, Lsn, Node, Piece, Record};
use honeygraph_protocols::batch::{Header, Parent};
use std::collections::BTreeMap;

/// Pieces remembered: a batch is chained soon after its last piece as a rule; older ones are asked for.
const PIECES_HELD: usize = 4096;

/// Reads of older records, for what the audit does not remember.
pub trait Older<E> {
    /// The record with this LSN.
    fn record(&mut self, lsn: Lsn) -> Result<Record, E>;
    /// The body of a piece.
    fn body(&mut self, lsn: Lsn) -> Result<Vec<u8>, E>;
}

/// The audit of one network's records.
#[derive(Debug)]
pub struct Audit {
    network: String,
    branches: BTreeMap<BranchNo, Known>,
    pieces: BTreeMap<Lsn, Piece>,
    /// The first record there is: what is named before it cannot be looked at.
    first: Lsn,
    /// Whether branches may appear that were born before that.
    adopts: bool,
    /// Batches chained so far.
    pub batches: u64,
}

/// What is known of a branch.
#[derive(Debug)]
struct Known {
    parent: Option<Node>,
    /// Its last batch; none while nobody has asked for its record.
    tip: Option<(Lsn, Option<Chain>)>,
}

/// A batch that is named.
enum Named {
    /// There is none.
    Missing,
    /// There was one, before the first record that there is.
    Before,
    /// This one.
    Here(Box<Chain>),
}

impl Audit {
    /// Of a network's journal, from its first record, which is 1 unless retention took what was before.
    pub fn new(network: &str, first: Lsn) -> Self {
        let (branches, pieces) = (BTreeMap::new(), BTreeMap::new());
        Self { network: network.to_owned(), branches, pieces, first, adopts: first > 1, batches: 0 }
    }

    /// All branches are known from here on: those of the ledger that has taken every record before.
    pub fn knows(&mut self, ledger: &Ledger) {
        let known = |(no, state): (BranchNo, &super::tree::BranchState)| {
            let tip = (state.tip > 0).then_some((state.tip, None));
            (no, Known { parent: state.parent, tip })
        };
        self.branches = ledger.tree.branches().map(known).collect();
        self.adopts = false;
    }

    /// Branches seen so far.
    pub fn branches(&self) -> usize {
        self.branches.len()
    }

    /// Takes the next record; says what is wrong with it, if anything. Errors are those of reading older records.
    pub fn take<E>(&mut self, lsn: Lsn, record: Record, older: &mut impl Older<E>) -> Result<Option<String>, E> {
        match record {
            Record::Piece(piece) => {
                self.pieces.insert(lsn, piece);
                if self.pieces.len() > PIECES_HELD {
                    self.pieces.pop_first();
                }
                Ok(None)
            }
            Record::Branch(branch) => self.branch(&branch, older),
            Record::Chain(chain) => self.chain(lsn, chain, older),
            Record::Head(head) => self.head(&head, older),
            Record::Retired(retired) => {
                let known = self.adopts || self.branches.contains_key(&retired.branch);
                Ok((!known).then(|| format!("branch {} is retired, and was never born", retired.branch)))
            }
            _ => Ok(None),
        }
    }

    fn branch<E>(&mut self, branch: &Branch, older: &mut impl Older<E>) -> Result<Option<String>, E> {
        let no = branch.branch;
        if self.branches.last_key_value().is_some_and(|(last, _)| *last >= no) {
            return Ok(Some(format!("branch {no} is born after a branch of a higher number")));
        }
        if let Some(parent) = branch.parent
            && matches!(self.chained(parent, older)?, Named::Missing)
        {
            return Ok(Some(format!("branch {no} leaves {parent:?}, where no batch is chained")));
        }
        self.branches.insert(no, Known { parent: branch.parent, tip: None });
        Ok(None)
    }

    fn chain<E>(&mut self, lsn: Lsn, chain: Chain, older: &mut impl Older<E>) -> Result<Option<String>, E> {
        self.batches += 1;
        let no = chain.branch;
        if self.adopts && chain.prev.is_none_or(|prev| prev.version < self.first && prev.branch <= no) {
            self.branches.entry(no).or_insert(Known { parent: chain.prev, tip: None });
        }
        let Some(known) = self.branches.get(&no) else {
            return Ok(Some(format!("a batch on branch {no}, which was never born")));
        };
        let last = known.tip.as_ref().map(|(version, _)| Node { branch: no, version: *version }).or(known.parent);
        if chain.prev != last {
            return Ok(Some(format!("the batch stands on {:?}, its branch ends at {last:?}", chain.prev)));
        }
        let before = match chain.prev {
            Some(node) => self.chained(node, older)?,
            None => Named::Missing,
        };
        let link = match &before {
            Named::Before => None,
            Named::Missing => link_of(&chain, None),
            Named::Here(before) => link_of(&chain, Some(before)),
        };
        let wrong = header_of(&self.network, &chain).or(link);
        let wrong = match wrong {
            None => self.content_of(lsn, &chain, older)?,
            wrong => wrong,
        };
        if let Some(known) = self.branches.get_mut(&no) {
            known.tip = Some((lsn, Some(chain)));
        }
        Ok(wrong)
    }

    /// Whether the pieces are there, earlier, and hold what the header says.
    fn content_of<E>(&mut self, lsn: Lsn, chain: &Chain, older: &mut impl Older<E>) -> Result<Option<String>, E> {
        if chain.pieces.iter().any(|at| *at < self.first) {
            return Ok(None);
        }
        let mut count = 0;
        let mut hasher = blake3::Hasher::new();
        for at in &chain.pieces {
            if *at >= lsn {
                return Ok(Some(format!("the batch names piece {at}, which comes after it")));
            }
            let Some(piece) = self.piece(*at, older)? else {
                return Ok(Some(format!("the batch names record {at}, which is no piece")));
            };
            count += u64::from(piece.count);
            match chain.pieces.len() {
                1 if piece.ops_hash != chain.ops_hash => return Ok(Some(format!("piece {at} has other operations"))),
                1 => {}
                _ => drop(hasher.update(&older.body(*at)?)),
            }
        }
        if count != chain.count {
            return Ok(Some(format!("{} operations, {count} in its pieces", chain.count)));
        }
        let whole = chain.pieces.len() == 1 || *hasher.finalize().as_bytes() == chain.ops_hash;
        Ok((!whole).then(|| "its pieces together have other operations".to_owned()))
    }

    fn head<E>(&mut self, head: &Head, older: &mut impl Older<E>) -> Result<Option<String>, E> {
        for node in [head.at, head.from] {
            if matches!(self.chained(node, older)?, Named::Missing) {
                return Ok(Some(format!("the head moves by {node:?}, where no batch is chained")));
            }
        }
        Ok(None)
    }

    fn piece<E>(&self, at: Lsn, older: &mut impl Older<E>) -> Result<Option<Piece>, E> {
        match self.pieces.get(&at) {
            Some(piece) => Ok(Some(piece.clone())),
            None => Ok(match older.record(at)? {
                Record::Piece(piece) => Some(piece),
                _ => None,
            }),
        }
    }

    /// The batch at a node.
    fn chained<E>(&mut self, node: Node, older: &mut impl Older<E>) -> Result<Named, E> {
        if node.version < self.first {
            let known = self.adopts || self.branches.contains_key(&node.branch);
            return Ok(if known { Named::Before } else { Named::Missing });
        }
        let Some(Known { tip: Some((version, held)), .. }) = self.branches.get_mut(&node.branch) else {
            return Ok(Named::Missing);
        };
        if let Some(chain) = held.as_ref().filter(|_| *version == node.version) {
            return Ok(Named::Here(Box::new(chain.clone())));
        }
        if node.version > *version {
            return Ok(Named::Missing);
        }
        Ok(match older.record(node.version)? {
            Record::Chain(chain) if chain.branch == node.branch => {
                if *version == node.version {
                    *held = Some(chain.clone());
                }
                Named::Here(Box::new(chain))
            }
            _ => Named::Missing,
        })
    }
}

/// Whether the id is the hash of the header.
fn header_of(network: &str, chain: &Chain) -> Option<String> {
    let header = Header {
        v: Header::VERSION,
        network: network.to_owned(),
        period: chain.period.clone(),
        seq: chain.seq,
        parent: chain.parent.clone(),
        count: chain.count,
        ops_hash: chain.ops_hash,
    };
    let id = header.id();
    (id != chain.id).then(|| format!("its id is {}, its header's hash is {id}", chain.id))
}

/// Whether the header's link leads to the batch before, and its place follows that one's.
fn link_of(chain: &Chain, before: Option<&Chain>) -> Option<String> {
    match (&chain.parent, before) {
        (Parent::Period(hash), _) if *hash != chain.period => {
            return Some(format!("it stands on period {hash} and lies in period {}", chain.period));
        }
        (Parent::Batch(id), Some(before)) if *id != before.id => {
            return Some(format!("its parent is {id}, the batch before it is {}", before.id));
        }
        (Parent::Batch(id), None) => return Some(format!("its parent is {id}, and there is no batch before it")),
        _ => {}
    }
    let before = before.filter(|before| before.period == chain.period && chain.seq > 0 && !chain.hole)?;
    let next = before.seq + before.count + u64::from(before.marker);
    (chain.seq != next).then(|| format!("its place is {}, the batch before it ends at {next}", chain.seq))
}

#[cfg(test)]
mod tests {
    use super::super::record::{BranchCause, Close};
    use super::*;
    use honeygraph_protocols::honeycomb::HashText;
    use std::convert::Infallible;

    /// A journal in memory.
    #[derive(Default)]
    struct Log(Vec<(Record, Vec<u8>)>);

    impl Older<Infallible> for &Log {
        fn record(&mut self, lsn: Lsn) -> Result<Record, Infallible> {
            Ok(self.0[lsn as usize - 1].0.clone())
        }
        fn body(&mut self, lsn: Lsn) -> Result<Vec<u8>, Infallible> {
            Ok(self.0[lsn as usize - 1].1.clone())
        }
    }

    impl Log {
        fn add(&mut self, record: Record, body: &[u8]) -> Lsn {
            self.0.push((record, body.to_vec()));
            self.0.len() as Lsn
        }

        fn piece(&mut self, body: &[u8], count: u32) -> Lsn {
            let piece = Piece {
                lane: 1,
                ordinal: 0,
                label: None,
                run: 0,
                seq: 0,
                index: None,
                count,
                close: Close::Marker,
                begins: true,
                ops_hash: *blake3::hash(body).as_bytes(),
                at_ms: 0,
            };
            self.add(Record::Piece(piece), body)
        }

        fn branch(&mut self, branch: BranchNo, parent: Option<Node>) {
            self.add(Record::Branch(Branch { branch, parent, cause: BranchCause::Fork }), b"");
        }

        /// Chains a batch of these pieces behind `prev`.
        fn chain(&mut self, branch: BranchNo, prev: Option<Node>, period: &str, seq: u64, pieces: &[Lsn]) -> Node {
            let mut log = &*self;
            let body: Vec<u8> = pieces.iter().flat_map(|at| log.body(*at).unwrap()).collect();
            let count = pieces.iter().map(|at| match &self.0[*at as usize - 1].0 {
                Record::Piece(piece) => u64::from(piece.count),
                other => panic!("{other:?}"),
            });
            let before = prev.map(|node| match &self.0[node.version as usize - 1].0 {
                Record::Chain(chain) => chain.id,
                other => panic!("{other:?}"),
            });
            let period = HashText::new(period).unwrap();
            let parent = before.filter(|_| seq > 0).map_or(Parent::Period(period.clone()), Parent::Batch);
            let (count, ops_hash) = (count.sum(), *blake3::hash(&body).as_bytes());
            let network = "x_".to_owned();
            let header = Header { v: 1, network, period: period.clone(), seq, parent: parent.clone(), count, ops_hash };
            let chain = Chain {
                branch,
                prev,
                period,
                opening_label: None,
                label: None,
                seq,
                count,
                marker: true,
                parent,
                id: header.id(),
                ops_hash,
                pieces: pieces.to_vec(),
                head: true,
                hole: false,
                at_ms: 0,
            };
            Node { branch, version: self.add(Record::Chain(chain), b"") }
        }

        fn findings(&self) -> Vec<(Lsn, String)> {
            let mut audit = Audit::new("x_", 1);
            let mut found = Vec::new();
            for (at, (record, _)) in self.0.iter().enumerate() {
                let lsn = at as Lsn + 1;
                let Ok(wrong) = audit.take(lsn, record.clone(), &mut &*self);
                found.extend(wrong.map(|wrong| (lsn, wrong)));
            }
            found
        }

        fn changed(&self, lsn: Lsn, change: impl FnOnce(&mut Chain)) -> Vec<(Lsn, String)> {
            let mut log = Log(self.0.clone());
            match &mut log.0[lsn as usize - 1].0 {
                Record::Chain(chain) => change(chain),
                other => panic!("{other:?}"),
            }
            log.findings()
        }
    }

    /// Two periods on branch 0 and a fork after the first batch; the third batch has two pieces.
    fn sound() -> (Log, [Node; 4]) {
        let mut log = Log::default();
        let (a, b, c, d) = (log.piece(b"aa", 2), log.piece(b"b", 1), log.piece(b"c", 1), log.piece(b"d", 1));
        log.branch(0, None);
        let first = log.chain(0, None, "P", 0, &[a]);
        let second = log.chain(0, Some(first), "P", 3, &[b]);
        let third = log.chain(0, Some(second), "Q", 0, &[c, d]);
        let e = log.piece(b"e", 1);
        log.branch(1, Some(first));
        let forked = log.chain(1, Some(first), "P", 3, &[e]);
        (log, [first, second, third, forked])
    }

    #[test]
    fn a_sound_journal_has_no_findings() {
        assert_eq!(sound().0.findings(), []);
    }

    #[test]
    fn each_planted_change_is_found_at_its_record() {
        let (log, [first, second, third, forked]) = sound();
        type Change = fn(&mut Chain);
        let id_follows = |chain: &mut Chain| {
            let header = Header {
                v: 1,
                network: "x_".into(),
                period: chain.period.clone(),
                seq: chain.seq,
                parent: chain.parent.clone(),
                count: chain.count,
                ops_hash: chain.ops_hash,
            };
            chain.id = header.id();
        };
        let cases: &[(Node, Change, &str)] = &[
            (second, |c| c.seq = 4, "its header's hash"),
            (second, |c| c.ops_hash[0] ^= 1, "its header's hash"),
            (third, |c| c.pieces.reverse(), "together have other operations"),
            (second, |c| c.pieces = vec![1], "piece 1 has other operations"),
            (second, |c| c.pieces = vec![5], "record 5, which is no piece"),
            (second, |c| c.pieces = vec![99], "comes after it"),
            (forked, |c| c.branch = 7, "never born"),
            (forked, |c| c.prev = None, "its branch ends at"),
            (first, |c| c.prev = Some(Node { branch: 0, version: 3 }), "its branch ends at"),
        ];
        for (node, change, expected) in cases {
            let found = log.changed(node.version, *change);
            let (lsn, wrong) = found.first().unwrap_or_else(|| panic!("not found: {expected}"));
            assert_eq!(*lsn, node.version);
            assert!(wrong.contains(expected), "{wrong}");
        }
        // An id that was made to fit is found by its place and by the batch that stands on it.
        let found = log.changed(second.version, |chain| {
            chain.seq = 4;
            id_follows(chain);
        });
        assert!(found[0].1.contains("the batch before it ends at 3"), "{found:?}");
        let found = log.changed(first.version, |chain| {
            chain.count = 1;
            id_follows(chain);
        });
        let lsns: Vec<Lsn> = found.iter().map(|(lsn, _)| *lsn).collect();
        assert_eq!(lsns, [first.version, second.version, forked.version], "{found:?}");
    }

    /// Findings of the records from `first` on; the ledger is known behind `known`.
    fn late(log: &Log, first: Lsn, known: Lsn) -> Vec<(Lsn, String)> {
        let (mut audit, mut ledger, mut found) = (Audit::new("x_", first), Ledger::default(), Vec::new());
        for (lsn, (record, _)) in (1..).zip(&log.0) {
            if lsn == known + 1 {
                audit.knows(&ledger);
            }
            ledger.apply(lsn, record);
            if lsn >= first {
                let Ok(wrong) = audit.take(lsn, record.clone(), &mut &*log);
                found.extend(wrong.map(|wrong| (lsn, wrong)));
            }
        }
        found
    }

    /// Planted: a branch adopted whatever it stands on; nothing asked of the ledger.
    #[test]
    fn a_journal_that_begins_late_is_held_against_itself_and_against_what_it_stands_on() {
        let (mut log, [first, second, third, forked]) = sound();
        let f = log.piece(b"f", 1);
        let last = log.chain(0, Some(third), "Q", 3, &[f]);
        for begin in 1..=log.0.len() as Lsn {
            for known in [begin - 1, begin, last.version] {
                assert_eq!(late(&log, begin, known), [], "from {begin}, known behind {known}");
            }
        }
        let changed = |lsn: Lsn, change: &dyn Fn(&mut Chain)| {
            let mut log = Log(log.0.clone());
            match &mut log.0[lsn as usize - 1].0 {
                Record::Chain(chain) => change(chain),
                other => panic!("{other:?}"),
            }
            late(&log, second.version, second.version).first().map(|(at, wrong)| (*at, wrong.clone()))
        };
        let (at, wrong) = changed(third.version, &|chain| chain.prev = Some(first)).unwrap();
        assert!(at == third.version && wrong.contains("its branch ends at"), "{wrong}");
        let (at, wrong) = changed(last.version, &|chain| chain.branch = 9).unwrap();
        assert!(at == last.version && wrong.contains("never born"), "{wrong}");
        let (at, _) = changed(forked.version, &|chain| chain.ops_hash[0] ^= 1).unwrap();
        assert_eq!(at, forked.version);
        log.add(Record::Retired(super::super::record::Retired { branch: 9, at_ms: 0 }), b"");
        assert!(late(&log, second.version, second.version)[0].1.contains("never born"));
    }
}
