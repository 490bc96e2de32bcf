//! A whole node: makes the channels, starts the tasks, stops them in order. The only file that sees all stages.
//!
//! *Always holds:* intake stops first and storage last; the first task that fails stops the node with its reason; what
//! was acknowledged is in the journal whatever the rest does.

mod swarm;

use crate::access::account_keys;
use crate::access::hive::Accounts;
use crate::access::keys::{KeyRing, keys_path};
use crate::access::limits::Limits;
use crate::access::signed::Once;
use crate::access::watched::Watched;
use crate::access::{Access, Since};
use crate::config::{AdminListen, Config};
use crate::data_dir::{DataDir, DataDirError, Endpoints};
use crate::feed::budget::Budget;
use crate::feed::counters::Counters;
use crate::feed::limits::Limits as FeedLimits;
use crate::feed::networks::{INTAKE_MESSAGES, Networks, NetworksError, Port};
use crate::feed::session::Surroundings;
use crate::feed::upgrade::Feeds;
use crate::fork::admin::ADMIN_CAPACITY;
use crate::fork::heads::Heads;
use crate::fork::machine::Limits as ForkLimits;
use crate::fork::record::Lsn;
use crate::fork::rules::Rules;
use crate::fork::supply::{Order, SUPPLY_CAPACITY};
use crate::journal::disk::Disk;
use crate::journal::disk::real::RealDisk;
use crate::journal::task::{CoreTask, Inlets, Setup};
use crate::journal::trim::beginning;
use crate::journal::{JournalError, Reader};
use crate::projection::base::{self, Base, BaseError};
use crate::projection::open;
use crate::projection::state::{State, StateError};
use crate::projection::task::ProjectionError;
use crate::proof::claimed::Claim;
use crate::proof::fill::Filler;
use crate::proof::gateway::{GatewayError, Gateways};
use crate::proof::source;
use crate::proof::task::{ProofError, Prover};
use crate::proof::walk::Ways;
use crate::retention::keeper::{KeepError, Keeper, Orders};
use crate::retention::task::Keeping;
use crate::web::listen::{self, Listener};
use crate::web::tls::Tls;
use crate::web::who::Entrance;
use crate::web::{self, Networked, Web};
use crate::{logging, projection};
use honeygraph_bootstrap::Network;
use honeygraph_bootstrap::identity::IdentityError;
use honeygraph_protocols::honeycomb::HashText;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How long sockets and requests may take to end at a stop, before storage is closed all the same.
const INTAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Why a node does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A journal.
    #[error("journal of {network}: {source}")]
    Journal {
        /// The network.
        network: String,
        /// Why.
        source: JournalError,
    },
    /// A state store.
    #[error("state of {network}: {source}")]
    State {
        /// The network.
        network: String,
        /// Why.
        source: StateError,
    },
    /// The configured base.
    #[error("base of {network}: {source}")]
    Base {
        /// The network.
        network: String,
        /// Why.
        source: BaseError,
    },
    /// The client of gateways.
    #[error(transparent)]
    Gateways(GatewayError),
    /// Checkpoints cannot be recomputed.
    #[error("network {network}: {source}")]
    Proof {
        /// Network.
        network: String,
        /// Why.
        source: Box<ProofError>,
    },
    /// A projection.
    #[error("state of {network}: {source}")]
    Projection {
        /// The network.
        network: String,
        /// Why.
        source: ProjectionError,
    },
    /// The key by which other nodes know this one.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// The socket for orders.
    #[error("listen on {path} (a path has at most 107 bytes): {source}")]
    AdminSocket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of keys.
    #[error("{path}: {why}")]
    Keys {
        /// File.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What is kept of a network.
    #[error("retention of {network}: {source}")]
    Retention {
        /// The network.
        network: String,
        /// Why.
        source: KeepError,
    },
    /// A port.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The configured networks.
    #[error(transparent)]
    Networks(#[from] NetworksError),
    /// A thread panicked: a bug; what was acknowledged is safe.
    #[error("a thread of the node panicked; see the log")]
    Panicked,
    /// The system gives no thread.
    #[error("start a thread: {0}")]
    Thread(std::io::Error),
}

/// Runs a node until `shutdown`, or until something it cannot do without fails. `bound` hears once where it listens.
pub async fn run(config: Config, shutdown: CancellationToken, bound: impl FnOnce(&Endpoints)) -> Result<(), NodeError> {
    let started = Instant::now();
    let data = DataDir::create(&config.data_dir)?;
    // A node that was killed left its word behind.
    data.remove_endpoints()?;
    take_bases(&config, &data).await?;
    let key = swarm::key(&config.swarm, &data)?;
    let mut storage = Storage::new(shutdown.clone(), (config.gateways.clone(), config.roots), config.retention);
    let mut ports = BTreeMap::new();
    let (mut networked, mut exchanges) = (BTreeMap::new(), Vec::new());
    for (network, stores) in open_stores(&storage.disk, &config, &data)? {
        let (port, reading, outside) = storage.start(&network, stores, &data)?;
        ports.insert(network.name.clone(), port);
        exchanges.extend(swarm::Exchange::of(&network, &reading, outside));
        networked.insert(network.name.clone(), reading);
    }
    // `network` is what a request means that names none; a feed that names none is DLUX's (docs/honeycomb.md).
    let nameless =
        if ports.contains_key(crate::catalog::FALLBACK) { crate::catalog::FALLBACK } else { &config.network };
    let networks = Networks::new(nameless, ports, config.catalog.tokens().clone())?;
    let intake_stop = CancellationToken::new();
    let limits = FeedLimits::default();
    let access = Arc::new(access(&config)?);
    let feeds = Feeds::new(Surroundings {
        networks: Arc::new(networks),
        counters: Arc::new(Counters::default()),
        limits,
        budget: Budget::new(&limits),
        access: access.clone(),
        stop: intake_stop.clone(),
    });
    let in_swarm = swarm::start(&config.swarm, &data, key, exchanges, &intake_stop).await;
    let mut tasks = in_swarm.tasks;
    let web = Arc::new(Web {
        swarm: in_swarm.swarm,
        swarm_failed: in_swarm.failed,
        streams: web::stream::Streams::new(&networked, web::stream::HEARTBEAT, intake_stop.clone()),
        networks: networked,
        tokens: config.catalog.tokens().clone(),
        exports: web::export::Room::default(),
        default_network: config.network.clone(),
        label: config.node_label(),
        operation_buffer: config.fork.operation_buffer,
        access,
        feeds: feeds.clone(),
        log_level: Box::new(|filter| logging::set_level(filter).map_err(|error| error.to_string())),
        started,
    });
    let failed = match serve(&config, &data, &feeds, &web, &intake_stop).await {
        Ok((served, endpoints)) => {
            tasks.extend(served);
            bound(&endpoints);
            shutdown.cancelled().await;
            None
        }
        Err(failed) => Some(failed),
    };
    info!("intake stops");
    intake_stop.cancel();
    ended(feeds, web, tasks).await;
    let failure = tokio::task::spawn_blocking(move || storage.close()).await.unwrap_or(None);
    data.remove_endpoints()?;
    if let Some(failure) = failed.or(failure) {
        return Err(failure);
    }
    info!("stopped");
    Ok(())
}

/// Waits until nobody speaks with the outside any more, and lets go of what would keep the storage open.
async fn ended(feeds: Arc<Feeds>, web: Arc<Web>, tasks: Vec<tokio::task::JoinHandle<()>>) {
    let ended = async {
        feeds.ended().await;
        web.streams.ended().await;
        for task in tasks {
            let _ = task.await;
        }
    };
    if tokio::time::timeout(INTAKE_PATIENCE, ended).await.is_err() {
        warn!("some sockets did not end in time");
    }
}

/// Who may do what.
fn access(config: &Config) -> Result<Access, NodeError> {
    let wanted = &config.access;
    let unread = |path: &Path, why| NodeError::Keys { path: path.to_owned(), why };
    let file = match &wanted.account_keys {
        Some(path) => Watched::open(path, account_keys::read).map_err(|why| unread(path, why))?,
        None => Watched::default(),
    };
    let accounts = Accounts::new(file, wanted.hive_api.clone());
    let keys = keys_path(&config.data_dir);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Access {
        require: wanted.require,
        roll: wanted.roll.clone(),
        accounts: accounts.map_err(|error| NodeError::Gateways(GatewayError::Client(error)))?,
        keys: Watched::open(&keys, KeyRing::watch).map_err(|why| unread(&keys, why))?,
        proxies: wanted.proxies.clone(),
        origins: wanted.origins.clone(),
        hosts: wanted.hosts.clone(),
        private: wanted.private,
        admin_elsewhere: wanted.admin_listen.is_some(),
        once: Mutex::new(Once::new(now_ms)),
        limits: Mutex::new(Limits::new(wanted.rates)),
        since: Since::default(),
    })
}

/// Takes the configured base where there is none. A document that is there and is no base stops the node, because the
/// operator named it; one that cannot be had now does not: feeds come first, and the next start asks again.
async fn take_base(config: &Config, data: &DataDir) -> Result<(), NodeError> {
    let Some(source) = &config.base else { return Ok(()) };
    let folder = data.base(&config.network);
    let refused = |source| NodeError::Base { network: config.network.clone(), source };
    if Base::current(&folder).map_err(refused)?.is_some() {
        return Ok(());
    }
    let begins = beginning(&RealDisk, data.path(), &config.network);
    let begins = begins.map_err(|source| NodeError::Journal { network: config.network.clone(), source })?;
    if begins.first > 1 {
        warn!(
            network = config.network,
            first = begins.first,
            "no base is taken: the journal begins late, the state cannot be made again on one"
        );
        return Ok(());
    }
    let bytes = match source::fetch(source, &config.gateways, base::MAX_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) => {
            warn!(network = config.network, "the base is not here: {error}; the node starts without it");
            return Ok(());
        }
    };
    let expected = source::is_cid(source).then_some(source.as_str());
    let taken = base::import(&folder, &bytes, expected).map_err(refused)?;
    info!(network = config.network, hash = taken.hash, label = taken.label, leaves = taken.leaves, "base taken");
    Ok(())
}

/// Takes the configured base, and those that were found while the node ran last.
async fn take_bases(config: &Config, data: &DataDir) -> Result<(), NodeError> {
    take_base(config, data).await?;
    for network in config.catalog.networks() {
        let name = &network.name;
        let begins = beginning(&RealDisk, data.path(), name);
        let begins = begins.map_err(|source| NodeError::Journal { network: name.clone(), source })?;
        let adopted = base::adopt(&data.found_base(name), &data.base(name), begins.first <= 1);
        let adopted = adopted.map_err(|source| NodeError::Base { network: name.clone(), source })?;
        if let Some(base) = adopted {
            info!(network = name, hash = %base.hash, "the root that was found becomes the base");
        }
    }
    Ok(())
}

/// Binds the listeners, says where, serves.
async fn serve(
    config: &Config,
    data: &DataDir,
    feeds: &Arc<Feeds>,
    web: &Arc<Web>,
    stop: &CancellationToken,
) -> Result<(Vec<tokio::task::JoinHandle<()>>, Endpoints), NodeError> {
    let tls = match &config.access.tls {
        Some(tls) => Some(Arc::new(Tls::open(tls).map_err(NodeError::Tls)?)),
        None => None,
    };
    let (api, api_at) = bind(config.api_listen).await?;
    let (feed, feed_at) = bind(config.feed_listen).await?;
    let admin = admin_listener(config, data).await?;
    let routes = web::routes(web.clone());
    let api_routes = routes.clone().merge(web::index::root()).merge(feeds.api_routes());
    let secured = |listener| match &tls {
        Some(tls) => Listener::Tls(listener, tls.clone()),
        None => Listener::Tcp(listener),
    };
    let serve = |listener, routes, entrance| tokio::spawn(listen::serve(listener, routes, entrance, stop.clone()));
    let mut served = vec![
        serve(secured(api), api_routes, Entrance::Public),
        serve(secured(feed), routes.clone().merge(feeds.feed_routes()), Entrance::Public),
    ];
    let secured = if tls.is_some() { "s" } else { "" };
    let swarm = web.swarm.as_ref().map(|swarm| swarm.handle.seen().borrow().addresses.clone()).unwrap_or_default();
    let admin_at = admin.map(|(listener, at)| {
        served.push(serve(listener, routes.merge(web::index::root()), Entrance::Admin));
        at
    });
    let endpoints = Endpoints {
        api: format!("http{secured}://{api_at}"),
        feed: format!("ws{secured}://{feed_at}"),
        swarm: swarm.iter().map(ToString::to_string).collect(),
        admin: admin_at,
    };
    data.write_endpoints(&endpoints)?;
    info!(api = endpoints.api, feed = endpoints.feed, "listening");
    Ok((served, endpoints))
}

/// The listener for orders, if it is one of its own. With TLS there is always one, so that commands on this machine need no
/// certificate.
async fn admin_listener(config: &Config, data: &DataDir) -> Result<Option<(Listener, String)>, NodeError> {
    let path = match (&config.access.admin_listen, &config.access.tls) {
        (Some(AdminListen::Tcp(address)), _) => {
            let (listener, at) = bind(*address).await?;
            return Ok(Some((Listener::Tcp(listener), format!("http://{at}"))));
        }
        (Some(AdminListen::Unix(path)), _) => path.clone(),
        (None, Some(_)) => data.path().join("admin.sock"),
        (None, None) => return Ok(None),
    };
    let failed = |source| NodeError::AdminSocket { path: path.clone(), source };
    // What a killed node left. Anything else is somebody's, and then the bind below says that the place is taken.
    if std::fs::symlink_metadata(&path).is_ok_and(|there| there.file_type().is_socket()) {
        std::fs::remove_file(&path).map_err(failed)?;
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    // Whoever may open it may give orders: the node's own user.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let at = std::path::absolute(&path).map_err(failed)?;
    Ok(Some((Listener::Unix(listener), format!("unix:{}", at.display()))))
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// What is on disk of a network: the core with the journal it has read, and the state.
type Stores = (CoreTask, State);

/// Opens the journals and states of all networks, all at once: each waits mostly for its disk.
fn open_stores(
    disk: &Arc<dyn Disk>,
    config: &Config,
    data: &DataDir,
) -> Result<Vec<(Arc<Network>, Stores)>, NodeError> {
    std::thread::scope(|scope| {
        let opening = config.catalog.networks().map(|network| {
            let core = scope.spawn(|| open_core(disk, config, data, network));
            let state = scope.spawn(|| {
                let begins = beginning(&**disk, data.path(), &network.name);
                let begins = begins.map_err(|source| NodeError::Journal { network: network.name.clone(), source })?;
                let base = Base::current(&data.base(&network.name)).map_err(StateError::from);
                let folder = data.state(&network.name);
                let opened = base.and_then(|base| open::open(&folder, Default::default(), base, &begins));
                opened.map_err(|source| NodeError::State { network: network.name.clone(), source })
            });
            (network, core, state)
        });
        // All are started before the first is waited for.
        let opening: Vec<_> = opening.collect();
        opening
            .into_iter()
            .map(|(network, core, state)| {
                let core = core.join().map_err(|_| NodeError::Panicked)??;
                let state = state.join().map_err(|_| NodeError::Panicked)??;
                Ok((network.clone(), (core, state)))
            })
            .collect()
    })
}

fn open_core(disk: &Arc<dyn Disk>, config: &Config, data: &DataDir, network: &Network) -> Result<CoreTask, NodeError> {
    let setup = Setup {
        network: network.name.clone(),
        rules: rules(network),
        limits: ForkLimits {
            forks_per_label: config.fork.max_per_block,
            fork_retention_ms: config.fork.retention.as_millis() as u64,
        },
        segment_bytes: config.segment_bytes,
    };
    let opened = CoreTask::open(disk.clone(), data.path(), setup);
    opened.map_err(|source| NodeError::Journal { network: network.name.clone(), source })
}

fn rules(network: &Network) -> Rules {
    Rules {
        checkpoint_every: network.checkpoint_every,
        root_interval: network.root_interval,
        root_offset: network.root_offset,
    }
}

/// The threads that own journals and states.
struct Storage {
    disk: Arc<dyn Disk>,
    cores: Vec<JoinHandle<()>>,
    projections: Vec<JoinHandle<()>>,
    /// Ends the cores, then the projections.
    stops: (CancellationToken, CancellationToken),
    /// The first failure.
    failure: watch::Sender<Option<NodeError>>,
    shutdown: CancellationToken,
    gateways: Vec<String>,
    /// Roots that the way back may read.
    roots: u64,
    retention: Orders,
}

/// What others than feeds and operators tell a core.
struct Outside {
    supplies: mpsc::Sender<Order>,
    heads: watch::Sender<Heads>,
}

impl Storage {
    fn new(shutdown: CancellationToken, (gateways, roots): (Vec<String>, u64), retention: Orders) -> Self {
        Self {
            gateways,
            roots,
            retention,
            disk: Arc::new(RealDisk),
            cores: Vec::new(),
            projections: Vec::new(),
            stops: Default::default(),
            failure: watch::Sender::new(None),
            shutdown,
        }
    }

    /// Starts the threads of one network.
    fn start(
        &mut self,
        network: &Network,
        (core, state): Stores,
        data: &DataDir,
    ) -> Result<(Port, Networked, Outside), NodeError> {
        let name = network.name.clone();
        if let Some(cut) = &core.recovered.cut {
            warn!(network = name, lsn = cut.lsn, bytes = cut.bytes, "a torn write at the end of the journal was cut");
        }
        let base = state.base_hash().map_err(|source| NodeError::State { network: name.clone(), source })?;
        let base = base.as_deref().and_then(HashText::new);
        let (applied, applied_seen) = watch::channel(state.cursor());
        let (feeds, feeds_out) = mpsc::channel(INTAKE_MESSAGES);
        let (orders, orders_out) = mpsc::channel(ADMIN_CAPACITY);
        let (supplies, supplies_out) = mpsc::channel(SUPPLY_CAPACITY);
        let (heads, heads_out) = watch::channel(Heads::new());
        let port = Port::new(feeds, core.durable());
        let (kept, kept_seen) = watch::channel(Arc::default());
        let reading = Networked {
            tap: Arc::clone(&port.tap),
            status: core.status(),
            durable: core.durable(),
            applied: applied_seen,
            state: state.reader(),
            journal: core.reader(),
            writer: core.journal(),
            kept: kept_seen,
            admin: orders,
            ready_at: core.recovered.last,
            genesis: Arc::default(),
            checkpoint_every: network.checkpoint_every,
        };
        let found = Some(data.found_base(&name)).filter(|_| base.is_none());
        let claim = found.clone().map(|found| Claim { file: data.claimed_state(&name), found });
        self.start_prover(network, &core, &reading, base, claim)?;
        self.start_filler(network, &reading, supplies.clone(), found)?;
        let (floor, floor_seen) = watch::channel(0);
        let keeping = Keeping {
            keeper: Keeper::new(self.retention, core.reader(), state.reader()),
            folder: data.journal(&name),
            status: core.status(),
            kept,
            floor,
            stop: self.stops.0.clone(),
        };
        self.start_keeping(&name, keeping)?;
        self.start_projection(&name, state, core.reader(), (applied, floor_seen))?;
        let stop = self.stops.0.clone();
        let inlets = Inlets { feeds: feeds_out, orders: orders_out, supplies: supplies_out, heads: heads_out, stop };
        self.start_core(&name, core, inlets)?;
        Ok((port, reading, Outside { supplies, heads }))
    }

    fn start_keeping(&mut self, name: &str, keeping: Keeping) -> Result<(), NodeError> {
        let network = name.to_owned();
        let run = async move { keeping.run().await.map_err(|source| NodeError::Retention { network, source }) };
        let thread = self.thread(format!("keep {name}"), run)?;
        self.cores.push(thread);
        Ok(())
    }

    fn start_core(&mut self, name: &str, core: CoreTask, inlets: Inlets) -> Result<(), NodeError> {
        let network = name.to_owned();
        let run =
            async move { core.run(inlets).await.map(|_| ()).map_err(|source| NodeError::Journal { network, source }) };
        let thread = self.thread(format!("core {name}"), run)?;
        self.cores.push(thread);
        Ok(())
    }

    fn start_projection(
        &mut self,
        name: &str,
        state: State,
        reader: Reader,
        (applied, floor): (watch::Sender<Lsn>, watch::Receiver<Lsn>),
    ) -> Result<(), NodeError> {
        let (network, stop) = (name.to_owned(), self.stops.1.clone());
        let run = async move {
            let ended = projection::task::run(state, reader, applied, floor, stop).await;
            ended.map_err(|source| NodeError::Projection { network, source })
        };
        let thread = self.thread(format!("state {name}"), run)?;
        self.projections.push(thread);
        Ok(())
    }

    fn start_prover(
        &mut self,
        network: &Network,
        core: &CoreTask,
        reading: &Networked,
        base: Option<HashText>,
        claim: Option<Claim>,
    ) -> Result<(), NodeError> {
        let prover = Prover {
            network: network.name.clone(),
            rules: rules(network),
            state: reading.state.clone(),
            journal: core.reader(),
            core: reading.admin.clone(),
            gateways: Gateways::new(&self.gateways).map_err(NodeError::Gateways)?,
            ask_at: None,
            base,
            claim,
            stop: self.stops.1.clone(),
        };
        let (network, applied) = (network.name.clone(), reading.applied.clone());
        let proven = reading.status.borrow().proven.clone();
        let name = format!("proof {network}");
        let run = async move {
            prover.run(&proven, applied).await.map_err(|source| NodeError::Proof { network, source: source.into() })
        };
        let thread = self.thread(name, run)?;
        self.projections.push(thread);
        Ok(())
    }

    fn start_filler(
        &mut self,
        network: &Network,
        reading: &Networked,
        supplies: mpsc::Sender<Order>,
        found: Option<PathBuf>,
    ) -> Result<(), NodeError> {
        let gateways = Gateways::new(&self.gateways).map_err(NodeError::Gateways)?;
        if gateways.is_empty() {
            return Ok(());
        }
        let filler = Filler {
            network: network.name.clone(),
            rules: rules(network),
            gateways,
            core: reading.admin.clone(),
            supplies,
            ways: Ways::new(self.roots, found),
            stop: self.stops.1.clone(),
        };
        let status = reading.status.clone();
        let run = async move {
            filler.run(status).await;
            Ok(())
        };
        let thread = self.thread(format!("fill {}", network.name), run)?;
        self.projections.push(thread);
        Ok(())
    }

    /// A thread of its own for a task that may block; its failure stops the node.
    fn thread(
        &self,
        name: String,
        run: impl Future<Output = Result<(), NodeError>> + Send + 'static,
    ) -> Result<JoinHandle<()>, NodeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NodeError::Thread)?;
        let (failure, shutdown) = (self.failure.clone(), self.shutdown.clone());
        let body = move || {
            // Whatever ends the task before it is told to, a panic too, ends the node.
            let _guard = shutdown.drop_guard();
            if let Err(failed) = runtime.block_on(run) {
                error!("{failed}");
                failure.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(failed);
                    is_first
                });
            }
        };
        std::thread::Builder::new().name(name).spawn(body).map_err(NodeError::Thread)
    }

    /// Ends the threads, cores first; what went wrong, if anything did.
    fn close(self) -> Option<NodeError> {
        let mut panicked = false;
        self.stops.0.cancel();
        for thread in self.cores {
            panicked |= thread.join().is_err();
        }
        self.stops.1.cancel();
        for thread in self.projections {
            panicked |= thread.join().is_err();
        }
        self.failure.send_replace(None).or(panicked.then_some(NodeError::Panicked))
    }
}
