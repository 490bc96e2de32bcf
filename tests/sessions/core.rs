//! A strict core for the tests of sessions: acks each batch at its marker, and checks that feeds keep the rules.

use crate::speaking::PATIENCE;
use honeygraph::feed::message::{FeedId, FromCore, Said, ToCore};
use honeygraph_protocols::honeycomb::{CheckpointForm, Ops, What};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc, watch};

/// What a core has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Feeds that are open.
    pub open: Vec<FeedId>,
    /// Tokens of the feeds that were opened, in order.
    pub tokens: Vec<String>,
    /// Indexes of the ops of closed batches.
    pub kept: Vec<Option<u64>>,
    /// Texts of the ops of closed batches.
    pub texts: Vec<String>,
    /// Ops refused.
    pub refused: usize,
    /// Messages other than ops, by name.
    pub said: Vec<String>,
    /// Ops received, closed or not.
    pub received: usize,
}

/// The test's hold on a core.
#[derive(Clone, Debug)]
pub struct Hold {
    pub seen: Arc<Mutex<Seen>>,
    /// Journal's durable LSN: the core follows it when `auto`.
    pub durable: Arc<watch::Sender<u64>>,
    pub changed: Arc<Notify>,
    pub gate: watch::Sender<Mode>,
}

/// How a core works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything is durable at once.
    Running,
    /// It decides, but nothing becomes durable.
    NotDurable,
    /// It takes nothing.
    Stuck,
}

/// Starts a core; gives its intake, its journal, and the hold on it.
pub fn start() -> (mpsc::Sender<ToCore>, watch::Receiver<u64>, Hold) {
    let (to, from) = mpsc::channel(honeygraph::feed::networks::INTAKE_MESSAGES);
    let (durable, watched) = watch::channel(0);
    let (gate, mode) = watch::channel(Mode::Running);
    let hold = Hold { seen: Arc::default(), durable: Arc::new(durable), changed: Arc::new(Notify::new()), gate };
    tokio::spawn(run(from, hold.clone(), mode));
    (to, watched, hold)
}

impl Hold {
    /// Waits until what was seen satisfies `until`.
    pub async fn wait(&self, until: impl Fn(&Seen) -> bool) {
        let seen = async {
            loop {
                let changed = self.changed.notified();
                if until(&self.seen.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("the core never saw it");
    }
}

#[derive(Debug)]
struct Lane {
    outbox: Option<mpsc::Sender<FromCore>>,
    open: Vec<Option<u64>>,
    texts: Vec<String>,
    last: u64,
}

async fn run(mut from: mpsc::Receiver<ToCore>, hold: Hold, mut mode: watch::Receiver<Mode>) {
    let mut lanes: BTreeMap<FeedId, Lane> = BTreeMap::new();
    let mut lsn = 0;
    loop {
        mode.wait_for(|mode| *mode != Mode::Stuck).await.unwrap();
        let Some(message) = from.recv().await else { return };
        let mut replies = Vec::new();
        let feed = match message {
            ToCore::Open { feed, info, outbox } => {
                let lane = Lane { outbox: Some(outbox), open: vec![], texts: vec![], last: 0 };
                assert!(lanes.insert(feed, lane).is_none(), "{feed:?} opened twice");
                hold.seen.lock().unwrap().tokens.push(info.token);
                feed
            }
            ToCore::Gone(feed) => {
                assert!(lanes.remove(&feed).is_some(), "{feed:?} left without having come");
                feed
            }
            ToCore::Said(feed, said, load) => {
                let lane = lanes.get_mut(&feed).expect("a feed speaks only while it is open");
                hear(lane, said, &mut lsn, &hold, &mut replies);
                drop(load);
                feed
            }
        };
        if *mode.borrow() == Mode::Running {
            hold.durable.send_replace(lsn);
        }
        if let Some(lane) = lanes.get_mut(&feed) {
            for reply in replies {
                if let Some(outbox) = &lane.outbox
                    && outbox.try_send(reply).is_err()
                {
                    lane.outbox = None;
                }
            }
        }
        hold.seen.lock().unwrap().open = lanes.keys().copied().collect();
        hold.changed.notify_waiters();
    }
}

fn hear(lane: &mut Lane, said: Said, lsn: &mut u64, hold: &Hold, replies: &mut Vec<FromCore>) {
    let mut seen = hold.seen.lock().unwrap();
    match said {
        Said::Ops(ops) => take_ops(lane, &ops, lsn, &mut seen, replies),
        Said::SyncStatus { .. } => {
            replies.push(FromCore::SyncStatus { lsn: *lsn, last_index: lane.last });
            seen.said.push("sync_status".into());
        }
        Said::Checkpoint(checkpoint) => {
            if checkpoint.form == CheckpointForm::Old {
                replies.push(FromCore::Acks { lsn: *lsn, indexes: vec![None] });
            }
            seen.said.push(format!("checkpoint {:?}", checkpoint.form));
        }
        Said::Subscribe { .. } => seen.said.push("subscribe".into()),
        Said::ForkStart { .. } => seen.said.push("fork_start".into()),
        Said::ForkDetected { .. } => seen.said.push("fork_detected".into()),
    }
}

fn take_ops(lane: &mut Lane, ops: &Ops, lsn: &mut u64, seen: &mut Seen, replies: &mut Vec<FromCore>) {
    let mut end = 0;
    for item in &ops.items {
        match &item.what {
            What::Op { text, .. } => {
                assert_eq!(text.start, end, "the texts of a frame follow each other");
                end = text.end;
                let length: [u8; 4] = ops.texts[text.start..text.start + 4].try_into().unwrap();
                assert_eq!(u32::from_le_bytes(length) as usize, text.len() - 4);
                lane.open.push(item.index);
                lane.texts.push(String::from_utf8_lossy(&ops.texts[text.start + 4..text.end]).into_owned());
                seen.received += 1;
            }
            What::Marker => {
                *lsn += 1;
                lane.last = item.index.unwrap_or(lane.last);
                let indexes = std::mem::take(&mut lane.open);
                seen.kept.extend(&indexes);
                seen.texts.append(&mut lane.texts);
                replies.push(FromCore::Acks { lsn: *lsn, indexes });
            }
            What::Refused(why) => {
                lane.open.clear();
                lane.texts.clear();
                seen.refused += 1;
                replies.push(FromCore::Error((*why).into()));
            }
        }
    }
    assert_eq!(end, ops.texts.len());
}
