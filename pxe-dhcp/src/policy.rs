//! Boot policy: what a client is to boot, and why.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;
use std::borrow::Cow;

use pxe_core::MacAddr;

use crate::wire::{IpxeFeatures, MachineUuid, Message, OptionCode};
use crate::{BootMenu, ClientArch, DhcpOption, Ipv4Net};

/// Decides what each client is to boot.
///
/// The engine asks once per OFFER and once per ACK, and repeats the boot information in both
/// (EDK2 parses the ACK's; BeryJu/gravity issue 912). A decision is pure: it depends on the
/// request and on nothing that changes by itself, so that it can be asked for again to explain it.
pub trait BootPolicy: fmt::Debug + Send + Sync + 'static {
    /// What this client is to boot, with the reasons.
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision;
}

/// At which step of its boot a client is, as far as its request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Firmware that boots by TFTP: its vendor class begins with `PXEClient`, or it says an
    /// architecture.
    Pxe,
    /// Firmware that boots by HTTP: its vendor class begins with `HTTPClient`.
    Http,
    /// iPXE or gPXE, in a ROM or loaded: user class `iPXE` or `gPXE`, or option 175.
    Ipxe,
    /// An operating system, or a loader that only wants an address (syslinux.efi's own DHCP):
    /// neither an architecture nor such a vendor class. It gets no boot file.
    System,
}

impl Stage {
    /// The stage that these parts of a request tell.
    pub fn of(
        architectures: &[ClientArch],
        vendor_class: Option<&[u8]>,
        user_classes: &[&[u8]],
        has_ipxe_features: bool,
    ) -> Self {
        let vendor_class = vendor_class.unwrap_or_default();
        if has_ipxe_features
            || user_classes
                .iter()
                .any(|class| matches!(*class, b"iPXE" | b"gPXE"))
        {
            Self::Ipxe
        } else if vendor_class.starts_with(b"HTTPClient") {
            Self::Http
        } else if vendor_class.starts_with(b"PXEClient") || !architectures.is_empty() {
            Self::Pxe
        } else {
            Self::System
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pxe => "pxe",
            Self::Http => "http",
            Self::Ipxe => "ipxe",
            Self::System => "system",
        })
    }
}

/// A text names no [`Stage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseStageError;

impl fmt::Display for ParseStageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a stage of a boot: pxe, http, ipxe or system")
    }
}

impl core::error::Error for ParseStageError {}

impl FromStr for Stage {
    type Err = ParseStageError;

    fn from_str(text: &str) -> Result<Self, ParseStageError> {
        let all = [Self::Pxe, Self::Http, Self::Ipxe, Self::System];
        let found = all.into_iter().find(|stage| stage.to_string() == text);
        found.ok_or(ParseStageError)
    }
}

/// All that is known of a client that asks. Built by the engine, or by hand to ask a policy what
/// it would do:
///
/// ```
/// use pxe_dhcp::{ArchPolicy, Boot, BootPolicy, BootRequest, ClientArch};
///
/// let policy = ArchPolicy::syslinux();
/// let architectures = [ClientArch::UEFI_X64];
/// let request = BootRequest::new([192, 168, 150, 1].into()).with_architectures(&architectures);
/// let decision = policy.decide(&request);
/// assert_eq!(decision.boot, Boot::File("efi64/syslinux.efi".into()));
/// println!("{}", decision.explanation);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BootRequest<'a> {
    /// At which step of its boot the client is.
    pub stage: Stage,
    /// Its Ethernet address.
    pub mac: Option<MacAddr>,
    /// Its client identifier (option 61).
    pub client_id: Option<&'a [u8]>,
    /// Its architectures (option 93), the preferred one first; from option 60 where 93 is missing.
    pub architectures: &'a [ClientArch],
    /// Its vendor class (option 60).
    pub vendor_class: Option<&'a [u8]>,
    /// Its user classes (option 77).
    pub user_classes: &'a [&'a [u8]],
    /// iPXE's features (option 175).
    pub ipxe_features: Option<IpxeFeatures>,
    /// The machine's UUID (option 97), if that is one.
    pub uuid: Option<MachineUuid>,
    /// Option 97 as it was sent: a Raspberry Pi's is not always a UUID.
    pub machine_id: Option<&'a [u8]>,
    /// Its host name (option 12).
    pub host_name: Option<&'a [u8]>,
    /// The relay that the request came through.
    pub giaddr: Option<Ipv4Addr>,
    /// The relay's circuit identifier (option 82, 1).
    pub circuit_id: Option<&'a [u8]>,
    /// The relay's remote identifier (option 82, 2).
    pub remote_id: Option<&'a [u8]>,
    /// The codes that the client asks for (option 55).
    pub requested_options: &'a [u8],
    /// The client's subnet.
    pub subnet: Option<Ipv4Net>,
    /// The address that the client has or is about to get.
    pub client_ip: Option<Ipv4Addr>,
    /// Our address towards the client: what a URL should name.
    pub server_ip: Ipv4Addr,
    /// The message itself, for what has no field here.
    pub message: Option<&'a Message<'a>>,
}

impl<'a> BootRequest<'a> {
    /// A request of which nothing is known but our own address towards the client.
    pub const fn new(server_ip: Ipv4Addr) -> Self {
        Self {
            stage: Stage::System,
            mac: None,
            client_id: None,
            architectures: &[],
            vendor_class: None,
            user_classes: &[],
            ipxe_features: None,
            uuid: None,
            machine_id: None,
            host_name: None,
            giaddr: None,
            circuit_id: None,
            remote_id: None,
            requested_options: &[],
            subnet: None,
            client_ip: None,
            server_ip,
            message: None,
        }
    }

    /// An option's value as the client sent it, if the request came as a message.
    pub fn option(&self, code: OptionCode) -> Option<Cow<'a, [u8]>> {
        self.message?.option(code)
    }

    /// The same, from this Ethernet address.
    #[must_use]
    pub const fn with_mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The same, with these architectures; the stage follows.
    #[must_use]
    pub fn with_architectures(mut self, architectures: &'a [ClientArch]) -> Self {
        self.architectures = architectures;
        self.with_stage_found()
    }

    /// The same, with this vendor class; the stage follows.
    #[must_use]
    pub fn with_vendor_class(mut self, vendor_class: &'a [u8]) -> Self {
        self.vendor_class = Some(vendor_class);
        self.with_stage_found()
    }

    /// The same, with these user classes; the stage follows.
    #[must_use]
    pub fn with_user_classes(mut self, user_classes: &'a [&'a [u8]]) -> Self {
        self.user_classes = user_classes;
        self.with_stage_found()
    }

    /// The same, from an iPXE with these features; the stage follows.
    #[must_use]
    pub fn with_ipxe_features(mut self, features: IpxeFeatures) -> Self {
        self.ipxe_features = Some(features);
        self.with_stage_found()
    }

    /// The same, from the machine with this UUID.
    #[must_use]
    pub const fn with_uuid(mut self, uuid: MachineUuid) -> Self {
        self.uuid = Some(uuid);
        self
    }

    /// The same, from this subnet.
    #[must_use]
    pub const fn with_subnet(mut self, subnet: Ipv4Net) -> Self {
        self.subnet = Some(subnet);
        self
    }

    fn with_stage_found(mut self) -> Self {
        self.stage = Stage::of(
            self.architectures,
            self.vendor_class,
            self.user_classes,
            self.ipxe_features.is_some(),
        );
        self
    }
}

/// What a client is to boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Boot {
    /// Nothing: it gets an address and no boot information.
    #[default]
    Nothing,
    /// A file by TFTP, named as the client is to ask for it. Not for [`Stage::Http`].
    File(String),
    /// A URL; the only kind of answer for [`Stage::Http`], and understood by iPXE.
    Url(String),
    /// A menu that the client shows by itself: for [`Stage::Pxe`]. A client that cannot show one
    /// gets its first item.
    Menu(BootMenu),
    /// Nothing, at any stage and by any protocol: the client gets an address and no boot
    /// information at all, no boot server and no option about booting either, and whoever serves
    /// files by another protocol should refuse them to it.
    Denied,
}

/// What a policy decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BootDecision {
    /// What to boot.
    pub boot: Boot,
    /// The boot server (`siaddr`); `None` is this server.
    pub next_server: Option<Ipv4Addr>,
    /// The boot server's name (`sname` and option 66); `None` is its address as text.
    pub server_name: Option<String>,
    /// Further options, always sent, asked for or not: PXELINUX's 208 to 211 are among those that
    /// no firmware asks for. One that the engine would send by itself takes its place.
    pub options: Vec<DhcpOption>,
    /// The rules that were tried, in their order.
    pub explanation: Explanation,
}

impl BootDecision {
    /// A decision without a reason.
    pub const fn new(boot: Boot) -> Self {
        Self {
            boot,
            next_server: None,
            server_name: None,
            options: Vec::new(),
            explanation: Explanation::new(),
        }
    }

    /// The same, with this explanation.
    #[must_use]
    pub fn with_explanation(mut self, explanation: Explanation) -> Self {
        self.explanation = explanation;
        self
    }

    /// The same, with one more option.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// The value of one of the further options.
    pub fn option(&self, code: OptionCode) -> Option<&[u8]> {
        self.options
            .iter()
            .find(|option| option.code == code)
            .map(|option| option.data.as_slice())
    }
}

/// A rule that a policy tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tried {
    /// The rule, as its author would recognise it.
    pub rule: Cow<'static, str>,
    /// Whether it matched.
    pub matched: bool,
    /// Whether it decides; of the rules that a policy tried, one does.
    pub decides: bool,
    /// Why it did or did not.
    pub reason: Cow<'static, str>,
}

/// The rules that a policy tried, in their order; printed one a line: `+` for the one that
/// decides, `~` for those that matched but leave the decision to another, `-` for the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Explanation {
    tried: Vec<Tried>,
}

impl Explanation {
    /// Nothing tried yet.
    pub const fn new() -> Self {
        Self { tried: Vec::new() }
    }

    /// Adds the rule that decides: it matched.
    pub fn matched(
        &mut self,
        rule: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.push(rule.into(), reason.into(), true, true);
    }

    /// Adds a rule that matched, and says something, but leaves it to another what is booted.
    pub fn applied(
        &mut self,
        rule: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.push(rule.into(), reason.into(), true, false);
    }

    /// Adds a rule that did not match.
    pub fn failed(
        &mut self,
        rule: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.push(rule.into(), reason.into(), false, false);
    }

    /// Adds what another policy tried after these.
    pub fn append(&mut self, other: Self) {
        self.tried.extend(other.tried);
    }

    /// The rule that decided.
    pub fn decided_by(&self) -> Option<&Tried> {
        self.tried.iter().find(|tried| tried.decides)
    }

    fn push(
        &mut self,
        rule: Cow<'static, str>,
        reason: Cow<'static, str>,
        matched: bool,
        decides: bool,
    ) {
        self.tried.push(Tried {
            rule,
            matched,
            decides,
            reason,
        });
    }

    /// The rules in the order in which they were tried.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            index,
            Tried {
                rule,
                matched,
                decides,
                reason,
            },
        ) in self.tried.iter().enumerate()
        {
            let line_break = if index == 0 { "" } else { "\n" };
            let sign = match (decides, matched) {
                (true, _) => '+',
                (false, true) => '~',
                (false, false) => '-',
            };
            write!(f, "{line_break}{sign} {rule}: {reason}")?;
        }
        Ok(())
    }
}

/// A policy that boots nothing: a plain DHCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NoBoot;

impl NoBoot {
    /// The policy.
    pub const fn new() -> Self {
        Self
    }
}

impl BootPolicy for NoBoot {
    fn decide(&self, _: &BootRequest<'_>) -> BootDecision {
        let mut explanation = Explanation::new();
        explanation.matched("no boot", "this server boots nothing");
        BootDecision::new(Boot::Nothing).with_explanation(explanation)
    }
}
