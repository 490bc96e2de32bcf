//! The scenarios: who plays, and what is done to them.

use super::peer::Lie;

/// What happens in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nodes that were away.
    CatchUp,
    /// A node that never existed, with a pin and no votes.
    Newcomer,
    /// Two liars of a kind beside honest peers.
    Liar(Lie),
    /// A peer that gives a fraction of its share.
    SlowPeer,
    /// Peers that never answer.
    SilentPeer,
    /// An account that votes for two hashes.
    Equivocator,
    /// An account whose two nodes disagree.
    TwoNodesOneAccount,
    /// Many peers, and many bound accounts outside the electorate, with a chain of their own.
    Sybil,
    /// A newcomer that meets liars only, for a while.
    Eclipse,
    /// Two halves that go on apart, and meet again.
    PartitionRejoin,
    /// Fifty nodes for an hour of a network that writes ten ops a second: what a bench times.
    Hour,
}

impl Scenario {
    /// All that are short enough to be played with many seeds.
    pub fn all() -> Vec<Self> {
        let liars = Lie::ALL.into_iter().map(Self::Liar);
        let others = [
            Self::CatchUp,
            Self::Newcomer,
            Self::SlowPeer,
            Self::SilentPeer,
            Self::Equivocator,
            Self::TwoNodesOneAccount,
            Self::Sybil,
            Self::Eclipse,
            Self::PartitionRejoin,
        ];
        others.into_iter().chain(liars).collect()
    }
}
