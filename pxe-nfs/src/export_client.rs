//! Clients of an export, and what they may do, in the words of exports(5).

use std::fmt;
use std::str::FromStr;

use crate::{Network, ParseClientError, Squash};

/// Clients, and what they may do: `192.168.150.0/24(ro,insecure,no_root_squash)` of exports(5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportClient {
    /// Which addresses.
    pub network: Network,
    /// What they may do.
    pub options: ExportOptions,
}

impl ExportClient {
    /// Clients of a network, with these options.
    pub const fn new(network: Network, options: ExportOptions) -> Self {
        Self { network, options }
    }
}

/// Options of exports(5); the defaults are those of Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// `rw`: may write, if the export's tree can be written to. Default: `ro`.
    pub is_writable: bool,
    /// `secure`: calls must come from ports below 1024. Default: so.
    pub is_secure: bool,
    /// Which users become the anonymous one. Default: user 0.
    pub squash: Squash,
    /// The anonymous user: 65534 by default.
    pub anonymous_uid: u32,
    /// The anonymous user's group: 65534 by default.
    pub anonymous_gid: u32,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            is_writable: false,
            is_secure: true,
            squash: Squash::Root,
            anonymous_uid: 65534,
            anonymous_gid: 65534,
        }
    }
}

impl FromStr for ExportClient {
    type Err = ParseClientError;

    /// Reads a client as exports(5) has it (the manual page of nfs-utils), with addresses instead
    /// of names: `192.168.150.0/24(ro,insecure,no_root_squash,no_subtree_check)`.
    ///
    /// # Errors
    /// What could not be kept is an error: names, netgroups, Kerberos, and options that promise
    /// what is not done here. Options that need no doing are taken: `sync`, `no_subtree_check`,
    /// `crossmnt`, `fsid=`, and more.
    fn from_str(text: &str) -> Result<Self, ParseClientError> {
        let whole = || text.to_owned();
        let (client, options) = match text.split_once('(') {
            None if text.contains(')') => {
                return Err(ParseClientError::Parentheses { text: whole() });
            }
            None => (text, ""),
            Some((client, rest)) => match rest.strip_suffix(')') {
                Some(options) if !options.contains(['(', ')']) => (client, options),
                _ => return Err(ParseClientError::Parentheses { text: whole() }),
            },
        };
        if client.contains(char::is_whitespace) {
            return Err(ParseClientError::Space { text: whole() });
        }
        if client.is_empty() {
            return Err(ParseClientError::NoClient { text: whole() });
        }
        Ok(Self::new(client.parse()?, options.parse()?))
    }
}

impl fmt::Display for ExportClient {
    /// As [`from_str`](Self::from_str) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.network, self.options)
    }
}

/// What is done with an option.
enum Meaning {
    Writable(bool),
    Secure(bool),
    SquashRoot(bool),
    SquashAll(bool),
    AnonymousUid,
    AnonymousGid,
    /// Security flavors.
    Flavors,
    /// Security of the transport.
    TransportSecurity,
    /// Nothing: what it asks for holds anyway, or what it is about is not there.
    Nothing,
    /// It would not be kept.
    Never(&'static str),
}

const NOT_BY_LIST: &str = "ids are squashed by root_squash or all_squash alone";
const NO_MOUNT_POINTS: &str =
    "whether something is mounted is not looked at; leave it out, or start the server after it";

/// Every option of exports(5), with a `=` if it wants a value.
const OPTIONS: [(&str, Meaning); 42] = [
    ("ro", Meaning::Writable(false)),
    ("rw", Meaning::Writable(true)),
    ("secure", Meaning::Secure(true)),
    ("insecure", Meaning::Secure(false)),
    ("root_squash", Meaning::SquashRoot(true)),
    ("no_root_squash", Meaning::SquashRoot(false)),
    ("all_squash", Meaning::SquashAll(true)),
    ("no_all_squash", Meaning::SquashAll(false)),
    ("anonuid=", Meaning::AnonymousUid),
    ("anongid=", Meaning::AnonymousGid),
    ("sec=", Meaning::Flavors),
    ("xprtsec=", Meaning::TransportSecurity),
    // A reply that says so comes after the data is on disk: `async` permits less, and is not
    // taken up.
    ("sync", Meaning::Nothing),
    ("async", Meaning::Nothing),
    ("wdelay", Meaning::Nothing),
    ("no_wdelay", Meaning::Nothing),
    // Handles are signed: none can be made up. What is moved out of an exported directory stays
    // with those who have its handle, as with `no_subtree_check`, which is Linux's default.
    ("subtree_check", Meaning::Nothing),
    ("no_subtree_check", Meaning::Nothing),
    // What is mounted below a tree is for the tree to say.
    ("hide", Meaning::Nothing),
    ("nohide", Meaning::Nothing),
    ("crossmnt", Meaning::Nothing),
    ("nocrossmnt", Meaning::Nothing),
    // File systems are told apart by export and tree, and are the same after a restart.
    ("fsid=", Meaning::Nothing),
    ("reexport=", Meaning::Nothing),
    // There are no locks, ACLs, labels, and no version 4.
    ("auth_nlm", Meaning::Nothing),
    ("no_auth_nlm", Meaning::Nothing),
    ("secure_locks", Meaning::Nothing),
    ("insecure_locks", Meaning::Nothing),
    ("acl", Meaning::Nothing),
    ("no_acl", Meaning::Nothing),
    ("security_label", Meaning::Nothing),
    ("pnfs", Meaning::Nothing),
    ("no_pnfs", Meaning::Nothing),
    ("refer=", Meaning::Nothing),
    ("replicas=", Meaning::Nothing),
    (
        "nordirplus",
        Meaning::Never("READDIRPLUS is always answered; leave it out"),
    ),
    ("mountpoint", Meaning::Never(NO_MOUNT_POINTS)),
    ("mountpoint=", Meaning::Never(NO_MOUNT_POINTS)),
    ("mp", Meaning::Never(NO_MOUNT_POINTS)),
    ("mp=", Meaning::Never(NO_MOUNT_POINTS)),
    ("squash_uids=", Meaning::Never(NOT_BY_LIST)),
    ("squash_gids=", Meaning::Never(NOT_BY_LIST)),
];

impl FromStr for ExportOptions {
    type Err = ParseClientError;

    /// Reads options with commas between them; the last of those that contradict each other holds.
    ///
    /// # Errors
    /// As [`ExportClient::from_str`].
    fn from_str(text: &str) -> Result<Self, ParseClientError> {
        let mut options = Self::default();
        let (mut squashes_root, mut squashes_all) = (true, false);
        let all = text
            .split(',')
            .map(str::trim)
            .filter(|option| !option.is_empty());
        for text in all {
            let option = || text.to_owned();
            let (name, value) = match text.find('=') {
                Some(at) => text.split_at(at + 1),
                None => (text, ""),
            };
            let known = OPTIONS.iter().find(|(known, _)| *known == name);
            let (_, meaning) = known.ok_or_else(|| unknown(text, name))?;
            match meaning {
                Meaning::Writable(is_writable) => options.is_writable = *is_writable,
                Meaning::Secure(is_secure) => options.is_secure = *is_secure,
                Meaning::SquashRoot(is_so) => squashes_root = *is_so,
                Meaning::SquashAll(is_so) => squashes_all = *is_so,
                Meaning::AnonymousUid => options.anonymous_uid = id(text, value)?,
                Meaning::AnonymousGid => options.anonymous_gid = id(text, value)?,
                Meaning::Flavors if value == "sys" => {}
                Meaning::Flavors => {
                    return Err(ParseClientError::Unsupported {
                        option: option(),
                        why: "only sys is spoken, what clients say of their users; leave it out",
                    });
                }
                Meaning::TransportSecurity if value.split(':').any(|name| name == "none") => {}
                Meaning::TransportSecurity => {
                    return Err(ParseClientError::Unsupported {
                        option: option(),
                        why: "TLS is not spoken; leave it out, or use a tunnel",
                    });
                }
                Meaning::Nothing => {}
                Meaning::Never(why) => {
                    let option = option();
                    return Err(ParseClientError::Unsupported { option, why });
                }
            }
        }
        options.squash = match (squashes_all, squashes_root) {
            (true, _) => Squash::All,
            (false, true) => Squash::Root,
            (false, false) => Squash::None,
        };
        Ok(options)
    }
}

impl fmt::Display for ExportOptions {
    /// As [`from_str`](Self::from_str) reads it, without what is so by default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        f.write_str(if self.is_writable { "rw" } else { "ro" })?;
        if !self.is_secure {
            f.write_str(",insecure")?;
        }
        match self.squash {
            Squash::Root => {}
            Squash::None => f.write_str(",no_root_squash")?,
            Squash::All => f.write_str(",all_squash")?,
        }
        if self.anonymous_uid != default.anonymous_uid {
            write!(f, ",anonuid={}", self.anonymous_uid)?;
        }
        if self.anonymous_gid != default.anonymous_gid {
            write!(f, ",anongid={}", self.anonymous_gid)?;
        }
        Ok(())
    }
}

/// The number of a user or group; below zero it counts from 2^32 on, as exportfs has it. -1 is
/// nobody's number.
fn id(option: &str, value: &str) -> Result<u32, ParseClientError> {
    let number = || ParseClientError::Number {
        option: option.to_owned(),
    };
    let id = match value.parse::<i32>() {
        Ok(id) => id.cast_unsigned(),
        Err(_) => value.parse::<u32>().map_err(|_| number())?,
    };
    (id != u32::MAX).then_some(id).ok_or_else(number)
}

/// An option that is not there, and the one that was meant: the closest, at most two letters away.
fn unknown(option: &str, name: &str) -> ParseClientError {
    let wants_value = |known: &&str| known.strip_suffix('=') == Some(name);
    let names = || OPTIONS.iter().map(|(known, _)| *known);
    let closest = names()
        .map(|known| (letters_apart(known, name), known))
        .min()
        .filter(|(apart, _)| *apart <= 2);
    ParseClientError::Unknown {
        option: option.to_owned(),
        meant: names()
            .find(wants_value)
            .or(closest.map(|(_, known)| known)),
    }
}

/// How many letters are to be put in, taken out or changed.
fn letters_apart(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ExportClient, ParseClientError> {
        text.parse()
    }

    #[test]
    fn clients_as_in_exports() {
        for (text, expected) in [
            // The tutorial's.
            (
                "192.168.150.0/24(ro,insecure,no_root_squash,no_subtree_check)",
                "192.168.150.0/24(ro,insecure,no_root_squash)",
            ),
            ("192.168.150.7/255.255.255.0", "192.168.150.0/24(ro)"),
            ("192.168.150.7", "192.168.150.7(ro)"),
            ("192.168.150.7/32()", "192.168.150.7(ro)"),
            ("10.0.0.1/0.0.0.0(rw)", "0.0.0.0/0(rw)"),
            ("*(rw,sync,no_wdelay,crossmnt,fsid=root,)", "*(rw)"),
            ("2001:db8:9:e54::/64(rw)", "2001:db8:9:e54::/64(rw)"),
            ("::1", "::1(ro)"),
            ("::/0", "::/0(ro)"),
            ("::ffff:192.168.150.0/120", "192.168.150.0/24(ro)"),
            (
                "*(rw, all_squash, anonuid=150, anongid=100)",
                "*(rw,all_squash,anonuid=150,anongid=100)",
            ),
            ("*(anonuid=-2)", "*(ro,anonuid=4294967294)"),
            ("*(all_squash,no_all_squash)", "*(ro)"),
            ("*(no_root_squash,all_squash)", "*(ro,all_squash)"),
            (
                "*(rw,ro,insecure,secure,no_root_squash,root_squash)",
                "*(ro)",
            ),
            ("*(sec=sys,xprtsec=tls:none)", "*(ro)"),
        ] {
            let client = parse(text).expect(text);
            assert_eq!(client.to_string(), expected, "{text}");
            assert_eq!(parse(expected).as_ref(), Ok(&client), "{expected}");
        }
        assert_eq!(
            parse("*()").expect("all defaults").options,
            ExportOptions::default()
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            (
                "(ro)",
                "\"(ro)\": no client before the options; for everybody, write *(ro)",
            ),
            (
                "",
                "\"\": no client before the options; for everybody, write *",
            ),
            (
                "10.0.0.1 (rw)",
                "\"10.0.0.1 (rw)\": white space; to exports(5) that begins another client",
            ),
            (
                "10.0.0.1(rw",
                "\"10.0.0.1(rw\": options stand between ( and ) at the end",
            ),
            (
                "10.0.0.1rw)",
                "\"10.0.0.1rw)\": options stand between ( and ) at the end",
            ),
            (
                "*(rw)(ro)",
                "\"*(rw)(ro)\": options stand between ( and ) at the end",
            ),
            (
                "pc1(rw)",
                "client pc1: names of hosts are not looked up; write the address",
            ),
            (
                "*.lan",
                "client *.lan: names are not looked up; write a network such as 192.168.1.0/24",
            ),
            (
                "@trusted",
                "client @trusted: netgroups are not known here; write a network such as \
                 192.168.1.0/24",
            ),
            (
                "gss/krb5",
                "client gss/krb5: Kerberos is not spoken; write a network such as 192.168.1.0/24",
            ),
            (
                "[2001:db8::1]",
                "client [2001:db8::1]: addresses of IPv6 stand without brackets in exports(5)",
            ),
            (
                "192.168.150/24",
                "client 192.168.150/24: not an address of IPv4 or IPv6",
            ),
            (
                "192.168.150.256",
                "client 192.168.150.256: not an address of IPv4 or IPv6",
            ),
            (
                "fe80::1%eth0",
                "client fe80::1%eth0: not an address of IPv4 or IPv6",
            ),
            ("*(insecue)", "option insecue: unknown; insecure?"),
            (
                "*(no-root-squash)",
                "option no-root-squash: unknown; no_root_squash?",
            ),
            ("*(anonuid)", "option anonuid: unknown; anonuid=?"),
            ("*(nolock)", "option nolock: unknown"),
            (
                "*(anonuid=nobody)",
                "option anonuid=nobody: not a number of a user or group",
            ),
            (
                "*(anongid=-1)",
                "option anongid=-1: not a number of a user or group",
            ),
            (
                "*(sec=krb5:sys)",
                "option sec=krb5:sys: only sys is spoken, what clients say of their users; leave \
                 it out",
            ),
            (
                "*(xprtsec=mtls)",
                "option xprtsec=mtls: TLS is not spoken; leave it out, or use a tunnel",
            ),
            (
                "*(nordirplus)",
                "option nordirplus: READDIRPLUS is always answered; leave it out",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        for text in [
            "10.0.0.0/33",
            "10.0.0.0/255.0.255.0",
            "10.0.0.0/",
            "::/129",
            "::/x",
            "::/ffff::",
        ] {
            let client = text.to_owned();
            assert_eq!(parse(text), Err(ParseClientError::Mask { client }));
        }
        assert_eq!(letters_apart("kitten", "sitting"), 3);
    }

    proptest! {
        /// Whatever is read is read again from what it is written as.
        #[test]
        fn what_is_written_is_read(text in "[0-9.*:f/(rwo,=a-u_-]{0,40}|[0-9.]{7}/[0-9]{1,2}\\(([a-z_]{2,12},){0,3}\\)") {
            if let Ok(client) = parse(&text) {
                let written = client.to_string();
                let again = parse(&written).map(|client| client.to_string());
                prop_assert_eq!(again, Ok(written));
            }
        }

        #[test]
        fn every_client_is_read_again(
            address: std::net::IpAddr,
            bits in 0_u8..=128,
            flags in 0_u8..12,
            (uid, gid) in (0_u32..u32::MAX, 0_u32..u32::MAX),
        ) {
            let address = address.to_canonical();
            let prefix_len = bits % (if address.is_ipv4() { 33 } else { 129 });
            let options = ExportOptions {
                is_writable: flags & 1 != 0,
                is_secure: flags & 2 != 0,
                squash: [Squash::Root, Squash::None, Squash::All][usize::from(flags / 4)],
                anonymous_uid: uid,
                anonymous_gid: gid,
            };
            let client = ExportClient::new(Network::Prefix { address, prefix_len }, options);
            let read = parse(&client.to_string());
            prop_assert_eq!(read.as_ref().map(|read| &read.options), Ok(&client.options));
            let read = read.expect("checked");
            prop_assert!(read.network.contains(address));
            prop_assert_eq!(read.network.to_string(), client.network.to_string());
        }
    }
}
