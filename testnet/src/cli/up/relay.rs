//! What stands between the honeycombs and the nodes, as a load balancer does: it decides which node a socket goes to, and may
//! decide otherwise in mid-stream.
//!
//! *Always holds:* bytes pass unchanged and in order; who is moved loses its socket, and finds the other node at the same
//! address.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay that runs as long as it is held.
pub(super) struct Relay {
    at: SocketAddr,
    target: watch::Sender<SocketAddr>,
}

impl Relay {
    /// Passes everything on to the node at `host:port`.
    pub(super) fn start(target: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let at = listener.local_addr()?;
        let (target, now) = watch::channel(target.parse()?);
        let body = move || runtime.block_on(listen(&listener, &now));
        std::thread::Builder::new().name("relay".to_owned()).spawn(body)?;
        Ok(Self { at, target })
    }

    /// Where the honeycombs connect.
    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }

    /// From now on everything goes to another node.
    pub(super) fn move_to(&self, target: &str) -> Result<(), Box<dyn std::error::Error>> {
        self.target.send_replace(target.parse()?);
        Ok(())
    }
}

async fn listen(listener: &TcpListener, target: &watch::Receiver<SocketAddr>) {
    let mut over = target.clone();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let Ok((socket, _)) = taken else { continue };
                tokio::spawn(pass(socket, target.clone()));
            }
            // Nobody moves it any more: the play is over.
            gone = over.changed() => if gone.is_err() { return },
        }
    }
}

/// Until one side closes, or the target is another one. An error is a socket that is lost: both sides see that.
async fn pass(mut socket: TcpStream, mut target: watch::Receiver<SocketAddr>) {
    let to = *target.borrow_and_update();
    let Ok(mut node) = TcpStream::connect(to).await else { return };
    let _ = (socket.set_nodelay(true), node.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut socket, &mut node) => {}
        _ = target.changed() => {}
    }
}
