//! The nodes of `up`: a process each, on the loopback, all of one operator, so each trusts the others. The honeycombs feed the
//! first unless they are moved; the others have it as their peer, and their operator vouches for each checkpoint that the
//! honeycombs announce, as one does who asks several of them.
//!
//! *Always holds:* what the others know comes from each other, and from hashes that a honeycomb made public; a node that was
//! ended by an order runs again, where it listened before.

use super::order::What;
use super::{NETWORK, cast};
use honeygraph::data_dir::swarm_key;
use honeygraph_bootstrap::identity;
use honeygraph_testnet::api::Api;
use honeygraph_testnet::process::{Endpoints, Launch, Node};
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Between two looks at what peers hold, ms: heads come by gossip anyway.
const LOOK_EVERY_MS: &str = "2000";
/// A hash that is vouched for needs a place in the list of those; the oldest makes room.
const PINS: usize = 64;
/// Loopback with a port that the system chooses.
const ANY: &str = "127.0.0.1:0";

/// Where a node is put.
struct Seat {
    number: usize,
    data: PathBuf,
    /// Its id in the swarm.
    id: String,
    /// Where it listens, from its first start on.
    listens: [String; 3],
    node: Option<Node>,
    /// Cut off from the other nodes.
    parted: bool,
    /// It has lost its data, and with them what was vouched for.
    wiped: bool,
}

/// The nodes.
pub(super) struct Nodes {
    seats: Vec<Seat>,
    config: PathBuf,
    log_level: String,
    pinned: BTreeSet<String>,
    order: VecDeque<String>,
}

/// Where a node stands.
pub(super) struct Row {
    /// Its number.
    pub(super) number: usize,
    /// Its API.
    pub(super) api: String,
    /// Block of its head.
    pub(super) head: Option<u64>,
    /// Connected peers.
    pub(super) peers: usize,
    /// What it is doing.
    pub(super) role: String,
    /// Whether it is cut off from the others.
    pub(super) parted: bool,
}

impl Nodes {
    /// Starts so many, on data below this folder. The first listens where it is told.
    pub(super) fn enter(
        folder: &Path,
        count: usize,
        (api, feed): (String, String),
        log_level: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let config = folder.join("nodes.toml");
        std::fs::create_dir_all(folder)?;
        std::fs::write(&config, cast::short_day())?;
        let mut seats = Vec::new();
        for number in 1..=count {
            let data = folder.join(format!("node-{number}"));
            // A node that was never started has a name already: others may be told to keep it out.
            let id = identity::peer_id(&identity::load_or_make(&swarm_key(&data))?).to_string();
            let listens = match number {
                1 => [api.clone(), feed.clone(), "/ip4/127.0.0.1/tcp/0".to_owned()],
                _ => [ANY, ANY, "/ip4/127.0.0.1/tcp/0"].map(str::to_owned),
            };
            seats.push(Seat { number, data, id, listens, node: None, parted: false, wiped: false });
        }
        let (pinned, order) = (BTreeSet::new(), VecDeque::new());
        let mut nodes = Self { seats, config, log_level: log_level.to_owned(), pinned, order };
        (0..count).try_for_each(|at| nodes.start(at))?;
        Ok(nodes)
    }

    /// The first one's API.
    pub(super) fn first(&self) -> Api {
        Api::new(&self.endpoints(0).api)
    }

    /// Where a node listens.
    fn endpoints(&self, at: usize) -> &Endpoints {
        &self.seats[at].node.as_ref().expect("a node that was ended is started at once").endpoints
    }

    /// The API of the first, as one types it.
    pub(super) fn api(&self) -> &str {
        &self.endpoints(0).api
    }

    /// Where the honeycombs connect.
    pub(super) fn feed(&self) -> &str {
        &self.endpoints(0).feed
    }

    /// Where feeds of a node connect, as `host:port`; none: there is no such node.
    pub(super) fn feed_of(&self, number: usize) -> Option<&str> {
        let at = number.checked_sub(1).filter(|at| *at < self.seats.len())?;
        Some(self.endpoints(at).feed.trim_start_matches("ws://"))
    }

    /// Numbers and APIs of those that nobody feeds.
    pub(super) fn others(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..self.seats.len()).map(|at| (at + 1, self.endpoints(at).api.as_str()))
    }

    fn start(&mut self, at: usize) -> Result<(), Box<dyn Error>> {
        let seat = &self.seats[at];
        let [api, feed, swarm] = &seat.listens;
        let config = self.config.display().to_string();
        let mut launch = Launch::within("node", &seat.data)?.listen(api, feed, swarm);
        for (flag, value) in [
            ("--config", config.as_str()),
            ("--log-level", &self.log_level),
            ("--swarm-enabled", if self.seats.len() > 1 { "true" } else { "false" }),
            ("--sync-interval-ms", LOOK_EVERY_MS),
            ("--swarm-mdns", "false"),
        ] {
            launch = launch.arg(flag).arg(value);
        }
        // The first one knows nobody when it starts for the first time.
        let known = self.seats.iter().filter(|other| other.number != seat.number);
        let peers: Vec<&str> = known
            .filter_map(|other| other.node.as_ref())
            .flat_map(|node| &node.endpoints.swarm)
            .map(String::as_str)
            .collect();
        if !peers.is_empty() {
            launch = launch.arg("--peers").arg(peers.join(","));
        }
        let others: Vec<&str> = self.seats.iter().map(|seat| seat.id.as_str()).filter(|id| *id != seat.id).collect();
        if !others.is_empty() {
            launch = launch.arg(if seat.parted { "--swarm-block" } else { "--swarm-trusted" }).arg(others.join(","));
        }
        let node = launch.start()?;
        let seat = &mut self.seats[at];
        seat.listens = listened(&node.endpoints);
        seat.node = Some(node);
        Ok(())
    }

    /// Does what is wanted with a node, and starts it again; what was done.
    pub(super) fn order(&mut self, what: What, number: usize) -> Result<String, Box<dyn Error>> {
        let Some(seat) = number.checked_sub(1).and_then(|at| self.seats.get_mut(at)) else {
            return Ok(format!("there is no node {number}"));
        };
        let mut node = seat.node.take().expect("a node that was ended is started at once");
        let done = match what {
            What::Kill => {
                node.process.kill();
                "was killed and starts again"
            }
            What::Wipe => {
                node.process.kill();
                wipe(&seat.data)?;
                seat.wiped = true;
                "was killed, lost all but its name, and starts again"
            }
            What::Damage => {
                node.process.kill();
                damage(&seat.data.join("state"))?;
                "was killed, bits of its state are turned over, and it starts again"
            }
            What::Lose => {
                node.process.kill();
                std::fs::remove_dir_all(seat.data.join("journal"))?;
                // What the operator said stood in it.
                seat.wiped = true;
                "was killed, lost its journal, and starts again with its state"
            }
            What::Restart => {
                node.process.stop()?;
                "was stopped and starts again"
            }
            What::Part => {
                node.process.stop()?;
                seat.parted = !seat.parted;
                if seat.parted { "is cut off from the others" } else { "may talk to the others again" }
            }
        };
        drop(node);
        self.start(number - 1)?;
        Ok(format!("node {number} {done}"))
    }

    /// Lets those that are cut off talk to the others again.
    pub(super) fn join(&mut self) -> Result<(), Box<dyn Error>> {
        let parted: Vec<usize> = self.seats.iter().filter(|seat| seat.parted).map(|seat| seat.number).collect();
        parted.into_iter().try_for_each(|number| self.order(What::Part, number).map(drop))
    }

    /// The log of the first node that has ended by itself.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.seats.iter_mut().find_map(|seat| {
            let node = seat.node.as_mut()?;
            let status = node.process.ended()?;
            Some(format!("node {} has ended ({status}); its log ends with:\n{}", seat.number, node.process.log()))
        })
    }

    /// Vouches for the first node's newest checkpoint at the others, and once more at each that has lost its data.
    pub(super) fn vouch(&mut self, first: &Value) {
        let news = first["head"]["period"].as_str().filter(|hash| self.pinned.insert((*hash).to_owned()));
        self.order.extend(news.map(str::to_owned));
        let Some(newest) = self.order.back() else { return };
        let word = |seat: &Seat, hash: &str, trusted: bool| {
            let body = json!({ "hash": hash, "trusted": trusted, "reason": "announced", "network": NETWORK });
            let api = seat.node.as_ref().map(|node| Api::new(&node.endpoints.api));
            api.is_some_and(|api| api.post("/api/admin/trust", &body).is_ok())
        };
        for seat in self.seats.iter_mut().skip(1).filter(|seat| seat.wiped || news.is_some()) {
            // One that is just starting hears of the next.
            seat.wiped &= !word(seat, newest, true);
        }
        if self.order.len() > PINS
            && let Some(oldest) = self.order.pop_front()
        {
            // It stays noted: a head that goes back is not news.
            for seat in self.seats.iter().skip(1) {
                let _ = word(seat, &oldest, false);
            }
        }
    }

    /// Where each stands.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |seat: &Seat| {
            let endpoints = &seat.node.as_ref()?.endpoints;
            let api = Api::new(&endpoints.api);
            let status = api.status(NETWORK).ok();
            let swarm = api.json("/api/sync/status?network=spkcc_").ok();
            let phase = swarm.as_ref().and_then(|swarm| swarm["progress"]["phase"].as_str());
            let role = match (seat.number, &status) {
                (_, None) => "starting".to_owned(),
                _ if seat.parted => "cut off".to_owned(),
                (_, Some(status)) if status["lanes"].as_array().is_some_and(|lanes| !lanes.is_empty()) => {
                    match status["lanes"].as_array().map_or(0, Vec::len) {
                        1 => "fed by a honeycomb".to_owned(),
                        feeds => format!("fed by {feeds} honeycombs"),
                    }
                }
                (1, _) => "fed by nobody".to_owned(),
                _ => format!("replica, {}", phase.unwrap_or("looking for peers")),
            };
            Some(Row {
                number: seat.number,
                api: endpoints.api.clone(),
                head: status.as_ref().and_then(|status| status["head"]["label"].as_u64()),
                peers: swarm.as_ref().and_then(|swarm| Some(swarm["peers"].as_array()?.len())).unwrap_or(0),
                role,
                parted: seat.parted,
            })
        };
        self.seats.iter().filter_map(row).collect()
    }

    /// Waits until all of them are what the first is; whether they are.
    pub(super) fn are_equal(&self) -> bool {
        let first = self.first();
        let Ok(status) = first.settled(NETWORK) else { return false };
        let of = |api: &Api| api.leaves(NETWORK, "").map_err(|error| error.to_string());
        let state = of(&first);
        let head = &status["head"]["batch"];
        let there = |status: &Value| (status["head"]["batch"] == *head).then_some(());
        let mut well = true;
        for (number, api) in self.others() {
            let api = Api::new(api);
            let equal = api.wait(NETWORK, "the first node's head", there).is_ok()
                && api.settled(NETWORK).is_ok()
                && of(&api) == state;
            let word = if equal { "its state is the first one's" } else { "IS NOT EQUAL to the first" };
            println!("node {number}: {word}");
            well &= equal;
        }
        well
    }

    /// Stops them.
    pub(super) fn leave(&mut self) -> Result<(), Box<dyn Error>> {
        for seat in &mut self.seats {
            let Some(mut node) = seat.node.take() else { continue };
            let status = node.process.stop()?;
            if !status.success() {
                return Err(format!("node {} did not stop well: {status}\n{}", seat.number, node.process.log()).into());
            }
        }
        Ok(())
    }
}

/// Where a node that listens there has to be started again.
fn listened(endpoints: &Endpoints) -> [String; 3] {
    let bare = |url: &str| url.split_once("://").map_or(url, |(_, at)| at).to_owned();
    let swarm = endpoints.swarm.iter().filter_map(|at| Some(at.rsplit_once("/p2p/")?.0)).collect::<Vec<_>>().join(",");
    let swarm = if swarm.is_empty() { "/ip4/127.0.0.1/tcp/0".to_owned() } else { swarm };
    [bare(&endpoints.api), bare(&endpoints.feed), swarm]
}

/// Takes everything from a node but its name.
/// Turns bits of every file over, one byte in so many.
fn damage(folder: &Path) -> std::io::Result<()> {
    const EVERY: usize = 509;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            damage(&path)?;
            continue;
        }
        let mut bytes = std::fs::read(&path)?;
        bytes.iter_mut().step_by(EVERY).for_each(|byte| *byte ^= 0x10);
        std::fs::write(&path, bytes)?;
    }
    Ok(())
}

fn wipe(data: &Path) -> std::io::Result<()> {
    let (key, aside) = (swarm_key(data), data.with_extension("key"));
    std::fs::rename(&key, &aside)?;
    std::fs::remove_dir_all(data)?;
    std::fs::create_dir_all(key.parent().unwrap_or(data))?;
    std::fs::rename(&aside, &key)
}
