//! What clients are called in the DNS.

use crate::wire::{ClientFqdn, Message, OptionCode};

/// The longest label of a name, in octets (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Labels that no client gets by saying so: whoever has one of them is believed by its neighbours,
/// or is taken for the asking machine itself. `wpad` and `isatap` are those of Windows' global query
/// block list, and dnsmasq's configuration has an example that ignores `wpad` (CERT VU#598349);
/// `localhost` is special by RFC 6761 section 6.3, and sent by systems that were given no name.
const WITHHELD: [&str; 3] = ["isatap", "localhost", "wpad"];

/// The domains in which a server of the DNS has the names of a subnet's clients
/// ([`Subnet::client_names`](crate::Subnet::client_names)).
///
/// This crate updates no DNS: it says which name a client is to have, and tells the client so. Who
/// embeds it keeps the names, from the records that its store is given.
///
/// The operator's name for a client ([`Reservation::dns_name`](crate::Reservation::dns_name)) comes before what the client says in option 81, and that before option 12. Of each the first
/// label counts, made a host name by [`host_label`]; it is put below the domain that was said with
/// it, if that is one of these, or below one of these; else into the first of these.
///
/// ```
/// use pxe_dhcp::{ClientNames, wire::ClientFqdn};
///
/// let names = ClientNames::new(["matrix.lan"]);
/// let fqdn = ClientFqdn::new(ClientFqdn::SERVER_UPDATES, "PC_7.example.com");
/// let name = names.of(None, Some(&fqdn), Some(b"other")).expect("a name");
/// assert_eq!(name.to_string(), "pc-7.matrix.lan");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientNames {
    /// In text form, without a final dot, in lower case. Without any, no client has a name.
    pub domains: Vec<String>,
}

/// A name of a client: a label of a domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ClientName {
    /// Lower-case letters, digits and hyphens: 1 to 63 of them.
    pub label: String,
    /// One of [`ClientNames::domains`].
    pub domain: String,
    /// Whether the operator gave it, and not the client.
    pub is_reserved: bool,
}

/// Why a client has no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoClientName {
    /// It said none, or nothing that a host name can be made of.
    #[error("it says no name")]
    Unsaid,
    /// It asked that no name be kept for it (flag N of option 81, RFC 4702 section 2.1).
    #[error("it asks for none")]
    Declined,
    /// A name that clients are not given.
    #[error("clients are not called {0}")]
    Withheld(String),
}

impl std::fmt::Display for ClientName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.label, self.domain)
    }
}

impl ClientNames {
    /// Names in these domains; the first is for those who say none of them.
    pub fn new<T: AsRef<str>>(domains: impl IntoIterator<Item = T>) -> Self {
        let domains = domains.into_iter();
        let domains = domains.map(|domain| {
            let domain = domain.as_ref();
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            domain.to_ascii_lowercase()
        });
        Self {
            domains: domains.filter(|domain| !domain.is_empty()).collect(),
        }
    }

    /// The name of a client with these: the operator's, that of option 81, that of option 12.
    ///
    /// # Errors
    /// If it is to have none.
    pub fn of(
        &self,
        reserved: Option<&str>,
        fqdn: Option<&ClientFqdn>,
        host_name: Option<&[u8]>,
    ) -> Result<ClientName, NoClientName> {
        if let Some(name) = reserved.and_then(|name| self.place(name.as_bytes(), true)) {
            return Ok(name);
        }
        if fqdn.is_some_and(|fqdn| fqdn.flags & ClientFqdn::NO_UPDATE != 0) {
            return Err(NoClientName::Declined);
        }
        let said = fqdn.and_then(|fqdn| self.place(fqdn.name.as_bytes(), false));
        let said = said.or_else(|| self.place(host_name?, false));
        let name = said.ok_or(NoClientName::Unsaid)?;
        match WITHHELD.contains(&name.label.as_str()) {
            true => Err(NoClientName::Withheld(name.label)),
            false => Ok(name),
        }
    }

    fn place(&self, said: &[u8], is_reserved: bool) -> Option<ClientName> {
        let label = host_label(said)?;
        let said = until_nul(said).to_ascii_lowercase();
        let said = said.strip_suffix(b".").unwrap_or(&said);
        let is_said = |domain: &&String| {
            let rest = said.strip_suffix(domain.as_bytes());
            rest.is_some_and(|rest| rest.ends_with(b"."))
        };
        // Of those within one another the longest.
        let said = self.domains.iter().filter(is_said);
        let domain = said.max_by_key(|domain| domain.len());
        Some(ClientName {
            label,
            domain: domain.or(self.domains.first())?.clone(),
            is_reserved,
        })
    }

    /// Option 81 of the answer to this one (RFC 4702 section 4), which asked for the lease of a
    /// name; `None` if the client did not send it, or nothing that can be read.
    ///
    /// The server keeps both records, A and PTR: S is set, and O tells the client that wanted to
    /// keep its A record itself that it is overridden. Where it keeps none, N is set, and the name
    /// is as it was sent. E is the client's, as old clients read no other form than that of their own.
    pub(crate) fn answer(&self, request: &Message<'_>, reserved: Option<&str>) -> Option<Vec<u8>> {
        let data = request.option(OptionCode::CLIENT_FQDN)?;
        let fqdn = ClientFqdn::read(&data)?;
        let host_name = request.host_name();
        let name = self.of(reserved, Some(&fqdn), host_name.as_deref());
        let client_updates = fqdn.flags & ClientFqdn::SERVER_UPDATES == 0;
        let is_encoded = fqdn.flags & ClientFqdn::ENCODED != 0;
        let mut flags = fqdn.flags & ClientFqdn::ENCODED;
        flags |= match (&name, client_updates) {
            (Ok(_), false) => ClientFqdn::SERVER_UPDATES,
            (Ok(_), true) => ClientFqdn::SERVER_UPDATES | ClientFqdn::OVERRIDDEN,
            (Err(_), false) => ClientFqdn::NO_UPDATE | ClientFqdn::OVERRIDDEN,
            (Err(_), true) => ClientFqdn::NO_UPDATE,
        };
        // Both are deprecated, and 255 in what a server sends (RFC 4702 section 2.2).
        let mut answer = vec![flags, 255, 255];
        match name {
            Ok(name) if is_encoded => {
                let labels = std::iter::once(name.label.as_str()).chain(name.domain.split('.'));
                for label in labels {
                    answer.push(u8::try_from(label.len()).ok()?);
                    answer.extend(label.as_bytes());
                }
                answer.push(0);
            }
            Ok(name) => answer.extend(name.to_string().as_bytes()),
            Err(_) => answer.extend(data.get(3..).unwrap_or_default()),
        }
        // More than a name can have, or an option hold.
        (answer.len() <= 255).then_some(answer)
    }
}

/// The first label of what a client calls itself, as a host name (RFC 952, RFC 1123 section 2.1):
/// lower-case letters, digits and hyphens, at most 63, neither beginning nor ending in a hyphen.
/// `None` if nothing of it is left.
///
/// It ends at the first dot or NUL: clients send names with domains in option 12, and Windows ends
/// names with a NUL. Whatever else stands in it (underscores, spaces, what is no ASCII), becomes one
/// hyphen each time, as does what of UTF-8 is several octets: such names stay readable, and apart
/// where dropping would have made them one.
pub fn host_label(said: &[u8]) -> Option<String> {
    let first = until_nul(said).split(|octet| *octet == b'.').next()?;
    let mut label = String::new();
    for octet in first {
        match octet {
            b'-' => label.push('-'),
            octet if octet.is_ascii_alphanumeric() => {
                label.push(char::from(octet.to_ascii_lowercase()));
            }
            _ if label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    let label = label.trim_start_matches('-');
    let label = label.get(..LABEL_BYTES_MAX).unwrap_or(label);
    let label = label.trim_end_matches('-');
    (!label.is_empty()).then(|| label.to_owned())
}

fn until_nul(said: &[u8]) -> &[u8] {
    said.split(|octet| *octet == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_say_becomes_a_host_name() {
        for (said, label) in [
            (&b"pc7"[..], Some("pc7")),
            (b"PC7.matrix.lan", Some("pc7")),
            (b"pc_7", Some("pc-7")),
            (b"John's iPhone", Some("john-s-iphone")),
            ("B\u{fc}ro-PC".as_bytes(), Some("b-ro-pc")),
            (b"B\xfcro", Some("b-ro")),
            (b"--pc--", Some("pc")),
            (b"xn--bro-hoa", Some("xn--bro-hoa")),
            (b"pc7.", Some("pc7")),
            (b"0", Some("0")),
            (b"", None),
            (b".", None),
            (b".lan", None),
            (b"-", None),
            ("\u{4e2d}\u{6587}".as_bytes(), None),
            (b"a b\tc\nd", Some("a-b-c-d")),
        ] {
            assert_eq!(host_label(said).as_deref(), label, "{said:?}");
        }
        let long = host_label(&b"a".repeat(200)).expect("a label");
        assert_eq!(long.len(), LABEL_BYTES_MAX);
        // What is cut off does not leave a hyphen at the end.
        let cut = [&b"a".repeat(62)[..], b"-b"].concat();
        assert_eq!(host_label(&cut).expect("a label").len(), 62);
    }

    #[test]
    fn windows_ends_host_names_with_a_nul() {
        assert_eq!(host_label(b"DESKTOP-1\0").as_deref(), Some("desktop-1"));
        assert_eq!(
            host_label(b"DESKTOP-1\0\xff\xff").as_deref(),
            Some("desktop-1")
        );
        assert_eq!(host_label(b"\0"), None);
    }

    fn fqdn(flags: u8, name: &str) -> ClientFqdn {
        ClientFqdn::new(flags, name)
    }

    #[test]
    fn the_operator_comes_before_option_81_and_that_before_option_12() {
        let names = ClientNames::new(["matrix.lan"]);
        let (full, empty) = (fqdn(1, "full"), fqdn(1, ""));
        let named =
            |reserved, fqdn, host| names.of(reserved, fqdn, host).map(|name| name.to_string());
        let ok = |name: &str| Ok(format!("{name}.matrix.lan"));
        assert_eq!(named(Some("own"), Some(&full), Some(b"host")), ok("own"));
        assert_eq!(named(None, Some(&full), Some(b"host")), ok("full"));
        assert_eq!(named(None, None, Some(b"host")), ok("host"));
        assert_eq!(named(None, Some(&empty), Some(b"host")), ok("host"));
        assert_eq!(named(None, None, None), Err(NoClientName::Unsaid));
        // Flag N (RFC 4702 section 3.4) holds for what the client says, not for the operator.
        let none = fqdn(ClientFqdn::NO_UPDATE, "full");
        let declined = Err(NoClientName::Declined);
        assert_eq!(named(None, Some(&none), Some(b"host")), declined);
        assert_eq!(named(Some("own"), Some(&none), None), ok("own"));
    }

    #[test]
    fn a_domain_that_is_ours_is_kept_and_another_is_not() {
        let names = ClientNames::new(["matrix.lan.", "Lab.Matrix.LAN"]);
        for (said, name) in [
            ("pc", "pc.matrix.lan"),
            ("pc.matrix.lan", "pc.matrix.lan"),
            ("pc.LAB.matrix.lan", "pc.lab.matrix.lan"),
            ("pc.deep.matrix.lan", "pc.matrix.lan"),
            ("pc.example.com", "pc.matrix.lan"),
            ("pc.notmatrix.lan", "pc.matrix.lan"),
            ("matrix.lan", "matrix.matrix.lan"),
        ] {
            let found = names.of(None, Some(&fqdn(5, said)), None).expect(said);
            assert_eq!(found.to_string(), name);
        }
        let nowhere = ClientNames::new([""; 0]);
        assert_eq!(nowhere.of(Some("x"), None, None), Err(NoClientName::Unsaid));
    }

    #[test]
    fn no_client_becomes_wpad_isatap_or_localhost() {
        let names = ClientNames::new(["matrix.lan"]);
        for said in [
            "wpad",
            "WPAD.matrix.lan",
            "isatap",
            "localhost",
            "_wpad",
            "localhost.localdomain",
        ] {
            let refused = names.of(None, None, Some(said.as_bytes()));
            assert!(matches!(refused, Err(NoClientName::Withheld(_))), "{said}");
        }
        let own = names.of(Some("wpad"), None, None).expect("the operator's");
        assert_eq!(own.to_string(), "wpad.matrix.lan");
    }

    proptest! {
        #[test]
        fn a_label_is_a_host_name_and_stays_what_it_is(said: Vec<u8>) {
            if let Some(label) = host_label(&said) {
                prop_assert!((1..=LABEL_BYTES_MAX).contains(&label.len()));
                let is_host = |octet: u8| {
                    octet == b'-' || octet.is_ascii_digit() || octet.is_ascii_lowercase()
                };
                prop_assert!(label.bytes().all(is_host));
                prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
                prop_assert_eq!(host_label(label.as_bytes()), Some(label));
            }
        }
    }
}
