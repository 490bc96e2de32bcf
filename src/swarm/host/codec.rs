//! How a request and its answer travel: a length of four bytes, little-endian (`wire::PREFIX`), and so many bytes.
//!
//! What the bytes mean is for `protocols`; here they are only bounded.
//!
//! *Always holds:* no more is read or held than the protocol's bound; a frame that is cut short is an error, never a
//! shorter message.

use honeygraph_protocols::swarm::wire::PREFIX;
use libp2p::StreamProtocol;
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response::Codec;
use std::io;

/// Bytes made room for before any of them has come: a length alone costs its sender nothing.
const FIRST_ROOM: usize = 64 * 1024;

/// The bounds of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Largest request, in bytes.
    pub request: usize,
    /// Largest answer, in bytes.
    pub answer: usize,
}

/// Reads and writes the frames of one protocol.
#[derive(Clone, Copy, Debug)]
pub struct Frames(pub Bounds);

impl Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.0.request).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.0.answer).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request, self.0.request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, answer: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &answer, self.0.answer).await
    }
}

async fn read(io: &mut (impl AsyncRead + Unpin + Send), most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; PREFIX];
    io.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes, at most {most}")));
    }
    let mut bytes = vec![0; length.min(FIRST_ROOM)];
    let mut filled = 0;
    while filled < length {
        if filled == bytes.len() {
            bytes.resize(length.min(filled * 2), 0);
        }
        io.read_exact(&mut bytes[filled..]).await?;
        filled = bytes.len();
    }
    Ok(bytes)
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: &[u8], most: usize) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= most);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "our own message is above its bound"));
    };
    io.write_all(&length.to_le_bytes()).await?;
    io.write_all(bytes).await?;
    io.close().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::futures::io::Cursor;

    const NAME: StreamProtocol = StreamProtocol::new("/test/1");

    async fn read_back(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut codec = Frames(Bounds { request: 16, answer: 200_000 });
        codec.read_response(&NAME, &mut Cursor::new(bytes)).await
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let mut codec = Frames(Bounds { request: 16, answer: 200_000 });
        for size in [0, 1, FIRST_ROOM - 1, FIRST_ROOM, FIRST_ROOM + 1, 200_000] {
            let sent: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let mut wire = Cursor::new(Vec::new());
            codec.write_response(&NAME, &mut wire, sent.clone()).await.unwrap();
            assert_eq!(read_back(wire.get_ref()).await.unwrap(), sent);
        }
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_an_error() {
        // Guards against: `read` in place of `read_exact` took what was there for all.
        for cut in [&[][..], &[0, 0], &[5, 0, 0, 0], &[5, 0, 0, 0, 1, 2, 3, 4]] {
            assert_eq!(read_back(cut).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut:?}");
        }
    }

    #[tokio::test]
    async fn a_frame_above_the_bound_is_refused_before_room_is_made() {
        let error = read_back(&[0xff, 0xff, 0xff, 0xff, 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut codec = Frames(Bounds { request: 16, answer: 16 });
        assert!(codec.write_request(&NAME, &mut Cursor::new(Vec::new()), vec![0; 17]).await.is_err());
    }
}
