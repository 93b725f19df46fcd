//! DHCP options as they are typed: by name or by code, with a value of the option's own kind or
//! raw.

use std::net::Ipv4Addr;

use pxe_dhcp::wire::OptionCode;
use pxe_dhcp::{DhcpOption, Ipv4Net};
use toml::Value;

use super::super::file::Options;
use super::super::place::Problems;
use super::super::suggest::nearest;

/// What an option's value is, and how it is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One IPv4 address.
    Address,
    /// IPv4 addresses; one may stand by itself.
    Addresses,
    /// Pairs of IPv4 addresses, one after the other.
    Pairs,
    /// A text without an ending NUL.
    Text,
    /// Two octets in each, one or several.
    U16s,
    U8,
    U16,
    U32,
    I32,
    Bool,
    /// Domain names, compressed (RFC 3397).
    Domains,
    /// Networks and their routers (RFC 3442): `["10.0.0.0/8 via 192.168.150.1"]`.
    Routes,
    /// Octets that only their owner understands: `hex:0a0b`.
    Raw,
}

impl Kind {
    const fn expected(self) -> &'static str {
        match self {
            Self::Address => "write one IPv4 address, such as \"192.168.150.1\"",
            Self::Addresses => "write IPv4 addresses, such as [\"192.168.150.1\"]",
            Self::Pairs => {
                "write pairs of IPv4 addresses, such as [\"10.0.0.0\", \"192.168.150.1\"]"
            }
            Self::Text => "write a text in quotes, of 1 to 65535 bytes",
            Self::U16s => "write numbers of 0 to 65535, such as [68, 296]",
            Self::U8 => "write a number of 0 to 255",
            Self::U16 => "write a number of 0 to 65535",
            Self::U32 => "write a number of 0 to 4294967295",
            Self::I32 => "write a number of -2147483648 to 2147483647",
            Self::Bool => "write true or false",
            Self::Domains => "write domain names, such as [\"lab.lan\", \"lan\"]",
            Self::Routes => {
                "write routes, such as [\"10.0.0.0/8 via 192.168.150.1\"], and the default route, \
                 \"0.0.0.0/0 via ..\", too: who reads this option ignores routers"
            }
            Self::Raw => "write its octets, such as \"hex:0a0b\"",
        }
    }
}

/// Names of options (IANA "BOOTP Vendor Extensions and DHCP Options", as isc-dhcpd's
/// dhcp-options(5) spells them), with what they hold. The first name of a code is its own.
const NAMES: [(&str, u8, Kind); 86] = [
    ("time-offset", 2, Kind::I32),
    ("routers", 3, Kind::Addresses),
    ("time-servers", 4, Kind::Addresses),
    ("ien116-name-servers", 5, Kind::Addresses),
    ("domain-name-servers", 6, Kind::Addresses),
    ("log-servers", 7, Kind::Addresses),
    ("cookie-servers", 8, Kind::Addresses),
    ("lpr-servers", 9, Kind::Addresses),
    ("impress-servers", 10, Kind::Addresses),
    ("resource-location-servers", 11, Kind::Addresses),
    ("host-name", 12, Kind::Text),
    ("boot-size", 13, Kind::U16),
    ("merit-dump", 14, Kind::Text),
    ("domain-name", 15, Kind::Text),
    ("swap-server", 16, Kind::Address),
    ("root-path", 17, Kind::Text),
    ("extensions-path", 18, Kind::Text),
    ("ip-forwarding", 19, Kind::Bool),
    ("non-local-source-routing", 20, Kind::Bool),
    ("policy-filter", 21, Kind::Pairs),
    ("max-dgram-reassembly", 22, Kind::U16),
    ("default-ip-ttl", 23, Kind::U8),
    ("path-mtu-aging-timeout", 24, Kind::U32),
    ("path-mtu-plateau-table", 25, Kind::U16s),
    ("interface-mtu", 26, Kind::U16),
    ("all-subnets-local", 27, Kind::Bool),
    ("broadcast-address", 28, Kind::Address),
    ("perform-mask-discovery", 29, Kind::Bool),
    ("mask-supplier", 30, Kind::Bool),
    ("router-discovery", 31, Kind::Bool),
    ("router-solicitation-address", 32, Kind::Address),
    ("static-routes", 33, Kind::Pairs),
    ("trailer-encapsulation", 34, Kind::Bool),
    ("arp-cache-timeout", 35, Kind::U32),
    ("ieee802-3-encapsulation", 36, Kind::Bool),
    ("default-tcp-ttl", 37, Kind::U8),
    ("tcp-keepalive-interval", 38, Kind::U32),
    ("tcp-keepalive-garbage", 39, Kind::Bool),
    ("nis-domain", 40, Kind::Text),
    ("nis-servers", 41, Kind::Addresses),
    ("ntp-servers", 42, Kind::Addresses),
    ("vendor-encapsulated-options", 43, Kind::Raw),
    ("netbios-name-servers", 44, Kind::Addresses),
    ("netbios-dd-server", 45, Kind::Addresses),
    ("netbios-node-type", 46, Kind::U8),
    ("netbios-scope", 47, Kind::Text),
    ("font-servers", 48, Kind::Addresses),
    ("x-display-manager", 49, Kind::Addresses),
    ("vendor-class-identifier", 60, Kind::Text),
    ("nwip-domain", 62, Kind::Text),
    ("nwip-suboptions", 63, Kind::Raw),
    ("nisplus-domain", 64, Kind::Text),
    ("nisplus-servers", 65, Kind::Addresses),
    ("tftp-server-name", 66, Kind::Text),
    ("mobile-ip-home-agent", 68, Kind::Addresses),
    ("smtp-server", 69, Kind::Addresses),
    ("pop-server", 70, Kind::Addresses),
    ("nntp-server", 71, Kind::Addresses),
    ("www-server", 72, Kind::Addresses),
    ("finger-server", 73, Kind::Addresses),
    ("irc-server", 74, Kind::Addresses),
    ("streettalk-server", 75, Kind::Addresses),
    (
        "streettalk-directory-assistance-server",
        76,
        Kind::Addresses,
    ),
    ("nds-servers", 85, Kind::Addresses),
    ("nds-tree-name", 86, Kind::Text),
    ("nds-context", 87, Kind::Text),
    ("bcms-controller-address", 89, Kind::Addresses),
    ("uap-servers", 98, Kind::Text),
    ("pcode", 100, Kind::Text),
    ("tcode", 101, Kind::Text),
    ("v6-only-preferred", 108, Kind::U32),
    ("default-url", 114, Kind::Text),
    ("domain-search", 119, Kind::Domains),
    ("classless-static-routes", 121, Kind::Routes),
    ("vivso", 125, Kind::Raw),
    ("pana-agent", 136, Kind::Addresses),
    ("capwap-ac-v4", 138, Kind::Addresses),
    ("tftp-server-address", 150, Kind::Addresses),
    ("ipxe-encap-opts", 175, Kind::Raw),
    ("iscsi-initiator-iqn", 203, Kind::Text),
    ("loader-configfile", 209, Kind::Text),
    ("loader-pathprefix", 210, Kind::Text),
    ("loader-reboottime", 211, Kind::U32),
    ("ms-classless-static-routes", 249, Kind::Routes),
    ("wpad", 252, Kind::Text),
    ("rfc3442-classless-static-routes", 121, Kind::Routes),
];

/// Codes that the server itself fills in, or that only clients and relays send; and where what
/// they say is to be written instead.
const OWNED: [(u8, &str, &str); 20] = [
    (0, "pad", ""),
    (1, "subnet-mask", "it follows from the subnet's network"),
    (50, "dhcp-requested-address", "only clients send it"),
    (51, "dhcp-lease-time", "set lease_seconds"),
    (
        52,
        "dhcp-option-overload",
        "the server uses it where a reply is full",
    ),
    (53, "dhcp-message-type", ""),
    (54, "dhcp-server-identifier", "set server_ip in the subnet"),
    (
        55,
        "dhcp-parameter-request-list",
        "only clients send it; write { value = .., always = true } for an option that is to be sent unasked",
    ),
    (56, "dhcp-message", ""),
    (57, "dhcp-max-message-size", "only clients send it"),
    (58, "dhcp-renewal-time", "set t1_seconds in the subnet"),
    (59, "dhcp-rebinding-time", "set t2_seconds in the subnet"),
    (61, "dhcp-client-identifier", "only clients send it"),
    (
        67,
        "bootfile-name",
        "set boot, here or in [[boot.rule]], or files in [boot]",
    ),
    (77, "user-class", "only clients send it"),
    (82, "relay-agent-information", "the relay's is echoed"),
    (93, "pxe-system-type", "only clients send it"),
    (94, "pxe-interface-id", "only clients send it"),
    (97, "pxe-client-id", "the client's is echoed"),
    (255, "end", ""),
];

/// The options of a table `options = { .. }`, in the order in which they are written.
pub(super) fn options(problems: &mut Problems<'_>, path: &str, raw: &Options) -> Vec<DhcpOption> {
    let mut written: Vec<(String, &String, &Value)> = raw
        .iter()
        .map(|(name, value)| (format!("{path}.{name}"), name, value))
        .collect();
    written.sort_by_key(|(path, ..)| problems.places().find(path));
    let mut options: Vec<DhcpOption> = Vec::new();
    for (path, name, value) in written {
        let Some(option) = option(problems, &path, name, value) else {
            continue;
        };
        if options.iter().any(|other| other.code == option.code) {
            let message = format!("option {} is written twice", option.code.0);
            problems.error(&path, message, "remove one of the two");
        }
        options.push(option);
    }
    options
}

fn option(
    problems: &mut Problems<'_>,
    path: &str,
    name: &str,
    value: &Value,
) -> Option<DhcpOption> {
    let (code, kind) = code_of(problems, path, name)?;
    if let Some((_, owned, remedy)) = OWNED.iter().find(|(owned, ..)| *owned == code) {
        let message = format!("option {code} ({owned}) is the server's own");
        problems.error(path, message, *remedy);
        return None;
    }
    let (value, kind, always) = match value {
        Value::Table(table) => unwrapped(problems, path, table, kind)?,
        value => (value, kind, false),
    };
    let data = match data(code, kind, value) {
        Ok(data) => data,
        Err((message, remedy)) => {
            problems.error(path, message, remedy);
            return None;
        }
    };
    if code == OptionCode::VENDOR_CLASS.0 && data.starts_with(b"PXEClient") {
        problems.warning(
            path,
            "UEFI firmware takes such an answer for a boot server's and asks port 4011",
            "leave it out: [boot] needs no vendor class",
        );
    }
    let option = DhcpOption::new(OptionCode(code), data);
    Some(if always { option.forced() } else { option })
}

/// The code that a name or a number means, and what it holds if that is known.
fn code_of(problems: &mut Problems<'_>, path: &str, name: &str) -> Option<(u8, Option<Kind>)> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
        let Ok(code) = name.parse::<u8>() else {
            let message = format!("{name} is no option's code");
            problems.error(path, message, "choose 1 to 254");
            return None;
        };
        let kind = NAMES.iter().find(|(_, known, _)| *known == code);
        return Some((code, kind.map(|(.., kind)| *kind)));
    }
    // isc-dhcpd writes hyphens, this file's own keys have underscores.
    let plain = name.to_lowercase().replace('_', "-");
    if let Some((_, code, kind)) = NAMES.iter().find(|(known, ..)| *known == plain) {
        return Some((*code, Some(*kind)));
    }
    if let Some((code, ..)) = OWNED.iter().find(|(_, owned, _)| *owned == plain) {
        return Some((*code, None));
    }
    let names = NAMES.iter().map(|(known, ..)| *known);
    let remedy = match nearest(&plain, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "write its code, such as 252 = \"..\"".to_owned(),
    };
    problems.error(path, format!("{name} is the name of no option"), remedy);
    None
}

/// `{ value = .., always = true }`, or with the value's kind in place of `value`.
fn unwrapped<'a>(
    problems: &mut Problems<'_>,
    path: &str,
    table: &'a toml::Table,
    kind: Option<Kind>,
) -> Option<(&'a Value, Option<Kind>, bool)> {
    const KINDS: [(&str, Kind); 6] = [
        ("u8", Kind::U8),
        ("u16", Kind::U16),
        ("u32", Kind::U32),
        ("text", Kind::Text),
        ("addresses", Kind::Addresses),
        ("domains", Kind::Domains),
    ];
    let mut found = None;
    let mut always = false;
    for (key, value) in table {
        let path = format!("{path}.{key}");
        if key == "always" {
            let Value::Boolean(is_set) = value else {
                problems.error(&path, format!("{value} is no truth"), Kind::Bool.expected());
                return None;
            };
            always = *is_set;
            continue;
        }
        let of_key = KINDS.iter().find(|(name, _)| name == key);
        let (Some(kind), None) = (
            of_key
                .map(|(_, kind)| Some(*kind))
                .or((key == "value").then_some(kind)),
            found,
        ) else {
            problems.error(
                &path,
                format!("unexpected key {key}"),
                "write { value = .., always = true }, or u8, u16, u32, text, addresses or domains \
                 in place of value",
            );
            return None;
        };
        found = Some((value, kind));
    }
    let Some((value, kind)) = found else {
        problems.error(
            path,
            "there is no value",
            "write { value = .., always = true }",
        );
        return None;
    };
    Some((value, kind, always))
}

/// A value as octets, or what is wrong with it and what to do.
fn data(code: u8, kind: Option<Kind>, value: &Value) -> Result<Vec<u8>, (String, String)> {
    if let Value::String(text) = value
        && let Some(hex) = text.strip_prefix("hex:")
    {
        let octets = octets(hex).filter(|octets| !octets.is_empty());
        let remedy = "write pairs of hexadecimal digits, such as \"hex:0a0b\" or \"hex:0a:0b\"";
        return octets.ok_or_else(|| (format!("{text:?} is no row of octets"), remedy.to_owned()));
    }
    let Some(kind) = kind.or_else(|| kind_of(value)) else {
        let message = format!("how long option {code}'s numbers are is not known");
        let remedy =
            format!("write {{ u8 = {value} }}, {{ u16 = {value} }} or {{ u32 = {value} }}");
        return Err((message, remedy));
    };
    encoded(kind, value).ok_or_else(|| {
        (
            format!("{value} does not fit option {code}"),
            kind.expected().to_owned(),
        )
    })
}

/// What a value for a code without a name is: a text is a text, and a list holds addresses. Only a
/// number does not say how long it is.
fn kind_of(value: &Value) -> Option<Kind> {
    match value {
        Value::String(_) => Some(Kind::Text),
        Value::Boolean(_) => Some(Kind::Bool),
        Value::Array(_) => Some(Kind::Addresses),
        _ => None,
    }
}

fn encoded(kind: Kind, value: &Value) -> Option<Vec<u8>> {
    let number = |value: &Value| value.as_integer();
    let addresses = |at_once| {
        let addresses: Vec<Ipv4Addr> = each(value)
            .map(|value| value.as_str()?.parse().ok())
            .collect::<Option<_>>()?;
        let is_whole = !addresses.is_empty() && addresses.len().is_multiple_of(at_once);
        is_whole.then(|| addresses.iter().flat_map(Ipv4Addr::octets).collect())
    };
    match kind {
        Kind::Address => Some(value.as_str()?.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        Kind::Addresses => addresses(1),
        Kind::Pairs => addresses(2),
        Kind::Text => {
            let text = value.as_str()?;
            let fits = (1..=usize::from(u16::MAX)).contains(&text.len());
            fits.then(|| text.as_bytes().to_vec())
        }
        Kind::U16s => {
            let numbers = each(value).map(|value| u16::try_from(number(value)?).ok());
            let numbers: Vec<u16> = numbers.collect::<Option<_>>()?;
            (!numbers.is_empty()).then(|| numbers.iter().flat_map(|n| n.to_be_bytes()).collect())
        }
        Kind::U8 => Some(vec![u8::try_from(number(value)?).ok()?]),
        Kind::U16 => Some(u16::try_from(number(value)?).ok()?.to_be_bytes().to_vec()),
        Kind::U32 => Some(u32::try_from(number(value)?).ok()?.to_be_bytes().to_vec()),
        Kind::I32 => Some(i32::try_from(number(value)?).ok()?.to_be_bytes().to_vec()),
        Kind::Bool => Some(vec![u8::from(value.as_bool()?)]),
        Kind::Domains => {
            let names: Vec<&str> = each(value).map(Value::as_str).collect::<Option<_>>()?;
            let option = DhcpOption::domain_search(names).ok()?;
            (!option.data.is_empty()).then_some(option.data)
        }
        Kind::Routes => {
            let routes = each(value).map(|value| route(value.as_str()?));
            let routes: Vec<(Ipv4Net, Ipv4Addr)> = routes.collect::<Option<_>>()?;
            (!routes.is_empty()).then(|| DhcpOption::classless_routes(routes).data)
        }
        Kind::Raw => None,
    }
}

/// The elements of a list, or the one value.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(values) => values.iter(),
        value => std::slice::from_ref(value).iter(),
    }
}

/// `10.0.0.0/8 via 192.168.150.1`.
fn route(text: &str) -> Option<(Ipv4Net, Ipv4Addr)> {
    let (network, router) = text.split_once(" via ")?;
    Some((network.trim().parse().ok()?, router.trim().parse().ok()?))
}

/// Pairs of hexadecimal digits, with colons between them or not.
pub(super) fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = match text.contains(':') {
        // Each between colons is one octet: `0a:b` is a slip.
        true if text.split(':').any(|part| part.len() != 2) => return None,
        _ => text.bytes().filter(|byte| *byte != b':').collect(),
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Places;

    fn read(text: &str) -> Result<Vec<DhcpOption>, Vec<String>> {
        let raw: Options = toml::from_str(text).expect("TOML");
        let places = Places::of(text);
        let mut problems = Problems::new(&places);
        // The table is the whole text here, so its keys have no path before them.
        let options = options(&mut problems, "", &raw);
        match problems.errors.is_empty() {
            true => Ok(options),
            false => Err(problems.errors.iter().map(ToString::to_string).collect()),
        }
    }

    fn one(text: &str) -> (u8, Vec<u8>, bool) {
        let options = read(text).expect("valid");
        let [option] = options.as_slice() else {
            panic!("one option");
        };
        (option.code.0, option.data.clone(), option.is_forced)
    }

    fn problem(text: &str) -> String {
        read(text).expect_err("invalid").join("\n")
    }

    #[test]
    fn options_are_typed_by_their_names() {
        let data = |text| one(text).1;
        assert_eq!(
            one("ntp-servers = \"10.0.0.1\""),
            (42, vec![10, 0, 0, 1], false)
        );
        assert_eq!(
            data("ntp_servers = [\"10.0.0.1\", \"10.0.0.2\"]"),
            [10, 0, 0, 1, 10, 0, 0, 2]
        );
        assert_eq!(data("interface-mtu = 1400"), [5, 120]);
        assert_eq!(data("time-offset = -3600"), (-3600_i32).to_be_bytes());
        assert_eq!(data("ip-forwarding = true"), [1]);
        assert_eq!(data("path-mtu-plateau-table = [68, 296]"), [0, 68, 1, 40]);
        assert_eq!(
            data("domain-search = [\"a.lan\", \"lan\"]"),
            b"\x01a\x03lan\0\xc0\x02"
        );
        assert_eq!(
            data("classless-static-routes = [\"10.0.0.0/8 via 192.168.150.1\"]"),
            [8, 10, 192, 168, 150, 1]
        );
        assert_eq!(data("root-path = \"10.0.0.1:/srv\""), b"10.0.0.1:/srv");
    }

    #[test]
    fn options_are_raw_by_their_codes() {
        assert_eq!(one("252 = \"http://x/wpad\"").0, 252);
        assert_eq!(one("224 = \"hex:0a:0b\""), (224, vec![10, 11], false));
        assert_eq!(one("43 = \"hex:0a0b\"").1, [10, 11]);
        assert_eq!(one("225 = [\"10.0.0.1\"]").1, [10, 0, 0, 1]);
        assert_eq!(one("226 = { u16 = 7 }").1, [0, 7]);
        assert_eq!(one("26 = 1400").1, [5, 120], "its kind is known");
        let forced = "wpad = { value = \"x\", always = true }";
        assert_eq!(one(forced), (252, b"x".to_vec(), true));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_a_remedy() {
        for (text, expected) in [
            (
                "ntp-server = \"10.0.0.1\"",
                "ntp-server is the name of no option; did you mean ntp-servers?",
            ),
            ("256 = \"x\"", "256 is no option's code; choose 1 to 254"),
            (
                "51 = 5",
                "option 51 (dhcp-lease-time) is the server's own; set lease_seconds",
            ),
            (
                "dhcp-lease-time = 5",
                "option 51 (dhcp-lease-time) is the server's own; set lease_seconds",
            ),
            (
                "interface-mtu = 70000",
                "70000 does not fit option 26; write a number of 0 to 65535",
            ),
            (
                "ntp-servers = []",
                "[] does not fit option 42; write IPv4 addresses",
            ),
            (
                "224 = 5",
                "how long option 224's numbers are is not known; write { u8 = 5 }",
            ),
            ("224 = \"hex:0a0\"", "\"hex:0a0\" is no row of octets"),
            ("224 = \"hex:a:0b\"", "\"hex:a:0b\" is no row of octets"),
            (
                "43 = \"PXE\"",
                "\"PXE\" does not fit option 43; write its octets",
            ),
            ("224 = { always = true }", "there is no value"),
            ("224 = { u9 = 1 }", "unexpected key u9"),
            (
                "domain-search = [\"a..b\"]",
                "does not fit option 119; write domain names",
            ),
            (
                "routers = \"10.0.0.1\"\n3 = \"10.0.0.2\"",
                "option 3 is written twice",
            ),
        ] {
            let found = problem(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn the_table_of_names_is_sound() {
        for (index, (name, code, _)) in NAMES.iter().enumerate() {
            let before = &NAMES[..index];
            assert!(
                before.iter().all(|(other, ..)| other != name),
                "{name} twice"
            );
            assert!(
                OWNED.iter().all(|(owned, ..)| owned != code),
                "{name} is owned"
            );
        }
        let codes: Vec<u8> = NAMES.iter().map(|(_, code, _)| *code).collect();
        assert!(
            codes[..codes.len() - 1].is_sorted(),
            "but for the aliases at the end"
        );
    }
}
