//! The listeners of a node: the API's, the feeds', the operator's.
//!
//! *Always holds:* all are bound before any of them is told of; what may be asked through each has been decided by its
//! entrance (`web/who.rs`), not here.

use super::NodeError;
use crate::config::{AdminListen, Config};
use crate::data_dir::{DataDir, Endpoints};
use crate::feed::upgrade::Feeds;
use crate::web::listen::{self, Listener};
use crate::web::tls::Tls;
use crate::web::who::Entrance;
use crate::web::{self, Web};
use libp2p::multiaddr::Protocol as Part;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Where a node listens now it listens again: ports that the system chose stay, so that those who know them find it.
pub(super) fn stay(config: &mut Config, at: &Endpoints) {
    let same = |url: &str, was: SocketAddr| match was.port() {
        0 => url.split_once("://").and_then(|(_, at)| at.parse().ok()).unwrap_or(was),
        _ => was,
    };
    config.api_listen = same(&at.api, config.api_listen);
    config.feed_listen = same(&at.feed, config.feed_listen);
    let chosen = |part: Part<'_>| matches!(part, Part::Tcp(0) | Part::Udp(0));
    if config.swarm.listen.iter().any(|at| at.iter().any(chosen)) && !at.swarm.is_empty() {
        // Without the node's id at the end.
        let bound = at.swarm.iter().filter_map(|at| at.rsplit_once("/p2p/")?.0.parse().ok());
        config.swarm.listen = bound.collect();
    }
}

/// Binds the listeners, says where, serves.
pub(super) async fn serve(
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
