//! Other DHCP servers, and when they were told of last.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;

use pxe_core::{IfIndex, Instant, MacAddr, Now};

use super::Engine;
use crate::Event;

/// How long a server that was told of is not told of again: often enough for a log of one day to
/// show it, seldom enough not to fill it.
const SILENCE: Duration = Duration::from_secs(3600);

/// When each was told of last. At most [`Limits::other_servers_max`] of them: anybody can name
/// a server that does not exist.
///
/// [`Limits::other_servers_max`]: crate::Limits::other_servers_max
#[derive(Debug, Default)]
pub(super) struct OtherServers {
    told: BTreeMap<Ipv4Addr, Instant>,
}

impl OtherServers {
    /// Whether this one is news now.
    fn is_news(&mut self, now: Instant, address: Ipv4Addr, servers_max: usize) -> bool {
        let is_over = |told: &Instant| now.saturating_duration_since(*told) >= SILENCE;
        if self.told.get(&address).is_some_and(|told| !is_over(told)) {
            return false;
        }
        if self.told.len() >= servers_max {
            self.told.retain(|_, told| !is_over(told));
        }
        // A full table stays silent about further ones: that it is full was told by its entries.
        let is_room = self.told.len() < servers_max;
        if is_room {
            self.told.insert(address, now);
        }
        is_room
    }
}

impl Engine {
    /// Takes note of another DHCP server on a link, which the driver has found. It is told of by
    /// [`Event::OtherServer`], once an hour.
    pub fn handle_other_server(
        &mut self,
        now: Now,
        address: Ipv4Addr,
        mac: Option<MacAddr>,
        interface: Option<IfIndex>,
    ) {
        let servers_max = self.limits().other_servers_max;
        let is_news = !self.plan.is_own(address)
            && self.other_servers.is_news(now.mono, address, servers_max);
        if is_news {
            self.event(Event::OtherServer {
                address,
                mac,
                interface,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_of_once_an_hour() {
        let mut servers = OtherServers::default();
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let at = |seconds| Instant::EPOCH + Duration::from_secs(seconds);
        assert!(servers.is_news(at(0), address(1), 2));
        assert!(!servers.is_news(at(3599), address(1), 2));
        assert!(servers.is_news(at(3600), address(1), 2));
        assert!(servers.is_news(at(3601), address(2), 2));
        assert!(!servers.is_news(at(3602), address(3), 2), "no room");
        assert!(
            servers.is_news(at(7200), address(3), 2),
            "the first is over"
        );
        assert_eq!(servers.told.len(), 2);
    }
}
