//! Leases come and go, and what names they leave.

use std::path::Path;
use std::time::Duration;

use pxe_core::{MacAddr, UnixTime};
use pxe_dhcp::ReservedFor;
use pxe_dhcp::wire::ClientFqdn;
use pxe_dns::Name;

use super::*;
use crate::config::Config;

const WALL: u64 = 1_795_000_000;

const CONFIG: &str = "[tree]\nroot = \"/srv/tftp\"\n[dns]\nlisten = \"127.0.0.1:53\"\n\
    domain = \"matrix.lan\"\n[dhcp]\nlisten = \"127.0.0.1\"\n\
    [[dhcp.subnet]]\nnetwork = \"192.168.150.0/24\"\npools = \"192.168.150.20-192.168.150.99\"\n\
    [[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\npools = \"10.0.0.20-10.0.0.99\"\n\
    domain_name = \"lab.lan\"\n";

fn config(more: &str) -> Config {
    let text = format!("{CONFIG}{more}");
    Config::parse(&text, Path::new("x.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn rules(more: &str) -> Rules {
    Rules::new(&config(more), Taken::default())
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 150, last)
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

/// A lease of this machine for an hour, since so many seconds.
fn lease(address: Ipv4Addr, machine: u8, since: u64, name: &str) -> LeaseRecord {
    let seen = UnixTime::from_seconds(WALL + since);
    let expires = seen.saturating_add_seconds(3600);
    let state = LeaseState::Bound { expires };
    let mut record = LeaseRecord::new(address, mac(machine), state, seen);
    record.host_name = Some(name.as_bytes().to_vec());
    record
}

/// The names as they are told, from changes alone.
struct Bench {
    state: State,
    now: Now,
    names: BTreeMap<String, Ipv4Addr>,
    told: Vec<Told>,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        let state = State {
            rules,
            ..State::default()
        };
        Self {
            state,
            now: Now::new(Instant::EPOCH, UnixTime::from_seconds(WALL)),
            names: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn take(&mut self, record: &LeaseRecord) {
        let told = self.state.take(self.now, record);
        self.follow(told);
    }

    fn advance(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        let told = self.state.end(self.now);
        self.follow(told);
    }

    fn follow(&mut self, told: Vec<Told>) {
        for change in told.iter().filter_map(|told| match told {
            Told::Changed(change) => Some(change),
            _ => None,
        }) {
            match change.after {
                Some(holder) => self.names.insert(change.name.clone(), holder.address),
                None => self.names.remove(&change.name),
            };
        }
        self.told.extend(told);
    }

    fn lost(&self) -> usize {
        let told = self.told.iter();
        told.filter(|told| matches!(told, Told::Lost { .. }))
            .count()
    }

    #[track_caller]
    fn assert_names(&self, expected: &[(&str, Ipv4Addr)]) {
        let names = self.names.iter();
        let names: Vec<_> = names.map(|(name, ip)| (name.as_str(), *ip)).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn a_name_comes_with_its_lease_and_ends_with_it() {
    let mut bench = Bench::new(rules(""));
    bench.take(&lease(ip(23), 1, 0, "PC7"));
    bench.assert_names(&[("pc7.matrix.lan", ip(23))]);
    // It is renewed.
    bench.advance(1800);
    let mut record = lease(ip(23), 1, 1800, "PC7");
    record.named_since = UnixTime::from_seconds(WALL);
    bench.take(&record);
    assert_eq!(bench.told.len(), 1, "nothing new");
    bench.advance(3599);
    bench.assert_names(&[("pc7.matrix.lan", ip(23))]);
    bench.advance(1);
    bench.assert_names(&[]);
    assert_eq!(bench.state.next_end(), None);
    // Given back, found in use, given to another: each ends it, too.
    let at = UnixTime::from_seconds(WALL + 6000);
    for state in [
        LeaseState::Released { at },
        LeaseState::Declined { until: at },
    ] {
        bench.take(&lease(ip(23), 1, 5400, "pc7"));
        bench.assert_names(&[("pc7.matrix.lan", ip(23))]);
        let mut over = lease(ip(23), 1, 5400, "pc7");
        over.state = state;
        bench.take(&over);
        bench.assert_names(&[]);
    }
    bench.take(&lease(ip(23), 1, 5400, "pc7"));
    bench.take(&lease(ip(23), 2, 5400, "pc8"));
    bench.assert_names(&[("pc8.matrix.lan", ip(23))]);
}

#[test]
fn a_lease_that_was_over_when_it_was_loaded_has_no_name() {
    let mut bench = Bench::new(rules(""));
    bench.now = Now::new(Instant::EPOCH, UnixTime::from_seconds(WALL + 3600));
    bench.take(&lease(ip(23), 1, 0, "pc7"));
    bench.assert_names(&[]);
    // A clock that is behind gives it no longer than it was given for.
    bench.now = Now::new(Instant::EPOCH, UnixTime::from_seconds(5));
    bench.take(&lease(ip(24), 2, 0, "pc8"));
    bench.advance(3599);
    bench.assert_names(&[("pc8.matrix.lan", ip(24))]);
    bench.advance(1);
    bench.assert_names(&[]);
}

#[test]
fn leases_for_ever_are_named_for_ever() {
    let mut bench = Bench::new(rules(""));
    let mut record = lease(ip(23), 1, 0, "pc7");
    let expires = UnixTime::from_seconds(u64::MAX);
    record.state = LeaseState::Bound { expires };
    bench.take(&record);
    bench.advance(100 * 365 * 86_400);
    bench.assert_names(&[("pc7.matrix.lan", ip(23))]);
}

#[test]
fn the_next_in_line_has_the_name_when_its_holder_goes() {
    let mut bench = Bench::new(rules(""));
    bench.take(&lease(ip(23), 1, 0, "pc7"));
    bench.advance(10);
    bench.take(&lease(ip(22), 2, 10, "pc7"));
    bench.assert_names(&[("pc7.matrix.lan", ip(23))]);
    assert_eq!(bench.lost(), 1);
    bench.advance(3590);
    bench.assert_names(&[("pc7.matrix.lan", ip(22))]);
    // The first comes back, and stands behind now.
    bench.take(&lease(ip(23), 1, 3600, "pc7"));
    bench.assert_names(&[("pc7.matrix.lan", ip(22))]);
    assert_eq!(bench.lost(), 2);
}

#[test]
fn a_host_of_the_configuration_has_its_name_whoever_says_it() {
    let more = "[[dhcp.host]]\nname = \"pc7\"\nmac = \"02:00:00:00:00:02\"\n\
        [[dhcp.host]]\nname = \"Peter's\"\nmac = \"02:00:00:00:00:03\"\n";
    let mut bench = Bench::new(rules(more));
    bench.take(&lease(ip(23), 1, 0, "pc7"));
    bench.take(&lease(ip(22), 2, 10, "whatever"));
    bench.take(&lease(ip(21), 3, 10, "pc9"));
    bench.assert_names(&[("pc7.matrix.lan", ip(22)), ("pc9.matrix.lan", ip(21))]);
    // By what it was recognised, where it says that no more.
    let uuid = "12345678-1234-1234-1234-123456789abc";
    let more = format!("[[dhcp.host]]\nname = \"node\"\nuuid = \"{uuid}\"\n");
    let mut bench = Bench::new(rules(&more));
    let mut record = lease(ip(23), 1, 0, "pc7");
    record.reserved_for = Some(ReservedFor::Uuid(uuid.parse().expect("a UUID")));
    bench.take(&record);
    bench.assert_names(&[("node.matrix.lan", ip(23))]);
}

#[test]
fn a_lease_is_named_in_the_domain_of_its_network() {
    let mut bench = Bench::new(rules(""));
    let lab = Ipv4Addr::new(10, 0, 0, 20);
    bench.take(&lease(lab, 1, 0, "pc7"));
    bench.take(&lease(ip(23), 2, 0, "pc7"));
    bench.assert_names(&[("pc7.lab.lan", lab), ("pc7.matrix.lan", ip(23))]);
    // Nowhere else has names.
    bench.take(&lease(Ipv4Addr::new(172, 16, 0, 1), 3, 0, "pc8"));
    let mut full = lease(ip(24), 4, 0, "ignored");
    full.fqdn = Some(ClientFqdn::new(5, "pc9.lab.lan"));
    bench.take(&full);
    let named = ("pc9.lab.lan", ip(24));
    bench.assert_names(&[("pc7.lab.lan", lab), ("pc7.matrix.lan", ip(23)), named]);
}

#[test]
fn the_zones_own_names_are_nobody_elses() {
    let name = |text: &str| text.parse::<Name>().expect("a name");
    let a = |owner: &str, address: Ipv4Addr| {
        Record::new(name(owner), RecordType::A, 60, address.octets().to_vec())
    };
    let pointer = name("25.150.168.192.in-addr.arpa");
    let zone = [
        a("PXE.matrix.lan", ip(1)),
        a("gw.matrix.lan", ip(23)),
        Record::new(
            name("www.matrix.lan"),
            RecordType::CNAME,
            60,
            &b"\x03pxe\0"[..],
        ),
        Record::new(pointer, RecordType::PTR, 60, &b"\x03old\0"[..]),
    ];
    let taken = Taken::of(zone, &name("boot.matrix.lan"));
    let mut bench = Bench::new(Rules::new(&config(""), taken));
    for (last, said) in [(20, "pxe"), (21, "www"), (22, "boot"), (24, "wpad")] {
        bench.take(&lease(ip(last), last, 0, said));
    }
    bench.assert_names(&[]);
    let why: Vec<&Unnamed> = (bench.told.iter())
        .filter_map(|told| match told {
            Told::Unnamed { why, .. } => Some(why),
            _ => None,
        })
        .collect();
    let taken = |name: &str| Unnamed::Taken(format!("{name}.matrix.lan"));
    let withheld = Unnamed::Withheld("wpad".to_owned());
    assert_eq!(
        why,
        [&taken("pxe"), &taken("www"), &taken("boot"), &withheld]
    );
    // Where the zone has the very address, there is nothing to tell.
    bench.take(&lease(ip(23), 23, 0, "gw"));
    assert!(matches!(
        bench.told.last(),
        Some(Told::Unnamed {
            why: Unnamed::Silent,
            ..
        })
    ));
    let records = |last| bench.state.rules.records("x.matrix.lan", ip(last), 60);
    let kinds = |last| records(last).iter().map(|one| one.kind).collect::<Vec<_>>();
    assert_eq!(kinds(26), [RecordType::A, RecordType::PTR]);
    assert_eq!(kinds(25), [RecordType::A]);
    // Nor do they go into a zone that takes no leases.
    let zone = "[[dns.zone]]\nname = \"168.192.in-addr.arpa\"\nleases = ";
    for (takes, count) in [("true", 2), ("false", 1)] {
        let rules = rules(&format!("{zone}{takes}\n"));
        assert_eq!(rules.records("x.matrix.lan", ip(26), 60).len(), count);
    }
    let pointer = &records(26)[1];
    assert_eq!(pointer.owner, name("26.150.168.192.in-addr.arpa"));
    assert_eq!(&pointer.data[..], name("x.matrix.lan").as_ref().wire());
}

#[test]
fn a_reload_moves_names() {
    let mut bench = Bench::new(rules(""));
    bench.take(&lease(ip(23), 1, 0, "pc7"));
    bench.state.rules = {
        let text = CONFIG.replace("matrix.lan", "other.lan");
        let config = Config::parse(&text, Path::new("x.toml")).expect("valid");
        Rules::new(&config, Taken::default())
    };
    let told = bench.state.claim_all();
    bench.follow(told);
    bench.assert_names(&[("pc7.other.lan", ip(23))]);
    let off = CONFIG.replace("domain = \"matrix.lan\"\n", "");
    let config = Config::parse(&off, Path::new("x.toml")).expect("valid");
    bench.state.rules = Rules::new(&config, Taken::default());
    let told = bench.state.claim_all();
    bench.follow(told);
    bench.assert_names(&[("pc7.lab.lan", ip(23))]);
}

#[test]
fn a_name_may_be_remembered_for_a_third_of_its_lease() {
    let rules = rules("");
    let ttl = |seconds: u64| {
        let mut record = lease(ip(23), 1, 0, "pc7");
        let expires = UnixTime::from_seconds(WALL + seconds);
        record.state = LeaseState::Bound { expires };
        rules.claim(&record).expect("a name").ttl_seconds
    };
    assert_eq!([2, 90, 1800, 86_400].map(ttl), [1, 30, 600, 600]);
}

/// The store gives records by address, and not as they came.
#[test]
fn after_a_restart_names_are_whose_they_were() {
    let mut bench = Bench::new(rules(""));
    let mut last = BTreeMap::new();
    for number in 0..200_u8 {
        let address = ip(20 + number % 70);
        let name = format!("pc{}", number % 7);
        let record = lease(address, number % 50, u64::from(number / 3), &name);
        bench.take(&record);
        last.insert(address, record);
    }
    let mut again = Bench::new(rules(""));
    for record in last.values() {
        again.take(record);
    }
    assert_eq!(bench.names, again.names);
    assert_eq!(bench.names.len(), 7);
}

/// A thousand machines that all say one name cost little each.
#[test]
fn many_machines_may_want_one_name() {
    let mut bench = Bench::new(rules(""));
    for number in 0..4000_u32 {
        let address = Ipv4Addr::from_bits(ip(0).to_bits() + number % 250);
        let mut record = lease(address, 0, u64::from(number), "localhost-live");
        let [_, _, high, low] = number.to_be_bytes();
        record.client = MacAddr::new([2, 0, 0, 1, high, low]).into();
        bench.take(&record);
    }
    assert_eq!(bench.state.claims.names_len(), 1);
    assert_eq!(bench.state.claims.len(), 250);
}
