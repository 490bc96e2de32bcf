//! Swarm: heads by gossip.
//!
//! Holds: what every message holds; the topic names the network and is no topic of votes.
//!
//! Planted once: a message in another form than its own taken as canonical.
#![no_main]

use honeygraph_fuzz::message;
use honeygraph_protocols::swarm::heads::{self, Announced};
use honeygraph_protocols::swarm::votes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(announced) = message::<Announced>(bytes) else { return };
    let topic = heads::topic(&announced.network);
    assert!(topic.contains(announced.network.as_str()) && !votes::is_topic(&topic));
    assert!(votes::is_topic(&votes::topic(&announced.network)));
    assert!(announced.head.period.label.is_none_or(|label| label.get() < 1 << 53));
});
