//! A small history in a real journal and a real state, and a node's API over it.

use crate::client::Answer;
use honeygraph::access::Access;
use honeygraph::feed::budget::Budget;
use honeygraph::feed::counters::Counters;
use honeygraph::feed::limits::Limits;
use honeygraph::feed::networks::{Networks, Port};
use honeygraph::feed::session::Surroundings;
use honeygraph::feed::upgrade::Feeds;
use honeygraph::fork::admin::{ADMIN_CAPACITY, Admin};
use honeygraph::fork::record::*;
use honeygraph::fork::status::Status;
use honeygraph::journal::disk::real::RealDisk;
use honeygraph::journal::{Journal, Options};
use honeygraph::projection::state::State;
use honeygraph::projection::state::kv::Tuning;
use honeygraph::web::listen::{self, Listener};
use honeygraph::web::stream::Streams;
use honeygraph::web::who::Entrance;
use honeygraph::web::{Networked, Web, index, routes};
use honeygraph_protocols::batch::{BatchId, Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op::push_text;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A stream's heartbeat: often, so that nobody waits long to know that nothing more comes.
pub const HEARTBEAT: Duration = Duration::from_millis(3);

/// A chained batch.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub node: Node,
    pub id: BatchId,
}

/// A journal and a state of the network `dlux_`.
pub struct Store {
    _dir: TempDir,
    pub journal: Journal,
    pub state: State,
    seq: u64,
}

impl Store {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(Arc::new(RealDisk), dir.path(), Options::new("dlux_")).unwrap();
        let state = State::open(&dir.path().join("state"), Tuning::default()).unwrap();
        Self { _dir: dir, journal, state, seq: 0 }
    }

    pub fn append(&mut self, record: &Record, body: Option<&[u8]>) -> Lsn {
        let lsn = self.journal.append(record, body).unwrap();
        self.journal.flush().unwrap();
        let reader = self.journal.reader();
        self.state.apply(lsn, record, &mut |piece| reader.body(piece).map_err(Into::into)).unwrap();
        self.state.commit().unwrap();
        lsn
    }

    pub fn branch(&mut self, branch: BranchNo, parent: Option<At>) {
        let cause = if parent.is_some() { BranchCause::Fork } else { BranchCause::First };
        self.append(&Record::Branch(Branch { branch, parent: parent.map(|at| at.node), cause }), None);
    }

    /// The next batch is the first of its period.
    pub fn begin_period(&mut self) {
        self.seq = 0;
    }

    /// Chains a batch of these op texts; on branch 0 the head moves with it.
    pub fn batch(&mut self, branch: BranchNo, prev: Option<At>, period: &str, label: u64, texts: &[&str]) -> At {
        let seq = self.seq;
        self.seq += texts.len() as u64 + 1;
        let parent = prev.map_or(Parent::Period(HashText::new(period).unwrap()), |prev| Parent::Batch(prev.id));
        self.chain(Place { branch, prev, period, label, seq, parent, head: branch == 0 }, texts)
    }

    /// Chains a batch of these op texts at a place.
    pub fn chain(&mut self, place: Place<'_>, texts: &[&str]) -> At {
        let Place { branch, prev, period, label, seq, parent, head } = place;
        let mut body = Vec::new();
        for text in texts {
            push_text(text.as_bytes(), &mut body);
        }
        let (hash, ops_hash, count) = (HashText::new(period).unwrap(), *blake3::hash(&body).as_bytes(), texts.len());
        let at_ms = 1_000 + seq;
        let piece = self.append(
            &Record::Piece(Piece {
                lane: 1,
                ordinal: 0,
                label: Some(label),
                run: 0,
                seq,
                index: Some(seq),
                count: count as u32,
                close: Close::Marker,
                begins: true,
                ops_hash,
                at_ms,
            }),
            Some(&body),
        );
        let (network, v, count) = ("dlux_".to_string(), Header::VERSION, count as u64);
        let header = Header { v, network, period: hash.clone(), seq, parent: parent.clone(), count, ops_hash };
        let id = header.id();
        let chain = Chain {
            branch,
            prev: prev.map(|prev| prev.node),
            period: hash,
            opening_label: Some(label),
            label: Some(label),
            seq,
            count,
            marker: true,
            parent,
            id,
            ops_hash,
            pieces: vec![piece],
            head,
            hole: false,
            at_ms,
        };
        At { node: Node { branch, version: self.append(&Record::Chain(chain), None) }, id }
    }
}

/// Where a batch is chained.
pub struct Place<'a> {
    pub branch: BranchNo,
    pub prev: Option<At>,
    pub period: &'a str,
    pub label: u64,
    pub seq: u64,
    pub parent: Parent,
    pub head: bool,
}

/// Checks that an answer is this error.
pub fn told(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.text);
    assert!(answer.body["error"].is_string());
}

/// A node's API.
pub struct Api {
    pub at: SocketAddr,
    pub status: watch::Sender<Arc<Status>>,
    pub applied: watch::Sender<u64>,
    pub orders: mpsc::Receiver<Admin>,
}

/// Serves the API over a store.
pub async fn serve(store: &Store) -> Api {
    guarded(store, Access::default()).await
}

/// The same, with these rules about who may do what.
pub async fn guarded(store: &Store, access: Access) -> Api {
    entered(store, access, Entrance::Public).await
}

/// The same, through this entrance.
pub async fn entered(store: &Store, access: Access, entrance: Entrance) -> Api {
    let access = Arc::new(access);
    let (to, _core) = mpsc::channel(1);
    let last = store.journal.next() - 1;
    let ports = [("dlux_".to_string(), Port::new(to, store.journal.durable()))].into();
    let networks = Arc::new(Networks::new("dlux_", ports, BTreeMap::new()).unwrap());
    let stop = CancellationToken::new();
    let counters = Arc::new(Counters::default());
    let limits = Limits::default();
    let budget = Budget::new(&limits);
    let feeds =
        Feeds::new(Surroundings { networks, counters, limits, budget, access: access.clone(), stop: stop.clone() });
    let (status, watched) = watch::channel(Arc::new(Status { network: "dlux_".into(), ..Status::default() }));
    let (applied, applied_watched) = watch::channel(last);
    let (admin, orders) = mpsc::channel(ADMIN_CAPACITY);
    let networked = Networked {
        tap: Arc::default(),
        status: watched,
        durable: store.journal.durable(),
        applied: applied_watched,
        state: store.state.reader(),
        journal: store.journal.reader(),
        writer: store.journal.state(),
        kept: watch::channel(Arc::default()).1,
        snapshots: watch::channel(Arc::default()).1,
        snapshot_orders: mpsc::channel(1).0,
        admin,
        ready_at: last,
        genesis: Arc::new(OnceLock::new()),
        checkpoint_every: 100,
    };
    let networks: BTreeMap<_, _> = [("dlux_".to_string(), networked)].into();
    let web = Arc::new(Web {
        swarm: None,
        swarm_failed: None,
        streams: Streams::new(&networks, HEARTBEAT, stop.clone()),
        label: "test".into(),
        operation_buffer: 10_000,
        networks,
        tokens: [("DLUX".to_string(), "dlux_".to_string())].into(),
        exports: Default::default(),
        default_network: "dlux_".into(),
        access,
        feeds: Arc::clone(&feeds),
        log_level: Box::new(|level| if level == "info" { Ok(()) } else { Err("no".into()) }),
        started: Instant::now(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = routes(web).merge(index::root()).merge(feeds.api_routes());
    tokio::spawn(listen::serve(Listener::Tcp(listener), router, entrance, stop.clone()));
    Api { at, status, applied, orders }
}
