//! Why a client matches a condition or does not, in words.

use core::fmt;
use std::borrow::Cow;

use super::{Condition, REASON_BYTES_MAX, arch_of, user_class_of};
use crate::pattern::Shown;
use crate::{BootRequest, ClientArch, Ipv4Net, MacPrefix, Pattern};

/// The most alternatives that a reason names; the rest are counted.
const WANTED_MAX: usize = 4;

impl Condition {
    /// Why the client matches or does not, which is known already.
    pub(super) fn reason(&self, request: &BootRequest<'_>, matched: bool) -> Reason {
        match self {
            Self::Stage(stage) if matched => Reason::text(format_args!("stage is {stage}")),
            Self::Stage(stage) => Reason::missed("stage is ", request.stage, stage),
            Self::Arch(arch) => arch_reason(request, *arch),
            Self::Mac(prefix) => mac_reason(request, prefix, matched),
            Self::Uuid(uuid) => match request.uuid {
                None => Reason::known("no uuid"),
                Some(found) if matched => Reason::text(format_args!("uuid is {found}")),
                Some(found) => Reason::missed("uuid is ", found, uuid),
            },
            Self::ClientId(pattern) => {
                pattern_reason(&["client id"], request.client_id, pattern, matched)
            }
            Self::VendorClass(pattern) => {
                pattern_reason(&["vendor class"], request.vendor_class, pattern, matched)
            }
            Self::UserClass(pattern) => user_class_reason(request, pattern),
            Self::HostName(pattern) => {
                pattern_reason(&["host name"], request.host_name, pattern, matched)
            }
            Self::IpxeFeature(feature) => match request.ipxe_features {
                None => Reason::known("no ipxe features"),
                Some(_) if matched => Reason::text(format_args!("ipxe has {feature}")),
                Some(_) => Reason::Missed {
                    said: "ipxe lacks ".into(),
                    wanted: feature.to_string(),
                },
            },
            Self::Subnet(network) => match (request.client_ip, request.subnet) {
                (Some(address), _) => in_reason("address", address, *network, matched),
                (None, Some(subnet)) => in_reason("subnet", subnet, *network, matched),
                (None, None) => Reason::known("no address and no subnet"),
            },
            Self::Relay(network) => match request.giaddr {
                Some(relay) => in_reason("relay", relay, *network, matched),
                None => Reason::known("no relay"),
            },
            Self::CircuitId(pattern) => {
                pattern_reason(&["circuit id"], request.circuit_id, pattern, matched)
            }
            Self::RemoteId(pattern) => {
                pattern_reason(&["remote id"], request.remote_id, pattern, matched)
            }
            Self::Requested(code) if matched => {
                Reason::text(format_args!("it asks for option {code}"))
            }
            Self::Requested(code) => Reason::Missed {
                said: "it does not ask for option ".into(),
                wanted: code.to_string(),
            },
            Self::Option(code, pattern) => {
                let noun = ["option ", &code.to_string()];
                pattern_reason(&noun, request.option(*code).as_deref(), pattern, matched)
            }
            Self::All(conditions) => all_reason(conditions, request, matched),
            Self::Any(conditions) => any_reason(conditions, request, matched),
            Self::Not(condition) if matched => condition.reason(request, false),
            Self::Not(condition) => {
                let text = condition.reason(request, true).into_text();
                Reason::text(format_args!("{text}, which is excluded"))
            }
        }
    }
}

impl Condition {
    /// Whether both ask for the same part of what a client says, so that the client misses both
    /// for the same reason.
    fn asks_the_same(&self, other: &Self) -> bool {
        let is_list = matches!(
            self,
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Option(..)
        );
        !is_list && core::mem::discriminant(self) == core::mem::discriminant(other)
    }
}

/// A reason before it is put together, so that alternatives can share what they have in common:
/// "architecture is x86-bios, not uefi-x64 or uefi-arm64".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    Text(Cow<'static, str>),
    Missed { said: String, wanted: String },
}

impl Reason {
    const fn known(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    fn text(text: fmt::Arguments<'_>) -> Self {
        Self::Text(Cow::Owned(text.to_string()))
    }

    fn missed(said: &str, found: impl fmt::Display, wanted: impl fmt::Display) -> Self {
        Self::Missed {
            said: format!("{said}{found}, not "),
            wanted: wanted.to_string(),
        }
    }

    pub(super) fn into_text(self) -> Cow<'static, str> {
        match self {
            Self::Text(text) => text,
            Self::Missed { said, wanted } => Cow::Owned(said + &wanted),
        }
    }
}

fn arch_reason(request: &BootRequest<'_>, arch: ClientArch) -> Reason {
    let said = match request.architectures {
        [] => return Reason::known("no architecture"),
        [_] => "architecture is ",
        _ => "architectures are ",
    };
    match arch_of(request, arch) {
        Some(found) if request.architectures.len() > 1 => Reason::text(format_args!(
            "architecture {found} is among its {}",
            request.architectures.len()
        )),
        Some(found) if found != arch => Reason::text(format_args!(
            "architecture is {found}, which counts as {arch}"
        )),
        Some(found) => Reason::text(format_args!("architecture is {found}")),
        None => Reason::missed(said, Listed(request.architectures), arch),
    }
}

fn mac_reason(request: &BootRequest<'_>, prefix: &MacPrefix, matched: bool) -> Reason {
    match request.mac {
        None => Reason::known("no mac"),
        Some(mac) if !matched => Reason::missed("mac is ", mac, prefix),
        Some(mac) if prefix.is_whole() => Reason::text(format_args!("mac is {mac}")),
        Some(mac) => {
            let prefix = prefix.to_string();
            let stem = prefix.trim_end_matches(":*");
            Reason::text(format_args!("mac {mac} begins with {stem}"))
        }
    }
}

fn user_class_reason(request: &BootRequest<'_>, pattern: &Pattern) -> Reason {
    let found = user_class_of(request, pattern);
    match (request.user_classes, found) {
        (_, Some(_)) => pattern_reason(&["user class"], found, pattern, true),
        ([.., last], None) if request.user_classes.len() > 1 => {
            let said = format!(
                "none of {} user classes, the last ",
                request.user_classes.len()
            );
            Reason::missed(&said, Shown(last), Quoted(pattern))
        }
        (classes, None) => {
            pattern_reason(&["user class"], classes.first().copied(), pattern, false)
        }
    }
}

fn pattern_reason(noun: &[&str], found: Option<&[u8]>, pattern: &Pattern, matched: bool) -> Reason {
    let noun = noun.concat();
    let Some(found) = found else {
        return Reason::text(format_args!("no {noun}"));
    };
    let found = Shown(found);
    match (matched, pattern.as_exact()) {
        (true, Some(_)) => Reason::text(format_args!("{noun} is {found}")),
        (true, None) => Reason::text(format_args!("{noun} {found} matches {}", Quoted(pattern))),
        (false, _) => Reason::missed(&format!("{noun} is "), found, Quoted(pattern)),
    }
}

fn in_reason(noun: &str, found: impl fmt::Display, network: Ipv4Net, matched: bool) -> Reason {
    if matched {
        Reason::text(format_args!("{noun} {found} is in {network}"))
    } else {
        Reason::Missed {
            said: format!("{noun} {found} is not in "),
            wanted: network.to_string(),
        }
    }
}

/// Of those that match, all reasons; otherwise the first that does not.
fn all_reason(conditions: &[Condition], request: &BootRequest<'_>, matched: bool) -> Reason {
    if !matched {
        let failed = conditions.iter().find(|one| !one.matches(request));
        return match failed {
            Some(failed) => failed.reason(request, false),
            None => Reason::known("no condition"),
        };
    }
    let mut reasons = conditions.iter().map(|one| one.reason(request, true));
    let Some(first) = reasons.next() else {
        return Reason::known("no condition");
    };
    let Some(second) = reasons.next() else {
        return first;
    };
    let mut text = first.into_text().into_owned();
    for reason in core::iter::once(second).chain(reasons) {
        if text.len() > REASON_BYTES_MAX {
            break;
        }
        text.push_str(", ");
        text.push_str(&reason.into_text());
    }
    Reason::Text(Cow::Owned(text))
}

/// The first that matches; otherwise all, those that begin alike together.
fn any_reason(conditions: &[Condition], request: &BootRequest<'_>, matched: bool) -> Reason {
    if matched {
        let found = conditions.iter().find(|one| one.matches(request));
        return match found {
            Some(found) => found.reason(request, true),
            None => Reason::known("one of them"),
        };
    }
    let mut groups: Vec<Missed> = Vec::new();
    let mut before: Option<&Condition> = None;
    for condition in conditions {
        // Of a thousand addresses, those that are only counted need no reason.
        if let (Some(last), Some(before)) = (groups.last_mut(), before)
            && last.named == WANTED_MAX
            && before.asks_the_same(condition)
        {
            last.unnamed += 1;
            continue;
        }
        before = Some(condition);
        let reason = condition.reason(request, false);
        let Some(reason) = (match groups.last_mut() {
            Some(last) => last.join(reason),
            None => Some(reason),
        }) else {
            continue;
        };
        if groups.len() == WANTED_MAX {
            break;
        }
        groups.push(Missed {
            reason,
            named: 1,
            unnamed: 0,
        });
    }
    match groups.len() {
        0 => Reason::known("nothing matches"),
        _ => {
            let texts: Vec<String> = groups.into_iter().map(Missed::into_text).collect();
            Reason::Text(Cow::Owned(texts.join(", ")))
        }
    }
}

/// What the client says instead of some alternatives.
struct Missed {
    reason: Reason,
    named: usize,
    unnamed: usize,
}

impl Missed {
    /// Adds an alternative that was missed for the same reason; gives another reason back.
    fn join(&mut self, next: Reason) -> Option<Reason> {
        match (&mut self.reason, next) {
            (
                Reason::Missed { said, wanted },
                Reason::Missed {
                    said: other,
                    wanted: next,
                },
            ) if *said == other => {
                if self.named < WANTED_MAX {
                    self.named += 1;
                    wanted.push_str(" or ");
                    wanted.push_str(&next);
                } else {
                    self.unnamed += 1;
                }
                None
            }
            (reason, next) => (*reason != next).then_some(next),
        }
    }

    fn into_text(self) -> String {
        let text = self.reason.into_text();
        match self.unnamed {
            0 => text.into_owned(),
            1 => format!("{text} or another"),
            others => format!("{text} or {others} others"),
        }
    }
}

/// Architectures with commas between them; the first few of many.
pub(crate) struct Listed<'a>(pub(crate) &'a [ClientArch]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no architecture");
        }
        for (index, arch) in self.0.iter().enumerate() {
            if index == WANTED_MAX {
                return write!(f, " and {} others", self.0.len() - index);
            }
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{arch}")?;
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a Pattern);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}
