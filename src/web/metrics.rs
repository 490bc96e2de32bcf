//! `/metrics`: what the node counts, in the text format of Prometheus.
//!
//! Values are read when asked for; nothing is kept twice.
//!
//! *Always holds:* labels take their values from the configured networks and from fixed words, never from outside.

use super::Web;
use super::answer::ApiError;
use super::query::Query;
use crate::fork::status::Status;
use crate::swarm::Swarm;
use crate::swarm::task::Shown;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Content type of the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`
pub(super) async fn metrics(State(web): State<Arc<Web>>, _: Query) -> Response {
    let mut registry = Registry::with_prefix("honeygraph");
    registry.register_collector(Box::new(Scrape(web)));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

/// The node as it is now.
#[derive(Debug)]
struct Scrape(Arc<Web>);

/// A figure of one network.
type Figure = (&'static str, &'static str, fn(&Status) -> u64);

const COUNTERS: [Figure; 14] = [
    ("ops", "Ops received", |s| s.counters.ops),
    ("batches_chained", "Batches chained", |s| s.counters.chained),
    ("batches_repeated", "Batches that were held already", |s| s.counters.repeated),
    ("batches_parked", "Batches parked", |s| s.counters.parked),
    ("ops_refused", "Ops refused", |s| s.counters.refused),
    ("blocks", "Periods opened", |s| s.counters.periods),
    ("forks_born", "Forks born", |s| s.counters.forks),
    ("questions", "Questions asked of feeds", |s| s.counters.asked),
    ("checkpoints", "Checkpoint messages", |s| s.counters.checkpoints),
    ("checkpoints_verified", "Checkpoints recomputed to their hash, since the network began", |s| s.proofs.verified),
    ("checkpoints_unverifiable", "Checkpoints that could not be recomputed", |s| s.proofs.unverifiable),
    ("checkpoints_mismatched", "Checkpoints recomputed to another hash", |s| s.proofs.mismatches),
    ("head_moves", "Head moves other than by extension", |s| s.counters.head_moves),
    ("gaps_found", "Holes found in streams", |s| s.counters.gaps),
];

const GAUGES: [Figure; 9] = [
    ("head_block", "Label of the head", |s| s.head.as_ref().and_then(|head| head.label).unwrap_or(0)),
    ("forks", "Live histories", |s| s.forks.len() as u64),
    ("lanes", "Connected feeds", |s| s.lanes.len() as u64),
    ("gaps", "Known holes", |s| s.gaps.len() as u64),
    ("parked_pieces", "Durable pieces without a place", |s| s.parked.pieces),
    ("verified_block", "Label of the newest verified checkpoint of the head", |s| s.proofs.verified_at.unwrap_or(0)),
    ("confirmed_block", "Label of the newest confirmed one", |s| s.proofs.confirmed_at.unwrap_or(0)),
    ("mismatch_block", "Label of a checkpoint that differs, 0 without one", |s| s.proofs.mismatch.unwrap_or(0)),
    ("verdicts", "Verdicts of the operator in force", |s| s.verdicts.len() as u64),
];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let cores: Vec<(&str, Arc<Status>)> = self
            .0
            .networks
            .iter()
            .map(|(name, network)| (name.as_str(), Arc::clone(&network.status.borrow())))
            .collect();
        for (name, help, figure) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (network, core) in &cores {
                let label = [("network", *network)];
                ConstCounter::new(figure(core)).encode(family.encode_family(&label)?)?;
            }
        }
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (network, core) in &cores {
                let label = [("network", *network)];
                ConstGauge::new(figure(core) as i64).encode(family.encode_family(&label)?)?;
            }
        }
        self.encode_logs(&mut encoder)?;
        self.encode_peers(&mut encoder)?;
        self.encode_room(&mut encoder)?;
        self.encode_feeds(&mut encoder)
    }
}

impl Scrape {
    /// Of networks for which it is known only: a number that stands for "never" would be taken for one.
    fn encode_room(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let (name, help) = ("journal_days_until_full", "Days until the journal has taken its room");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (network, state) in &self.0.networks {
            let days = state.kept.borrow().days_until_full;
            if let Some(days) = days {
                ConstGauge::new(days).encode(family.encode_family(&[("network", network.as_str())])?)?;
            }
        }
        Ok(())
    }

    fn encode_logs(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let now = now_ms() as f64 / 1e3;
        type Log = (&'static str, &'static str, fn(&super::Networked, f64) -> f64);
        let logs: [Log; 6] = [
            ("journal_lsn", "LSN up to which the journal is durable", |n, _| *n.durable.borrow() as f64),
            ("journal_first_lsn", "First LSN of the journal that is kept", |n, _| n.kept.borrow().first as f64),
            ("journal_bytes", "Bytes of the journal's files", |n, _| n.kept.borrow().bytes as f64),
            ("state_lsn", "LSN up to which the state has applied it", |n, _| *n.applied.borrow() as f64),
            ("state_ready", "Whether the state has caught up since the start", |n, _| f64::from(u8::from(n.ready()))),
            ("sync_lag_seconds", "Age of the head's newest batch", |n, now| {
                let status = n.status.borrow();
                let newest = status.forks.iter().find(|fork| fork.is_head).map(|fork| fork.last_update as f64 / 1e3);
                newest.map_or(0.0, |newest| (now - newest).max(0.0))
            }),
        ];
        for (name, help, figure) in logs {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (network, state) in &self.0.networks {
                let label = [("network", network.as_str())];
                ConstGauge::new(figure(state, now)).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    /// How many, never who: an id would be a label from outside.
    fn encode_peers(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let Some(swarm) = &self.0.swarm else { return Ok(()) };
        let (seen, shown) = (swarm.handle.seen().borrow().clone(), swarm.shown.borrow().clone());
        let alone = swarm.search.borrow().alone_since_ms.map_or(0, |since| now_ms().saturating_sub(since) / 1_000);
        for (name, help, value) in [
            ("peers_connected", "Connected peers", seen.peers.len() as u64),
            ("peers_alone_seconds", "For how long no peer has been connected, 0 while one is", alone),
        ] {
            ConstGauge::new(value as i64).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let answered = [("answered", shown.questions.answered), ("failed", shown.questions.failed)];
        let (name, help) = ("peer_questions", "Questions to peers, by what became of them");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (outcome, count) in answered {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let (name, help) = ("peer_offences", "What peers did that they pay for, by kind");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (kind, count) in &shown.offences {
            ConstCounter::new(*count).encode(family.encode_family(&[("kind", *kind)])?)?;
        }
        let (name, help) = ("peers_let_go", "Peers that may not stay for the account that they are of, by why");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (why, count) in swarm.let_go.borrow().iter() {
            ConstCounter::new(*count).encode(family.encode_family(&[("why", *why)])?)?;
        }
        self.encode_sync(swarm, &shown, encoder)
    }

    /// What is fetched from peers, and how far they are.
    fn encode_sync(&self, swarm: &Swarm, shown: &Shown, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let votes = swarm.votes.borrow().clone();
        let heads = |name: &str| {
            let name = name.to_owned();
            shown.peers.values().filter_map(move |known| known.heads.get(&name).copied().flatten())
        };
        let of = |name: &str| shown.networks.get(name);
        let minority = |name: &str| votes.get(name).is_some_and(|votes| votes.minority.is_some());
        for (what, help, kind) in [
            ("peers_available", "Connected peers that have a head of the network", MetricType::Gauge),
            ("sync_lag_blocks", "Blocks behind the newest head of a connected peer", MetricType::Gauge),
            (
                "sync_periods_missing",
                "Periods that peers have and this node lacks, as far as is known",
                MetricType::Gauge,
            ),
            ("sync_periods_fetched", "Periods that peers gave", MetricType::Counter),
            (
                "feeds_in_minority",
                "Whether the feed says something else than most accounts vouch for",
                MetricType::Gauge,
            ),
        ] {
            let mut family = encoder.encode_descriptor(what, help, None, kind)?;
            for (name, network) in &self.0.networks {
                let own = network.status.borrow().head.as_ref().and_then(|head| head.label).unwrap_or(0);
                let value = match what {
                    "peers_available" => heads(name).count() as u64,
                    "sync_lag_blocks" => heads(name).max().unwrap_or(0).saturating_sub(own),
                    "sync_periods_missing" => of(name).map_or(0, |progress| progress.missing),
                    "sync_periods_fetched" => of(name).map_or(0, |progress| progress.done),
                    _ => u64::from(minority(name)),
                };
                let label = [("network", name.as_str())];
                let metric = family.encode_family(&label)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value).encode(metric)?,
                    _ => ConstGauge::new(value as i64).encode(metric)?,
                }
            }
        }
        Ok(())
    }

    fn encode_feeds(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut family = encoder.encode_descriptor("feed_events", "Feeds, by kind", None, MetricType::Counter)?;
        for (kind, count) in self.0.feeds.counters().list() {
            ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
        }
        let open = encoder.encode_descriptor("feeds_open", "Open sockets of feeds", None, MetricType::Gauge)?;
        ConstGauge::new(self.0.feeds.open() as i64).encode(open)?;
        let listening =
            encoder.encode_descriptor("stream_subscribers", "Subscribers of the stream", None, MetricType::Gauge)?;
        ConstGauge::new(self.0.streams.subscribers() as i64).encode(listening)
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
