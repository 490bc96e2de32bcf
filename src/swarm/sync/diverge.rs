//! Where a peer's history leaves ours: a binary search over our own checkpoints, one header each.
//!
//! *Always holds:* with `n` checkpoints it takes at most `log2(n) + 2` requests. A peer that lies about it only misleads
//! this search: what is fetched after it is checked like everything else.

use super::message::Own;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, HeadersWanted, Request, Walk};
use honeygraph_protocols::swarm::names::NetworkName;

/// The search.
#[derive(Clone, Debug)]
pub struct Divergence {
    network: NetworkName,
    /// Checkpoints below are shared.
    shared: u64,
    /// Checkpoints from here on are not.
    apart: u64,
    /// Requests so far.
    pub asked: u32,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Ask the peer this.
    Ask(Request),
    /// The newest checkpoint that both have; none: they have none in common.
    Found(Option<HashText>),
    /// Our own history changed meanwhile: begin again.
    Changed,
}

impl Divergence {
    /// Begins a search.
    pub fn new(network: NetworkName, own: &dyn Own) -> Self {
        Self { network, shared: 0, apart: own.checkpoints(), asked: 0 }
    }

    fn middle(&self) -> u64 {
        self.shared + (self.apart - self.shared) / 2
    }

    /// What to ask now.
    pub fn next(&mut self, own: &dyn Own) -> Next {
        if self.shared >= self.apart {
            return match self.shared.checked_sub(1) {
                None => Next::Found(None),
                Some(nth) => own.checkpoint(nth).map_or(Next::Changed, |hash| Next::Found(Some(hash))),
            };
        }
        let Some(from) = own.checkpoint(self.middle()) else { return Next::Changed };
        self.asked += 1;
        Next::Ask(Request::Headers(HeadersWanted { network: self.network.clone(), from, walk: Walk::Forward, most: 1 }))
    }

    /// Takes the answer: a header that our checkpoint opens, or none.
    pub fn answer(&mut self, own: &dyn Own, answer: &Answer) {
        let middle = self.middle();
        let opens = |answer: &Answer| match answer {
            Answer::Headers(headers) => {
                headers.first().is_some_and(|header| own.checkpoint(middle).as_ref() == Some(&header.open_hash))
            }
            _ => false,
        };
        if opens(answer) { self.shared = middle + 1 } else { self.apart = middle }
    }
}
