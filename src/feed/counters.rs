//! What feeds have done since the start of the process, by kind.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of all feeds of the node.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: AtomicU64,)+
        }

        impl Counters {
            /// Every counter by name, in a fixed order.
            pub fn list(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.load(Relaxed)),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Sockets upgraded.
    sockets,
    /// Sockets gone.
    closed,
    /// Sockets turned away because there were too many.
    turned_away,
    /// Sockets that had to prove who they are.
    strangers,
    /// Strangers that did.
    proven,
    /// Strangers that left, or were sent away, without.
    unproven,
    /// `auth_failed` replies.
    auth_failed,
    /// Requests refused because of their key, or because a page sent them.
    refused,
    /// Sockets closed because their account may not do what they tried.
    not_allowed,
    /// Messages received.
    messages,
    /// Bytes of messages received.
    bytes,
    /// Ops and markers received.
    items,
    /// `identify` messages.
    identified,
    /// Names of tokens and networks that are not configured.
    misnamed,
    /// Messages that are not a JSON object.
    malformed,
    /// Messages of an unknown type, or of none.
    unknown,
    /// Acks sent.
    acks,
    /// `error` replies sent.
    errors,
    /// Questions sent.
    questions,
    /// Sockets closed over a message above the limit.
    too_large,
    /// Sockets closed because a large frame took too long.
    slow,
    /// Sockets closed over broken framing.
    protocol_errors,
    /// Sockets closed because their replies were not read.
    unread,
    /// Sockets given up after silence.
    silent,
    /// Times a feed had to wait for its network's core.
    pushed_back,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
