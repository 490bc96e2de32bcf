//! What holds for every message of the swarm, for the targets that read one.
//!
//! *Always holds:* nothing here knows a particular message; what only one of them promises stands in its target.

use honeygraph_protocols::swarm::wire::{self, Message, Refused};
use std::fmt::Debug;

/// Decodes `bytes` and holds the outcome against what [`wire`] promises; the message, if they are one.
pub fn message<M: Message + PartialEq + Debug>(bytes: &[u8]) -> Option<M> {
    let taken = match M::decode(bytes) {
        Ok(taken) => taken,
        Err(refused) => {
            assert_eq!(matches!(refused, Refused::TooLong { .. }), bytes.len() > M::CAP);
            assert!(M::decode_canonical(bytes).is_err(), "the stricter reader takes less");
            return None;
        }
    };
    assert!(bytes.len() <= M::CAP);
    let own = taken.encode().expect("what was taken can be sent");
    assert!(own.len() <= bytes.len(), "its own form is the shortest");
    assert_eq!(M::decode_canonical(&own).as_ref(), Ok(&taken));
    assert_eq!(M::decode_canonical(bytes).is_ok(), own == bytes, "one form is canonical");
    assert!(own.is_empty() || M::decode(&own[..own.len() - 1]).is_err(), "cut, it is no message");
    if own.len() < M::CAP {
        let longer = [&own[..], &[0]].concat();
        assert!(matches!(M::decode(&longer), Err(Refused::Trailing { bytes: 1, .. })));
    }
    assert_eq!(wire::length::<M>(wire::prefix::<M>(&own)), Ok(own.len()));
    Some(taken)
}
