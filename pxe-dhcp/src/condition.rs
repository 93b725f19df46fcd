//! What a rule asks of a client.

mod reason;

use core::fmt;
use std::borrow::Cow;

pub(crate) use self::reason::Listed;
use crate::wire::{IpxeFeature, IpxeFeatures, MachineUuid, OptionCode};
use crate::{BootRequest, ClientArch, Ipv4Net, MacPrefix, Pattern, Stage};

/// The longest reason, in bytes; what is longer ends in `...`.
const REASON_BYTES_MAX: usize = 400;

/// What a rule or a class asks of a client: a question to a [`BootRequest`], which can say why it
/// was answered so.
///
/// A client that does not say what is asked for does not match; so it does match
/// [`Not`](Self::Not) of that.
///
/// ```
/// use pxe_dhcp::{BootRequest, ClientArch, Condition};
///
/// let lab = Condition::All(vec![
///     Condition::Mac("52:54:00".parse()?),
///     Condition::Not(Box::new(Condition::Arch(ClientArch::X86_BIOS))),
/// ]);
/// let request = BootRequest::new([192, 168, 150, 1].into())
///     .with_mac("52:54:00:15:00:01".parse()?)
///     .with_architectures(&[ClientArch::UEFI_X64]);
/// let checked = lab.check(&request);
/// assert!(checked.matched);
/// assert_eq!(
///     checked.reason,
///     "mac 52:54:00:15:00:01 begins with 52:54:00, architecture is uefi-x64, not x86-bios"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The client is at this step of its boot.
    Stage(Stage),
    /// One of its architectures (option 93, or 60) is this one; 7 and 9 are alike, and 0x10 and
    /// 0x11 ([`ClientArch::canonical`]).
    Arch(ClientArch),
    /// Its Ethernet address begins so.
    Mac(MacPrefix),
    /// Its UUID (option 97) is this one.
    Uuid(MachineUuid),
    /// Its client identifier (option 61), type octet included.
    ClientId(Pattern),
    /// Its vendor class (option 60).
    VendorClass(Pattern),
    /// One of its user classes (option 77).
    UserClass(Pattern),
    /// Its host name (option 12), upper and lower case alike.
    HostName(Pattern),
    /// It is an iPXE that has this feature (option 175).
    IpxeFeature(IpxeFeature),
    /// The address that it has or is about to get is in this network; where none is known yet,
    /// its subnet is.
    Subnet(Ipv4Net),
    /// It came through a relay (`giaddr`) with an address in this network.
    ///
    /// That holds for what a relay passed on, and so does what the relay adds. What a client sends
    /// by itself is no such message: a renewal, and in [`Mode::Proxy`](crate::Mode::Proxy) the
    /// question of UEFI at port 4011, which decides what it boots. [`Subnet`](Self::Subnet) tells
    /// there.
    Relay(Ipv4Net),
    /// The circuit identifier that the relay added (option 82, 1).
    CircuitId(Pattern),
    /// The remote identifier that the relay added (option 82, 2).
    RemoteId(Pattern),
    /// It asks for this option (option 55).
    Requested(OptionCode),
    /// It sent this option, with such a value.
    Option(OptionCode, Pattern),
    /// Each of these; an empty list always matches.
    All(Vec<Condition>),
    /// At least one of these; an empty list never matches.
    Any(Vec<Condition>),
    /// Anything but this.
    Not(Box<Condition>),
}

/// Whether a client matches a [`Condition`], and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Checked {
    /// Whether it matches.
    pub matched: bool,
    /// Why it does or does not, in words, on one line: what the client sent is escaped, and cut
    /// off where it is long.
    pub reason: Cow<'static, str>,
}

impl Condition {
    /// Whether the client matches.
    pub fn matches(&self, request: &BootRequest<'_>) -> bool {
        let is = |value: Option<&[u8]>, pattern: &Pattern| {
            value.is_some_and(|value| pattern.matches(value))
        };
        match self {
            Self::Stage(stage) => request.stage == *stage,
            Self::Arch(arch) => arch_of(request, *arch).is_some(),
            Self::Mac(prefix) => request.mac.is_some_and(|mac| prefix.matches(mac)),
            Self::Uuid(uuid) => request.uuid == Some(*uuid),
            Self::ClientId(pattern) => is(request.client_id, pattern),
            Self::VendorClass(pattern) => is(request.vendor_class, pattern),
            Self::UserClass(pattern) => user_class_of(request, pattern).is_some(),
            Self::HostName(pattern) => request
                .host_name
                .is_some_and(|name| pattern.matches_ignoring_case(name)),
            Self::IpxeFeature(feature) => request
                .ipxe_features
                .is_some_and(|features| features.has(*feature)),
            Self::Subnet(network) => match (request.client_ip, request.subnet) {
                (Some(address), _) => network.contains(address),
                (None, Some(subnet)) => network.covers(subnet),
                (None, None) => false,
            },
            Self::Relay(network) => request.giaddr.is_some_and(|relay| network.contains(relay)),
            Self::CircuitId(pattern) => is(request.circuit_id, pattern),
            Self::RemoteId(pattern) => is(request.remote_id, pattern),
            Self::Requested(code) => request.requested_options.contains(&code.0),
            Self::Option(code, pattern) => is(request.option(*code).as_deref(), pattern),
            Self::All(conditions) => conditions.iter().all(|one| one.matches(request)),
            Self::Any(conditions) => conditions.iter().any(|one| one.matches(request)),
            Self::Not(condition) => !condition.matches(request),
        }
    }

    /// Whether the machine matches on which this operating system runs; `None` if that cannot be
    /// told, because an operating system does not say what firmware says.
    pub(crate) fn of_machine(&self, request: &BootRequest<'_>) -> Option<bool> {
        let matched = self.matches(request);
        match self {
            // Address, name and place of a machine are the same at every stage.
            Self::Mac(_) | Self::HostName(_) | Self::Subnet(_) => Some(matched),
            Self::Relay(_) | Self::CircuitId(_) | Self::RemoteId(_) => Some(matched),
            Self::Uuid(_) if request.uuid.is_some() => Some(matched),
            Self::All(conditions) => {
                let mut all = conditions.iter().map(|one| one.of_machine(request));
                all.try_fold(true, |all, one| match one {
                    Some(false) => Err(false),
                    Some(true) => Ok(all),
                    None => Ok(false),
                })
                .map_or(Some(false), |all| all.then_some(true))
            }
            Self::Any(conditions) => {
                let mut any = conditions.iter().map(|one| one.of_machine(request));
                any.try_fold(true, |none, one| match one {
                    Some(true) => Err(true),
                    Some(false) => Ok(none),
                    None => Ok(false),
                })
                .map_or(Some(true), |none| none.then_some(false))
            }
            Self::Not(condition) => condition.of_machine(request).map(|matched| !matched),
            // What another stage says may match even if this one does not.
            _ => matched.then_some(true),
        }
    }

    /// Whether an iPXE matches for what it lacks, and would not if it had every feature.
    pub(crate) fn is_for_what_ipxe_lacks(&self, request: &BootRequest<'_>) -> bool {
        let mut complete = *request;
        complete.ipxe_features = Some(IpxeFeatures::all());
        !self.matches(&complete)
    }

    /// Whether the client matches, and why.
    pub fn check(&self, request: &BootRequest<'_>) -> Checked {
        let matched = self.matches(request);
        let mut reason = self.reason(request, matched).into_text();
        if reason.len() > REASON_BYTES_MAX {
            let text = reason.to_mut();
            while text.len() > REASON_BYTES_MAX {
                text.pop();
            }
            text.push_str("...");
        }
        Checked { matched, reason }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The architecture of the client that counts as this one.
fn arch_of(request: &BootRequest<'_>, arch: ClientArch) -> Option<ClientArch> {
    let mut found = request.architectures.iter().copied();
    found.find(|found| found.canonical() == arch.canonical())
}

fn user_class_of<'a>(request: &BootRequest<'a>, pattern: &Pattern) -> Option<&'a [u8]> {
    let mut found = request.user_classes.iter().copied();
    found.find(|class| pattern.matches(class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    use pxe_core::MacAddr;

    const ARCHITECTURES: [ClientArch; 1] = [ClientArch::UEFI_X64];

    fn request() -> BootRequest<'static> {
        let mut request = BootRequest::new(Ipv4Addr::new(192, 168, 150, 1))
            .with_architectures(&ARCHITECTURES)
            .with_vendor_class(b"PXEClient:Arch:00007:UNDI:003000")
            .with_mac(MacAddr::new([0x52, 0x54, 0, 0x15, 0, 1]))
            .with_ipxe_features(IpxeFeatures::new().with(IpxeFeature::HTTP))
            .with_user_classes(&[b"iPXE"]);
        request.subnet = "192.168.150.0/24".parse().ok();
        request.giaddr = Some(Ipv4Addr::new(10, 0, 0, 7));
        request.host_name = Some(b"PC-1");
        request.remote_id = Some(&[0, 6, 1]);
        request.requested_options = &[66, 67];
        request
    }

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a network")
    }

    fn mac(text: &str) -> Condition {
        Condition::Mac(text.parse().expect("a prefix"))
    }

    #[track_caller]
    fn check(condition: &Condition, matched: bool, reason: &str) {
        let checked = condition.check(&request());
        assert_eq!(
            (checked.matched, checked.reason.as_ref()),
            (matched, reason)
        );
        let not = Condition::Not(Box::new(condition.clone()));
        assert_eq!(not.matches(&request()), !matched);
    }

    #[test]
    fn each_condition_says_why() {
        use Condition::*;
        check(&Stage(crate::Stage::Ipxe), true, "stage is ipxe");
        check(&Stage(crate::Stage::Http), false, "stage is ipxe, not http");
        check(
            &Arch(ClientArch::UEFI_X64),
            true,
            "architecture is uefi-x64",
        );
        check(
            &Arch(ClientArch::X86_BIOS),
            false,
            "architecture is uefi-x64, not x86-bios",
        );
        check(
            &mac("52:54:00"),
            true,
            "mac 52:54:00:15:00:01 begins with 52:54:00",
        );
        check(&mac("52:54:00:15:00:01"), true, "mac is 52:54:00:15:00:01");
        check(
            &mac("52:55"),
            false,
            "mac is 52:54:00:15:00:01, not 52:55:*",
        );
        check(&Uuid(MachineUuid::from_wire([1; 16])), false, "no uuid");
        check(&ClientId(pattern("a")), false, "no client id");
        check(
            &VendorClass(pattern("PXEClient*")),
            true,
            "vendor class \"PXEClient:Arch:00007:UNDI:003000\" matches \"PXEClient*\"",
        );
        check(&UserClass(pattern("iPXE")), true, "user class is \"iPXE\"");
        check(
            &UserClass(pattern("gPXE")),
            false,
            "user class is \"iPXE\", not \"gPXE\"",
        );
        check(
            &HostName(pattern("pc-*")),
            true,
            "host name \"PC-1\" matches \"pc-*\"",
        );
        check(
            &IpxeFeature(crate::wire::IpxeFeature::HTTP),
            true,
            "ipxe has http",
        );
        check(
            &IpxeFeature(crate::wire::IpxeFeature::NFS),
            false,
            "ipxe lacks nfs",
        );
        check(
            &Subnet(net("192.168.0.0/16")),
            true,
            "subnet 192.168.150.0/24 is in 192.168.0.0/16",
        );
        check(
            &Subnet(net("192.168.150.0/25")),
            false,
            "subnet 192.168.150.0/24 is not in 192.168.150.0/25",
        );
        check(
            &Relay(net("10.0.0.0/8")),
            true,
            "relay 10.0.0.7 is in 10.0.0.0/8",
        );
        check(&CircuitId(pattern("*")), false, "no circuit id");
        check(
            &RemoteId(pattern("hex:0006*")),
            true,
            "remote id hex:000601 matches \"hex:0006*\"",
        );
        check(&Requested(OptionCode(66)), true, "it asks for option 66");
        check(
            &Requested(OptionCode(43)),
            false,
            "it does not ask for option 43",
        );
        check(&Option(OptionCode(43), pattern("*")), false, "no option 43");
    }

    #[test]
    fn lists_say_what_decided() {
        use Condition::*;
        let arch = |number| Arch(ClientArch(number));
        check(&All(vec![]), true, "no condition");
        check(&Any(vec![]), false, "nothing matches");
        check(
            &All(vec![mac("52"), arch(0), mac("53")]),
            false,
            "architecture is uefi-x64, not x86-bios",
        );
        check(
            &Any(vec![arch(0), arch(9)]),
            true,
            "architecture is uefi-x64, which counts as uefi-ebc",
        );
        check(
            &Any(vec![arch(0), arch(6), mac("53"), mac("54")]),
            false,
            "architecture is uefi-x64, not x86-bios or uefi-x86, \
             mac is 52:54:00:15:00:01, not 53:* or 54:*",
        );
        let many = (0..100)
            .map(|octet| mac(&format!("00:{octet:02}")))
            .collect();
        check(
            &Any(many),
            false,
            "mac is 52:54:00:15:00:01, not 00:00:* or 00:01:* or 00:02:* or 00:03:* or 96 others",
        );
        check(
            &Not(Box::new(arch(0))),
            true,
            "architecture is uefi-x64, not x86-bios",
        );
        check(
            &Not(Box::new(mac("52"))),
            false,
            "mac 52:54:00:15:00:01 begins with 52, which is excluded",
        );
        check(
            &Any(vec![ClientId(pattern("a")), ClientId(pattern("b"))]),
            false,
            "no client id",
        );
    }

    #[test]
    fn of_an_operating_system_only_its_machine_is_known() {
        use Condition::*;
        let mut system = BootRequest::new(Ipv4Addr::LOCALHOST).with_vendor_class(b"Linux ipconfig");
        system.mac = Some(MacAddr::new([0x52, 0x54, 0, 0x15, 0, 1]));
        let bios = || Arch(ClientArch::X86_BIOS);
        let not = |condition| Not(Box::new(condition));
        for (condition, expected) in [
            (mac("52:54"), Some(true)),
            (mac("52:55"), Some(false)),
            (not(mac("52:54")), Some(false)),
            (bios(), None),
            (not(bios()), None),
            (VendorClass(pattern("Linux*")), Some(true)),
            (VendorClass(pattern("PXEClient*")), None),
            (Uuid(MachineUuid::from_wire([1; 16])), None),
            (All(vec![bios(), mac("52:54")]), None),
            (All(vec![bios(), mac("52:55")]), Some(false)),
            (All(vec![]), Some(true)),
            (Any(vec![bios(), mac("52:54")]), Some(true)),
            (Any(vec![bios(), mac("52:55")]), None),
            (Any(vec![mac("52:55")]), Some(false)),
            (Any(vec![]), Some(false)),
        ] {
            assert_eq!(condition.of_machine(&system), expected, "{condition:?}");
        }
    }

    #[test]
    fn an_address_is_asked_for_before_its_subnet() {
        let mut request = request();
        request.client_ip = Some(Ipv4Addr::new(192, 168, 150, 30));
        let upper = Condition::Subnet(net("192.168.150.128/25"));
        assert_eq!(
            upper.check(&request).reason,
            "address 192.168.150.30 is not in 192.168.150.128/25"
        );
        assert!(Condition::Subnet(net("192.168.150.0/25")).matches(&request));
    }

    #[test]
    fn a_reason_is_one_short_line_whatever_the_client_sends() {
        let class = vec![b'\n'; 4000];
        let classes: Vec<&[u8]> = vec![&class; 100];
        let architectures = vec![ClientArch(4711); 700];
        let request = BootRequest::new(Ipv4Addr::LOCALHOST)
            .with_architectures(&architectures)
            .with_vendor_class(&class)
            .with_user_classes(&classes);
        let text = pattern("*\n*");
        for condition in [
            Condition::Any(vec![Condition::Arch(ClientArch::UEFI_X64); 1000]),
            Condition::VendorClass(text.clone()),
            Condition::VendorClass(pattern("x")),
            Condition::All(vec![Condition::UserClass(text); 1000]),
            Condition::Any(vec![Condition::UserClass(pattern("y")); 1000]),
        ] {
            let reason = condition.check(&request).reason;
            assert!(reason.len() <= REASON_BYTES_MAX + 3, "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
