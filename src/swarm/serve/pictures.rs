//! Answers to what peers ask of pictures.
//!
//! *Always holds:* a node that holds another state than one of its roots names gives none; a group is read from the disk as
//! it travels, and nothing is unpacked for a peer.

use super::Held;
use crate::pictures::PictureError;
use crate::pictures::file::Picture;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::pictures::{Answer, Offer, Request};
use honeygraph_protocols::swarm::wire::List;
use std::sync::Arc;

/// Answers one question.
pub(super) fn answer(held: &Held, request: &Request) -> Result<Answer, PictureError> {
    let pictures = served(held);
    let named = |root: &HashText| pictures.iter().find(|picture| picture.root() == root);
    Ok(match request {
        Request::Held(_) => Answer::Held(List::first_of(pictures.iter().map(|picture| offer(held, picture)))),
        Request::Manifest(of) => {
            named(&of.root).map_or(Answer::NotHeld, |picture| Answer::Manifest(picture.about().manifest.clone()))
        }
        Request::Leaves(wanted) => match named(&wanted.of.root) {
            Some(picture) => picture.group(wanted.group as usize)?.map_or(Answer::NotHeld, Answer::Leaves),
            None => Answer::NotHeld,
        },
    })
}

/// The pictures that are given to others now.
fn served(held: &Held) -> Vec<Arc<Picture>> {
    let pictures = held.pictures.borrow().clone();
    let differs = pictures.differs.is_some() || held.status.borrow().proofs.mismatch.is_some();
    if differs { Vec::new() } else { pictures.pictures.clone() }
}

fn offer(held: &Held, picture: &Picture) -> Offer {
    let about = picture.about();
    let confirmed = held.status.borrow().proofs.confirmed_at;
    Offer {
        label: about.label,
        root: about.of.root.clone(),
        bytes: about.manifest.bytes,
        leaves: about.manifest.leaves.len() as u32,
        anchored: confirmed.is_some_and(|confirmed| confirmed >= picture.label()),
    }
}
