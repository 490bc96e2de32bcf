//! An IPFS gateway that serves checkpoint documents under `/ipfs/<cid>` (and anything else under its name), and can lie,
//! stall and truncate.
//!
//! *Always holds:* what it does wrong it does for every document, until it is told otherwise.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// With the document.
    #[default]
    Honest,
    /// With a document in which one byte is another.
    Lying,
    /// With the beginning, and then nothing.
    Stalling,
    /// With the beginning, as if it were all.
    Truncating,
    /// Without end.
    Endless,
    /// With 502.
    Failing,
}

#[derive(Default)]
struct Shelf {
    documents: BTreeMap<String, Vec<u8>>,
    manner: Manner,
    asked: u64,
}

/// The gateway; ends with the process.
pub struct Gateway {
    shelf: Arc<Mutex<Shelf>>,
    at: SocketAddr,
}

impl Gateway {
    /// Starts it on a port of the system's choice.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (shelf, at) = (Arc::<Mutex<Shelf>>::default(), listener.local_addr()?);
        let served = shelf.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = served.clone();
                // One that hangs up is served no further.
                std::thread::spawn(move || serve(stream, &shelf));
            }
        });
        Ok(Self { shelf, at })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Serves one more document, under its CID or another name.
    pub fn hold(&self, cid: impl Into<String>, document: impl Into<Vec<u8>>) {
        self.shelf().documents.insert(cid.into(), document.into());
    }

    /// Answers like this from now on.
    pub fn behave(&self, manner: Manner) {
        self.shelf().manner = manner;
    }

    /// Requests so far.
    pub fn asked(&self) -> u64 {
        self.shelf().asked
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let cid = path.strip_prefix("/ipfs/").or(path.strip_prefix('/')).unwrap_or_default().to_owned();
    let (document, manner) = {
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.asked += 1;
        (shelf.documents.get(&cid).cloned(), shelf.manner)
    };
    let Some(mut document) = document.filter(|_| manner != Manner::Failing) else {
        let status = if manner == Manner::Failing { "502 Bad Gateway" } else { "404 Not Found" };
        return write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    };
    let half = document.len() / 2;
    match manner {
        Manner::Lying => document[half] ^= 1,
        Manner::Truncating => document.truncate(half),
        _ => {}
    }
    if manner == Manner::Endless {
        write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&document)?;
        }
    }
    let length = document.len();
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")?;
    if manner == Manner::Stalling {
        stream.write_all(&document[..half])?;
        // Until the other side has had enough.
        return std::io::copy(&mut stream.try_clone()?, &mut std::io::sink()).map(drop);
    }
    stream.write_all(&document)
}
