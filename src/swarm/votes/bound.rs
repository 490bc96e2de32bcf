//! The file with the account's word for this node: what `honeygraph bind` writes and a node reads.

use crate::data_dir::replace;
use honeygraph_protocols::swarm::binding::Binding;
use honeygraph_protocols::swarm::names::AccountName;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// What stands in the file: JSON, so that it can be looked at.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    account: AccountName,
    peer: String,
    issued_ms: u64,
    signature: String,
}

/// The binding in a file; none: there is no file.
pub fn read(file: &Path) -> Result<Option<Binding>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&error)),
    };
    let Bound { account, peer, issued_ms, signature } = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    let peer = peer.parse().map_err(|error| wrong(&error))?;
    let signature = signature.parse().map_err(|error| wrong(&error))?;
    let binding = Binding { account, peer, issued_ms, signature };
    match binding.signer() {
        Some(_) => Ok(Some(binding)),
        None => Err(wrong(&"nobody signed it")),
    }
}

/// Writes a binding, durable when this returns.
pub fn write(file: &Path, binding: &Binding) -> std::io::Result<()> {
    let bound = Bound {
        account: binding.account.clone(),
        peer: binding.peer.to_string(),
        issued_ms: binding.issued_ms,
        signature: binding.signature.to_string(),
    };
    let text = serde_json::to_string_pretty(&bound).expect("names and numbers are always JSON");
    replace(file, (text + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use honeygraph_testnet::swarm::voter::Account;

    #[test]
    fn a_binding_comes_back_and_half_of_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("swarm/binding.json");
        assert_eq!(read(&file).unwrap(), None);
        let account = Account::new("alice");
        let binding = account.bind(&account.voter(0), 1_764_000_000_000);
        write(&file, &binding).unwrap();
        assert_eq!(read(&file).unwrap(), Some(binding));
        let text = std::fs::read_to_string(&file).unwrap();
        for wrong in
            [text.replace("alice", "bobby!"), text.replace("issued_ms", "issued"), "{}".into(), text[1..].into()]
        {
            std::fs::write(&file, wrong).unwrap();
            assert!(read(&file).is_err());
        }
    }
}
