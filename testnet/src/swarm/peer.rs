//! How a peer answers: honestly, late, never, or with one of the lies.
//!
//! *Always holds:* a function of question and chance; an honest peer answers out of its chain and out of nothing else.

use super::history::{History, Period};
use honeygraph::swarm::sync::chance::Chance;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, Batch, Frame, Header, Request, Walk};
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::wire::{List, Message};

/// What kind of peer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it should be.
    Honest,
    /// Answers after seconds.
    Slow,
    /// Never answers.
    Silent,
    /// Lies.
    Liar(Lie),
}

/// The lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Other ops than the batch's.
    Bodies,
    /// Headers that do not link.
    Headers,
    /// A whole chain that links and recomputes, up to the hash that it cannot make.
    FakeChain,
    /// Bytes cut off.
    Truncated,
    /// An earlier answer to another question.
    Replayed,
    /// Another network's.
    OtherNetwork,
    /// More bytes than any answer has.
    Oversize,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Bodies,
        Self::Headers,
        Self::FakeChain,
        Self::Truncated,
        Self::Replayed,
        Self::OtherNetwork,
        Self::Oversize,
    ];
}

/// What comes over the wire.
#[derive(Clone, Debug)]
pub enum Sent {
    /// Bytes.
    Bytes(Vec<u8>),
    /// More than any answer has.
    TooMany,
    /// Nothing.
    Nothing,
}

/// What a liar lies with.
#[derive(Clone, Debug)]
pub struct Lies {
    /// Its own history, made to be believed.
    pub fake: History,
    last: Option<Answer>,
}

impl Lies {
    /// Of a fake history.
    pub fn new(fake: History) -> Self {
        Self { fake, last: None }
    }
}

/// What a peer of this kind, with this chain, sends.
pub fn answer(kind: Kind, chain: &History, lies: &mut Lies, request: &Request, chance: &mut Chance) -> Sent {
    let honest = chain.answer(request);
    let bytes = |answer: &Answer| Sent::Bytes(answer.encode().unwrap_or_default());
    let lie = match kind {
        Kind::Honest | Kind::Slow => return bytes(&honest),
        Kind::Silent => return Sent::Nothing,
        Kind::Liar(lie) => lie,
    };
    match lie {
        Lie::Bodies => bytes(&other_bodies(honest, chance)),
        Lie::Headers => bytes(&broken_headers(honest)),
        Lie::FakeChain => bytes(&fake_chain(chain, &lies.fake, request).unwrap_or(honest)),
        Lie::Truncated => {
            let mut cut = honest.encode().unwrap_or_default();
            cut.truncate(cut.len() / 2);
            Sent::Bytes(cut)
        }
        Lie::Replayed => bytes(&lies.last.replace(honest.clone()).unwrap_or(honest)),
        Lie::OtherNetwork => bytes(&other_network(honest)),
        Lie::Oversize => Sent::TooMany,
    }
}

/// Batches of which one has other ops than its line says; anything else as it is.
pub fn other_bodies(honest: Answer, chance: &mut Chance) -> Answer {
    let Answer::Batches(list) = honest else { return honest };
    let mut batches: Vec<Batch> = list.into_vec();
    let at = chance.below(batches.len() as u64) as usize;
    if let Some(batch) = batches.get_mut(at) {
        let frame = |frame: &Frame| {
            let mut body = zstd::bulk::decompress(&frame.bytes, 1 << 20).unwrap_or_default();
            let digit = body.iter().position(u8::is_ascii_digit).unwrap_or(0);
            if let Some(byte) = body.get_mut(digit) {
                *byte = if *byte == b'1' { b'2' } else { b'1' };
            }
            Frame { count: frame.count, bytes: zstd::bulk::compress(&body, 1).expect("memory") }
        };
        batch.frames = List::first_of(batch.frames.iter().map(frame).collect::<Vec<_>>());
    }
    Answer::Batches(List::first_of(batches))
}

fn broken_headers(honest: Answer) -> Answer {
    let Answer::Headers(list) = honest else { return honest };
    let mut headers: Vec<Header> = list.into_vec();
    headers.reverse();
    if let [only] = &mut headers[..] {
        only.close_hash = HashText::new("QmSomethingElse").expect("short");
    }
    Answer::Headers(List::first_of(headers))
}

fn other_network(honest: Answer) -> Answer {
    let Answer::Headers(list) = honest else { return honest };
    let other = NetworkName::new("dlux_").expect("a name");
    let headers = list.into_vec().into_iter().map(|header| Header { network: other.clone(), ..header });
    Answer::Headers(List::first_of(headers))
}

/// Out of the fake history, its newest period said to be closed by the hash that was asked for.
fn fake_chain(chain: &History, fake: &History, request: &Request) -> Option<Answer> {
    let closed_by = |header: &Header, close: &Header| Header { close_hash: close.close_hash.clone(), ..header.clone() };
    let real = |nth: usize| chain.periods.get(nth).map(|period| &period.header);
    match request {
        Request::Headers(wanted) if wanted.walk == Walk::Back => {
            if let Answer::Headers(list) = fake.answer(request) {
                return Some(Answer::Headers(list));
            }
            let at = chain.periods.iter().position(|period| period.header.close_hash == wanted.from)?;
            let mut headers: Vec<Header> =
                fake.periods.get(..=at)?.iter().rev().map(|period| period.header.clone()).take(200).collect();
            headers[0] = closed_by(&headers[0], real(at)?);
            Some(Answer::Headers(List::first_of(headers)))
        }
        Request::Batches(wanted) => {
            let is_it = |nth: usize, period: &Period| {
                let as_real = real(nth).map(|real| closed_by(&period.header, real).id());
                period.header.id() == wanted.period || as_real == Some(wanted.period)
            };
            let period = fake.periods.iter().enumerate().find(|(nth, period)| is_it(*nth, period))?.1;
            Some(Answer::Batches(List::first_of(period.batches.clone())))
        }
        _ => None,
    }
}
