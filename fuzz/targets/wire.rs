//! Swarm: messages behind their lengths, as they stand on a stream.
//!
//! Input: a stream, read as each of the messages that streams carry.
//!
//! Holds: a length is refused exactly if it is beyond the message's cap; what was read, written again, is a stream of the
//! same messages, and the same bytes where each stood in its own form.
//!
//! Planted once: a length one beyond the cap.
#![no_main]

use honeygraph_protocols::swarm::wire::{self, Message, PREFIX, Refused};
use honeygraph_protocols::swarm::{binding, blocks, status};
use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;

fuzz_target!(|stream: &[u8]| {
    stream_holds::<status::Request>(stream);
    stream_holds::<status::Status>(stream);
    stream_holds::<blocks::Request>(stream);
    stream_holds::<blocks::Answer>(stream);
    stream_holds::<binding::Request>(stream);
    stream_holds::<binding::Answer>(stream);
});

fn stream_holds<M: Message + PartialEq + Debug>(stream: &[u8]) {
    let mut rest = stream;
    let mut written = Vec::new();
    let mut all_own = true;
    let mut messages = Vec::new();
    while let Some((message, bytes, behind)) = next::<M>(rest) {
        let own = message.encode().expect("what was read can be sent");
        all_own &= own == bytes;
        written.extend(wire::prefix::<M>(&own));
        written.extend(own);
        messages.push(message);
        rest = behind;
    }
    if all_own {
        assert_eq!(written, stream[..stream.len() - rest.len()]);
    }
    let mut rest = &written[..];
    for message in messages {
        let (again, _, behind) = next::<M>(rest).expect("what was written is a stream");
        assert_eq!(again, message);
        rest = behind;
    }
    assert!(rest.is_empty());
}

/// The next message, its bytes, and what stands behind them.
fn next<M: Message>(stream: &[u8]) -> Option<(M, &[u8], &[u8])> {
    let (prefix, rest) = stream.split_first_chunk::<PREFIX>()?;
    let claimed = u32::from_le_bytes(*prefix) as usize;
    match wire::length::<M>(*prefix) {
        Ok(length) => assert!(length == claimed && length <= M::CAP),
        Err(refused) => {
            assert_eq!(refused, Refused::TooLong { what: M::WHAT, bytes: claimed, cap: M::CAP });
            assert!(claimed > M::CAP);
            return None;
        }
    }
    let (bytes, behind) = rest.split_at_checked(claimed)?;
    Some((M::decode(bytes).ok()?, bytes, behind))
}
