//! Hands supplies on to the core, one after the other.
//!
//! Batches of the open period may come before what they stand on: they wait until the state has moved or something else was
//! taken. A closed period stands on what was handed on before it, or is refused.
//!
//! *Always holds:* each supply is answered, taken or refused, unless it waits; of one open period at a time; a supply counts
//! as taken when the state shows it, so that the planner's next look at what is held sees it, and the next one is handed on
//! before that (one after the other the state and the disk waited for each other, at half the rate); it looks again when
//! something has happened, never by the clock.

use super::following::Event;
use super::own::History;
use super::serve::Held;
use super::supplier::{Supplier, SupplierError};
use super::sync::Supply;
use crate::fork::supply::Start;
use std::collections::VecDeque;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

/// Carries the supplies of one network.
pub struct Carrier {
    held: Held,
    supplier: Supplier,
    supplies: mpsc::Receiver<Supply>,
    events: mpsc::Sender<Event>,
    applied: watch::Receiver<u64>,
    here: History,
    /// Of one open period, in order: as many as the planner may have open.
    waiting: VecDeque<Supply>,
    /// Numbers of those that are durable, with the record that the state has to show.
    durable: VecDeque<(u64, u64)>,
}

/// It has ended: the core, or whoever hears what became of supplies.
struct Ended;

impl Carrier {
    /// From these supplies to the core behind the supplier; `events` hears what became of each.
    pub fn new(held: Held, supplier: Supplier, supplies: mpsc::Receiver<Supply>, events: mpsc::Sender<Event>) -> Self {
        let (applied, here) = (supplier.applied(), History::default());
        let (waiting, durable) = (VecDeque::new(), VecDeque::new());
        Self { held, supplier, supplies, events, applied, here, waiting, durable }
    }

    /// Runs until nobody supplies any more.
    pub async fn run(mut self) {
        while let Some((supply, is_new)) = self.next().await {
            if self.carry(supply, is_new).await.is_err() {
                return;
            }
        }
    }

    /// The next supply: the first that waits, once it can go on, else a new one; and whether it is new.
    async fn next(&mut self) -> Option<(Supply, bool)> {
        loop {
            // Marked as seen before it is looked at: what comes meanwhile is looked at again.
            let applied = *self.applied.borrow_and_update();
            while let Some((ticket, _)) = self.durable.pop_front_if(|(_, version)| *version <= applied) {
                self.say(Event::Taken(self.held.network.clone(), ticket)).await.ok()?;
            }
            self.here.refresh(&self.held.state.snapshot()).ok()?;
            if self.waiting.front().is_some_and(|first| self.supplier.start(first, &self.here).is_some()) {
                return self.waiting.pop_front().map(|supply| (supply, false));
            }
            tokio::select! {
                supply = self.supplies.recv() => return supply.map(|supply| (supply, true)),
                moved = self.applied.changed(), if !self.waiting.is_empty() || !self.durable.is_empty() => moved.ok()?,
            }
        }
    }

    async fn carry(&mut self, supply: Supply, is_new: bool) -> Result<(), Ended> {
        self.here.refresh(&self.held.state.snapshot()).map_err(|_| Ended)?;
        let is_open = supply.period.is_none();
        // Behind one that waits there is nothing yet to stand on.
        let waits = is_open && is_new && self.waiting.front().is_some_and(|first| first.open == supply.open);
        match self.supplier.start(&supply, &self.here).filter(|_| !waits) {
            Some(start) => self.supply(supply, start).await,
            None if is_open => self.put_off(supply).await,
            None => {
                debug!(network = %self.held.network, period = %supply.open, "what it stands on is not here");
                self.say(Event::Refused(self.held.network.clone(), supply.ticket)).await
            }
        }
    }

    async fn supply(&mut self, supply: Supply, start: Start) -> Result<(), Ended> {
        let (network, ticket, open) = (self.held.network.clone(), supply.ticket, supply.open.clone());
        match self.supplier.supply(supply, start).await {
            Ok(version) => {
                self.durable.push_back((ticket, version));
                Ok(())
            }
            Err(SupplierError::Stopped) => Err(Ended),
            Err(refused) => {
                warn!(%network, period = %open, error = %refused, "what peers sent is not taken");
                self.say(Event::Refused(network, ticket)).await
            }
        }
    }

    /// It waits; those of another period wait no longer: the planner has left it.
    async fn put_off(&mut self, supply: Supply) -> Result<(), Ended> {
        let (stay, left): (VecDeque<Supply>, VecDeque<Supply>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waits| waits.open == supply.open);
        self.waiting = stay;
        self.waiting.push_back(supply);
        for left in left {
            self.say(Event::Refused(self.held.network.clone(), left.ticket)).await?;
        }
        Ok(())
    }

    async fn say(&self, event: Event) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended)
    }
}
