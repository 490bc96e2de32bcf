//! Namespaces, as the multi-token design calls them: a network, or a token of one. Tokens of a network share one state.
//!
//! *Always holds:* a name that leads nowhere is an error that lists those that do.

use super::answer::{ApiError, json, json_bytes};
use super::point::Point;
use super::query::Query;
use super::read::large;
use super::{Networked, Web};
use crate::projection::state::kv::Snapshot;
use crate::projection::state::{StateError, View, key};
use axum::extract::{Path, State};
use axum::response::Response;
use honeygraph_protocols::path;
use serde_json::json;
use std::sync::Arc;

/// Tables named in the statistics; real states have about sixty.
const MAX_TABLES: usize = 256;

/// `GET /namespaces`
pub(super) async fn list(State(web): State<Arc<Web>>, _: Query) -> Response {
    json(&web.networks.keys().chain(web.tokens.keys()).collect::<Vec<_>>())
}

/// `GET /namespaces/:ns/stats`
pub(super) async fn stats(
    State(web): State<Arc<Web>>,
    Path(namespace): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let (name, of) = web.namespace(&namespace)?;
    let point = Point::asked(&web, &query.clone().with("network", name)).await?;
    let tip = point.snapshot.tip(point.batch.node.branch)?;
    let (live, feeds) = {
        let status = of.status.borrow();
        (status.forks.len(), status.lanes.len())
    };
    let mut out = b"{".to_vec();
    point.describe(&mut out);
    let view = point.snapshot.view_at(&point.batch)?;
    let tables = large(move || Ok(tables(&view)?)).await?;
    let about = json!({
        "namespace": namespace,
        "tokens": tokens(&web, name),
        "timestamp": point.batch.at_ms,
        "batches": tip.as_ref().map(|tip| tip.batches),
        "operations": tip.as_ref().map(|tip| tip.operations),
        "forks": live,
        "feeds": feeds,
        "tables": tables,
    });
    out.push(b',');
    out.extend_from_slice(&about.to_string().as_bytes()[1..]);
    Ok(query.tag_pinned(&out, false)?.on(json_bytes(out)))
}

fn tokens<'a>(web: &'a Web, network: &str) -> Vec<&'a str> {
    web.tokens.iter().filter(|(_, its)| *its == network).map(|(token, _)| token.as_str()).collect()
}

/// The first segments of all leaves, each by one seek.
fn tables<S: Snapshot>(view: &View<S>) -> Result<Vec<String>, StateError> {
    let (mut tables, mut from) = (Vec::new(), Vec::new());
    while tables.len() < MAX_TABLES {
        let mut scan = view.scan(&[], Some(&from));
        if !scan.advance()? {
            break;
        }
        let Some((segment, len)) = path::decode_segment(scan.path()) else {
            from = vec![0]; // a leaf at the root itself has no name
            continue;
        };
        tables.push(path::display(&[segment]));
        from = key::after(scan.path()[..len].to_vec());
    }
    Ok(tables)
}

impl Web {
    /// The network that a namespace is, or whose token it is; the case of letters of a token does not matter.
    pub(super) fn namespace(&self, name: &str) -> Result<(&str, &Networked), ApiError> {
        let network = self.tokens.get(&name.to_ascii_uppercase()).map_or(name, String::as_str);
        self.network(Some(network))
    }
}
