//! What always holds in the swarm: a file for each rule.

pub mod checked;
pub mod confirmed;
pub mod healed;
pub mod innocent;
pub mod right;

use std::fmt;

/// A rule that was broken, and how.
#[derive(Clone, Debug)]
pub struct Broken {
    rule: &'static str,
    what: String,
}

impl Broken {
    /// A broken rule.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}
