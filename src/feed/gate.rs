//! The door: a feed that has to prove who it is speaks here until it has, and nowhere else.
//!
//! *Always holds:* a stranger costs one small buffer for at most [`dialogue::PATIENCE`]; nothing that it says reaches a network.

use super::counters::add;
use super::session::Surroundings;
use super::wire::{Turn, Wire};
use crate::access::Admitted;
use crate::access::dialogue::{self, Dialogue, Heard, Reason};
use honeygraph_protocols::auth::Challenge;
use honeygraph_protocols::reply;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// Why a stranger has to go: close code and reason.
pub(super) type Sent = (u16, &'static str);

/// Asks who it is until it is known; its account has been told, and the greeting is next.
pub(super) async fn prove<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    around: &Surroundings,
    node: &str,
    now_ms: u64,
) -> Result<Admitted, Option<Sent>> {
    add(&around.counters.strangers, 1);
    let nonce = dialogue::nonce().map_err(|error| {
        tracing::error!(%error, "no random bytes: nobody can prove who they are");
        Some((1011, "no challenge can be made"))
    })?;
    let challenge = Challenge { timestamp: now_ms, nonce, node_id: node.into() };
    let dialogue = Dialogue::new(challenge);
    wire.allow(dialogue::MAX_FRAME);
    say(wire, reply::auth_required(dialogue.challenge(), around.access.roll.names_some()));
    let until = Instant::now() + around.limits.prove;
    let proven = tokio::select! {
        () = around.stop.cancelled() => Err(Some((1001, "node stops"))),
        () = tokio::time::sleep_until(until) => Err(Some((1008, "Authentication timeout"))),
        proven = talk(wire, dialogue, around) => proven,
    };
    match proven {
        Ok(admitted) => {
            add(&around.counters.proven, 1);
            let account = admitted.account.as_ref().map_or("", |account| account.as_str());
            say(wire, reply::auth_success(account, node, now_ms));
            wire.allow(around.limits.before_identify);
            Ok(admitted)
        }
        Err(sent) => {
            add(&around.counters.unproven, 1);
            Err(sent)
        }
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mut dialogue: Dialogue,
    around: &Surroundings,
) -> Result<Admitted, Option<Sent>> {
    let (roll, mut heard) = (&around.access.roll, Vec::new());
    loop {
        // Who does not read what it is told is not listened to, either.
        let reading = wire.unsent() <= dialogue::MAX_FRAME;
        match wire.turn(reading, true, &mut heard).await {
            Ok(Turn::Heard | Turn::Said) => {}
            Err(_) => return Err(None),
        }
        for message in heard.drain(..) {
            let frame: &[u8] = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return Err(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            match dialogue.hear(frame, roll) {
                Heard::Error(error) => say(wire, reply::error(error)),
                Heard::Failed(reason) => refuse(wire, around, reason),
                Heard::Enough => return Err(Some((1008, "Authentication failed"))),
                Heard::Check(claim) => {
                    let text = claim.message.as_bytes();
                    let proof = around.access.accounts.signed(&claim.account, text, &claim.signatures).await;
                    match dialogue.checked(claim.account, proof, roll) {
                        Ok(admitted) => return Ok(admitted),
                        Err(reason) => refuse(wire, around, reason),
                    }
                }
            }
        }
    }
}

fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    around: &Surroundings,
    Reason(reason, details): Reason,
) {
    add(&around.counters.auth_failed, 1);
    tracing::info!(reason, "a feed did not prove who it is");
    say(wire, reply::auth_failed(reason, details));
}

fn say<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, text: String) {
    let _ = wire.say(Message::Text(text.into())); // fails only on a socket that is closing
}
