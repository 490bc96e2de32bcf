//! Where a network's traffic can be listened to.
//!
//! *Always holds:* what is noted together with a message for the core is noted in the order in which the core gets the
//! messages of all sockets; who listens never makes a feed wait: it loses the rest when it does not keep up, and knows.

use super::{Event, Happened};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;

/// Events that wait for the listener; beyond it the recording ends. A tenth of a second of the fastest feed.
const HELD_EVENTS: usize = 64 * 1024;

/// Bytes of frames that wait for the listener, those apart that come when nothing waits; beyond it the recording ends.
const HELD_BYTES: usize = 32 << 20;

/// The tap of one network.
#[derive(Debug, Default)]
pub struct Tap {
    /// Number of the recording that runs; 0: none. Read without the lock, so that nobody pays for what nobody does.
    run: AtomicU64,
    /// The lock is what makes the order: a message for the core is sent while it is held. It is never held longer.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: u64,
    listener: Option<Listener>,
}

#[derive(Debug)]
struct Listener {
    began: Instant,
    to: mpsc::Sender<Event>,
    held: Arc<AtomicUsize>,
}

/// The listener's end. Dropped, it ends the recording.
#[derive(Debug)]
pub struct Tapped {
    tap: Arc<Tap>,
    run: u64,
    events: mpsc::Receiver<Event>,
    held: Arc<AtomicUsize>,
}

impl Tap {
    /// Begins to listen; none when somebody does already.
    pub fn listen(self: &Arc<Self>) -> Option<Tapped> {
        let mut inner = self.lock();
        if inner.listener.is_some() {
            return None;
        }
        inner.runs += 1;
        let (to, events) = mpsc::channel(HELD_EVENTS);
        let held = Arc::<AtomicUsize>::default();
        inner.listener = Some(Listener { began: Instant::now(), to, held: Arc::clone(&held) });
        self.run.store(inner.runs, Relaxed);
        Some(Tapped { tap: Arc::clone(self), run: inner.runs, events, held })
    }

    /// Number of the recording that runs; 0: none.
    pub fn run(&self) -> u64 {
        self.run.load(Relaxed)
    }

    /// Notes what happened on a socket, at the moment when `send` gives it to the core.
    pub fn note(&self, socket: u64, all: Vec<Happened>, send: impl FnOnce()) {
        if all.is_empty() {
            return send();
        }
        let mut inner = self.lock();
        send();
        let Some(listener) = &inner.listener else { return };
        let after_us = u64::try_from(listener.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let kept = all.into_iter().all(|what| listener.take(Event { after_us, socket, what }));
        if !kept {
            self.end(&mut inner);
        }
    }

    fn end(&self, inner: &mut Inner) {
        inner.listener = None;
        self.run.store(0, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in it can be left half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Whether there was room.
    fn take(&self, event: Event) -> bool {
        let (bytes, held) = (weight(&event), self.held.load(Relaxed));
        if held > 0 && held + bytes > HELD_BYTES {
            return false;
        }
        self.held.fetch_add(bytes, Relaxed);
        self.to.try_send(event).is_ok()
    }
}

fn weight(event: &Event) -> usize {
    match &event.what {
        Happened::Heard(frame, _) => frame.len(),
        Happened::Said(text) | Happened::Closed(text) => text.len(),
        _ => 0,
    }
}

impl Tapped {
    /// The next event; none once it was too slow, and something is missing from here on. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.held.fetch_sub(weight(&event), Relaxed);
        Some(event)
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let mut inner = self.tap.lock();
        if inner.runs == self.run {
            self.tap.end(&mut inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Bytes;

    fn heard(bytes: usize) -> Vec<Happened> {
        vec![Happened::Heard(Bytes::from(vec![b' '; bytes]), false)]
    }

    #[tokio::test]
    async fn one_listens_and_hears_all_in_order() {
        let tap = Arc::new(Tap::default());
        tap.note(1, heard(1), || ());
        let mut tapped = tap.listen().unwrap();
        assert!(tap.listen().is_none() && tap.run() == 1);
        tap.note(2, vec![Happened::Acked(1), Happened::Closed("gone".into())], || ());
        assert_eq!(tapped.next().await.unwrap().what, Happened::Acked(1));
        assert_eq!(tapped.next().await.unwrap().what, Happened::Closed("gone".into()));
        drop(tapped);
        assert_eq!(tap.run(), 0);
        assert!(tap.listen().is_some() && tap.run() == 0, "a listener that is gone listens no more");
    }

    /// Planted once: the bound left out (the feed's frames then pile up for a reader that stopped).
    #[tokio::test]
    async fn who_does_not_keep_up_loses_the_rest_and_knows() {
        let tap = Arc::new(Tap::default());
        let mut tapped = tap.listen().unwrap();
        tap.note(1, heard(HELD_BYTES + 1), || ());
        assert_eq!(tap.run(), 1, "a large frame alone has room");
        tap.note(1, heard(1), || ());
        assert_eq!(tap.run(), 0);
        let mut sent = false;
        tap.note(1, heard(1), || sent = true);
        assert!(sent, "the core gets everything all the same");
        assert!(tapped.next().await.is_some() && tapped.next().await.is_none());
        let mut again = tap.listen().unwrap();
        drop(tapped);
        assert_eq!(tap.run(), 2, "an old listener does not end a new recording");
        (0..=HELD_EVENTS).for_each(|_| tap.note(1, vec![Happened::Acked(1)], || ()));
        assert_eq!(tap.run(), 0);
        for _ in 0..HELD_EVENTS {
            assert!(again.next().await.is_some());
        }
        assert!(again.next().await.is_none());
    }
}
