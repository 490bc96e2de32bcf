//! Swarm: status, asked for and answered.
//!
//! Holds: what every message holds; lists and names within their limits.
//!
//! Planted once: block numbers beyond 2^53 taken from messages.
#![no_main]

use honeygraph_fuzz::message;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::status::{Base, Checkpoint, MAX_HELD, MAX_NETWORKS, NetworkStatus, Request, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = message::<Request>(bytes) {
        assert!(request.networks.len() <= MAX_NETWORKS);
        assert!(request.networks.iter().all(is_name));
    }
    if let Some(status) = message::<Status>(bytes) {
        assert!(status.networks.len() <= MAX_NETWORKS && status.software.as_str().len() <= 64);
        status.networks.iter().for_each(network_holds);
    }
});

fn is_name(name: &NetworkName) -> bool {
    NetworkName::new(name.as_str()).as_ref() == Some(name)
}

fn network_holds(status: &NetworkStatus) {
    assert!(is_name(&status.network) && status.held.len() <= MAX_HELD);
    let base = match &status.base {
        Base::Root(checkpoint) => Some(checkpoint),
        Base::None | Base::Genesis => None,
    };
    let held = status.held.iter().flat_map(|held| [&held.from, &held.to]);
    let head = status.head.as_ref().map(|head| &head.period);
    let others = [base, head, status.verified.as_ref(), status.confirmed.as_ref()];
    held.chain(others.into_iter().flatten()).for_each(checkpoint_holds);
}

fn checkpoint_holds(checkpoint: &Checkpoint) {
    assert!((1..=128).contains(&checkpoint.hash.as_str().len()));
    assert!(checkpoint.label.is_none_or(|label| label.get() < 1 << 53));
}
