//! The smallest HTTP client that a test needs: one request, one connection.
//!
//! *Always holds:* an answer is whole or an error.

use crate::STILL;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;

/// GET from `host:port`: status and body. Asks in HTTP/1.0, so that the end of the connection is the end of the body.
pub fn get(address: &str, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    ask(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"), path)
}

/// POST of JSON to `host:port`: status and body.
pub fn post(address: &str, path: &str, json: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let length = json.len();
    let head = "Content-Type: application/json\r\nContent-Length:";
    ask(address, &format!("POST {path} HTTP/1.0\r\nHost: {address}\r\n{head} {length}\r\n\r\n{json}"), path)
}

fn ask(address: &str, request: &str, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(STILL))?;
    socket.set_nodelay(true)?;
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    split(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no HTTP answer from {path}")))
}

fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[end + 4..];
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let whole = length.is_none_or(|length: usize| length == body.len());
    whole.then(|| (status, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_answer_is_whole_or_none() {
        assert_eq!(split(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Some((200, b"{}".to_vec())));
        assert_eq!(split(b"HTTP/1.1 404 Not Found\r\n\r\n"), Some((404, Vec::new())));
        assert_eq!(split(b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\n{}"), None);
        assert_eq!(split(b"HTTP/1.0 200 OK"), None);
    }
}
