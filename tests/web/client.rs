//! A small HTTP client: one connection for each request.

use honeygraph::web::index::{ROUTES, Route};
use honeygraph::web::openapi::{ERRORS, errors};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of an answer.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
    pub text: String,
}

pub async fn get(at: SocketAddr, path: &str) -> Answer {
    send(at, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
}

pub async fn post(at: SocketAddr, path: &str, headers: &str, body: &Value) -> Answer {
    let (body, length) = (body.to_string(), body.to_string().len());
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}");
    send(at, &format!("{head}\r\n\r\n{body}")).await
}

pub async fn send(at: SocketAddr, request: &str) -> Answer {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A refused request may be answered with a reset behind the answer.
    let _ = socket.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // serde_json takes no lone surrogate in a string; the text keeps it.
    let value = serde_json::from_str(&body.replace(r"\ud800", "?")).unwrap_or(Value::Null);
    listed(request, status, &value);
    Answer { status, head: head.into(), body: value, text: body.into() }
}

/// Of an error: it is one of those that the route says it may answer, and has the status that goes with its code.
fn listed(request: &str, status: u16, body: &Value) {
    let Some(code) = body["code"].as_str().filter(|_| status >= 400) else { return };
    let known = ERRORS.iter().find(|(_, its, _)| *its == code).unwrap_or_else(|| panic!("{code} is not listed"));
    assert_eq!(known.0, status, "{code}");
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.split('?').next().unwrap();
    let fits = |route: &&Route| route.method == method && matches(route.path, path);
    if let Some(route) = ROUTES.iter().find(fits) {
        assert!(errors(route).contains(&code), "{method} {} answers {code}, which it does not list", route.path);
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (mut have, mut want) = (path.split('/'), template.split('/'));
    loop {
        match (want.next(), have.next()) {
            (Some(name), Some(_)) if name.starts_with("{*") => return true,
            (Some(name), Some(_)) if name.starts_with('{') => {}
            (Some(word), Some(its)) if word == its => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
