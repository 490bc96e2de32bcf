//! What the operator of `up` wants done while it runs: a key on a terminal, a line (`kill 2`) where standard input is a pipe.
//!
//! *Always holds:* the terminal is left as it was found, whichever way the program ends that it has a say in.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// What can be typed before the first is done.
const WAITING: usize = 16;

/// The keys, for the screen.
pub(super) const KEYS: &str =
    "1-9 choose a node, k kill, w wipe, d damage, l lose, r restart, p part or join, h hop, f fork, Ctrl-C end";

/// What is to be done with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum What {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and its data are gone.
    Wipe,
    /// SIGKILL, and bits of its state are turned over.
    Damage,
    /// SIGKILL, and its journal is gone.
    Lose,
    /// A clean stop.
    Restart,
    /// It is cut off from the others, or not any more.
    Part,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Order {
    /// The node that the keys mean from now on.
    Choose(usize),
    /// Something with a node; without a number the chosen one.
    Node(What, Option<usize>),
    /// The honeycombs are moved to a node in mid-stream; without a number to the chosen one.
    Hop(Option<usize>),
    /// Another honeycomb comes, and disagrees.
    Fork,
}

/// How the terminal was, while it is another way.
static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

/// Listens; keys when there is somebody at a terminal.
pub(super) fn listen() -> std::io::Result<Receiver<Order>> {
    let (heard, orders) = sync_channel(WAITING);
    let stdin = std::io::stdin();
    let keys = stdin.is_terminal();
    if keys {
        let found = tcgetattr(&stdin)?;
        let mut now = found.clone();
        // Single keys, unseen; Ctrl-C stays what it is.
        now.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(&stdin, OptionalActions::Now, &now)?;
        *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
    let body = move || if keys { read_keys(&heard) } else { read_lines(&heard) };
    std::thread::Builder::new().name("orders".to_owned()).spawn(body)?;
    Ok(orders)
}

/// Leaves the terminal as it was.
pub(super) fn restore() {
    if let Some(found) = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Without a terminal any more there is nothing to leave.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &found);
    }
}

fn read_keys(heard: &SyncSender<Order>) {
    for key in std::io::stdin().lock().bytes() {
        let Ok(key) = key else { return };
        let Some(order) = key_means(key) else { continue };
        if heard.send(order).is_err() {
            return;
        }
    }
}

fn read_lines(heard: &SyncSender<Order>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        match line_means(&line) {
            Some(order) if heard.send(order).is_err() => return,
            None if !line.trim().is_empty() => eprintln!("honeygraph-testnet up: not understood: {line:?}"),
            _ => {}
        }
    }
}

fn key_means(key: u8) -> Option<Order> {
    Some(match key {
        b'1'..=b'9' => Order::Choose(usize::from(key - b'0')),
        b'f' => Order::Fork,
        b'h' => Order::Hop(None),
        _ => Order::Node(what(&[key])?, None),
    })
}

fn what(word: &[u8]) -> Option<What> {
    Some(match word {
        b"k" | b"kill" => What::Kill,
        b"w" | b"wipe" => What::Wipe,
        b"d" | b"damage" => What::Damage,
        b"l" | b"lose" => What::Lose,
        b"r" | b"restart" => What::Restart,
        b"p" | b"part" | b"join" => What::Part,
        _ => return None,
    })
}

fn line_means(line: &str) -> Option<Order> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["fork"] => Some(Order::Fork),
        ["hop", number] => Some(Order::Hop(Some(number.parse().ok()?))),
        [word, number] => Some(Order::Node(what(word.as_bytes())?, Some(number.parse().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_lines_mean_the_same() {
        assert_eq!(key_means(b'3'), Some(Order::Choose(3)));
        assert_eq!((key_means(b'f'), line_means(" fork ")), (Some(Order::Fork), Some(Order::Fork)));
        assert_eq!((key_means(b'h'), line_means("hop 2")), (Some(Order::Hop(None)), Some(Order::Hop(Some(2)))));
        for (key, line, what) in [
            (b'k', "kill 12", What::Kill),
            (b'w', "wipe 12", What::Wipe),
            (b'd', "damage 12", What::Damage),
            (b'l', "lose 12", What::Lose),
            (b'r', "restart 12", What::Restart),
            (b'p', "part 12", What::Part),
        ] {
            assert_eq!(key_means(key), Some(Order::Node(what, None)));
            assert_eq!(line_means(line), Some(Order::Node(what, Some(12))));
        }
        for line in ["", "kill", "kill me", "kill 1 2", "kill -1", "dance 3"] {
            assert_eq!(line_means(line), None, "{line}");
        }
        assert_eq!((key_means(b'x'), key_means(b'0')), (None, None));
    }
}
