//! Who may vote, and with which keys: what the operator configured, else what the replicated state says.
//!
//! *Always holds:* bounded, whatever the state or the file holds; a key that is none is left out, and so is a name.

use crate::access::account_keys;
use crate::projection::state::StateError;
use crate::projection::state::View;
use crate::projection::state::kv::Snapshot;
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::path::{self, Segment};
use honeygraph_protocols::swarm::keys::HiveKey;
use honeygraph_protocols::swarm::names::AccountName;
use honeygraph_protocols::swarm::votes::ELECTORATE;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows of `runners` that are looked at.
const ROWS: usize = 65_536;

/// Keys of accounts.
pub type Keys = BTreeMap<AccountName, BTreeSet<HiveKey>>;

/// Keys of the operator's file: every key named for an account counts.
pub fn read_keys(file: &Path) -> Result<Keys, String> {
    let read = account_keys::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(read.into_iter().filter_map(|(account, keys)| Some((AccountName::new(account.as_str())?, keys.all))).collect())
}

/// The accounts below `runners`.
pub fn runners<S: Snapshot>(view: &View<S>) -> Result<BTreeSet<AccountName>, StateError> {
    let mut runners = BTreeSet::new();
    let prefix = path::encode(&[Segment::from("runners")]);
    let mut scan = view.scan(&prefix, None).at_most(ROWS);
    while runners.len() < ELECTORATE && scan.advance()? {
        let Ok(segments) = path::decode(scan.path()) else { continue };
        let Some(account) = segments.get(1) else { continue };
        runners.extend(AccountName::new(&path::display(std::slice::from_ref(account))));
    }
    Ok(runners)
}

/// The key of an account as the state has it, in `authorities/<account>`.
pub fn authority<S: Snapshot>(view: &View<S>, account: &AccountName) -> Result<Option<HiveKey>, StateError> {
    let path = path::encode(&[Segment::from("authorities"), Segment::from(account.as_str())]);
    let Some(Ok(Json::Text(text))) = view.get(&path)?.map(|text| json::parse(&text)) else { return Ok(None) };
    Ok(text.as_str().and_then(|text| text.parse().ok()))
}
