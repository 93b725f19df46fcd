//! Where our answers differ from isc-dhcp-server's, and why they should.

use std::fmt;

use crate::comparison::{Case, Step};
use crate::reply;

use Value::{ClientsOwn, Is};

/// A value on one side of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// This very text; an option that is not there is `absent`.
    Is(&'static str),
    /// The client's own option of the same number.
    ClientsOwn,
}

impl Value {
    fn covers(self, case: &Case<'_>, field: &str, found: &str) -> bool {
        match self {
            Self::Is(text) => text == found,
            Self::ClientsOwn => {
                let code = field
                    .strip_prefix("option ")
                    .and_then(|code| code.parse().ok());
                let own = code.and_then(|code| Some((code, case.client.option(code)?)));
                own.is_some_and(|(code, data)| reply::show(code, data) == found)
            }
        }
    }
}

/// A difference that may be, and has to be: one that no longer occurs is taken off the list.
#[derive(Debug)]
pub(crate) struct Difference {
    field: &'static str,
    ours: Value,
    isc: Value,
    when: fn(&Case<'_>) -> bool,
    /// For the reader of the list, and of the test that fails.
    why: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, isc) = (self.ours, self.isc);
        write!(
            f,
            "{}: ours {ours:?}, isc-dhcp-server's {isc:?} ({})",
            self.field, self.why
        )
    }
}

impl Difference {
    /// Whether it is this difference that was found.
    pub(crate) fn covers(&self, case: &Case<'_>, field: &str, ours: &str, isc: &str) -> bool {
        self.field == field
            && self.ours.covers(case, field, ours)
            && self.isc.covers(case, field, isc)
            && (self.when)(case)
    }

    const fn new(field: &'static str, ours: Value, isc: Value) -> Self {
        Self {
            field,
            ours,
            isc,
            when: |_| true,
            why: "",
        }
    }

    /// An option that only we send.
    const fn only_ours(field: &'static str, ours: Value) -> Self {
        Self::new(field, ours, Is("absent"))
    }

    const fn when(mut self, when: fn(&Case<'_>) -> bool) -> Self {
        self.when = when;
        self
    }

    const fn since(mut self, why: &'static str) -> Self {
        self.why = why;
        self
    }
}

fn is_system(case: &Case<'_>) -> bool {
    !case.client.boots()
}

/// A machine that gets a boot file from us too: firmware, but for one that can use nothing but a
/// URL.
fn has_file(case: &Case<'_>) -> bool {
    case.client.boots() && !boots_by_http(case)
}

fn boots_by_http(case: &Case<'_>) -> bool {
    let class = case.client.option(60).unwrap_or_default();
    class.starts_with(b"HTTPClient")
}

fn gets_nak(case: &Case<'_>) -> bool {
    use Step::{InitRebootElsewhere, InitRebootOfAnother, RenewingOfAnother};
    [InitRebootElsewhere, InitRebootOfAnother, RenewingOfAnother].contains(&case.step)
}

/// What differs whatever the configuration.
fn always() -> Vec<Difference> {
    vec![
        Difference::only_ours("option 61", ClientsOwn).since(
            "RFC 6842 wants the client identifier back; isc-dhcp-server does so with \
             `echo-client-id` only",
        ),
        Difference::only_ours("option 97", ClientsOwn)
            .when(|case| case.client.boots())
            .since(
                "RFC 4578 section 2.3 wants the UUID back, and PXE firmware drops replies without",
            ),
        Difference::only_ours("option 58", Is("300")).since(
            "T1 as RFC 2131 section 4.4.5 has it; isc-dhcp-server leaves it to the client unless \
             dhcp-renewal-time is configured",
        ),
        Difference::only_ours("option 59", Is("525")).since("T2, as T1 above"),
        Difference::new("hops", Is("0"), Is("1"))
            .when(|case| case.is_relayed)
            .since("a server sets it to 0 (RFC 2131 table 3)"),
        Difference::new("flags", Is("0000"), Is("8000"))
            .when(|case| gets_nak(case) && !case.is_relayed)
            .since(
                "the client's flags come back (RFC 2131 table 3); only for a relay does a NAK get \
                 the broadcast flag (section 4.3.2)",
            ),
        Difference::new(
            "option 56",
            Is("client has another address here"),
            Is("requested address not available"),
        )
        .when(|case| case.step == Step::RenewingOfAnother)
        .since("a message for people, in our words"),
        Difference::new(
            "option 56",
            Is("client has another address here"),
            Is("requested address not available"),
        )
        .when(|case| case.step == Step::InitRebootOfAnother)
        .since("a message for people, in our words"),
        Difference::new("reply", Is("silence"), Is("ACK"))
            .when(|case| case.step == Step::InitRebootUnknown)
            .since(
                "a server without a record of the client MUST remain silent (RFC 2131 section \
                 4.3.2)",
            ),
        Difference::new("reply", Is("silence"), Is("ACK"))
            .when(|case| case.step == Step::SelectingOtherServer)
            .since(
                "a client that names another server has declined our offer (RFC 2131 section 3.1 \
                 step 4): two servers would have leased it an address each",
            ),
    ]
}

/// What differs in boot information, with this server address as text.
fn of_boot(next_server: &'static str, next_server_text: &'static str) -> Vec<Difference> {
    vec![
        Difference::new("sname", Is(next_server), Is(""))
            .when(has_file)
            .since(
                "the boot server's name as well: some firmware reads only the field, or only the \
             option",
            ),
        Difference::only_ours("option 66", Is(next_server_text))
            .when(has_file)
            .since("as `sname`"),
    ]
}

/// The name of `file` in option 67 as well.
fn with_text(file: &'static str) -> Difference {
    Difference::only_ours("option 67", Is(file))
        .when(has_file)
        .since("the same name as in `file`, ended with a NUL: some firmware reads only the option")
}

fn without_file(file: &'static str) -> [Difference; 2] {
    [
        Difference::new("file", Is(""), Is(file)).when(is_system).since(
            "an operating system does not boot: it neither says an architecture nor calls itself \
             PXEClient or HTTPClient",
        ),
        Difference::new("file", Is(""), Is(file)).when(boots_by_http).since(
            "EDK2's HTTP boot can use nothing but a URL, and shows an error for anything else",
        ),
    ]
}

pub(crate) fn tutorial() -> Vec<Difference> {
    let mut all = always();
    all.extend(of_boot("192.168.150.1", "192.168.150.1<NUL>"));
    all.extend(without_file("bios/lpxelinux.0"));
    all.extend([
        Difference::only_ours("option 175", Is("b00101"))
            .when(|case| case.client.is_ipxe())
            .since("tells iPXE not to wait for a proxyDHCP server (its net/udp/dhcp.c)"),
        with_text("bios/lpxelinux.0<NUL>"),
        with_text("efi32/syslinux.efi<NUL>"),
        with_text("efi64/syslinux.efi<NUL>"),
        Difference::new("option 209", Is("absent"), Is("pxelinux.cfg/default"))
            .when(|case| !has_file(case))
            .since("no boot file, so nobody reads pxelinux's options"),
        Difference::new(
            "option 56",
            Is("address is of another network"),
            Is("requested address not available"),
        )
        .when(|case| case.step == Step::InitRebootElsewhere)
        .since("a message for people, in our words"),
        Difference::new("to", Is("192.168.150.2:67"), Is("LEASE:68"))
            .when(|case| case.step == Step::Inform && case.is_relayed)
            .since(
                "any return message to a request with giaddr goes to the relay (RFC 2131 section \
                 4.1), which takes option 82 out; isc-dhcp-server follows section 4.3.5, which is \
                 about clients on its own link",
            ),
    ]);
    all
}

pub(crate) fn alpine() -> Vec<Difference> {
    let mut all = always();
    // Those of most machines, and of the host in the group.
    all.extend(of_boot("192.168.0.1", "192.168.0.1<NUL>"));
    all.extend(of_boot("192.168.0.2", "192.168.0.2<NUL>"));
    all.extend(without_file("gpxe.kpxe"));
    // Our domain of authority is what is configured; dhcpd.conf(5) wants a word for it, which the
    // page forgets.
    all.extend([
        with_text("gpxe.kpxe<NUL>"),
        Difference::new("file", Is(""), Is("gpxe.kpxe"))
            .when(|case| case.client.is_ipxe())
            .since(
                "iPXE that is told to load gPXE loads it, asks again, and so on for ever; and one \
                 with a script inside has no use for the name",
            ),
        Difference::new("siaddr", Is("192.168.0.1"), Is("0.0.0.0"))
            .when(|case| case.client.name != "plain-rom")
            .since(
                "without next-server dhcpd names no boot server, and firmware that does not fall \
                 back to option 54 has none; here it is the DHCP server itself. The plain ROM is \
                 the host whose group says it",
            ),
        Difference::new("reply", Is("NAK"), Is("silence"))
            .when(|case| case.step == Step::InitRebootElsewhere)
            .since(
                "without `authoritative` dhcpd says nothing to a machine that asks for an address \
                 of another network, which then waits for a minute; we are authoritative for what \
                 is configured",
            ),
        Difference::new("reply", Is("ACK"), Is("silence"))
            .when(|case| case.step == Step::Inform)
            .since("the same: dhcpd answers INFORM with `authoritative` only"),
    ]);
    all
}
