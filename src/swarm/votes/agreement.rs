//! The seeds' consensus over what peers answer, as the API shows it. It decides nothing: peers are not accounts.

use std::collections::BTreeMap;

/// What more than half of those asked said.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// What they said.
    pub hash: String,
    /// How many.
    pub votes: usize,
    /// Their share of those asked.
    pub confidence: f64,
}

/// What strictly more than half of those asked said; those who said nothing count as asked.
pub fn agreement(answers: &[Option<&str>]) -> Option<Agreement> {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    answers.iter().flatten().for_each(|hash| *votes.entry(hash).or_default() += 1);
    let (hash, votes) = votes.into_iter().max_by_key(|(_, votes)| *votes)?;
    let found = Agreement { hash: hash.into(), votes, confidence: votes as f64 / answers.len() as f64 };
    (votes * 2 > answers.len()).then_some(found)
}
