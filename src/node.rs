//! A whole node: makes the channels, starts the tasks, stops them in order. The only file that sees all stages.
//!
//! *Always holds:* intake stops first and storage last; the first task that fails stops the node with its reason; what
//! was acknowledged is in the journal whatever the rest does.

mod access;
mod listen;
mod storage;
mod swarm;

use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError, Endpoints};
use crate::feed::budget::Budget;
use crate::feed::counters::Counters;
use crate::feed::limits::Limits as FeedLimits;
use crate::feed::networks::{Networks, NetworksError};
use crate::feed::session::Surroundings;
use crate::feed::upgrade::Feeds;
use crate::journal::JournalError;
use crate::journal::disk::real::RealDisk;
use crate::journal::trim::beginning;
use crate::logging;
use crate::projection::base::{self, Base, BaseError};
use crate::projection::state::StateError;
use crate::projection::task::ProjectionError;
use crate::proof::gateway::GatewayError;
use crate::proof::source;
use crate::proof::task::ProofError;
use crate::retention::keeper::KeepError;
use crate::web::{self, Web};
use access::access;
use honeygraph_bootstrap::identity::IdentityError;
use listen::serve;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Outside, Storage, open_stores};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

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
    /// Where the state lies.
    #[error("state of {network}: {source}")]
    Place {
        /// The network.
        network: String,
        /// Why.
        source: crate::snapshots::Error,
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
///
/// A newcomer that holds nothing begins once more, on the same ports, when peers have given it a base.
pub async fn run(
    mut config: Config,
    shutdown: CancellationToken,
    bound: impl FnOnce(&Endpoints),
) -> Result<(), NodeError> {
    let mut bound = Some(bound);
    loop {
        let (again, stop) = (CancellationToken::new(), shutdown.child_token());
        let mut listens = None;
        let ended = once(&config, &stop, &again, |endpoints| {
            listens = Some(endpoints.clone());
            if let Some(bound) = bound.take() {
                bound(endpoints);
            }
        });
        ended.await?;
        if shutdown.is_cancelled() || !again.is_cancelled() {
            return Ok(());
        }
        info!("begins once more, with the base that peers gave");
        if let Some(listens) = listens {
            listen::stay(&mut config, &listens);
        }
    }
}

/// One life of a node: until `shutdown`, or until something wants it `again`.
async fn once(
    config: &Config,
    shutdown: &CancellationToken,
    again: &CancellationToken,
    bound: impl FnOnce(&Endpoints),
) -> Result<(), NodeError> {
    let started = Instant::now();
    let data = DataDir::create(&config.data_dir)?;
    // A node that was killed left its word behind.
    data.remove_endpoints()?;
    take_bases(config, &data).await?;
    let key = swarm::key(&config.swarm, &data)?;
    let orders = (config.retention, config.snapshots.clone());
    let mut storage = Storage::new(shutdown.clone(), (config.gateways.clone(), config.roots), orders);
    let mut ports = BTreeMap::new();
    let (mut networked, mut exchanges) = (BTreeMap::new(), Vec::new());
    for (network, stores) in open_stores(&storage.disk, config, &data)? {
        let (port, reading, outside) = storage.start(&network, stores, &data)?;
        ports.insert(network.name.clone(), port);
        exchanges.extend(swarm::Exchange::of(&network, &reading, outside, &data));
        networked.insert(network.name.clone(), reading);
    }
    // `network` is what a request means that names none; a feed that names none is DLUX's (docs/honeycomb.md).
    let nameless =
        if ports.contains_key(crate::catalog::FALLBACK) { crate::catalog::FALLBACK } else { &config.network };
    let networks = Networks::new(nameless, ports, config.catalog.tokens().clone())?;
    let intake_stop = CancellationToken::new();
    let limits = FeedLimits::default();
    let access = Arc::new(access(config)?);
    let feeds = Feeds::new(Surroundings {
        networks: Arc::new(networks),
        counters: Arc::new(Counters::default()),
        limits,
        budget: Budget::new(&limits),
        access: access.clone(),
        stop: intake_stop.clone(),
    });
    let in_swarm = swarm::start(&config.swarm, &data, key, (exchanges, &access), (&intake_stop, again)).await;
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
    let failed = match serve(config, &data, &feeds, &web, &intake_stop).await {
        Ok((served, endpoints)) => {
            tasks.extend(served);
            bound(&endpoints);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = wanted_again(again, &web) => {}
            }
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

/// Waits until a base waits for a node that holds nothing. Where anything of any network is held, whoever feeds and reads
/// that is not sent away for it: the base waits for the next start.
async fn wanted_again(again: &CancellationToken, web: &Web) {
    again.cancelled().await;
    if web.networks.values().any(|network| !matches!(network.state.snapshot().head(), Ok(None))) {
        info!("the base that peers gave is taken at the next start");
        std::future::pending::<()>().await;
    }
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
