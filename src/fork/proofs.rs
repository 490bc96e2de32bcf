//! What is proven of which history: the outcome of every checkpoint's recomputation, and what is confirmed.
//!
//! A batch is *verified* when the checkpoint that closed its period was recomputed to its announced hash and nothing
//! before it on its history differed since the last verified root. It is *final* when it lies behind a checkpoint that is
//! verified and that something else vouches for (a pin of the operator, honeycomb's own consensus, the operator's feed),
//! and nothing in between breaks the links: a delta names the hashes of its day and its root, but what a root stands on is
//! in its state alone.
//!
//! *Always holds:* entries of a branch are in the order of the batches that opened the next period; what is known of a
//! branch's past is its own entries and its parents' up to the cut; bounded, the oldest are forgotten first, and what is
//! forgotten counts as not proven.

use super::record::{BranchNo, Lsn, Node, Outcome, Proof, Rebased, Trust};
use honeygraph_protocols::honeycomb::HashText;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Checkpoints remembered of one branch: four weeks.
const HELD_OF_BRANCH: usize = 8_192;
/// Checkpoints remembered of all branches, about 20 MB.
const HELD: usize = 65_536;
/// Proofs shown in the status.
pub const SHOWN: usize = 32;
/// Hashes that the operator may trust.
pub const TRUSTED: usize = 1_024;

/// Who vouches for a checkpoint, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// A message of the operator's own honeycomb.
    Feed,
    /// `stats.hashLastIBlock`: more than half of honeycomb's runners reported it.
    Consensus,
    /// The operator (`honeygraph trust`).
    Pin,
}

impl Anchor {
    /// Its name in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Consensus => "consensus",
            Self::Pin => "pin",
        }
    }
}

/// A checkpoint on a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// Version of the batch that opened the next period: batches below it are in the period that was closed, or before.
    upto: Lsn,
    hash: HashText,
    label: Option<u64>,
    outcome: Short,
    /// Label of the newest checkpoint on this history that differed, since the last verified root.
    mismatch: Option<u64>,
    /// Label of the newest verified checkpoint up to here.
    verified_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Short {
    Verified,
    Unverifiable,
    Mismatch,
    /// A root of which not every key is known.
    UnprovenRoot,
}

impl Short {
    fn of(proof: &Proof) -> Self {
        match proof.outcome {
            Outcome::Verified => Self::Verified,
            Outcome::Unverifiable(_) if proof.root => Self::UnprovenRoot,
            Outcome::Unverifiable(_) => Self::Unverifiable,
            Outcome::Mismatch { .. } => Self::Mismatch,
        }
    }

    /// Its place among the counts.
    fn count(self) -> usize {
        match self {
            Self::Verified => 0,
            Self::Unverifiable | Self::UnprovenRoot => 1,
            Self::Mismatch => 2,
        }
    }

    /// Whether a checkpoint behind it says nothing of what lies before it.
    fn parts(self) -> bool {
        matches!(self, Self::Mismatch | Self::UnprovenRoot)
    }
}

/// A confirmed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The checkpoint.
    pub hash: HashText,
    /// Version of the batch that opened the next period.
    pub upto: Lsn,
    /// Block of the checkpoint.
    pub label: Option<u64>,
    /// Who vouches for it, the weakest first; never nobody.
    by: BTreeSet<Anchor>,
}

impl Confirmed {
    /// The strongest of those who vouch for it.
    pub fn by(&self) -> Anchor {
        self.by.last().copied().unwrap_or(Anchor::Feed)
    }
}

/// What is known of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The checkpoint that closed its period is verified, and nothing before it differs.
    pub verified: bool,
    /// A confirmed checkpoint lies behind it, and nothing parts the two.
    pub confirmed: Option<Anchor>,
    /// Block of the checkpoint that differed here, or before and since the last verified root.
    pub mismatch: Option<u64>,
    /// Block of the newest verified checkpoint at or before it.
    pub verified_at: Option<u64>,
    /// Block of the newest confirmed checkpoint on this history.
    pub confirmed_at: Option<u64>,
}

/// The proofs of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proofs {
    /// Version of the newest batch that opened a period and whose proof is here.
    pub cursor: Lsn,
    /// Hash of the base that the state stood on.
    pub base: Option<HashText>,
    branches: BTreeMap<BranchNo, VecDeque<Entry>>,
    held: usize,
    /// Every confirmed checkpoint of those held, by the version of the batch that opened the next period: whoever takes
    /// his word back, or a head that goes back, leaves what others vouched for before.
    confirmed: BTreeMap<BranchNo, BTreeMap<Lsn, Confirmed>>,
    /// The newest proofs, newest last.
    pub newest: VecDeque<Proof>,
    /// Hashes that the operator trusts, with the words that came with them.
    pub trusted: BTreeMap<HashText, String>,
    /// How many came out how, since the network began: verified, unverifiable, mismatch.
    pub counts: [u64; 3],
}

impl Proofs {
    /// Takes a proof. `links` is the history that ends with the batch that opened the next period, newest first, each with
    /// its cut; `vouched` says whether the operator's own feed confirmed a hash.
    pub fn proven(&mut self, links: &[Node], proof: &Proof, vouched: impl Fn(&HashText) -> bool) {
        // A state that was made again has its checkpoints looked at again, from the oldest on.
        self.cursor = proof.by.version;
        let before = self.before(links, proof.by.version.saturating_sub(1));
        let (tainted, verified_at) = before.map_or((None, None), |entry| (entry.mismatch, entry.verified_at));
        let label = proof.label;
        let outcome = Short::of(proof);
        let (mismatch, verified_at) = match outcome {
            Short::Verified => (tainted.filter(|_| !proof.root), label),
            Short::Unverifiable | Short::UnprovenRoot => (tainted, verified_at),
            Short::Mismatch => (label.or(Some(0)), verified_at),
        };
        self.counts[outcome.count()] += 1;
        let entry = Entry { upto: proof.by.version, hash: proof.hash.clone(), label, outcome, mismatch, verified_at };
        let entries = self.branches.entry(proof.by.branch).or_default();
        let at = entries.partition_point(|held| held.upto < entry.upto);
        match entries.get_mut(at).filter(|held| held.upto == entry.upto) {
            Some(held) => {
                self.counts[held.outcome.count()] -= 1;
                *held = entry;
                // Who vouched for it vouches again below, if it is still verified.
                if let Some(confirmed) = self.confirmed.get_mut(&proof.by.branch) {
                    confirmed.remove(&proof.by.version);
                }
                self.newest.retain(|other| other.by != proof.by);
            }
            None => {
                entries.insert(at, entry);
                self.held += 1;
            }
        }
        if entries.len() > HELD_OF_BRANCH {
            self.forget_oldest(proof.by.branch);
        }
        self.newest.push_back(proof.clone());
        if self.newest.len() > SHOWN {
            self.newest.pop_front();
        }
        self.make_room();
        if self.trusted.contains_key(&proof.hash) {
            self.confirm(links, &proof.hash, Anchor::Pin);
        }
        if vouched(&proof.hash) {
            self.confirm(links, &proof.hash, Anchor::Feed);
        }
        if let Some(agreed) = &proof.agreed {
            self.confirm(links, agreed, Anchor::Consensus);
        }
    }

    /// The state stands on another base: what could not be recomputed may be now, from the first checkpoint on.
    pub fn rebased(&mut self, rebased: &Rebased) {
        (self.cursor, self.base) = (0, rebased.base.clone());
    }

    /// Takes the operator's word on a hash. `histories` are those that it may lie on.
    pub fn trust(&mut self, histories: &[Vec<Node>], trust: &Trust) {
        if !trust.trusted {
            self.trusted.remove(&trust.hash);
            for confirmed in self.confirmed.values_mut() {
                confirmed.retain(|_, one| {
                    if one.hash == trust.hash {
                        one.by.remove(&Anchor::Pin);
                    }
                    !one.by.is_empty()
                });
            }
            return;
        }
        if self.trusted.len() < TRUSTED {
            self.trusted.insert(trust.hash.clone(), trust.reason.clone());
        }
        for links in histories {
            self.confirm(links, &trust.hash, Anchor::Pin);
        }
    }

    /// Somebody vouches for a checkpoint of a history: it counts once it is verified.
    pub fn confirm(&mut self, links: &[Node], hash: &HashText, by: Anchor) {
        let Some((branch, found)) = self.find(links, hash) else { return };
        let new = || Confirmed { hash: hash.clone(), upto: found.0, label: found.1, by: BTreeSet::new() };
        self.confirmed.entry(branch).or_default().entry(found.0).or_insert_with(new).by.insert(by);
    }

    /// The verified checkpoint with this hash on a history, untainted.
    fn find(&self, links: &[Node], hash: &HashText) -> Option<(BranchNo, (Lsn, Option<u64>))> {
        links.iter().find_map(|link| {
            let entries = self.branches.get(&link.branch)?.iter().rev();
            let mut good = entries.filter(|entry| {
                entry.upto <= link.version && entry.outcome == Short::Verified && entry.mismatch.is_none()
            });
            let entry = good.find(|entry| entry.hash == *hash)?;
            Some((link.branch, (entry.upto, entry.label)))
        })
    }

    /// The newest entry of a history whose batches all lie before this version.
    fn before(&self, links: &[Node], version: Lsn) -> Option<&Entry> {
        links.iter().find_map(|link| {
            let entries = self.branches.get(&link.branch)?;
            let upto = version.min(link.version);
            entries.get(entries.partition_point(|entry| entry.upto <= upto).checked_sub(1)?)
        })
    }

    /// What is known of a batch on a history (newest link first).
    pub fn standing(&self, links: &[Node], batch: Node) -> Standing {
        let Some(own) = links.iter().position(|link| link.branch == batch.branch) else { return Standing::default() };
        let closing = links[..=own].iter().rev().find_map(|link| {
            let entries = self.branches.get(&link.branch)?;
            let entry = entries.get(entries.partition_point(|entry| entry.upto <= batch.version))?;
            (entry.upto <= link.version).then_some(entry)
        });
        let before = self.before(&links[own..], batch.version);
        let newest = closing.or(before);
        let verified = closing.is_some_and(|entry| entry.outcome == Short::Verified && entry.mismatch.is_none());
        let confirmed = self.confirmed(links).map(|(_, confirmed)| confirmed);
        Standing {
            verified,
            confirmed: if verified { self.anchor(&links[..=own], batch.version) } else { None },
            mismatch: newest.and_then(|entry| entry.mismatch),
            verified_at: match closing {
                Some(entry) if verified => entry.label,
                _ => before.and_then(|entry| entry.verified_at),
            },
            confirmed_at: confirmed.and_then(|confirmed| confirmed.label),
        }
    }

    /// Who vouches for what stands at a version of the last of these links: the newest confirmed checkpoint behind it that
    /// no checkpoint parts from it.
    fn anchor(&self, links: &[Node], version: Lsn) -> Option<Anchor> {
        let parted = links.iter().rev().find_map(|link| {
            let entries = self.branches.get(&link.branch)?;
            let behind = entries.iter().skip(entries.partition_point(|entry| entry.upto <= version));
            behind.take_while(|entry| entry.upto <= link.version).find(|entry| entry.outcome.parts())
        });
        let parted = parted.map_or(Lsn::MAX, |entry| entry.upto);
        links.iter().find_map(|link| {
            let upto = link.version.min(parted - 1);
            let confirmed = self.confirmed.get(&link.branch)?.range(..=upto).next_back();
            confirmed.filter(|(upto, _)| **upto > version).map(|(_, confirmed)| confirmed.by())
        })
    }

    /// The newest confirmed checkpoint of a history, and the batch that opened the next period.
    pub fn confirmed(&self, links: &[Node]) -> Option<(Node, &Confirmed)> {
        links.iter().find_map(|link| {
            let (upto, confirmed) = self.confirmed.get(&link.branch)?.range(..=link.version).next_back()?;
            Some((Node { branch: link.branch, version: *upto }, confirmed))
        })
    }

    /// Whether a history's newest checkpoints differ, since its last verified root.
    pub fn mismatch(&self, links: &[Node]) -> Option<u64> {
        self.before(links, Lsn::MAX)?.mismatch
    }

    /// Whether somebody vouches for this checkpoint of a history already.
    pub fn is_confirmed(&self, links: &[Node], hash: &HashText, by: Anchor) -> bool {
        let Some((branch, (upto, _))) = self.find(links, hash) else { return false };
        let confirmed = self.confirmed.get(&branch).and_then(|confirmed| confirmed.get(&upto));
        confirmed.is_some_and(|confirmed| confirmed.by.contains(&by))
    }

    /// Whether a history has this checkpoint, verified.
    pub fn has_verified(&self, links: &[Node], hash: &HashText) -> bool {
        self.find(links, hash).is_some()
    }

    /// The checkpoints on this history that the operator trusts.
    pub fn pins(&self, links: &[Node]) -> BTreeSet<&HashText> {
        self.trusted.keys().filter(|hash| self.find(links, hash).is_some()).collect()
    }

    /// Forgets branches that are gone.
    pub fn retain(&mut self, live: &BTreeSet<BranchNo>) {
        self.branches.retain(|branch, _| live.contains(branch));
        self.confirmed.retain(|branch, _| live.contains(branch));
        self.held = self.branches.values().map(VecDeque::len).sum();
    }

    fn make_room(&mut self) {
        while self.held > HELD {
            let largest = self.branches.iter().max_by_key(|(_, entries)| entries.len());
            let Some(largest) = largest.map(|(branch, _)| *branch) else { return };
            if !self.forget_oldest(largest) {
                return;
            }
        }
    }

    /// Forgets the oldest checkpoint of a branch, and who vouched for it; whether there was one.
    fn forget_oldest(&mut self, branch: BranchNo) -> bool {
        let Some(gone) = self.branches.get_mut(&branch).and_then(VecDeque::pop_front) else { return false };
        if let Some(confirmed) = self.confirmed.get_mut(&branch) {
            confirmed.remove(&gone.upto);
        }
        self.held -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(branch: BranchNo, version: Lsn) -> Node {
        Node { branch, version }
    }

    fn hash(text: &str) -> HashText {
        HashText::new(text).expect("short")
    }

    /// A proof whose next period begins with the batch `by`; `word`: `v` verified, `u` unverifiable, `m` mismatch; upper
    /// case for a root.
    fn proof(by: Node, label: u64, word: char) -> Proof {
        let outcome = match word.to_ascii_lowercase() {
            'v' => Outcome::Verified,
            'u' => Outcome::Unverifiable("no_base".into()),
            _ => Outcome::Mismatch { computed: "QmOther".into() },
        };
        let root = word.is_uppercase();
        let at = node(by.branch, by.version - 1);
        Proof { at, by, hash: hash(&format!("Qm{label}")), label: Some(label), root, outcome, agreed: None, at_ms: 0 }
    }

    /// Branch 0 with checkpoints at versions 10, 20, ...: labels 101, 201, ...
    fn line(words: &str) -> Proofs {
        let mut proofs = Proofs::default();
        for (nth, word) in (1..).zip(words.chars()) {
            let by = node(0, nth * 10);
            proofs.proven(&[by], &proof(by, nth * 100 + 1, word), |_| false);
        }
        proofs
    }

    #[test]
    fn a_batch_is_verified_by_the_checkpoint_that_closed_its_period() {
        let proofs = line("vuv");
        let at = |version| proofs.standing(&[node(0, 35)], node(0, version));
        let seen: Vec<_> = [5, 9, 10, 15, 20, 25, 30, 35].map(|v| (at(v).verified, at(v).verified_at)).into();
        let (a, c) = (Some(101), Some(301));
        assert_eq!(seen, [(true, a), (true, a), (false, a), (false, a), (true, c), (true, c), (false, c), (false, c)]);
        // As of a tip before the third checkpoint the last period is open.
        assert!(!proofs.standing(&[node(0, 25)], node(0, 22)).verified);
    }

    #[test]
    fn a_mismatch_lasts_until_a_root_is_verified() {
        let proofs = line("vmvuVv");
        let at = |version| proofs.standing(&[node(0, 99)], node(0, version));
        let seen: Vec<_> = [5, 15, 25, 35, 45, 55].map(|v| (at(v).verified, at(v).mismatch)).into();
        let m = Some(201);
        assert_eq!(seen, [(true, None), (false, m), (false, m), (false, m), (true, None), (true, None)]);
        assert_eq!((line("vm").mismatch(&[node(0, 99)]), line("vmV").mismatch(&[node(0, 99)])), (m, None));
        assert_eq!(line("vm").mismatch(&[node(0, 15)]), None, "before it");
    }

    #[test]
    fn a_fork_has_its_parents_past_up_to_the_cut_and_its_own_after_it() {
        let mut proofs = line("vmm");
        // Leaves in the second period, whose end on the fork is another one.
        let by = node(1, 40);
        let links = [by, node(0, 13)];
        proofs.proven(&links, &proof(by, 201, 'v'), |_| false);
        let at = |links: &[Node], at| proofs.standing(links, at).verified;
        assert!(at(&links, node(0, 5)) && at(&links, node(0, 13)) && at(&links, node(1, 39)));
        assert!(!at(&[node(0, 99)], node(0, 13)), "the same batch on the other history");
        assert_eq!((proofs.mismatch(&links), proofs.mismatch(&[node(0, 99)])), (None, Some(301)));
    }

    /// Planted: any confirmed checkpoint makes final what lies before it (nothing in the third day says what the first one
    /// was, so whoever feeds could have made it up).
    #[test]
    fn what_an_unproven_root_or_a_mismatch_parts_from_an_anchor_is_not_final() {
        let links = [node(0, 99)];
        let anchors = |words: &str, hashes: &[&str]| {
            let mut proofs = line(words);
            hashes.iter().for_each(|text| proofs.confirm(&links, &hash(text), Anchor::Feed));
            let at = |version| proofs.standing(&links, node(0, version)).confirmed.is_some();
            [5, 15, 25, 35, 45].map(at).map(u8::from)
        };
        assert_eq!(anchors("vvUvv", &["Qm501"]), [0, 0, 0, 1, 1], "parted by the root");
        assert_eq!(anchors("vvUvv", &["Qm201", "Qm501"]), [1, 1, 0, 1, 1], "vouched for on either side");
        assert_eq!(anchors("vvVvv", &["Qm501"]), [1; 5], "a root that is proven leads on");
        assert_eq!(anchors("vvuvv", &["Qm501"]), [1, 1, 0, 1, 1], "a delta is named by those after it");
        assert_eq!(anchors("vmVvv", &["Qm501"]), [0, 0, 1, 1, 1]);
        assert_eq!(anchors("vmVvv", &["Qm101"]), [1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_fork_is_parted_by_what_lies_between_on_either_side_of_the_cut() {
        let mut proofs = line("vvUv");
        let by = node(1, 60);
        let links = [by, node(0, 33)];
        proofs.proven(&links, &proof(by, 501, 'v'), |hash| hash.as_str() == "Qm501");
        let at = |node| proofs.standing(&links, node).confirmed.is_some();
        assert!(at(node(0, 33)) && at(node(1, 55)) && !at(node(0, 15)));
    }

    #[test]
    fn final_is_what_lies_behind_a_verified_checkpoint_that_somebody_vouches_for() {
        let mut proofs = line("vvuv");
        let links = [node(0, 99)];
        let anchors = |proofs: &Proofs| [5, 15, 25, 35, 45].map(|v| proofs.standing(&links, node(0, v)).confirmed);
        proofs.confirm(&links, &hash("Qm301"), Anchor::Consensus);
        assert_eq!(anchors(&proofs), [None; 5], "nobody verified that one");
        proofs.confirm(&links, &hash("Qm201"), Anchor::Feed);
        let feed = Some(Anchor::Feed);
        assert_eq!(anchors(&proofs), [feed, feed, None, None, None]);
        let trust = |trusted| Trust { hash: hash("Qm401"), trusted, reason: "seen".into(), at_ms: 0 };
        proofs.trust(&[links.to_vec()], &trust(true));
        let pin = Some(Anchor::Pin);
        assert_eq!(anchors(&proofs), [pin, pin, None, pin, None], "what could not be recomputed is not final");
        assert!(!proofs.pins(&links).is_empty() && proofs.pins(&[node(0, 35)]).is_empty());
        proofs.trust(&[], &trust(false));
        assert!(proofs.pins(&links).is_empty());
        assert_eq!(anchors(&proofs), [feed, feed, None, None, None], "what others vouch for stays");
    }

    /// A pin covers what others say of the same checkpoint, and of earlier ones. Guards against: only the newest, or strongest,
    /// word kept. Planted once: a pin that takes the words of others with it.
    #[test]
    fn a_pin_that_is_taken_back_leaves_what_others_confirmed_before_and_after() {
        let links = [node(0, 99)];
        let trust = |label, trusted| Trust { hash: hash(label), trusted, reason: "seen".into(), at_ms: 0 };
        let at = |proofs: &Proofs| [15, 35].map(|v| proofs.standing(&links, node(0, v)).confirmed);
        let (pin, consensus) = (Some(Anchor::Pin), Some(Anchor::Consensus));
        let mut proofs = line("vvvv");
        proofs.confirm(&links, &hash("Qm201"), Anchor::Consensus);
        proofs.trust(&[links.to_vec()], &trust("Qm401", true));
        proofs.trust(&[links.to_vec()], &trust("Qm201", true));
        assert_eq!(at(&proofs), [pin, pin]);
        proofs.trust(&[], &trust("Qm401", false));
        assert_eq!(at(&proofs), [pin, None], "the other pin, and behind it nothing");
        proofs.trust(&[], &trust("Qm201", false));
        assert_eq!(at(&proofs), [consensus, None]);
        // Consensus reaches the pinned checkpoint only later.
        proofs.trust(&[links.to_vec()], &trust("Qm401", true));
        proofs.confirm(&links, &hash("Qm401"), Anchor::Consensus);
        assert_eq!(at(&proofs), [pin, pin]);
        proofs.trust(&[], &trust("Qm401", false));
        assert_eq!(at(&proofs), [consensus, consensus]);
        assert_eq!(proofs.standing(&links, node(0, 5)).confirmed_at, Some(401));
    }

    /// Guards against: only the newest confirmed checkpoint of a branch kept, which a head that went back does not reach.
    #[test]
    fn a_head_that_goes_back_keeps_what_was_final_there() {
        let mut proofs = line("vvvv");
        let links = [node(0, 99)];
        for label in ["Qm101", "Qm201", "Qm401"] {
            proofs.confirm(&links, &hash(label), Anchor::Consensus);
        }
        let at = |links: &[Node]| [5, 15, 25].map(|v| proofs.standing(links, node(0, v)).confirmed.is_some());
        assert_eq!(at(&links), [true, true, true]);
        assert_eq!(at(&[node(0, 25)]), [true, true, false], "rolled back to 25");
        assert_eq!(at(&[node(1, 60), node(0, 25)]), [true, true, false], "and the history that goes on from there");
        assert_eq!(at(&[node(0, 15)]), [true, false, false]);
    }

    /// Planted once: a confirmation that outlives the proof that it stood on.
    #[test]
    fn a_checkpoint_that_is_no_more_verified_is_no_more_confirmed() {
        let mut proofs = line("vv");
        let (links, by) = ([node(0, 99)], node(0, 20));
        proofs.confirm(&links, &hash("Qm201"), Anchor::Consensus);
        proofs.proven(&[by], &proof(by, 201, 'm'), |_| false);
        assert_eq!(proofs.confirmed(&links), None);
        proofs.proven(&[by], &proof(by, 201, 'v'), |_| true);
        assert_eq!(proofs.confirmed(&links).map(|(_, one)| one.by()), Some(Anchor::Feed));
    }

    #[test]
    fn a_checkpoint_looked_at_again_has_the_new_outcome() {
        let mut proofs = line("uuv");
        for (nth, word) in (1..).zip("vvv".chars()) {
            let by = node(0, nth * 10);
            proofs.proven(&[by], &proof(by, nth * 100 + 1, word), |_| false);
        }
        assert_eq!((proofs.counts, proofs.held, proofs.newest.len(), proofs.cursor), ([3, 0, 0], 3, 3, 30));
        assert!(proofs.standing(&[node(0, 99)], node(0, 15)).verified);
    }

    #[test]
    fn a_trusted_hash_counts_when_its_proof_comes() {
        let mut proofs = Proofs::default();
        proofs.trust(&[], &Trust { hash: hash("Qm101"), trusted: true, reason: String::new(), at_ms: 0 });
        let by = node(0, 10);
        proofs.proven(&[by], &proof(by, 101, 'v'), |_| false);
        assert_eq!(proofs.standing(&[node(0, 20)], node(0, 5)).confirmed, Some(Anchor::Pin));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut proofs = Proofs::default();
        for nth in 1..=(HELD_OF_BRANCH as u64 + 10) {
            let by = node(0, nth * 10);
            proofs.proven(&[by], &proof(by, nth * 100 + 1, 'v'), |_| false);
        }
        assert_eq!((proofs.held, proofs.newest.len()), (HELD_OF_BRANCH, SHOWN));
        proofs.retain(&BTreeSet::new());
        assert_eq!(proofs.held, 0);
    }
}
