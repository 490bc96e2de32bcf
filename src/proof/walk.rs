//! The way back across roots: from a hash that somebody vouches for, day by day, to the oldest root that is held.
//!
//! A delta names the deltas of its day before it, the day's root and the root before that. A root's state holds
//! `stats.pendingHash`: the delta that opened the period which the root closed, the last one of the day before. (Where
//! an older honeycomb does not write it, `stats.hashLastIBlock` names one that its runners agreed on.) What is found
//! must name the root that the later day said is the one before; so a trusted hash leads on from day to day.
//!
//! The oldest root of a history whose period is held is the base of that history. It is kept in a folder of its own and
//! taken at the next start, because a state that was made without a base has to be made again.
//!
//! *Always holds:* so many roots are read and no more, one is held at a time; nothing is kept where a base is in force,
//! or once one was found; a root with an older one behind it is never the base, which would hide what is known before it.

use super::fill::{FillError, Filler};
use crate::fork::status::{WalkFrom, Walked};
use crate::projection::base;
use honeygraph_protocols::document::{Delta, DocumentError, Root};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::op::{Effect, EffectReader};
use honeygraph_protocols::path::{self, Segment};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Largest root read, in bytes: it is held in memory. More than twice the largest state planned for; larger ones are
/// for `honeygraph base import`.
const ROOT_BYTES: u64 = 256 << 20;
/// Roots of which it is remembered what came before them: a year. Then all are forgotten, and read again.
const REMEMBERED: usize = 400;

/// How far it may go, and what was found.
pub struct Ways {
    /// Roots that may be read on one way.
    roots: u64,
    /// Where a base goes that is found; none: there is one.
    found: Option<PathBuf>,
    /// What the state of a root names as the deltas before it.
    before: BTreeMap<HashText, Vec<HashText>>,
}

impl Ways {
    /// So many roots may be read on one way; what is found goes to this folder.
    pub fn new(roots: u64, found: Option<PathBuf>) -> Self {
        Self { roots, found, before: BTreeMap::new() }
    }

    /// Whether a base is looked for.
    pub(super) fn seeks(&self) -> bool {
        self.roots > 0 && self.found.is_some()
    }

    /// Roots that may be read on one way.
    pub(super) fn most(&self) -> u64 {
        self.roots
    }
}

/// A day up to one of its checkpoints.
pub(super) struct Day {
    /// The checkpoint.
    pub(super) hash: HashText,
    /// Its delta.
    pub(super) delta: Delta,
    /// Root of the day.
    pub(super) root: HashText,
}

impl Day {
    pub(super) fn of(hash: HashText, delta: Delta) -> Result<Self, FillError> {
        let root = HashText::new(&delta.root).ok_or_else(|| FillError::NoHash(hash.clone()))?;
        Ok(Self { hash, delta, root })
    }

    /// The hashes of its checkpoints, oldest first.
    fn named(&self) -> Vec<HashText> {
        let links = self.delta.chain.iter().filter_map(|link| HashText::new(&link.hash));
        [self.root.clone()].into_iter().chain(links).chain([self.hash.clone()]).collect()
    }
}

impl Filler {
    /// Goes back from an anchored hash as far as it is allowed and leads. Behind the oldest root that is held it looks at
    /// the day before once more: its deltas may be here.
    pub(super) async fn walk(&mut self, from: &WalkFrom) -> Result<Walked, FillError> {
        let anchor = from.anchor.clone();
        let mut day = Day::of(anchor.clone(), self.delta(&anchor).await?)?;
        let (back_to, base, ended) = (None, None, "oldest");
        let mut walked = Walked { from: anchor, back_to, roots: 0, named: 0, held: 0, base, ended };
        loop {
            let held = self.look(&day, &mut walked).await?;
            if walked.base.is_some() {
                return Ok(walked);
            }
            if !held || walked.roots == self.ways.roots {
                walked.ended = if held { "depth" } else { "not_held" };
                return Ok(walked);
            }
            walked.roots += 1;
            if !self.is_held(&day.delta.prev_root).await? {
                let bytes = self.root(&day.root).await?;
                self.keep(&day.root, &bytes)?;
                walked.base = Some(day.root.clone());
            }
            match self.before(&day).await {
                Some(before) => day = before,
                None => {
                    walked.ended = if walked.base.is_some() { "oldest" } else { "no_link" };
                    return Ok(walked);
                }
            }
        }
    }

    /// Counts what a day names; whether its root is held.
    async fn look(&self, day: &Day, walked: &mut Walked) -> Result<bool, FillError> {
        let held = self.holds(day.named()).await?;
        walked.named += held.len() as u64;
        walked.held += held.iter().filter(|held| **held).count() as u64;
        walked.back_to = self.label_of_root(day.delta.number).or(walked.back_to);
        Ok(held.first() == Some(&true))
    }

    async fn is_held(&self, hash: &str) -> Result<bool, FillError> {
        let Some(hash) = HashText::new(hash) else { return Ok(false) };
        Ok(self.holds(vec![hash]).await?.contains(&true))
    }

    /// The day before, up to the last of its checkpoints that the root of this one names; none: it names none, no gateway
    /// has it, or it is the day of another root.
    pub(super) async fn before(&mut self, day: &Day) -> Option<Day> {
        if !self.ways.before.contains_key(&day.root)
            && let Err(error) = self.root(&day.root).await
        {
            tracing::info!(network = self.network, "the way back ends: {error}");
        }
        for hash in self.ways.before.get(&day.root)? {
            let before = match self.delta(hash).await {
                Ok(delta) => Day::of(hash.clone(), delta).ok(),
                Err(error) => {
                    tracing::info!(network = self.network, "the way back does not go on: {error}");
                    None
                }
            };
            let fits =
                |before: &Day| before.delta.root == day.delta.prev_root && before.delta.number < day.delta.number;
            if let Some(before) = before.filter(fits) {
                return Some(before);
            }
        }
        None
    }

    /// A root, read and looked at.
    async fn root(&mut self, hash: &HashText) -> Result<Vec<u8>, FillError> {
        let bytes = self.gateways.document(hash.as_str(), ROOT_BYTES).await?;
        let before = deltas_before(&bytes).map_err(|error| FillError::NotARoot(hash.clone(), error))?;
        if self.ways.before.len() >= REMEMBERED {
            self.ways.before.clear();
        }
        self.ways.before.insert(hash.clone(), before);
        Ok(bytes)
    }

    /// Keeps a root for the next start.
    fn keep(&mut self, root: &HashText, bytes: &[u8]) -> Result<(), FillError> {
        let Some(folder) = &self.ways.found else { return Ok(()) };
        let taken = base::import(folder, bytes, Some(root.as_str()))?;
        self.ways.found = None;
        let (network, hash, label) = (&self.network, &taken.hash, taken.label);
        tracing::warn!(network, hash, label, "a base was found: the next start rebuilds the state on it");
        Ok(())
    }
}

/// What a root's state says of the deltas before it: the one that opened the period which the root closed, and the one
/// that was agreed on.
fn deltas_before(bytes: &[u8]) -> Result<Vec<HashText>, DocumentError> {
    let root = Root::parse(bytes)?;
    let stats = |key: &str| path::encode(&[Segment::from("stats"), Segment::from(key)]);
    let wanted = [stats("pendingHash"), stats("hashLastIBlock")];
    let mut found = [None, None];
    let read = EffectReader::default().state(root.state, |effect| {
        let Effect::Put(at, text) = effect else { return };
        let Some(nth) = wanted.iter().position(|wanted| wanted == at) else { return };
        if let Ok(Json::Text(hash)) = json::parse(text) {
            found[nth] = hash.as_str().and_then(HashText::new);
        }
    });
    read.map_err(|_| DocumentError::Shape("its state is none"))?;
    let mut hashes: Vec<HashText> = found.into_iter().flatten().collect();
    hashes.dedup();
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_names_the_delta_before_it_and_the_one_agreed_on() {
        let of = |text: &str| deltas_before(text.as_bytes()).map(|all| all.iter().map(ToString::to_string).collect());
        let is = |words: &[&str]| Ok(words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let root = r#"[102,{"a":{"pendingHash":"QmX"},"stats":{"hashLastIBlock":"QmA","pendingHash":"QmB"}}]"#;
        assert_eq!(of(root), is(&["QmB", "QmA"]));
        assert_eq!(of(r#"[102,{"stats":{"hashLastIBlock":"QmA","pendingHash":"QmA"}}]"#), is(&["QmA"]));
        assert_eq!(of(r#"[102,{"stats":{"hashLastIBlock":0,"pendingHash":{"a":"QmA"}}}]"#), is(&[]));
        assert!(of(r#"[102,{"stats":{"pendingHash":}}]"#).is_err() && of("{}").is_err());
    }
}
