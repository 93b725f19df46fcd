//! Other DHCP servers, and when they were told of last.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;

use pxe_core::{IfIndex, Instant, MacAddr, Now};

use super::Engine;
use crate::{Event, Limit};

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
    /// Whether this one is news now; a limit, if there is no room for it.
    fn is_news(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        servers_max: usize,
    ) -> Result<bool, Limit> {
        let is_over = |told: &Instant| now.saturating_duration_since(*told) >= SILENCE;
        if self.told.get(&address).is_some_and(|told| !is_over(told)) {
            return Ok(false);
        }
        if self.told.len() >= servers_max {
            self.told.retain(|_, told| !is_over(told));
        }
        if self.told.len() >= servers_max {
            return Err(Limit::OtherServers);
        }
        self.told.insert(address, now);
        Ok(true)
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
        if self.plan.is_own(address) {
            return;
        }
        match self.other_servers.is_news(now.mono, address, servers_max) {
            Ok(true) => self.event(Event::OtherServer {
                address,
                mac,
                interface,
            }),
            Ok(false) => {}
            Err(limit) => self.limit_reached(limit),
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
        assert_eq!(servers.is_news(at(0), address(1), 2), Ok(true));
        assert_eq!(servers.is_news(at(3599), address(1), 2), Ok(false));
        assert_eq!(servers.is_news(at(3600), address(1), 2), Ok(true));
        assert_eq!(servers.is_news(at(3601), address(2), 2), Ok(true));
        let no_room = Err(Limit::OtherServers);
        assert_eq!(servers.is_news(at(3602), address(3), 2), no_room);
        assert_eq!(
            servers.is_news(at(7200), address(3), 2),
            Ok(true),
            "the first is over"
        );
        assert_eq!(servers.told.len(), 2);
    }
}
