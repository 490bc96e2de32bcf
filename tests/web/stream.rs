//! The stream: whoever folds it has the state, whatever happened on the way.

use crate::client::get;
use crate::store::{Api, At, Place, Store, serve};
use crate::subscriber::{Folder, Stream, leaves};
use honeygraph::fork::record::*;
use honeygraph::fork::status::{GapStatus, ParkedStatus, Status};
use honeygraph::projection::base::{self, Base};
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_tungstenite::tungstenite::Message;

/// A small generator with a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % many.max(1) as u64) as usize
    }
}

/// A batch of the world. Periods have the same hashes on all histories, so that a batch may have the same id on several.
struct Batch {
    parent: Option<usize>,
    period: u64,
    seq: u64,
    texts: Vec<String>,
}

/// A node: its own order of things, its own numbers.
struct Side {
    store: Store,
    api: Api,
    held: BTreeMap<usize, At>,
    branches: BranchNo,
    tips: BTreeMap<BranchNo, usize>,
    head: Option<usize>,
    /// Of batches made by hand: the period, and the place of what follows.
    periods: BTreeMap<usize, (u64, u64)>,
    /// Hashes of periods that are not made up.
    hashes: BTreeMap<u64, String>,
}

impl Side {
    async fn new() -> Self {
        Self::on(Store::new()).await
    }

    async fn on(store: Store) -> Self {
        let api = serve(&store).await;
        Self {
            store,
            api,
            held: BTreeMap::new(),
            branches: 0,
            tips: BTreeMap::new(),
            head: None,
            periods: BTreeMap::new(),
            hashes: BTreeMap::new(),
        }
    }

    /// Takes a batch whose parent it has; the head goes on with it if it stands on the parent.
    fn take(&mut self, number: usize, batch: &Batch) {
        let parent = batch.parent.map(|parent| self.held[&parent]);
        let on = parent.map(|at| at.node.branch).filter(|branch| self.tips[branch] == batch.parent.unwrap());
        let branch = on.unwrap_or_else(|| {
            self.store.branch(self.branches, parent);
            self.branches += 1;
            self.branches - 1
        });
        let hash = self.hashes.get(&batch.period).cloned().unwrap_or_else(|| format!("Qm{}", batch.period));
        let first = batch.seq == 0;
        let of_period = || Parent::Period(HashText::new(&hash).unwrap());
        let place = Place {
            branch,
            prev: parent,
            period: &hash,
            label: batch.period * 100 + 1,
            seq: batch.seq,
            parent: parent.filter(|_| !first).map_or_else(of_period, |at| Parent::Batch(at.id)),
            head: self.head == batch.parent,
        };
        let (heads, texts) = (place.head, batch.texts.iter().map(String::as_str).collect::<Vec<_>>());
        let at = self.store.chain(place, &texts);
        self.held.insert(number, at);
        self.tips.insert(branch, number);
        self.head = if heads { Some(number) } else { self.head };
    }

    /// Moves the head.
    fn turn(&mut self, to: usize) {
        let (Some(from), Some(at)) = (self.head.map(|head| self.held[&head].node), self.held.get(&to)) else { return };
        let record = Head { at: at.node, from, cause: HeadCause::Choice("dice".into()), at_ms: 0 };
        self.store.append(&Record::Head(record), None);
        self.head = Some(to);
    }

    /// The state has applied everything.
    fn tell(&self) {
        self.api.applied.send_replace(self.store.journal.next() - 1);
    }

    fn head_id(&self) -> Option<BatchId> {
        self.head.map(|head| self.held[&head].id)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

struct World {
    dice: Dice,
    batches: Vec<Batch>,
    sides: [Side; 2],
    /// What each side does not have yet.
    waiting: [Vec<usize>; 2],
    folders: Vec<Folder>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let forms = [("", false), ("", true), ("a", false), ("[%22a%22,%22b%22]", true)];
        Self {
            dice: Dice(seed),
            batches: Vec::new(),
            sides: [Side::new().await, Side::new().await],
            waiting: Default::default(),
            folders: forms.map(|(prefix, socket)| Folder::new(prefix, socket)).into(),
        }
    }

    fn op(&mut self) -> String {
        let path = [r#"["a"]"#, r#"["a","b"]"#, r#"["a","b","c"]"#, r#"["x"]"#, r#"["a",5]"#][self.dice.below(5)];
        match self.dice.below(5) {
            0 | 1 => format!(r#"{{"path":{path},"type":"del"}}"#),
            2 => format!(r#"{{"data":{{"b":{{"c":1}},"d":[2]}},"path":{path},"type":"put"}}"#),
            n => format!(r#"{{"data":{n},"path":{path},"type":"put"}}"#),
        }
    }

    /// Another batch, mostly behind the last.
    fn grow(&mut self) {
        let parent = match self.dice.below(6) {
            _ if self.batches.is_empty() => None,
            0 => Some(self.dice.below(self.batches.len())),
            _ => Some(self.batches.len() - 1),
        };
        let texts: Vec<String> = (0..1 + self.dice.below(2)).map(|_| self.op()).collect();
        let before = parent.map(|parent| &self.batches[parent]);
        let (period, seq) = match before {
            Some(before) if self.dice.below(3) > 0 => (before.period, before.seq + before.texts.len() as u64 + 1),
            before => (before.map_or(1, |before| before.period + 1), 0),
        };
        let same = |batch: &Batch| batch.parent == parent && batch.period == period && batch.texts == texts;
        if self.batches.iter().any(same) {
            return;
        }
        self.batches.push(Batch { parent, period, seq, texts });
        let number = self.batches.len() - 1;
        self.waiting.iter_mut().for_each(|waiting| waiting.push(number));
    }

    /// A side gets a batch that it can take, in any order.
    fn spread(&mut self, side: usize) {
        let held = &self.sides[side].held;
        let fits = |number: &usize| self.batches[*number].parent.is_none_or(|parent| held.contains_key(&parent));
        let fitting: Vec<usize> = self.waiting[side].iter().copied().filter(fits).collect();
        if fitting.is_empty() {
            return;
        }
        let number = fitting[self.dice.below(fitting.len())];
        self.waiting[side].retain(|waits| *waits != number);
        self.sides[side].take(number, &self.batches[number]);
    }

    /// A folder listens to a side for some events, or until nothing more comes; then it must have the state.
    async fn listen(&mut self, folder: usize, side: usize, events: Option<usize>) {
        let (side, folder) = (&self.sides[side], &mut self.folders[folder]);
        side.tell();
        if hears(folder, side, events).await {
            let head = json!(side.head_id());
            assert_eq!(folder.log.last().map_or(&Value::Null, |(batch, _)| batch), &head);
            let expected = match side.head {
                Some(_) => leaves(side.api.at, folder.prefix, "").await,
                None => Default::default(),
            };
            assert_eq!(folder.leaves(), expected, "below {:?}, at {head}", folder.prefix);
        }
    }

    async fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            let side = self.dice.below(2);
            match self.dice.below(12) {
                0..=3 => self.grow(),
                4..=6 => self.spread(side),
                7 => {
                    let to = self.dice.below(self.batches.len());
                    self.sides[side].turn(to);
                }
                8 => self.sides[side].api = serve(&self.sides[side].store).await,
                _ => {
                    let (folder, events) = (self.dice.below(self.folders.len()), self.dice.below(8));
                    self.listen(folder, side, Some(events).filter(|events| *events > 0)).await;
                }
            }
        }
        for side in 0..2 {
            while !self.waiting[side].is_empty() {
                self.spread(side);
            }
            self.sides[side].turn(self.batches.len() - 1);
            for folder in 0..self.folders.len() {
                self.listen(folder, side, None).await;
            }
        }
    }
}

/// Two nodes with the same histories in different orders; four subscribers that come and go between them, while batches
/// come, histories fork, heads move, and nodes start again.
///
/// Planted: no `undo`; a removal that a put of the same batch outdoes; a history named by its last batch alone; period
/// ends not compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_folds_the_stream_has_the_state() {
    let seeds = std::env::var("HONEYGRAPH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..seeds {
        println!("seed {seed}");
        let mut world = World::new(seed).await;
        world.run(90).await;
        for (name, many) in world.folders.iter().flat_map(|folder| &folder.seen) {
            *seen.entry(name.clone()).or_default() += many;
        }
    }
    println!("{seen:?}");
    assert!(["new", "undo", "reset", "heartbeat"].iter().all(|name| seen[*name] > 10), "{seen:?}");
}

/// The batches of a line, each `(period, texts)`, each behind the one before.
fn line(side: &mut Side, from: Option<usize>, periods: &[(u64, &str)]) {
    let mut parent = from;
    for (period, text) in periods {
        let number = side.held.len();
        let before = parent.map(|parent| side.periods[&parent]);
        let seq = before.filter(|before| before.0 == *period).map_or(0, |before| before.1);
        let texts = vec![format!(r#"{{"data":"{text}","path":["at","{text}"],"type":"put"}}"#)];
        side.take(number, &Batch { parent, period: *period, seq, texts });
        side.periods.insert(number, (*period, seq + 2));
        parent = Some(number);
    }
    side.tell();
}

/// A folder hears so many events of a side, or all that there are; whether it has heard all.
async fn hears(folder: &mut Folder, side: &Side, events: Option<usize>) -> bool {
    let since = now();
    let mut stream = folder.open(side.api.at).await;
    let mut heartbeats = 0;
    for _ in 0..events.unwrap_or(usize::MAX) {
        let heard = stream.next().await.unwrap();
        let is_new = heard.0["timestamp"].as_u64() > Some(since);
        heartbeats += usize::from(heard.0["event"] == "heartbeat" && is_new);
        folder.take(side.api.at, heard).await;
        // Between two that were made since, the node has looked at what is there.
        if heartbeats == 2 {
            return true;
        }
    }
    false
}

async fn until(stream: &mut Stream, name: &str) -> (Value, String) {
    loop {
        let heard = stream.next().await.unwrap();
        if heard.0["event"] == name {
            return heard;
        }
    }
}

/// Listens until nothing more comes: then it must have the state.
async fn folds(folder: &mut Folder, side: &Side) {
    assert!(hears(folder, side, None).await);
    assert_eq!(folder.leaves(), leaves(side.api.at, "", "").await);
}

/// Planted: a cursor that does not say whether there was a base.
#[tokio::test]
async fn a_base_that_the_client_has_not_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let base = base::import(folder.path(), br#"[101,{"x":5,"y":2}]"#, None).unwrap();
    let (mut plain, mut store) = (Side::new().await, Store::new());
    store.state.stand_on_base(Base::current(folder.path()).unwrap().unwrap()).unwrap();
    let mut based = Side::on(store).await;
    let mut early = Folder::new("", true);
    let mut stream = early.open(based.api.at).await;
    early.take(based.api.at, until(&mut stream, "reset").await).await;
    let hashes = BTreeMap::from([(2, base.hash.clone())]);
    for side in [&mut plain, &mut based] {
        side.hashes = hashes.clone();
        line(side, None, &[(1, "f"), (2, "a"), (2, "b")]);
    }
    assert_eq!(plain.head_id(), based.head_id());
    let mut late = Folder::new("", false);
    for side in [&plain, &based, &based] {
        folds(&mut late, side).await;
    }
    assert_eq!((late.seen["reset"], late.seen.get("undo")), (2, None));
    // One that was there from the beginning.
    folds(&mut early, &based).await;
    assert_eq!(early.seen["reset"], 2, "{:?}", early.seen);
}

/// Both nodes have the same last batch, as its id goes, but not the same history: the batch is the first of a period with
/// the same hash.
///
/// Planted: period ends not compared.
#[tokio::test]
async fn equal_ids_on_other_histories_are_told_apart() {
    let (mut one, mut other) = (Side::new().await, Side::new().await);
    line(&mut one, None, &[(1, "f"), (2, "g"), (3, "h"), (4, "a"), (5, "x")]);
    line(&mut other, None, &[(1, "f"), (2, "g"), (3, "h"), (4, "b"), (5, "x")]);
    assert_eq!(one.head_id(), other.head_id());
    let mut folder = Folder::new("", false);
    for side in [&one, &other, &other, &one] {
        folds(&mut folder, side).await;
    }
    assert_eq!(
        (folder.seen["reset"], folder.seen["undo"], folder.seen["new"]),
        (1, 2, 8),
        "back to the end that is sampled"
    );
}

#[tokio::test]
async fn what_the_node_does_not_know_is_read_anew() {
    let (mut one, mut other) = (Side::new().await, Side::new().await);
    line(&mut one, None, &[(1, "f"), (1, "a")]);
    line(&mut other, None, &[(7, "g")]);
    let (first, cursor) = until(&mut Stream::open(one.api.at, "", false, None).await, "reset").await;
    assert_eq!((&first["reason"], &first["batch"]), (&json!("first"), &json!(one.head_id())));
    for key in ["network", "fork", "label", "complete", "verified", "final"] {
        assert!(first.get(key).is_some(), "{key}: {first}");
    }
    // `Last-Event-ID` is newer than what the URL says.
    let mut stream = Stream::open(other.api.at, &format!("cursor={cursor}"), false, None).await;
    let (unknown, theirs) = until(&mut stream, "reset").await;
    assert_eq!((&unknown["reason"], &unknown["batch"]), (&json!("unknown"), &json!(other.head_id())));
    let mut stream = Stream::open(one.api.at, &format!("cursor={theirs}"), false, Some(&cursor)).await;
    assert_eq!(stream.next().await.unwrap().0["event"], "heartbeat");
    for wrong in ["cursor=nonsense", "cursor=AQ", "prefix=%5B1", "prefix=a/a/a/a/a/a/a/a/a", "network=nope_"] {
        let answer = get(one.api.at, &format!("/api/stream?{wrong}")).await;
        assert!(answer.status == 400 || answer.status == 404, "{wrong}: {}", answer.text);
    }
}

#[tokio::test]
async fn gaps_and_confirmations_are_told_and_whoever_comes_later_hears_of_them_too() {
    let mut side = Side::new().await;
    line(&mut side, None, &[(1, "f"), (1, "a"), (2, "x")]);
    let (first, confirmed, next) = (side.held[&0], side.held[&1], side.held[&2].node);
    let mut stream = Stream::open(side.api.at, "", false, None).await;
    until(&mut stream, "reset").await;
    let mut proofs = honeygraph::fork::proofs::Proofs::default();
    let hash = HashText::new("Qm2").unwrap();
    let proof = Proof {
        at: confirmed.node,
        by: next,
        hash,
        label: Some(201),
        root: false,
        outcome: Outcome::Verified,
        agreed: None,
        at_ms: 1,
    };
    proofs.proven(&[next], &proof, |_| true);
    let gap = Gap {
        id: 7,
        lane: 1,
        ordinal: 0,
        label: Some(201),
        run: 0,
        from: 5,
        to: 9,
        state: GapState::Recorded,
        at_ms: 1,
    };
    let gap = GapStatus { gap, phase: "recorded", tries: 3 };
    let parked = ParkedStatus { pieces: 2, operations: 3, reasons: vec![("behind_gap", 1)] };
    let mut status = Status { network: "dlux_".into(), gaps: vec![gap], parked, ..Status::default() };
    status.proven = Arc::new(proofs);
    side.api.status.send_replace(Arc::new(status));
    for late in [false, true] {
        if late {
            stream = Stream::open(side.api.at, "", true, None).await;
        }
        let (gap, _) = until(&mut stream, "gap").await;
        assert_eq!((&gap["gaps"][0]["id"], &gap["parked"]["pieces"]), (&json!(7), &json!(2)), "{gap}");
        let (last, _) = until(&mut stream, "final").await;
        assert_eq!((&last["batch"], &last["by"], &last["final"]), (&json!(confirmed.id), &json!("feed"), &json!(true)));
        assert_ne!(last["batch"], json!(first.id));
    }
    side.api.status.send_replace(Arc::new(Status::default()));
    assert_eq!(until(&mut stream, "gap").await.0["gaps"], json!([]));
}

/// Planted: the older confirmation told once the newer one was taken back; a late subscriber told of the newer one.
#[tokio::test]
async fn a_word_that_is_taken_back_is_not_untold_and_whoever_comes_later_does_not_hear_it() {
    let mut side = Side::new().await;
    line(&mut side, None, &[(1, "f"), (2, "x"), (3, "y")]);
    let ats = [0, 1, 2].map(|number| side.held[&number]);
    let hash = |number: usize| HashText::new(&format!("Qm{}", number + 1)).unwrap();
    let mut proofs = honeygraph::fork::proofs::Proofs::default();
    for number in [1, 2] {
        let (at, by) = (ats[number - 1].node, ats[number].node);
        let (label, outcome) = (Some(number as u64 * 100 + 1), Outcome::Verified);
        let proof = Proof { at, by, hash: hash(number), label, root: false, outcome, agreed: None, at_ms: 1 };
        proofs.proven(&[by], &proof, |_| number == 1);
    }
    let history = vec![vec![ats[2].node]];
    let trust = |trusted| Trust { hash: hash(2), trusted, reason: "seen".into(), at_ms: 1 };
    proofs.trust(&history, &trust(true));
    let mut stream = Stream::open(side.api.at, "", false, None).await;
    until(&mut stream, "reset").await;
    let status = |proofs: &honeygraph::fork::proofs::Proofs, pieces| {
        let parked = ParkedStatus { pieces, operations: 3, reasons: vec![("gap", pieces)] };
        Arc::new(Status { network: "dlux_".into(), parked, proven: Arc::new(proofs.clone()), ..Status::default() })
    };
    side.api.status.send_replace(status(&proofs, 0));
    assert_eq!(until(&mut stream, "final").await.0["batch"], json!(ats[1].id));
    proofs.trust(&[], &trust(false));
    // What waits changes too, and is told first.
    let mut other = status(&proofs, 1);
    Arc::make_mut(&mut other).parked.reasons = vec![("behind_gap", 1)];
    side.api.status.send_replace(other);
    until(&mut stream, "gap").await;
    assert_eq!(stream.next().await.unwrap().0["event"], "heartbeat");
    let mut late = Stream::open(side.api.at, "", false, None).await;
    let told = until(&mut late, "final").await.0;
    assert_eq!((&told["batch"], &told["by"]), (&json!(ats[0].id), &json!("feed")));
}

#[tokio::test]
async fn a_socket_answers_pings_and_takes_nothing_else() {
    let mut side = Side::new().await;
    line(&mut side, None, &[(1, "f")]);
    let mut stream = Stream::open(side.api.at, "", true, None).await;
    stream.say(Message::Ping(vec![1, 2, 3].into())).await;
    assert_eq!(stream.other().await, Message::Pong(vec![1, 2, 3].into()));
    stream.say(Message::Text("hello".into())).await;
    let Message::Close(Some(close)) = stream.other().await else { panic!("a close") };
    assert_eq!(u16::from(close.code), 1003);
    let refused = crate::client::send(
        side.api.at,
        "GET /api/stream HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n",
    );
    assert_eq!(refused.await.status, 426);
}

/// One who reads nothing while more comes than the ring holds is let go, with a cursor that leads on.
///
/// Planted: the cursor that it came with instead of that of its last event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_is_let_go_with_its_cursor() {
    let mut side = Side::new().await;
    line(&mut side, None, &[(1, "f")]);
    for socket in [false, true] {
        let mut folder = Folder::new("", socket);
        let mut slow = folder.open(side.api.at).await;
        folder.take(side.api.at, slow.next().await.unwrap()).await;
        let mut quick = Stream::open(side.api.at, "", socket, None).await;
        for _ in 0..90 {
            let number = side.held.len();
            let (period, seq) = side.periods[&(number - 1)];
            let data = format!("{number}{}", "x".repeat(1 << 20));
            let texts = vec![format!(r#"{{"data":"{data}","path":["at","{}"],"type":"put"}}"#, number % 3)];
            side.take(number, &Batch { parent: Some(number - 1), period, seq, texts });
            side.periods.insert(number, (period, seq + 2));
            side.tell();
            until(&mut quick, "new").await;
        }
        let mut last = Value::Null;
        while let Some(heard) = slow.next().await {
            last = heard.0.clone();
            folder.take(side.api.at, heard).await;
        }
        assert_eq!((&last["event"], &last["reason"]), (&json!("bye"), &json!("slow")));
        let news = folder.seen["new"];
        assert!(news < 90, "{news}");
        let mut again = folder.open(side.api.at).await;
        while folder.log.last().unwrap().0 != json!(side.head_id()) {
            let heard = again.next().await.unwrap();
            folder.take(side.api.at, heard).await;
        }
        assert_eq!(folder.leaves(), leaves(side.api.at, "", "").await);
        assert_eq!((folder.seen["new"], folder.seen["reset"]), (90, 1), "each once, though it was away");
    }
}
