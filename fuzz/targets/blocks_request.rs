//! Swarm: what is asked of a chain.
//!
//! Holds: what every message holds; every request names a network.
//!
//! Planted once: one byte behind a message let pass.
#![no_main]

use honeygraph_fuzz::message;
use honeygraph_protocols::swarm::blocks::Request;
use honeygraph_protocols::swarm::names::NetworkName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = message::<Request>(bytes) else { return };
    let network = request.network();
    assert_eq!(NetworkName::new(network.as_str()).as_ref(), Some(network));
});
