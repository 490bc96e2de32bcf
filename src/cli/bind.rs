//! `honeygraph bind`: an account of Hive says that this node votes for it.
//!
//! *Always holds:* no secret key is asked for: the text is signed wherever the account's key is.

use super::exit::{Code, Failure, Outcome};
use super::print;
use crate::config::Target;
use crate::data_dir::{swarm_binding, swarm_key};
use crate::swarm::votes::bound;
use clap::Args;
use honeygraph_bootstrap::identity;
use honeygraph_protocols::swarm::binding::{Binding, text};
use honeygraph_protocols::swarm::keys::{HiveSignature, PeerKey};
use honeygraph_protocols::swarm::names::{AccountName, Label};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// `honeygraph bind`
#[derive(Debug, Args)]
pub(super) struct Bind {
    /// The account that this node votes for
    #[arg(value_parser = account)]
    account: AccountName,
    /// When the text was made, as it says
    #[arg(long, requires = "signature", value_name = "MS")]
    issued: Option<u64>,
    /// The signature over the text: 130 hex digits, by a key of the account
    #[arg(long, requires = "issued", value_name = "HEX", value_parser = signature)]
    signature: Option<HiveSignature>,
}

fn account(text: &str) -> Result<AccountName, String> {
    AccountName::new(text).ok_or_else(|| "an account of Hive: 3 to 16 of a-z, 0-9, . and -".into())
}

fn signature(text: &str) -> Result<HiveSignature, String> {
    text.parse().map_err(|error: honeygraph_protocols::swarm::keys::KeyError| error.to_string())
}

/// Without a signature: prints the text to sign. With one: keeps it, a node finds it within minutes.
pub(super) fn run(order: &Bind, target: &Target, as_json: bool) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error);
    let path = swarm_key(&target.data_dir);
    let key = identity::load(&path).map_err(|error| failed(&error))?;
    let key =
        key.ok_or_else(|| failed(&format!("{}: no key yet: the first `honeygraph run` makes one", path.display())))?;
    let peer = PeerKey::from_peer_id(&identity::peer_id(&key).to_bytes()).map_err(|error| failed(&error))?;
    let (Some(issued), Some(signature)) = (order.issued, order.signature) else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let text = text(&order.account, &peer, now);
        if as_json {
            return print::json(
                &json!({ "account": order.account.as_str(), "peer": peer.to_string(), "issued": now, "text": text }),
            );
        }
        print::line(text.trim_end_matches('\n'))?;
        return print::line(&format!(
            "\nSign these four lines, each with its line end, with a key of {} (a wallet's \"sign message\"), then:\n\
             honeygraph bind {} --issued {now} --signature HEX",
            order.account, order.account
        ));
    };
    if issued > Label::MAX {
        return Err(Failure::new(Code::Usage, "--issued: no time that a clock shows"));
    }
    let binding = Binding { account: order.account.clone(), peer, issued_ms: issued, signature };
    let signer = binding.signer().ok_or_else(|| Failure::new(Code::Refused, "no key signed that text"))?;
    let file = swarm_binding(&target.data_dir);
    bound::write(&file, &binding).map_err(|error| failed(&format!("{}: {error}", file.display())))?;
    if as_json {
        return print::json(
            &json!({ "account": order.account.as_str(), "peer": peer.to_string(), "key": signer.to_string() }),
        );
    }
    print::line(&format!("signed by {signer}: this node votes for {}, where that is a key of it", order.account))
}
