//! Placeholders in menus, for loaders that know none.

use core::fmt;

use crate::client::hyphened;
use crate::{Client, Text};

/// The names that [`expand`] knows, as iPXE has them where it has such a setting. `net0/` and
/// `netX/` may stand before those of the network.
const NAMES: [&str; 12] = [
    "net0/mac",
    "mac",
    "ip",
    "netmask",
    "gateway",
    "next-server",
    "hostname",
    "uuid",
    "client_id",
    "arch",
    "buildarch",
    "platform",
];

/// The forms that a name may have after a colon: those of iPXE for bytes.
const FORMS: [&str; 3] = ["hex", "hexhyp", "hexraw"];

/// The longest name of a host (RFC 1035 section 2.3.4, without the final dot).
const HOST_NAME_BYTES_MAX: usize = 253;

/// How many errors are told of one template.
const ERRORS_MAX: usize = 1000;

/// A placeholder that [`expand`] cannot fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is no such name.
    UnknownName {
        /// The name.
        name: String,
        /// The line, from 1.
        line: u32,
    },
    /// The name has no such form: `hexraw` of a name of a host.
    UnknownForm {
        /// The name with its form.
        name: String,
        /// The line, from 1.
        line: u32,
    },
    /// The client's value is not known.
    NoValue {
        /// The name.
        name: String,
        /// The line, from 1.
        line: u32,
    },
    /// The client's value has what could be syntax of the menu: a host name that is none.
    BadValue {
        /// The name.
        name: String,
        /// The line, from 1.
        line: u32,
    },
    /// A placeholder does not end on its line.
    Unclosed {
        /// The line, from 1.
        line: u32,
    },
}

impl TemplateError {
    /// The line of the placeholder, from 1.
    pub fn line(&self) -> u32 {
        match self {
            Self::UnknownName { line, .. }
            | Self::UnknownForm { line, .. }
            | Self::NoValue { line, .. }
            | Self::BadValue { line, .. }
            | Self::Unclosed { line } => *line,
        }
    }

    /// What stands between the braces; `None` if they are not closed.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::UnknownName { name, .. }
            | Self::UnknownForm { name, .. }
            | Self::NoValue { name, .. }
            | Self::BadValue { name, .. } => Some(name),
            Self::Unclosed { .. } => None,
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| crate::diagnostic::quoted(name.as_bytes());
        match self {
            Self::UnknownName { name, line } => write!(
                f,
                "line {line}: no placeholder {}: known are {}",
                quoted(name),
                NAMES.join(", ")
            ),
            Self::UnknownForm { name, line } => write!(
                f,
                "line {line}: {} has no such form: MAC and IP addresses have {}",
                quoted(name),
                FORMS.join(", ")
            ),
            Self::NoValue { name, line } => {
                write!(f, "line {line}: {name} of this client is not known")
            }
            Self::BadValue { name, line } => write!(
                f,
                "line {line}: {name} of this client has characters that are not letters, digits, \
                 hyphens, underscores or dots between them"
            ),
            Self::Unclosed { line } => {
                write!(f, "line {line}: a placeholder without its closing brace")
            }
        }
    }
}

impl core::error::Error for TemplateError {}

/// A menu with its placeholders filled in for a client, as iPXE would do it: pxelinux cannot.
///
/// | placeholder | value |
/// |---|---|
/// | `${net0/mac}`, `${mac}` | `52:54:00:15:00:01`; `:hexhyp` has hyphens, `:hexraw` nothing between the digits |
/// | `${ip}`, `${netmask}`, `${gateway}`, `${next-server}` | `192.168.150.39`; `${ip:hexraw}`: `c0a89627` |
/// | `${hostname}` | the name of the host |
/// | `${uuid}`, `${client_id}` | the UUID as SMBIOS has it: `7e57ab1e-0000-4000-8000-000000000001` |
/// | `${arch}`, `${buildarch}` | what iPXE calls the architecture of a firmware: `i386` (all BIOS too), `x86_64`, `arm32`, `arm64`, `riscv64`, `loong64` |
/// | `${platform}` | `pcbios`, `efi`; `uboot`, which iPXE has not |
///
/// `#{name}` means the same as `${name}`, if what stands between the braces can be a name; `$${`
/// and `##{` stand for `${` and `#{` themselves. `net0/` and `netX/` may stand before each name of
/// the network. `client_id` is the name that the talk "BootOnHTTP, BootOnSAN" has for the UUID in
/// `iscsi:..:#{client_id}`; it is not DHCP's client identifier.
///
/// No value can become syntax: none has a space, the end of a line, a quote, `$` or `/`, and a host
/// name begins and ends with a letter or digit.
///
/// # Errors
///
/// For a name or form that is not known, and for one that this client has no value, or no good one,
/// for.
///
/// # Example
///
/// ```
/// use pxe_menu::{Client, expand};
///
/// let client = Client::new().with_mac([0x52, 0x54, 0, 0x15, 0, 1]).with_architecture(7);
/// let menu = expand(b"LINUX ${arch}/linux\nAPPEND BOOTIF=01-${mac:hexhyp}\n", &client)?;
/// assert_eq!(menu, "LINUX x86_64/linux\nAPPEND BOOTIF=01-52-54-00-15-00-01\n");
/// # Ok::<(), pxe_menu::TemplateError>(())
/// ```
pub fn expand(template: &[u8], client: &Client) -> Result<Text, TemplateError> {
    expand_marked(template, client, b"$#")
}

/// A grub.cfg with its placeholders filled in: as [`expand`], but only `#{name}` is one, since
/// `${name}` is a variable of GRUB's own.
///
/// # Errors
///
/// As [`expand`].
///
/// # Example
///
/// ```
/// use pxe_menu::{Client, expand_grub};
///
/// let client = Client::new().with_ip([10, 0, 0, 9].into());
/// let menu = expand_grub(b"linux ${root}/linux ip=#{ip}\n", &client)?;
/// assert_eq!(menu, "linux ${root}/linux ip=10.0.0.9\n");
/// # Ok::<(), pxe_menu::TemplateError>(())
/// ```
pub fn expand_grub(template: &[u8], client: &Client) -> Result<Text, TemplateError> {
    expand_marked(template, client, b"#")
}

/// All that keeps [`expand`] from filling in a menu for this client, or [`expand_grub`] a grub.cfg,
/// in the order of the lines; the first 1,000.
///
/// # Example
///
/// ```
/// use pxe_menu::{Client, template_errors};
///
/// let errors = template_errors(b"LABEL ${no}\nAPPEND ${neither}\n", &Client::new());
/// assert_eq!(errors.iter().map(|error| error.line()).collect::<Vec<_>>(), [1, 2]);
/// ```
pub fn template_errors(template: &[u8], client: &Client) -> Vec<TemplateError> {
    errors_marked(template, client, b"$#")
}

/// The same as [`template_errors`] for [`expand_grub`].
pub fn template_errors_grub(template: &[u8], client: &Client) -> Vec<TemplateError> {
    errors_marked(template, client, b"#")
}

fn errors_marked(template: &[u8], client: &Client, marks: &[u8]) -> Vec<TemplateError> {
    let mut errors = Vec::new();
    let told = fill_in(template, client, marks, |error| {
        if errors.len() == ERRORS_MAX {
            return Err(error);
        }
        errors.push(error);
        Ok(())
    });
    // Those after the last one that is kept are not looked for.
    drop(told);
    errors
}

/// Fills in what stands in braces after one of these marks.
fn expand_marked(template: &[u8], client: &Client, marks: &[u8]) -> Result<Text, TemplateError> {
    fill_in(template, client, marks, Err)
}

/// The same; `fail` decides whether it goes on after a placeholder that cannot be filled in.
fn fill_in(
    template: &[u8],
    client: &Client,
    marks: &[u8],
    mut fail: impl FnMut(TemplateError) -> Result<(), TemplateError>,
) -> Result<Text, TemplateError> {
    let mut expanded = Vec::with_capacity(template.len());
    for (index, text) in template.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let mut rest = text;
        let begins = |two: &[u8]| matches!(two, [mark, b'{'] if marks.contains(mark));
        while let Some(at) = rest.windows(2).position(begins) {
            let (before, found) = rest.split_at(at);
            expanded.extend_from_slice(before);
            let (opening, inside) = found.split_at(2);
            let mark = opening.first();
            rest = inside;
            if before.last() == mark {
                expanded.pop();
                expanded.extend_from_slice(opening);
                continue;
            }
            // `#{{{` and the like stand in comments.
            if mark == Some(&b'#') && !begins_with_name(inside) {
                expanded.extend_from_slice(opening);
                continue;
            }
            let end = inside.iter().position(|byte| *byte == b'}');
            let name = end.and_then(|end| inside.get(..end));
            let Some(name) = name else {
                fail(TemplateError::Unclosed { line })?;
                break;
            };
            match value(name, line, client) {
                Ok(value) => expanded.extend_from_slice(value.as_bytes()),
                Err(error) => fail(error)?,
            }
            rest = inside.get(name.len() + 1..).unwrap_or_default();
        }
        expanded.extend_from_slice(rest);
    }
    Ok(Text::new(expanded))
}

/// Whether what could be a name stands there, with its closing brace. It looks no further than the name.
fn begins_with_name(inside: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"/:._-".contains(byte);
    let end = inside.iter().position(|byte| !is_part(byte));
    end.is_some_and(|end| end > 0 && inside.get(end) == Some(&b'}'))
}

/// What a name stands for.
enum Value {
    Mac([u8; 6]),
    Ip([u8; 4]),
    Word(String),
    /// The client says it, so it is looked at before it is used.
    HostName(Text),
}

fn value(name: &[u8], line: u32, client: &Client) -> Result<String, TemplateError> {
    let whole = || crate::text::decode(name);
    let mut parts = name.splitn(2, |byte| *byte == b':');
    let (base, form) = (parts.next().unwrap_or_default(), parts.next());
    let of_network = [&b"net0/"[..], b"netX/"];
    let of_network = of_network
        .iter()
        .find_map(|prefix| base.strip_prefix(*prefix));
    let dotted = |ip: Option<core::net::Ipv4Addr>| ip.map(|ip| Value::Ip(ip.octets()));
    let word = |word: &str| Value::Word(word.to_owned());
    let value = match (of_network.unwrap_or(base), of_network) {
        (b"mac", _) => client.mac.map(Value::Mac),
        (b"ip", _) => dotted(client.ip),
        (b"netmask", _) => dotted(client.netmask),
        (b"gateway", _) => dotted(client.gateway),
        (b"next-server", _) => dotted(client.server),
        (b"hostname", _) => client.host_name.clone().map(Value::HostName),
        // SMBIOS keeps the first three fields in little endian, and iPXE writes them as numbers.
        (b"uuid" | b"client_id", None) => client.uuid.map(|bytes| {
            let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
            Value::Word(hyphened(order.map(|at: usize| bytes[at])))
        }),
        (b"arch" | b"buildarch", None) => client.architecture.and_then(arch).map(word),
        (b"platform", None) => client.architecture.and_then(platform).map(word),
        _ => {
            let name = whole();
            return Err(TemplateError::UnknownName { name, line });
        }
    };
    let Some(value) = value else {
        let name = whole();
        return Err(TemplateError::NoValue { name, line });
    };
    let hex = |bytes: &[u8], between: &str| {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.join(between)
    };
    let bytes: &[u8] = match &value {
        Value::Mac(mac) => mac,
        Value::Ip(ip) => ip,
        Value::Word(_) | Value::HostName(_) => &[],
    };
    match (form, &value) {
        (None, Value::Mac(mac)) => Ok(hex(mac, ":")),
        (None, Value::Ip(ip)) => Ok(core::net::Ipv4Addr::from(*ip).to_string()),
        (None, Value::Word(word)) => Ok(word.clone()),
        (None, Value::HostName(name)) => host_name(name).ok_or_else(|| TemplateError::BadValue {
            name: whole(),
            line,
        }),
        (Some(b"hex"), Value::Mac(_) | Value::Ip(_)) => Ok(hex(bytes, ":")),
        (Some(b"hexhyp"), Value::Mac(_) | Value::Ip(_)) => Ok(hex(bytes, "-")),
        (Some(b"hexraw"), Value::Mac(_) | Value::Ip(_)) => Ok(hex(bytes, "")),
        (Some(_), _) => {
            let name = whole();
            Err(TemplateError::UnknownForm { name, line })
        }
    }
}

/// The name, if it is a host's: labels of letters, digits, hyphens and underscores with dots
/// between them, that begin and end with a letter or digit (RFC 1123 section 2.1; the underscore,
/// since Windows lets people use it).
fn host_name(name: &Text) -> Option<String> {
    let is_label = |label: &[u8]| {
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        label.iter().all(is_inner) && is_end(label.first()) && is_end(label.last())
    };
    let is_name =
        name.len() <= HOST_NAME_BYTES_MAX && name.split(|byte| *byte == b'.').all(is_label);
    is_name.then(|| crate::text::decode(name))
}

/// iPXE's `buildarch` for the firmware of an architecture type of DHCP option 93 (IANA, "Processor
/// Architecture Types"). To 9 belongs x64 too: RFC 4578 and the firmwares differ.
fn arch(option_93: u16) -> Option<&'static str> {
    Some(match option_93 {
        0 | 6 | 15 | 20 => "i386",
        7 | 9 | 16 | 17 => "x86_64",
        10 | 18 | 21 | 23 => "arm32",
        11 | 19 | 22 | 24 => "arm64",
        25 | 26 => "riscv32",
        27 | 28 => "riscv64",
        39 | 40 => "loong64",
        _ => return None,
    })
}

/// iPXE's `platform` likewise.
fn platform(option_93: u16) -> Option<&'static str> {
    Some(match option_93 {
        0 | 20 => "pcbios",
        21..=24 => "uboot",
        _ if arch(option_93).is_some() => "efi",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, client: &Client) -> String {
        expand(template.as_bytes(), client)
            .map_or_else(|error| error.to_string(), |text| text.to_string())
    }

    #[test]
    fn placeholders_are_filled_in_and_unknown_ones_are_told() {
        let client = Client::new()
            .with_mac([0x52, 0x54, 0, 0x15, 0, 1])
            .with_ip([10, 0, 0, 9].into());
        assert_eq!(
            filled("APPEND x=${net0/mac} $ ${ip}\n", &client),
            "APPEND x=52:54:00:15:00:01 $ 10.0.0.9\n"
        );
        assert_eq!(
            filled("a\nb ${net1/mac}\n", &client),
            "line 2: no placeholder `net1/mac`: known are net0/mac, mac, ip, netmask, gateway, \
             next-server, hostname, uuid, client_id, arch, buildarch, platform"
        );
        assert!(matches!(
            expand(b"${uuid}", &client),
            Err(TemplateError::NoValue { .. })
        ));
        assert!(matches!(
            expand(b"${ip\n}", &client),
            Err(TemplateError::Unclosed { line: 1 })
        ));
    }

    /// All that the error message names is known.
    #[test]
    fn each_known_name_has_a_value() {
        let client = Client::new()
            .with_mac([0x52, 0x54, 0, 0x15, 0, 1])
            .with_ip([192, 168, 150, 39].into())
            .with_server([192, 168, 150, 1].into())
            .with_network([192, 168, 150, 254].into(), [255, 255, 255, 0].into())
            .with_uuid([7; 16])
            .with_host_name("pc-1.lan")
            .with_architecture(0);
        for name in NAMES {
            let text = filled(&format!("${{{name}}}"), &client);
            assert!(!text.is_empty() && !text.starts_with("line"), "{text}");
        }
        assert_eq!(
            filled(
                "${netX/mac:hexhyp} ${mac:hexraw} ${net0/ip:hexraw} ${ip:hex}",
                &client
            ),
            "52-54-00-15-00-01 525400150001 c0a89627 c0:a8:96:27"
        );
        assert_eq!(
            filled("${arch} ${platform} ${hostname}", &client),
            "i386 pcbios pc-1.lan"
        );
        assert_eq!(
            filled("${hostname:hexraw}", &client),
            "line 1: `hostname:hexraw` has no such form: MAC and IP addresses have hex, hexhyp, hexraw"
        );
    }

    /// The talk "BootOnHTTP, BootOnSAN" has the UUID in the name of an iSCSI target.
    #[test]
    fn the_uuid_is_written_as_a_number() {
        let uuid = [
            0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ];
        let client = Client::new().with_uuid(uuid);
        let uuid = "7e57ab1e-0000-4000-8000-000000000001";
        assert_eq!(filled("${uuid}", &client), uuid);
        assert_eq!(
            filled(
                "append iscsi:192.0.2.1:::iqn.2010-10.example:#{client_id}",
                &client
            ),
            format!("append iscsi:192.0.2.1:::iqn.2010-10.example:{uuid}")
        );
    }

    #[test]
    fn grub_keeps_its_own_variables() {
        let client = Client::new().with_architecture(11);
        let text = expand_grub(b"set a=${net_default_mac} #{arch} ${arch", &client);
        assert_eq!(
            text.expect("known"),
            "set a=${net_default_mac} arm64 ${arch"
        );
    }

    #[test]
    fn braces_that_are_no_placeholders_stay() {
        let client = Client::new();
        for text in ["#{{{ colours", "# }}}", "#{ a }", "#{", "$ {ip}", "a#{}b"] {
            assert_eq!(filled(text, &client), text);
        }
        assert_eq!(filled("a $${ip} ##{ip}", &client), "a ${ip} #{ip}");
        assert!(filled("#{nothing}", &client).contains("no placeholder `nothing`"));
    }

    /// Each brace was looked for to the end of its line: this one took more than an hour.
    #[test]
    fn a_long_line_of_braces_is_read_once() {
        let text = "#{".repeat(2_000_000);
        assert!(filled(&text, &Client::new()) == text);
    }

    /// A client names itself as it likes, and its name stands in a menu that it reads alone; but
    /// also in the paths and URLs of what it is given.
    #[test]
    fn a_hostile_host_name_is_refused() {
        let hostile = [
            "a b",
            "a\nLABEL x",
            "a\rx",
            "a;reboot",
            "a$(x)",
            "${ip}",
            "a'b",
            "a\"b",
            "../../etc",
            "..",
            ".",
            "",
            "a..b",
            "a/b",
            "a\\b",
            "-a",
            "a-",
            "a,b",
            "a=b",
            "a#b",
            "a\0b",
            "\u{e9}",
            "a:b",
            "a&&b",
            "a{b}",
        ];
        for name in hostile {
            let client = Client::new().with_host_name(name);
            let told = expand(b"x ${hostname} y", &client);
            assert!(
                matches!(told, Err(TemplateError::BadValue { .. })),
                "{name:?}"
            );
            let told = told.expect_err("refused").to_string();
            assert!(!told.contains(['\n', '\r', '\0']), "{told:?}");
        }
        let long = "a".repeat(HOST_NAME_BYTES_MAX + 1);
        let client = Client::new().with_host_name(long);
        assert!(expand(b"${hostname}", &client).is_err());
        let good = Client::new().with_host_name("PC_7-a.example.org");
        assert_eq!(filled("${hostname}", &good), "PC_7-a.example.org");
    }
}
