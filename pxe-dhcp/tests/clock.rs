//! A wall clock that is stepped, while the server runs and while it does not.

mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use pxe_core::{Instant, UnixTime};
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{Config, Reservation};
use support::{Bench, Request, ip, mac, policy, small};

const CLIENTS: u8 = 6;
const DAY_SECONDS: i64 = 86_400;

#[derive(Debug, Clone)]
enum Step {
    /// A client asks for an address, from the beginning.
    Lease(u8),
    /// It renews what it has, or tries to.
    Renew(u8),
    /// It reboots with what it had last, whether that is over or not.
    Reboot(u8),
    Release(u8),
    Pass(Duration),
    /// The wall clock is stepped by so many days.
    Jump(i64),
    /// The server starts anew, so many days apart by its wall clock.
    Restart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    prop_oneof![
        6 => client().prop_map(Step::Lease),
        3 => client().prop_map(Step::Renew),
        2 => client().prop_map(Step::Reboot),
        1 => client().prop_map(Step::Release),
        3 => (1..700_u64).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        2 => (-1..=1_i64).prop_map(Step::Jump),
        2 => (-1..=1_i64).prop_map(Step::Restart),
    ]
}

/// Fewer addresses than clients, so that they are given again and again.
fn config() -> Config {
    let mut config = small(10, 13);
    config.subnets[0] = config.subnets[0]
        .clone()
        .with_reservation(Reservation::new(mac(0), ip(50)));
    config.quarantine_time = Duration::from_secs(300);
    // They ask more often than real ones.
    config.limits.client_burst = 10_000;
    config
}

/// Clients that use their address as long as they were told, and answer probes for it.
struct World {
    bench: Bench,
    /// Who uses an address, and until when, by its own count.
    used: BTreeMap<Ipv4Addr, (u8, Instant)>,
    last: BTreeMap<u8, Ipv4Addr>,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(config(), policy()),
            used: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        let now = self.bench.now.mono;
        self.used.retain(|_, (_, until)| *until > now);
        self.bench.in_use = self.used.keys().copied().collect();
        match step {
            Step::Lease(number) => {
                // It starts over, and uses nothing meanwhile.
                self.used.retain(|_, (user, _)| user != number);
                self.bench.in_use = self.used.keys().copied().collect();
                let client = Request::new(mac(*number));
                let offers = self.bench.send(&client.discover());
                for (_, offer) in offers {
                    let offer = Message::parse(&offer).expect("an offer");
                    let address = offer.yiaddr().expect("an address");
                    self.ask(*number, &client.select(address));
                }
            }
            Step::Renew(number) => {
                let mut used = self.used.iter();
                if let Some((address, _)) = used.find(|(_, (user, _))| user == number) {
                    let renew = Request::new(mac(*number)).renew(*address);
                    self.ask(*number, &renew);
                }
            }
            Step::Reboot(number) => {
                self.used.retain(|_, (user, _)| user != number);
                self.bench.in_use = self.used.keys().copied().collect();
                if let Some(address) = self.last.get(number) {
                    let reboot = Request::new(mac(*number)).reboot(*address);
                    self.ask(*number, &reboot);
                }
            }
            Step::Release(number) => {
                if let Some(address) = self.last.get(number).copied() {
                    self.used.retain(|_, (user, _)| user != number);
                    let release = Request::new(mac(*number)).release(address);
                    self.bench.send(&release);
                }
            }
            Step::Pass(duration) => self.bench.advance(*duration),
            Step::Jump(days) => self.jump(*days),
            Step::Restart(days) => {
                let store = self.bench.store.clone();
                let now = self.bench.now;
                self.bench = Bench::new(config(), policy());
                (self.bench.now, self.bench.store) = (now, store.clone());
                self.jump(*days);
                self.bench.engine.load(self.bench.now, store.into_values());
            }
        }
    }

    fn jump(&mut self, days: i64) {
        let wall = &mut self.bench.now.wall;
        *wall = UnixTime::from_seconds(wall.as_seconds().saturating_add_signed(days * DAY_SECONDS));
    }

    fn ask(&mut self, number: u8, request: &Request) {
        for (_, reply) in self.bench.send(request) {
            let reply = Message::parse(&reply).expect("a reply");
            if reply.message_type() != Some(MessageType::ACK) {
                self.used.retain(|_, (user, _)| *user != number);
                continue;
            }
            let address = reply.yiaddr().expect("an address");
            let seconds = reply.lease_seconds().expect("a lease time");
            let until = self.bench.now.mono + Duration::from_secs(seconds.into());
            if let Some((user, _)) = self.used.get(&address) {
                assert_eq!(*user, number, "{address} is in use");
            }
            self.used.insert(address, (number, until));
            self.last.insert(number, address);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_wall_clock_stepped_by_a_day_either_way_duplicates_no_address(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
    }
}

#[test]
fn its_own_client_gets_an_address_that_looks_over_without_a_probe() {
    let mut world = World::new();
    world.take(&Step::Lease(1));
    let address = world.last[&1];
    world.take(&Step::Restart(1));
    world.bench.holds_probes = true;
    for step in [Step::Renew(1), Step::Reboot(1), Step::Lease(1)] {
        world.take(&step);
        assert_eq!(world.used[&address].0, 1, "{step:?}");
    }
    assert!(world.bench.probes.is_empty());
}
