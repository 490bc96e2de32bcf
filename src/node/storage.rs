//! The threads of a node that own what is on disk: for each network the journal, the state, what proves, fills, keeps and
//! pictures them.
//!
//! *Always holds:* a thread that ends before it is told to ends the node, with its reason; cores end before the states that
//! follow them.

use super::NodeError;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::feed::networks::{INTAKE_MESSAGES, Port};
use crate::fork::admin::ADMIN_CAPACITY;
use crate::fork::heads::Heads;
use crate::fork::machine::Limits as ForkLimits;
use crate::fork::record::Lsn;
use crate::fork::rules::Rules;
use crate::fork::supply::{Order, SUPPLY_CAPACITY};
use crate::journal::Reader;
use crate::journal::disk::Disk;
use crate::journal::disk::real::RealDisk;
use crate::journal::task::{CoreTask, Inlets, Setup};
use crate::pictures;
use crate::pictures::task::Maker;
use crate::projection;
use crate::projection::open::Found;
use crate::projection::state::State;
use crate::projection::state::kv::Fjall;
use crate::projection::task::Asked;
use crate::proof::claimed::Claim;
use crate::proof::fill::Filler;
use crate::proof::gateway::Gateways;
use crate::proof::task::Prover;
use crate::proof::walk::Ways;
use crate::retention::keeper::{Keeper, Orders};
use crate::retention::task::Keeping;
use crate::snapshots::order;
use crate::snapshots::place::{self, Place, Settings as SnapshotSettings};
use crate::snapshots::restore::{self, Restore};
use crate::snapshots::task::Snapshots;
use crate::web::Networked;
use honeygraph_bootstrap::Network;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::NetworkName;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// What is on disk of a network: the core with the journal it has read, and what was found of the state in its place.
pub(super) type Stores = (CoreTask, (Found, Place));

/// Opens the journals and states of all networks, all at once: each waits mostly for its disk.
pub(super) fn open_stores(
    disk: &Arc<dyn Disk>,
    config: &Config,
    data: &DataDir,
) -> Result<Vec<(Arc<Network>, Stores)>, NodeError> {
    std::thread::scope(|scope| {
        let opening = config.catalog.networks().map(|network| {
            let core = scope.spawn(|| open_core(disk, config, data, network));
            let state = scope.spawn(|| {
                let place = place::place(&config.snapshots, data, &network.name, Fjall::is_shareable);
                let place = place.map_err(|source| NodeError::Place { network: network.name.clone(), source })?;
                let found = restore::find(&place.store, place.backend.as_deref());
                let found = found.map_err(|source| NodeError::State { network: network.name.clone(), source })?;
                Ok::<_, NodeError>((found, place))
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
            answer_ms: config.fork.answer.as_millis() as u64,
        },
        segment_bytes: config.segment_bytes,
    };
    let opened = CoreTask::open(disk.clone(), data.path(), setup);
    opened.map_err(|source| NodeError::Journal { network: network.name.clone(), source })
}

pub(super) fn rules(network: &Network) -> Rules {
    Rules {
        checkpoint_every: network.checkpoint_every,
        root_interval: network.root_interval,
        root_offset: network.root_offset,
    }
}

/// The threads that own journals and states.
pub(super) struct Storage {
    /// Where it all lies.
    pub(super) disk: Arc<dyn Disk>,
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
    snapshots: SnapshotSettings,
}

/// What others than feeds and operators tell a core.
pub(super) struct Outside {
    pub(super) supplies: mpsc::Sender<Order>,
    pub(super) heads: watch::Sender<Heads>,
    /// Hash of the base that the state stands on.
    pub(super) base: Option<HashText>,
    /// Pictures for newcomers.
    pub(super) pictures: watch::Receiver<Arc<pictures::Held>>,
}

fn tell_of_cut(network: &str, core: &CoreTask) {
    if let Some(cut) = &core.recovered.cut {
        warn!(network, lsn = cut.lsn, bytes = cut.bytes, "a torn write at the end of the journal was cut");
    }
}

impl Storage {
    pub(super) fn new(
        shutdown: CancellationToken,
        (gateways, roots): (Vec<String>, u64),
        (retention, snapshots): (Orders, SnapshotSettings),
    ) -> Self {
        Self {
            gateways,
            roots,
            retention,
            snapshots,
            disk: Arc::new(RealDisk),
            cores: Vec::new(),
            projections: Vec::new(),
            stops: Default::default(),
            failure: watch::Sender::new(None),
            shutdown,
        }
    }

    /// Starts the threads of one network.
    pub(super) fn start(
        &mut self,
        network: &Network,
        (core, (found, place)): Stores,
        data: &DataDir,
    ) -> Result<(Port, Networked, Outside), NodeError> {
        let name = network.name.clone();
        tell_of_cut(&name, &core);
        let restore = Arc::new(Restore::new(&name, &place, core.reader(), (self.disk.clone(), data)));
        let state = restore.start(found).map_err(|source| NodeError::State { network: name.clone(), source })?;
        let base = state.base_hash().map_err(|source| NodeError::State { network: name.clone(), source })?;
        let base = base.as_deref().and_then(HashText::new);
        let (applied, applied_seen) = watch::channel(state.cursor());
        let (feeds, feeds_out) = mpsc::channel(INTAKE_MESSAGES);
        let (orders, orders_out) = mpsc::channel(ADMIN_CAPACITY);
        let (supplies, supplies_out) = mpsc::channel(SUPPLY_CAPACITY);
        let (heads, heads_out) = watch::channel(Heads::new());
        let port = Port::new(feeds, core.durable());
        let (kept, kept_seen) = watch::channel(Arc::default());
        let (pictures, pictures_seen) = watch::channel(Arc::default());
        let (wishes, wishes_out) = mpsc::channel(order::CAPACITY);
        let reading = Networked {
            tap: Arc::clone(&port.tap),
            status: core.status(),
            durable: core.durable(),
            applied: applied_seen,
            state: state.reader(),
            journal: core.reader(),
            writer: core.journal(),
            kept: kept_seen,
            snapshots: pictures_seen,
            snapshot_orders: wishes,
            admin: orders,
            ready_at: core.recovered.last,
            genesis: Arc::default(),
            checkpoint_every: network.checkpoint_every,
        };
        let found = Some(data.found_base(&name)).filter(|_| base.is_none());
        let claim = found.clone().map(|found| Claim { file: data.claimed_state(&name), found });
        self.start_prover(network, &core, &reading, base.clone(), claim)?;
        let for_newcomers = self.start_pictures(network, &reading, data)?;
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
        // One asks at a time, and waits until it is over.
        let (still, still_out) = mpsc::channel(1);
        let (replace, replace_out) = mpsc::channel(1);
        let snapshots = Snapshots {
            network: name.clone(),
            backend: place.backend,
            trouble: place.trouble,
            settings: self.snapshots.clone(),
            state: state.reader(),
            status: core.status(),
            still,
            replace,
            restore: restore.clone(),
            orders: wishes_out,
            shown: pictures,
            stop: self.stops.0.clone(),
        };
        self.start_snapshots(&name, snapshots)?;
        let mend = Box::new(move |why: &str| restore.other(why));
        let asked = Asked { floor: floor_seen, still: still_out, replace: replace_out, mend };
        self.start_projection(&name, state, core.reader(), (applied, asked))?;
        let stop = self.stops.0.clone();
        let inlets = Inlets { feeds: feeds_out, orders: orders_out, supplies: supplies_out, heads: heads_out, stop };
        self.start_core(&name, core, inlets)?;
        Ok((port, reading, Outside { supplies, heads, base, pictures: for_newcomers }))
    }

    fn start_keeping(&mut self, name: &str, keeping: Keeping) -> Result<(), NodeError> {
        let network = name.to_owned();
        let run = async move { keeping.run().await.map_err(|source| NodeError::Retention { network, source }) };
        let thread = self.thread(format!("keep {name}"), run)?;
        self.cores.push(thread);
        Ok(())
    }

    fn start_snapshots(&mut self, name: &str, snapshots: Snapshots) -> Result<(), NodeError> {
        let run = async move {
            snapshots.run().await;
            Ok(())
        };
        let thread = self.thread(format!("snap {name}"), run)?;
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
        (applied, asked): (watch::Sender<Lsn>, Asked),
    ) -> Result<(), NodeError> {
        let (network, stop) = (name.to_owned(), self.stops.1.clone());
        let run = async move {
            let ended = projection::task::run(state, reader, applied, asked, stop).await;
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

    fn start_pictures(
        &mut self,
        network: &Network,
        reading: &Networked,
        data: &DataDir,
    ) -> Result<watch::Receiver<Arc<pictures::Held>>, NodeError> {
        let (shown, seen) = watch::channel(Arc::default());
        // A name that does not travel has no newcomers.
        let Some(name) = NetworkName::new(&network.name) else { return Ok(seen) };
        let maker = Maker {
            network: name,
            rules: rules(network),
            state: reading.state.clone(),
            status: reading.status.clone(),
            folder: data.pictures(&network.name),
            shown,
            stop: self.stops.1.clone(),
        };
        let run = async move {
            maker.run().await;
            Ok(())
        };
        let thread = self.thread(format!("pict {}", network.name), run)?;
        self.projections.push(thread);
        Ok(seen)
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
    pub(super) fn close(self) -> Option<NodeError> {
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
