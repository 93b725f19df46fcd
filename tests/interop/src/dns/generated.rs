//! Zones that nobody wrote: what is rare in real ones, in each of them, the same in each run.

use std::fmt::Write as _;
use std::path::Path;

use super::chance::Chance;
use super::zone::ZoneFile;

/// How many zones there are, beside a child of each fourth.
const ZONES: usize = 20;

/// Writes the zones into a folder.
pub(super) fn zones(directory: &Path) -> Result<Vec<ZoneFile>, String> {
    let mut zones = Vec::new();
    let mut write = |origin: String, text: String| -> Result<(), String> {
        let file = directory.join(format!("generated-{origin}"));
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        zones.push(ZoneFile { origin, file });
        Ok(())
    };
    for number in 0..ZONES {
        let origin = origin(number);
        let mut zone = Generated::new(&origin, number);
        zone.fill();
        write(origin.clone(), zone.text)?;
        if number.is_multiple_of(4) {
            let child = format!("child.{origin}");
            let mut zone = Generated::new(&child, number + ZONES);
            zone.hosts();
            zone.line("*", "TXT", "\"below the cut\"");
            zone.line("back", "CNAME", &format!("h0.{origin}."));
            write(child, zone.text)?;
        }
    }
    Ok(zones)
}

fn origin(number: usize) -> String {
    // Names that fold to others, that are short, and that are as long as labels may be.
    match number {
        7 => "Upper.Case.TEST".to_owned(),
        11 => "z".to_owned(),
        13 => format!("{}.test", "l".repeat(63)),
        _ => format!("g{number}.test"),
    }
}

struct Generated {
    origin: String,
    number: usize,
    chance: Chance,
    text: String,
    hosts: usize,
}

impl Generated {
    fn new(origin: &str, number: usize) -> Self {
        let mut chance = Chance::of_text(origin);
        let (ttl, minimum) = (60 + chance.below(9_000), 30 + chance.below(9_000));
        let mut text = format!(
            "$TTL {ttl}\n@ {} IN SOA ns1 Host\\.Master (",
            chance.below(9_999)
        );
        let _ = writeln!(text, " {} 3600 600 86400 {minimum} )", 1 + number);
        let hosts = 3 + chance.below(6);
        let mut zone = Self {
            origin: origin.to_owned(),
            number,
            chance,
            text,
            hosts,
        };
        zone.line("@", "NS", "ns1");
        zone.line("ns1", "A", "10.99.0.1");
        zone.line("ns1", "AAAA", "2001:db8:99::1");
        zone
    }

    fn line(&mut self, owner: &str, kind: &str, data: &str) {
        let _ = writeln!(self.text, "{owner} IN {kind} {data}");
    }

    fn fill(&mut self) {
        self.hosts();
        self.other_servers();
        self.chains();
        self.loops();
        self.wildcards();
        self.delegations();
        self.subtrees();
        self.odd_names();
        self.large_sets();
        self.rare_types();
        self.many_targets();
    }

    fn host(&mut self) -> String {
        format!("h{}", self.chance.below(self.hosts))
    }

    /// A host of another zone.
    fn elsewhere(&mut self) -> String {
        let other = origin((self.number + 1 + self.chance.below(ZONES - 1)) % ZONES);
        format!("h0.{other}.")
    }

    fn hosts(&mut self) {
        for host in 0..self.hosts {
            let owner = format!("h{host}");
            for _ in 0..=self.chance.below(3) {
                let address = format!("10.0.{host}.{}", 1 + self.chance.below(250));
                self.line(&owner, "A", &address);
            }
            if self.chance.one_in(2) {
                // The same name with other case.
                let owner = format!("H{host}");
                let ttl = 1 + self.chance.below(700);
                let _ = writeln!(self.text, "{owner} {ttl} IN AAAA 2001:db8::{host}");
            }
            if self.chance.one_in(3) {
                self.line(&owner, "TXT", "\"a host\" \"of mine\"");
            }
        }
    }

    fn other_servers(&mut self) {
        let elsewhere = self.elsewhere();
        self.line("@", "NS", &elsewhere);
        self.line("@", "NS", "ns.elsewhere.example.");
        if self.chance.one_in(2) {
            self.line("@", "A", "10.98.0.1");
        }
        let host = self.host();
        self.line("@", "MX", &format!("10 {host}"));
        self.line("@", "MX", &format!("20 {elsewhere}"));
    }

    /// Aliases of aliases, to all kinds of ends.
    fn chains(&mut self) {
        let elsewhere = self.elsewhere();
        let ends = [
            "h0",
            "nothing",
            "www.example.net.",
            "a.w",
            "www.cut",
            "x.dn",
            "ent",
            "big",
            &elsewhere,
            "*.w",
        ];
        for (chain, end) in ends.into_iter().enumerate() {
            // BIND goes on for 11 or 16 aliases, by its version.
            let len = match chain {
                0 => 30,
                _ => 1 + self.chance.below(5),
            };
            for link in 0..len {
                let next = match link + 1 == len {
                    true => end.to_owned(),
                    false => format!("c{chain}-{}", link + 1),
                };
                self.line(&format!("c{chain}-{link}"), "CNAME", &next);
            }
        }
    }

    fn loops(&mut self) {
        self.line("self", "CNAME", "self");
        let len = 2 + self.chance.below(4);
        for link in 0..len {
            let next = format!("l{}", (link + 1) % len);
            self.line(&format!("l{link}"), "CNAME", &next);
        }
        self.line("*.loop", "CNAME", "x.loop");
    }

    fn wildcards(&mut self) {
        let address = format!("10.1.0.{}", self.chance.below(250));
        self.line("*.w", "A", &address);
        self.line("*.w", "MX", "5 a.w");
        self.line("exists.w", "TXT", "\"no wildcard for me\"");
        self.line("under.exists.w", "A", "10.1.1.1");
        self.line("*.x.w", "TXT", "\"deeper\"");
        self.line("*.a.b.c.w", "A", "10.1.1.2");
        self.line("*.alias", "CNAME", "h0");
        self.line("*.away", "CNAME", "www.example.net.");
        self.line("here.*.star", "A", "10.1.1.3");
        self.line("*.*.stars", "A", "10.1.1.4");
        self.line("leaf.in.ent", "A", "10.1.1.5");
        self.line("*.srv", "SRV", "0 0 80 h0");
        if self.chance.one_in(3) {
            self.line("*", "A", "10.1.1.6");
        }
        if self.chance.one_in(3) {
            self.line("*.MiXed", "TXT", "\"case\"");
        }
    }

    fn delegations(&mut self) {
        self.line("cut", "NS", "ns.cut");
        self.line("ns.cut", "A", "10.2.0.1");
        self.line("ns.cut", "AAAA", "2001:db8:2::1");
        // What is below a cut is not ours to tell.
        self.line("www.cut", "A", "10.2.0.2");
        self.line("*.cut", "A", "10.2.0.3");
        self.line("cut", "DS", &format!("1 8 2 {}", "ab".repeat(32)));
        self.line("far", "NS", "ns.elsewhere.example.");
        let elsewhere = self.elsewhere();
        self.line("far", "NS", &elsewhere);
        self.line("near", "NS", "h0");
        self.line("sibling", "NS", "ns.cut");
        self.line("a.deep.cut2", "NS", "ns.a.deep.cut2");
        self.line("ns.a.deep.cut2", "A", "10.2.0.4");
        self.line("beside.cut2", "A", "10.2.0.5");
        for server in 0..13 {
            let name = format!("a-long-name-of-a-server-{server}.many");
            self.line("many", "NS", &name);
            self.line(&name, "A", &format!("10.2.1.{server}"));
            self.line(&name, "AAAA", &format!("2001:db8:2::1:{server}"));
        }
        if self.number.is_multiple_of(4) {
            // The same server has the child.
            self.line("child", "NS", "ns1.child");
            self.line("ns1.child", "A", "10.99.0.1");
            self.line("child", "DS", &format!("2 8 2 {}", "cd".repeat(32)));
        }
    }

    /// DNAME, to all kinds of ends.
    fn subtrees(&mut self) {
        self.line("dn", "DNAME", "w");
        self.line("dn", "A", "10.3.0.1");
        self.line("dn2", "DNAME", "dn");
        self.line("dnself", "DNAME", "x.dnself");
        self.line("dnloop", "DNAME", "dnloop");
        self.line("dnaway", "DNAME", "example.net.");
        self.line("dncut", "DNAME", "cut");
        let elsewhere = self.elsewhere();
        self.line("dnzone", "DNAME", &elsewhere);
        let long = ["x".repeat(63), "y".repeat(63), "z".repeat(40)].join(".");
        self.line("dnlong", "DNAME", &format!("{long}.test."));
        self.line("todn", "CNAME", "h1.dn");
    }

    fn odd_names(&mut self) {
        self.line("esc\\.aped", "A", "10.4.0.1");
        self.line("nul\\000", "A", "10.4.0.2");
        self.line("sp\\032ace", "A", "10.4.0.3");
        self.line("\\255\\254", "TXT", "\"\\000\\255\\\"\"");
        self.line("_svc._tcp", "SRV", "1 2 443 h0");
        self.line(&"m".repeat(63), "A", "10.4.0.4");
        let labels = (250 - self.origin.len()) / 2;
        let deep = vec!["d"; labels].join(".");
        self.line(&deep, "A", "10.4.0.5");
        self.line("MixedCase", "A", "10.4.0.6");
        self.line("mIXEDcASE", "TXT", "\"of one name\"");
        self.line("toMixed", "CNAME", "MIXEDcase");
    }

    fn large_sets(&mut self) {
        for count in 0..20 + self.chance.below(40) {
            self.line("big", "A", &format!("10.5.0.{count}"));
        }
        for count in 0..100 + self.chance.below(300) {
            let data = format!("10.5.{}.{}", 1 + count / 250, count % 250);
            self.line("huge", "A", &data);
        }
        let text = "t".repeat(200);
        for count in 0..4 + self.chance.below(8) {
            self.line("texts", "TXT", &format!("\"{count}\" \"{text}\""));
        }
        self.line("twice", "A", "10.5.9.9");
        self.line("twice", "A", "10.5.9.9");
    }

    fn rare_types(&mut self) {
        for (kind, data) in [
            ("HINFO", "\"PC\" \"a system\""),
            ("RP", "me.example.net. text"),
            ("AFSDB", "1 h0"),
            (
                "NAPTR",
                "100 10 \"u\" \"sip+E2U\" \"!^.*$!sip:x@example.net!\" .",
            ),
            ("LOC", "48 51 29.0 N 2 17 40.0 E 300m 1m 100m 10m"),
            ("SSHFP", "1 1 123456789abcdef67890123456789abcdef67890"),
            ("CAA", "0 issue \"ca.example.net\""),
            ("HTTPS", "1 . alpn=h2"),
            ("SVCB", "0 h0"),
            ("TYPE65280", "\\# 4 0a000001"),
            ("PTR", "h0"),
        ] {
            self.line("rare", kind, data);
        }
        let digest = "0123456789abcdef".repeat(4);
        self.line("_443._tcp.rare", "TLSA", &format!("3 1 1 {digest}"));
        self.line("rare", "URI", "10 1 \"http://h0.test/\"");
    }

    /// Records whose targets have addresses here, more than fit.
    fn many_targets(&mut self) {
        for number in 0..12 {
            let name = format!("a-mail-server-with-a-long-name-{number}");
            self.line("mails", "MX", &format!("{number} {name}"));
            self.line(&name, "A", &format!("10.6.0.{number}"));
            self.line(&name, "AAAA", &format!("2001:db8:6::{number}"));
        }
        self.line("mail", "MX", "1 h0");
        self.line("mail", "MX", "2 c0-29");
        self.line("mail", "MX", "3 a.w");
        self.line("mail", "MX", "4 ns.cut");
        self.line("mail", "MX", "5 nothing");
        self.line("srv", "SRV", "0 0 1 H0");
        let elsewhere = self.elsewhere();
        self.line("srv", "SRV", &format!("0 0 2 {elsewhere}"));
    }
}
