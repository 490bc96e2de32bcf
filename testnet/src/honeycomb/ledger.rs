//! Which ops were sent and which were acknowledged, and how long that took.
//!
//! *Always holds:* an acknowledgement counts once per op however often the op was sent; memory is bounded by the ops
//! in flight, whatever their number in total.

use std::collections::{BTreeMap, VecDeque};

/// Ops passed over by an acknowledgement that are remembered for a late one.
const PASSED_OVER: usize = 100_000;
/// Buckets per doubling of a latency: quantiles are right within 5 %.
const STEPS: u32 = 16;
/// 2^40 microseconds are twelve days.
const BUCKETS: usize = 40 * STEPS as usize;

/// The books of one feed. Times are microseconds on any clock.
#[derive(Debug)]
pub struct Ledger {
    sent: Marks,
    acked: Marks,
    /// Serial number, index and time of the ops on this socket that are not acknowledged yet, in order.
    in_flight: VecDeque<(u64, u64, u64)>,
    passed_over: BTreeMap<u64, VecDeque<u64>>,
    passed: usize,
    /// Ops that were in flight on sockets that are gone: index by serial number.
    lost: BTreeMap<u64, u64>,
    synced: u64,
    stray: u64,
    latencies: Vec<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            sent: Marks::default(),
            acked: Marks::default(),
            in_flight: VecDeque::new(),
            passed_over: BTreeMap::new(),
            passed: 0,
            lost: BTreeMap::new(),
            synced: 0,
            stray: 0,
            latencies: vec![0; BUCKETS],
        }
    }
}

impl Ledger {
    /// Ops of a frame: (serial number, index).
    pub fn send(&mut self, ops: &[(u64, u64)], now: u64) {
        for &(serial, index) in ops {
            self.sent.set(serial);
            self.in_flight.push_back((serial, index, now));
        }
    }

    /// An acknowledgement of the node. It answers the oldest op in flight with that index, first of all one that was
    /// not acknowledged before: an answer to `request_missing` repeats the ops of other periods, and a node need not
    /// acknowledge those that it did not ask for. Ops before it were passed over, which is no verdict: an answer may
    /// be durable before them.
    pub fn ack(&mut self, index: u64, now: u64) {
        let mut same = (0..).zip(&self.in_flight).filter(|(_, op)| op.1 == index);
        let first = same.clone().next();
        let fresh = same.find(|(_, op)| !self.acked.has(op.0));
        let waits = self.passed_over.get(&index).is_some_and(|serials| serials.iter().any(|at| !self.acked.has(*at)));
        if let Some((at, _)) = fresh.or(first.filter(|_| !waits)) {
            let passed: Vec<_> = self.in_flight.drain(..at).collect();
            passed.into_iter().for_each(|op| self.pass_over(op.0, op.1));
            if let Some((serial, _, sent)) = self.in_flight.pop_front() {
                self.acked.set(serial);
                self.latencies[bucket(now.saturating_sub(sent))] += 1;
            }
            return;
        }
        let Some(serials) = self.passed_over.get_mut(&index).filter(|serials| !serials.is_empty()) else {
            self.stray += 1;
            return;
        };
        let fresh = serials.iter().position(|serial| !self.acked.has(*serial)).unwrap_or(0);
        if let Some(serial) = serials.remove(fresh) {
            self.passed -= 1;
            self.acked.set(serial);
        }
    }

    fn pass_over(&mut self, serial: u64, index: u64) {
        if self.passed < PASSED_OVER {
            self.passed += 1;
            self.passed_over.entry(index).or_default().push_back(serial);
        }
    }

    /// The socket is gone: nothing that is in flight will be acknowledged on it.
    pub fn disconnect(&mut self) {
        self.lost.extend(self.in_flight.drain(..).map(|(serial, index, _)| (serial, index)));
        for (index, serials) in std::mem::take(&mut self.passed_over) {
            self.lost.extend(serials.into_iter().map(|serial| (serial, index)));
        }
        self.passed = 0;
    }

    /// The node's `sync_status`: it holds what was sent on lost sockets up to this index (0: it holds nothing, or does
    /// not know); `newest` is the last index sent. That is the only word on ops whose acknowledgement went down with a
    /// socket: nobody sends them again.
    pub fn sync(&mut self, last_index: u64, newest: u64) {
        if last_index == 0 {
            return;
        }
        let lost: Vec<(u64, u64)> = std::mem::take(&mut self.lost).into_iter().collect();
        let falls: Vec<usize> = (1..lost.len()).filter(|at| lost[*at].1 < lost[at - 1].1).collect();
        // An index beyond the newest is one of the run before.
        let beyond = last_index > newest;
        let (start, end) = match falls.as_slice() {
            [.., before, last] if beyond => (*before, *last),
            [last] if beyond => (0, *last),
            [] if beyond => (0, 0),
            [.., last] => (*last, lost.len()),
            [] => (0, lost.len()),
        };
        for (at, (serial, index)) in lost.into_iter().enumerate() {
            if at < start || (at < end && index <= last_index) {
                self.synced += u64::from(self.acked.set(serial));
            } else {
                self.lost.insert(serial, index);
            }
        }
    }

    /// The process that wrote them died: what is not acknowledged will not be sent again as such, its replay will.
    pub fn forget(&mut self) {
        self.disconnect();
        self.lost.clear();
        self.sent = self.acked.clone();
    }

    /// Different ops sent.
    pub fn sent(&self) -> u64 {
        self.sent.count
    }

    /// Of those acknowledged, the ones that only a `sync_status` spoke for.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Different ops acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked.count
    }

    /// Ops sent and not acknowledged.
    pub fn unacked(&self) -> u64 {
        self.sent.count - self.acked.count
    }

    /// Acknowledgements that answer nothing.
    pub fn stray(&self) -> u64 {
        self.stray
    }

    /// Ops in flight on this socket.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The latency, in microseconds, that a share of the acknowledgements did not exceed; 0 without any.
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.latencies.iter().sum();
        let mut left = (share * total as f64).ceil().max(1.0) as u64;
        for (at, count) in self.latencies.iter().enumerate() {
            if *count >= left {
                return 2f64.powf((at as f64 + 0.5) / f64::from(STEPS)) as u64;
            }
            left -= count;
        }
        0
    }
}

fn bucket(micros: u64) -> usize {
    let log = (micros.max(1) as f64).log2() * f64::from(STEPS);
    (log as usize).min(BUCKETS - 1)
}

/// A set of serial numbers from 1 that are set roughly in order.
#[derive(Clone, Debug, Default)]
struct Marks {
    /// Words before this one are full.
    first: u64,
    words: VecDeque<u64>,
    count: u64,
}

impl Marks {
    fn has(&self, serial: u64) -> bool {
        let (word, bit) = (serial.saturating_sub(1) / 64, 1u64 << (serial.saturating_sub(1) % 64));
        match word.checked_sub(self.first) {
            Some(at) => self.words.get(at as usize).is_some_and(|word| word & bit != 0),
            None => true,
        }
    }

    /// True when it was not set before.
    fn set(&mut self, serial: u64) -> bool {
        let (word, bit) = (serial.saturating_sub(1) / 64, 1u64 << (serial.saturating_sub(1) % 64));
        let Some(at) = word.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else {
            return false;
        };
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let new = self.words[at] & bit == 0;
        self.count += u64::from(new);
        self.words[at] |= bit;
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.first += 1;
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_op_sent_twice_counts_once() {
        let mut ledger = Ledger::default();
        ledger.send(&[(1, 0), (2, 1), (2, 1)], 0);
        ledger.ack(0, 10);
        ledger.ack(1, 10);
        assert_eq!((ledger.sent(), ledger.acked(), ledger.unacked()), (2, 2, 0));
        ledger.ack(1, 10);
        assert_eq!((ledger.acked(), ledger.stray()), (2, 0));
        ledger.ack(1, 10);
        assert_eq!(ledger.stray(), 1);
    }

    #[test]
    fn a_late_acknowledgement_still_counts() {
        let mut ledger = Ledger::default();
        ledger.send(&[(10, 7), (3, 2), (4, 3)], 0);
        [2, 3, 7].into_iter().for_each(|index| ledger.ack(index, 5));
        assert_eq!((ledger.unacked(), ledger.stray()), (0, 0));
    }

    #[test]
    fn an_answer_repeats_other_periods_and_one_acknowledgement_is_enough() {
        let mut ledger = Ledger::default();
        ledger.send(&[(1, 5), (2, 6)], 0);
        [5, 6].into_iter().for_each(|index| ledger.ack(index, 1));
        ledger.send(&[(1, 5), (2, 6), (30, 5)], 2);
        ledger.ack(5, 3);
        assert_eq!((ledger.unacked(), ledger.stray()), (0, 0));
    }

    #[test]
    fn what_a_dead_socket_held_is_open_until_it_is_sent_again() {
        let mut ledger = Ledger::default();
        ledger.send(&[(1, 0), (2, 1)], 0);
        ledger.disconnect();
        ledger.ack(0, 5);
        assert_eq!((ledger.unacked(), ledger.stray()), (2, 1));
        ledger.send(&[(2, 1), (1, 0)], 6);
        ledger.ack(1, 7);
        ledger.ack(0, 7);
        assert_eq!(ledger.unacked(), 0);
    }

    #[test]
    fn what_the_node_says_it_holds_counts() {
        let sent: Vec<(u64, u64)> = [(1, 7), (2, 8), (3, 0), (4, 1), (5, 2)].into();
        // Nothing; up to the second of the newest run; its marker; the run before.
        for (last_index, held) in [(0, 0), (1, 4), (3, 5), (8, 2), (7, 1)] {
            let mut ledger = Ledger::default();
            ledger.send(&sent, 0);
            ledger.disconnect();
            ledger.sync(last_index, 3);
            assert_eq!((ledger.acked(), ledger.synced()), (held, held), "{last_index}");
            ledger.sync(last_index, 3);
            assert_eq!(ledger.synced(), held);
        }
    }

    #[test]
    fn a_dead_process_owes_nothing() {
        let mut ledger = Ledger::default();
        ledger.send(&[(1, 0), (2, 1), (3, 2)], 0);
        ledger.ack(0, 5);
        ledger.forget();
        assert_eq!((ledger.sent(), ledger.unacked()), (1, 0));
        ledger.send(&[(4, 0)], 6);
        assert_eq!(ledger.unacked(), 1);
    }

    #[test]
    fn memory_does_not_grow_with_what_is_done() {
        let mut ledger = Ledger::default();
        for serial in 1..=100_000 {
            ledger.send(&[(serial, serial % 50)], 0);
            ledger.ack(serial % 50, 1000);
        }
        assert_eq!((ledger.acked(), ledger.in_flight()), (100_000, 0));
        assert!(ledger.acked.words.len() < 2 && ledger.sent.words.len() < 2);
        assert!((950..1050).contains(&ledger.quantile(0.5)), "{}", ledger.quantile(0.5));
    }
}
