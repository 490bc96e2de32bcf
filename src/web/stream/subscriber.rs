//! One subscriber: from its cursor to the present, and then along with it, frame by frame.
//!
//! *Always holds:* it holds what one step made at most; whoever is let go has its cursor in the last frame that it gets.

use super::event::{Event, Wanted};
use super::hub::{Begin, Next, Place};
use super::walk::Walker;
use crate::web::answer::ApiError;
use crate::web::read::large;
use axum::body::Bytes;
use futures_util::Stream;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A subscriber.
pub struct Subscriber {
    place: Place,
    wanted: Wanted,
    phase: Phase,
    /// Made and not yet taken.
    ready: VecDeque<Bytes>,
    /// Of what was taken last.
    cursor: Arc<str>,
    news: watch::Receiver<u64>,
    _room: OwnedSemaphorePermit,
}

enum Phase {
    /// Where its cursor says, if it has one.
    Begin(Option<String>),
    /// On its way.
    Behind(Box<Walker>),
    /// Reads the ring: the number of its next event.
    Live(u64),
    /// Gets nothing more.
    Over,
}

impl Subscriber {
    /// One that comes with a cursor, or without.
    pub fn new(place: Place, wanted: Wanted, cursor: Option<String>, room: OwnedSemaphorePermit) -> Self {
        let (news, given) = (place.hub().news(), cursor.as_deref().unwrap_or_default().into());
        Self { place, wanted, phase: Phase::Begin(cursor), ready: VecDeque::new(), cursor: given, news, _room: room }
    }

    /// Its frames, until it is let go, or the node stops.
    pub fn frames(self) -> impl Stream<Item = Bytes> + Send {
        futures_util::stream::unfold(self, |mut subscriber| async move {
            subscriber.place.wants();
            let frame = subscriber.next().await?;
            subscriber.place.handed();
            Some((frame, subscriber))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Live(number) => self.live(number).await,
                Phase::Begin(cursor) => self.begin(cursor).await,
                Phase::Behind(walker) => self.catch_up(walker).await,
            }
        }
    }

    async fn begin(&mut self, cursor: Option<String>) {
        let hub = Arc::clone(self.place.hub());
        let (mut applied, ready_at) = (hub.teller.of.applied.clone(), hub.teller.of.ready_at);
        // A state that is being rebuilt knows nothing of what everyone has seen before.
        let caught_up = tokio::select! {
            caught_up = applied.wait_for(|applied| *applied >= ready_at) => caught_up.is_ok(),
            () = hub.stop.cancelled() => false,
        };
        if !caught_up {
            return;
        }
        match large(move || hub.begin(cursor.as_deref())).await {
            Ok(Begin::Live(number, events)) => {
                self.take(events);
                self.phase = Phase::Live(number);
            }
            Ok(Begin::Behind(walker, events)) => {
                self.take(events);
                self.phase = Phase::Behind(walker);
            }
            Err(error) => self.let_go(error.code()),
        }
    }

    async fn catch_up(&mut self, mut walker: Box<Walker>) {
        let hub = Arc::clone(self.place.hub());
        if hub.stop.is_cancelled() {
            return;
        }
        let step = large(move || {
            let step = hub.catch_up(&mut walker)?;
            Ok((walker, step))
        });
        match step.await {
            Ok((walker, (events, number))) => {
                self.take(events);
                self.phase = number.map_or(Phase::Behind(walker), Phase::Live);
            }
            Err(error) => self.let_go(error.code()),
        }
    }

    async fn live(&mut self, number: u64) {
        self.news.mark_unchanged();
        match self.place.hub().get(number) {
            Next::Event(event) => {
                self.take([&*event]);
                self.phase = Phase::Live(number + 1);
            }
            Next::Missed => self.let_go("slow"),
            Next::Over => {}
            Next::Wait => {
                let hub = Arc::clone(self.place.hub());
                tokio::select! {
                    _ = self.news.changed() => {}
                    () = hub.stop.cancelled() => {}
                }
                self.phase = Phase::Live(number);
            }
        }
    }

    fn take<E: std::borrow::Borrow<Event>>(&mut self, events: impl IntoIterator<Item = E>) {
        for event in events {
            let event = event.borrow();
            self.cursor = Arc::clone(&event.cursor);
            self.ready.push_back(event.frame(&self.wanted));
        }
    }

    /// The last word: why it ends, and the cursor to come back with.
    fn let_go(&mut self, why: &str) {
        let (teller, reason) = (&self.place.hub().teller, format!(r#""reason":"{why}""#));
        let event = Event::new("bye", (None, Arc::clone(&self.cursor)), reason.into_bytes(), None, &teller.alive);
        self.ready.push_back(event.frame(&self.wanted));
    }
}

/// What is wrong with a cursor as it came.
pub fn check(cursor: Option<&str>) -> Result<(), ApiError> {
    match cursor.is_none_or(|text| super::cursor::Cursor::parse(text).is_some()) {
        true => Ok(()),
        false => Err(ApiError::bad_request("?cursor, or Last-Event-ID, is none of ours: leave it out to begin anew")),
    }
}
