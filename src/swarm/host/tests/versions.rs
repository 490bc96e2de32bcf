//! What a later version would meet: a node of this one talks with it in the version that both know.

use super::super::codec::Frames;
use super::*;
use libp2p::futures::{AsyncRead, AsyncWrite, StreamExt};
use libp2p::request_response::{Behaviour, Codec, Config, Event, Message, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{StreamProtocol, Swarm};
use std::io;
use std::sync::Mutex;

const LATER: StreamProtocol = StreamProtocol::new("/honeygraph/blocks/2");

/// In which version each question came or went.
#[derive(Clone)]
struct Noting {
    frames: Frames,
    noted: Arc<Mutex<Vec<StreamProtocol>>>,
}

impl Codec for Noting {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, version: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.noted.lock().unwrap().push(version.clone());
        self.frames.read_request(version, io).await
    }

    async fn read_response<T>(&mut self, version: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.frames.read_response(version, io).await
    }

    async fn write_request<T>(&mut self, version: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.noted.lock().unwrap().push(version.clone());
        self.frames.write_request(version, io, request).await
    }

    async fn write_response<T>(&mut self, version: &StreamProtocol, io: &mut T, answer: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.frames.write_response(version, io, answer).await
    }
}

/// A peer that knows both versions, the later one preferred; and in which its questions went.
struct Later {
    swarm: Swarm<Behaviour<Noting>>,
    noted: Arc<Mutex<Vec<StreamProtocol>>>,
}

impl Later {
    async fn new() -> Self {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let codec = Noting { frames: Frames(Protocol::Blocks.bounds()), noted: noted.clone() };
        let versions = [LATER, StreamProtocol::new(Protocol::Blocks.name())].map(|name| (name, ProtocolSupport::Full));
        let mut swarm = plain(Behaviour::with_codec(codec, versions, Config::default()));
        swarm.listen_on(address::parse("/ip4/127.0.0.1/tcp/0").unwrap()).unwrap();
        let listening = async { while !matches!(swarm.select_next_some().await, SwarmEvent::NewListenAddr { .. }) {} };
        tokio::time::timeout(NEVER, listening).await.unwrap();
        Self { swarm, noted }
    }

    fn address(&self) -> Multiaddr {
        self.swarm.listeners().next().unwrap().clone().with_p2p(*self.swarm.local_peer_id()).unwrap()
    }

    /// Goes on, answering what is asked with what it says itself, until its own question is answered.
    async fn answered(&mut self) -> Vec<u8> {
        loop {
            match tokio::time::timeout(NEVER, self.swarm.select_next_some()).await.unwrap() {
                SwarmEvent::Behaviour(Event::Message { message: Message::Response { response, .. }, .. }) => {
                    return response;
                }
                SwarmEvent::Behaviour(event) => self.echo(event),
                _ => {}
            }
        }
    }

    fn echo(&mut self, event: Event<Vec<u8>, Vec<u8>>) {
        match event {
            Event::Message { message: Message::Request { request, channel, .. }, .. } => {
                self.swarm.behaviour_mut().send_response(channel, request).unwrap();
            }
            Event::ResponseSent { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    async fn runs(mut self) {
        loop {
            if let SwarmEvent::Behaviour(event) = self.swarm.select_next_some().await {
                self.echo(event);
            }
        }
    }
}

#[tokio::test]
async fn a_peer_of_two_versions_talks_the_first_with_one_of_the_first() {
    let first = StreamProtocol::new(Protocol::Blocks.name());
    let mut node = super::tcp().await;
    let mut later = Later::new().await;
    let noted = later.noted.clone();
    for at in node.addresses() {
        later.swarm.add_peer_address(node.handle.us(), at);
    }
    later.swarm.behaviour_mut().send_request(&node.handle.us(), b"theirs".to_vec());
    let (answer, _) = tokio::join!(later.answered(), node.answer());
    assert_eq!((answer, noted.lock().unwrap().drain(..).collect()), (b"theirs".to_vec(), vec![first.clone()]));

    let (id, at) = (*later.swarm.local_peer_id(), later.address());
    tokio::spawn(later.runs());
    node.handle.dial(vec![at]).await;
    node.until("connected", |seen| seen.peers.contains_key(&id)).await;
    assert_eq!(node.handle.ask(id, Protocol::Blocks, b"ours".to_vec()).await, Ok(b"ours".to_vec()));
    assert_eq!(*noted.lock().unwrap(), [first]);
}

/// The other half, so that the test above cannot pass because nobody ever offers the later version.
#[tokio::test]
async fn two_peers_of_two_versions_talk_the_later() {
    let (mut one, other) = (Later::new().await, Later::new().await);
    let (id, noted) = (*other.swarm.local_peer_id(), other.noted.clone());
    one.swarm.add_peer_address(id, other.address());
    tokio::spawn(other.runs());
    one.swarm.behaviour_mut().send_request(&id, b"newer".to_vec());
    assert_eq!(one.answered().await, b"newer");
    assert_eq!((one.noted.lock().unwrap().as_slice(), noted.lock().unwrap().as_slice()), (&[LATER][..], &[LATER][..]));
}
