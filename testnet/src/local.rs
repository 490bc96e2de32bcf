//! A whole node inside this process, on threads of its own: what `up` shows and the tests of streams and forks talk to.
//!
//! *Always holds:* it is the same node as `honeygraph run`, on real files and sockets; it is stopped when dropped; one
//! that is started again listens where it did before, so that its feeds find it.

use crate::api::Api;
use honeygraph::config::Config;
use honeygraph::data_dir::Endpoints;
use honeygraph::node::{self, NodeError};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A node that listens.
#[derive(Debug)]
pub struct LocalNode {
    config: Config,
    endpoints: Endpoints,
    stop: CancellationToken,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

impl LocalNode {
    /// Starts a node and waits until it listens.
    pub fn start(mut config: Config) -> Result<Self, NodeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(NodeError::Thread)?;
        let stop = CancellationToken::new();
        let (bound, heard) = sync_channel(1);
        let (theirs, until) = (config.clone(), stop.clone());
        let body = move || {
            // Nobody hears it only when this function has given up already.
            runtime.block_on(node::run(theirs, until, |endpoints| drop(bound.send(endpoints.clone()))))
        };
        let thread = std::thread::Builder::new().name("node".to_owned()).spawn(body).map_err(NodeError::Thread)?;
        let Ok(endpoints) = heard.recv() else {
            return Err(joined(thread).err().unwrap_or(NodeError::Panicked));
        };
        let same = |url: &str, listen| url.split_once("://").and_then(|(_, at)| at.parse().ok()).unwrap_or(listen);
        config.api_listen = same(&endpoints.api, config.api_listen);
        config.feed_listen = same(&endpoints.feed, config.feed_listen);
        if !endpoints.swarm.is_empty() {
            // Without the node's id at the end.
            let bound = endpoints.swarm.iter().filter_map(|at| at.rsplit_once("/p2p/")?.0.parse().ok());
            config.swarm.listen = bound.collect();
        }
        Ok(Self { config, endpoints, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Its API.
    pub fn api(&self) -> Api {
        Api::new(&self.endpoints.api)
    }

    /// Its configuration, with the ports that it got.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it still runs: false once it failed.
    pub fn runs(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// A clean stop.
    pub fn stop(mut self) -> Result<(), NodeError> {
        self.end()
    }

    /// A clean stop and a start on the same data and ports.
    pub fn restart(mut self) -> Result<Self, NodeError> {
        self.end()?;
        Self::start(self.config.clone())
    }

    fn end(&mut self) -> Result<(), NodeError> {
        self.stop.cancel();
        self.thread.take().map_or(Ok(()), joined)
    }
}

fn joined(thread: JoinHandle<Result<(), NodeError>>) -> Result<(), NodeError> {
    thread.join().unwrap_or(Err(NodeError::Panicked))
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        // Whoever wants to know how it ended stops it.
        let _ = self.end();
    }
}
