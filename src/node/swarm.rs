//! Starts the swarm of a node.
//!
//! *Always holds:* a swarm that cannot start or listen is said and leaves the node running; only a key that is there and
//! cannot be read stops the start, because the operator has to decide about it.

use super::{NodeError, Outside};
use crate::access::Access;
use crate::config::SwarmConfig;
use crate::data_dir::{DataDir, swarm_binding};
use crate::fork::admin::Admin;
use crate::projection::base::Base;
use crate::swarm::door;
use crate::swarm::door::task::{Inside, Keeper, LetGo};
use crate::swarm::find::{ADDED_WAITING, Find};
use crate::swarm::following::Following;
use crate::swarm::host::{Handle, Heard, Host, Question, Settings};
use crate::swarm::newcomer::machine;
use crate::swarm::newcomer::task::{Folders, Newcomer};
use crate::swarm::serve::{Held, Serve};
use crate::swarm::task::{self, Task};
use crate::swarm::votes::book::Quorum;
use crate::swarm::votes::task::{self as votes, Votes};
use crate::swarm::{Pictures, Swarm};
use crate::web::Networked;
use crate::web::agree::ASKING;
use honeygraph_bootstrap::meeting::Manners;
use honeygraph_bootstrap::source::Finder;
use honeygraph_bootstrap::transport::{Line, Neighbourhood, SwarmError};
use honeygraph_bootstrap::{Network, identity};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::NetworkName;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::pnet::PreSharedKey;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// What we call ourselves.
const AGENT: &str = concat!("honeygraph/", env!("CARGO_PKG_VERSION"));

/// What the swarm needs of a network.
pub(super) struct Exchange {
    held: Held,
    applied: watch::Receiver<u64>,
    outside: Outside,
    admin: mpsc::Sender<Admin>,
    /// The base that the state stands on.
    base: Option<HashText>,
    /// Where one comes in, when the state may be made again.
    folders: Option<Folders>,
}

impl Exchange {
    /// Of this network.
    pub(super) fn of(network: &Network, reading: &Networked, outside: Outside, data: &DataDir) -> Option<Self> {
        let held = Held {
            network: NetworkName::new(&network.name)?,
            rules: super::storage::rules(network),
            status: reading.status.clone(),
            state: reading.state.clone(),
            journal: reading.journal.clone(),
            pictures: outside.pictures.clone(),
        };
        // A state that has applied nothing does not stand on its base yet.
        let waiting = Base::current(&data.base(&network.name)).ok().flatten().map(|base| base.hash);
        let base = outside.base.clone().or(waiting);
        let fetching = data.fetching(&network.name);
        let may = base.is_none() && reading.journal.first() <= 1;
        if !may {
            // What was begun is of no use any more.
            let _ = std::fs::remove_dir_all(&fetching);
        }
        let folders = may.then(|| Folders { fetching, found: data.found_base(&network.name) });
        Some(Self { held, applied: reading.applied.clone(), outside, admin: reading.admin.clone(), base, folders })
    }
}

/// What became of the start.
#[derive(Default)]
pub(super) struct Started {
    /// The swarm, when it runs.
    pub(super) swarm: Option<Swarm>,
    /// Why it does not, though it should.
    pub(super) failed: Option<String>,
    /// Its tasks.
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// The node's key, when it takes part.
pub(super) fn key(config: &SwarmConfig, data: &DataDir) -> Result<Option<Keypair>, NodeError> {
    if !config.enabled {
        info!("the swarm is off (`swarm.enabled`)");
        return Ok(None);
    }
    Ok(Some(identity::load_or_make(&data.swarm_key())?))
}

/// Starts it, when it is wanted and possible.
pub(super) async fn start(
    config: &SwarmConfig,
    data: &DataDir,
    key: Option<Keypair>,
    (exchanges, access): (Vec<Exchange>, &Arc<Access>),
    (stop, again): (&CancellationToken, &CancellationToken),
) -> Started {
    let Some(key) = key else { return Started::default() };
    run(config, data, key, (exchanges, access), (stop, again)).await.unwrap_or_else(|failed| {
        error!(error = %failed, "the swarm cannot start: this node runs without");
        Started { failed: Some("it could not start: see the log".into()), ..Started::default() }
    })
}

async fn run(
    config: &SwarmConfig,
    data: &DataDir,
    key: Keypair,
    (exchanges, access): (Vec<Exchange>, &Arc<Access>),
    (stop, again): (&CancellationToken, &CancellationToken),
) -> Result<Started, SwarmError> {
    let topics = task::topics(exchanges.iter().map(|exchange| &exchange.held.network));
    let ((host, handle, Heard { rumours, questions }), finder) = takes_part(config, &key, topics).await?;
    let (added, added_out) = mpsc::channel(ADDED_WAITING);
    let held = exchanges.iter().map(|exchange| (exchange.held.network.clone(), exchange.held.clone())).collect();
    let Doorway { inside, let_go, questions, keeper } = doorway(config, &handle, access, questions, stop);
    let bound = swarm_binding(data.path());
    let serve = tokio::task::spawn_blocking(move || Serve::new(held, bound).run(questions));
    let trusted = config.trusted.iter().filter_map(task::key).collect();
    let (ballots, ballots_out) = mpsc::channel(votes::WAITING);
    let (ways_out, known) = ((handle.clone(), inside.clone()), data.swarm_book());
    let (mut task, events) = Task::new(ways_out, trusted, config.interval, known, ballots);
    let find = Find::new(handle.clone(), finder, config.sources.clone(), (data.swarm_peers(), task.shown()));
    let us = task::key(&handle.us()).ok_or("the node's key is of a kind that cannot vote")?;
    let mut votes = Votes::new(handle.clone(), key, us, voting(config, data), task.events());
    let (mut newcomers, mut pictures) = (Vec::new(), BTreeMap::new());
    let follow = exchanges.into_iter().map(|Exchange { held, applied, outside, admin, base, folders }| {
        let (ways, agreed) = ((outside.supplies, outside.heads), votes.poll(held.clone(), admin));
        let (mut following, carrier) =
            Following::new(held.clone(), applied, ways, task.events(), agreed, seed(&handle.us()));
        if config.since_base {
            following.only_since(base);
        }
        let (shown, fetched) = watch::channel(Arc::<machine::Shown>::default());
        pictures.insert(held.network.to_string(), Pictures { held: held.pictures.clone(), fetched });
        let (handle, inside, events) = (handle.clone(), inside.clone(), task.events());
        let (anchors, ready) = (following.vouched(), again.clone());
        newcomers.extend(folders.map(|folders| Newcomer {
            held,
            handle,
            inside,
            anchors,
            events,
            folders,
            ready,
            shown,
        }));
        task.follow(following);
        carrier
    });
    let carriers: Vec<_> = follow.collect();
    let swarm = Swarm {
        handle,
        inside,
        let_go,
        search: find.shown(),
        added,
        shown: task.shown(),
        votes: votes.shown(),
        required: config.consensus.0,
        pictures,
        look: task.look(),
        order: Arc::new(Semaphore::new(1)),
        asking: Arc::new(Semaphore::new(ASKING)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let until = stop.clone();
    let follow = tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            carriers.into_iter().for_each(|carrier| drop(tokio::spawn(carrier)));
            newcomers.into_iter().for_each(|newcomer| drop(tokio::spawn(newcomer.run(until.clone()))));
            let voting = tokio::spawn(votes.run(ballots_out, until.clone()));
            task.run(events, rumours, until).await;
            // It ends with the same word; a panic of it has been said.
            let _ = voting.await;
        });
    });
    let (host, find) = (tokio::spawn(host.run(stop.clone())), tokio::spawn(find.run(added_out, stop.clone())));
    let tasks = [host, find, serve, follow].into_iter().chain(keeper).collect();
    Ok(Started { swarm: Some(swarm), failed: None, tasks })
}

/// A host that listens, and who looks for its first peers.
async fn takes_part(
    config: &SwarmConfig,
    key: &Keypair,
    topics: Vec<String>,
) -> Result<((Host, Handle, Heard), Finder), SwarmError> {
    let neighbourhood = Neighbourhood::default();
    let pre_shared = config.pre_shared_key.as_deref().map(pre_shared).transpose()?;
    let settings = Settings {
        line: Line { key: key.clone(), pre_shared, neighbourhood: neighbourhood.clone() },
        listen: config.listen.clone(),
        announce: config.announce.clone(),
        manners: manners(config),
        mdns: config.mdns,
        topics,
    };
    let finder = Finder::new(AGENT, neighbourhood)?;
    let (mut host, handle, heard) = Host::new(settings)?;
    host.listen().await;
    info!(peer = %handle.us(), "takes part in the swarm");
    Ok(((host, handle, heard), finder))
}

/// What stands between peers and whoever serves.
struct Doorway {
    inside: Inside,
    let_go: watch::Receiver<LetGo>,
    questions: mpsc::Receiver<Question>,
    keeper: Option<JoinHandle<()>>,
}

/// A door with somebody at it where the operator says who may come in, an open one where not.
fn doorway(
    config: &SwarmConfig,
    handle: &Handle,
    access: &Arc<Access>,
    questions: mpsc::Receiver<Question>,
    stop: &CancellationToken,
) -> Doorway {
    let (only, never) = (config.accounts.clone(), config.block_accounts.clone());
    let rules = door::Rules { only, never, named: config.trusted.iter().filter_map(task::key).collect() };
    if rules.is_open() {
        return Doorway {
            inside: Inside::default(),
            let_go: watch::channel(LetGo::default()).1,
            questions,
            keeper: None,
        };
    }
    let (keeper, served) = Keeper::new(rules, handle.clone(), access.clone());
    let (inside, let_go) = (keeper.inside(), keeper.let_go());
    let keeper = tokio::spawn(keeper.run(questions, stop.clone()));
    Doorway { inside, let_go, questions: served, keeper: Some(keeper) }
}

fn manners(config: &SwarmConfig) -> Manners {
    Manners {
        agent: AGENT.into(),
        relay: config.relay,
        server: config.reachable,
        allow: config.allow.clone(),
        block: config.block.clone(),
    }
}

fn voting(config: &SwarmConfig, data: &DataDir) -> votes::Settings {
    let (required, tolerance) = config.consensus;
    votes::Settings {
        electorate: config.electorate.clone(),
        keys: config.account_keys.clone(),
        binding: swarm_binding(data.path()),
        said: data.path().join("swarm"),
        quorum: Quorum { required, tolerance },
    }
}

/// By which nodes spread what they do at the same time.
fn seed(us: &PeerId) -> u64 {
    us.to_bytes().iter().fold(0, |seed: u64, byte| seed.rotate_left(7) ^ u64::from(*byte))
}

fn pre_shared(file: &Path) -> Result<PreSharedKey, SwarmError> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    text.parse().map_err(|error| format!("{}: {error}", file.display()).into())
}
