//! Which names hosts can have (RFC 952, RFC 1123 section 2.1), as BIND's `check-names` has it.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::NameRef;

/// Labels above which names for SPF stand that have addresses (RFC 7208 section 5.7, appendix D.1).
const SPF_LABELS: [&[u8]; 3] = [b"_spf", b"_spf_verify", b"_spf_rate"];

/// Whether each label has letters, digits and, within it, hyphens.
pub(super) fn is_host_name(name: NameRef<'_>) -> bool {
    name.labels().all(is_host_label)
}

fn is_host_label(label: &[u8]) -> bool {
    let ends = [label.first(), label.last()];
    let is_middle = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
    label.iter().all(is_middle)
        && ends
            .iter()
            .flatten()
            .all(|octet| octet.is_ascii_alphanumeric())
}

/// Whether the first label may be what is before the `@` of a mail address, and the others a
/// host's name.
pub(super) fn is_mailbox(name: NameRef<'_>) -> bool {
    let mut labels = name.labels();
    let Some(first) = labels.next() else {
        return true;
    };
    let rest: Vec<&[u8]> = labels.collect();
    let is_printable = first.iter().all(u8::is_ascii_graphic);
    is_printable && !rest.is_empty() && rest.into_iter().all(is_host_label)
}

/// Whether a name may own an address or a mail exchange: a host's, a wildcard, what Active
/// Directory registers, what SPF looks up.
pub(super) fn may_have_address(name: NameRef<'_>) -> bool {
    let is_spf = |label: &[u8]| SPF_LABELS.iter().any(|spf| spf.eq_ignore_ascii_case(label));
    let below = |label: &[u8], name: NameRef<'_>| {
        let first = name.labels().next();
        let is_it = first.is_some_and(|first| first.eq_ignore_ascii_case(label));
        is_it
            .then_some(name)
            .and_then(NameRef::parent)
            .map(NameRef::to_name)
    };
    // `gc._msdcs.` and a forest's name: its global catalogues.
    let forest = below(b"gc", name).and_then(|rest| below(b"_msdcs", rest.as_ref()));
    let host = match name.is_wildcard() {
        true => name.parent().unwrap_or(name),
        false => name,
    };
    is_host_name(host)
        || forest.is_some_and(|forest| is_host_name(forest.as_ref()))
        || name.labels().any(is_spf)
}

/// The address that this name would be if what follows it, the origin, were not there.
pub(super) fn is_address(name: NameRef<'_>, origin: NameRef<'_>) -> bool {
    let labels: Vec<&[u8]> = name.labels().collect();
    let own = match name.is_within(origin) {
        true => labels.len() - origin.labels().count(),
        false => labels.len(),
    };
    let text = labels.get(..own).unwrap_or_default().join(&b'.');
    let text = String::from_utf8_lossy(&text);
    text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn name(text: &str) -> Name {
        text.parse().expect(text)
    }

    #[test]
    fn hosts_have_letters_digits_and_hyphens() {
        for (text, is_host, is_owner) in [
            ("pxe-1.lan", true, true),
            ("1.lan", true, true),
            (".", true, true),
            ("pxe_1.lan", false, false),
            ("-pxe.lan", false, false),
            ("pxe-.lan", false, false),
            ("*.lan", false, true),
            ("a.*.lan", false, false),
            ("*._tcp.lan", false, false),
            ("gc._msdcs.lan", false, true),
            ("dc._msdcs.lan", false, false),
            ("x._spf.lan", false, true),
            ("xn--bcher-kva.lan", true, true),
            (r"b\195\188cher.lan", false, false),
        ] {
            assert_eq!(is_host_name(name(text).as_ref()), is_host, "{text}");
            assert_eq!(may_have_address(name(text).as_ref()), is_owner, "{text}");
        }
    }

    #[test]
    fn mailboxes_begin_with_any_label() {
        for (text, expected) in [
            ("root.lan", true),
            (r"host\.master.lan", true),
            ("host_master.lan", true),
            (".", true),
            ("root", false),
            ("root.my_host.lan", false),
            (r"ro\032ot.lan", false),
        ] {
            assert_eq!(is_mailbox(name(text).as_ref()), expected, "{text}");
        }
    }

    #[test]
    fn addresses_are_seen_where_names_are_due() {
        let origin = name("matrix.lan");
        for (text, expected) in [
            ("192.168.1.1.matrix.lan", true),
            ("192.168.1.1", true),
            ("192.168.1.matrix.lan", false),
            ("pxe.matrix.lan", false),
            ("matrix.lan", false),
            ("2001:db8::1.matrix.lan", true),
        ] {
            let found = is_address(name(text).as_ref(), origin.as_ref());
            assert_eq!(found, expected, "{text}");
        }
    }
}
