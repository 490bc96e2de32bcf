//! How many may stand somewhere, in all and from one address.
//!
//! *Always holds:* whoever was let in is counted until their [`Place`] is dropped; one address cannot take all the room.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An address as it is counted: of IPv6 the network, because one machine has as many addresses of it as it likes.
pub fn block(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        ip => ip,
    }
}

/// Those who are inside.
#[derive(Debug)]
pub struct Crowd {
    most: usize,
    of_one: usize,
    /// Whether this machine itself may take all the room: a proxy of it brings everybody.
    loopback: bool,
    inside: Mutex<(usize, BTreeMap<IpAddr, usize>)>,
}

/// A place inside, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    block: IpAddr,
}

impl Crowd {
    /// Room for so many, and for so many of one address.
    pub fn new(most: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, of_one, loopback: false, inside: Mutex::default() })
    }

    /// The same for those who are counted before it is known whom they speak for.
    pub fn of_connections(most: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, of_one, loopback: true, inside: Mutex::default() })
    }

    /// A place, if there is one.
    pub fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let block = block(ip);
        let mut inside = self.lock();
        let of_one = if block.is_loopback() && self.loopback { self.most } else { self.of_one };
        if inside.0 >= self.most || inside.1.get(&block).is_some_and(|inside| *inside >= of_one) {
            return None;
        }
        inside.0 += 1;
        *inside.1.entry(block).or_insert(0) += 1;
        Some(Place { crowd: Arc::clone(self), block })
    }

    fn lock(&self) -> MutexGuard<'_, (usize, BTreeMap<IpAddr, usize>)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.crowd.lock();
        inside.0 -= 1;
        if let Some(of_one) = inside.1.get_mut(&self.block) {
            *of_one -= 1;
            if *of_one == 0 {
                inside.1.remove(&self.block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards against: a place that is not given back; each address of an IPv6 network counts as another.
    #[test]
    fn one_address_cannot_take_all_the_room() {
        let crowd = Crowd::new(4, 2);
        let enter = |ip: &str| crowd.enter(ip.parse().unwrap());
        let one: Vec<_> = (1..=2).map(|n| enter(&format!("2001:db8::{n}")).unwrap()).collect();
        assert!(enter("2001:db8::3").is_none());
        let _two = [enter("::ffff:1.2.3.4").unwrap(), enter("1.2.3.4").unwrap()];
        assert!(enter("1.2.3.4").is_none() && enter("5.6.7.8").is_none(), "full");
        drop(one);
        assert!(enter("5.6.7.8").is_some() && enter("1.2.3.4").is_none());
        assert_eq!(crowd.lock().1.len(), 1, "who has left is forgotten");
    }
}
