//! Placeholders in menus, for loaders that know none.

use core::fmt;

use crate::client::hyphened;
use crate::{Client, Text};

/// The names that [`expand`] knows.
const NAMES: [&str; 4] = ["net0/mac", "mac", "ip", "uuid"];

/// A placeholder that [`expand`] does not know, or whose value is not known.
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
    /// The client's value is not known.
    NoValue {
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

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName { name, line } => {
                let name = crate::diagnostic::quoted(name.as_bytes());
                write!(
                    f,
                    "line {line}: no placeholder {name}: known are {}",
                    NAMES.join(", ")
                )
            }
            Self::NoValue { name, line } => {
                write!(f, "line {line}: {name} of this client is not known")
            }
            Self::Unclosed { line } => {
                write!(f, "line {line}: a placeholder without its closing brace")
            }
        }
    }
}

impl core::error::Error for TemplateError {}

/// A menu with `${net0/mac}`, `${mac}`, `${ip}` and `${uuid}` filled in for a client, as iPXE would do
/// it. pxelinux and GRUB cannot; to GRUB `${name}` is a variable of its own, so only a file that is
/// meant as a template should come here.
///
/// A value has no spaces and no line ends, so it cannot become a directive.
///
/// # Errors
///
/// For a name that is not known, and for one that the client has no value for.
pub fn expand(template: &[u8], client: &Client) -> Result<Text, TemplateError> {
    let mut expanded = Vec::with_capacity(template.len());
    for (index, text) in template.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let mut rest = text;
        while let Some(at) = rest.windows(2).position(|two| two == b"${") {
            let (before, placeholder) = rest.split_at(at);
            expanded.extend_from_slice(before);
            let name = placeholder.get(2..).unwrap_or_default();
            let end = name
                .iter()
                .position(|byte| *byte == b'}')
                .ok_or(TemplateError::Unclosed { line })?;
            let (name, after) = name.split_at(end);
            expanded.extend_from_slice(value(name, line, client)?.as_bytes());
            rest = after.get(1..).unwrap_or_default();
        }
        expanded.extend_from_slice(rest);
    }
    Ok(Text::new(expanded))
}

fn value(name: &[u8], line: u32, client: &Client) -> Result<String, TemplateError> {
    let value = match name {
        b"net0/mac" | b"mac" => client
            .mac
            .map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")),
        b"ip" => client.ip.map(|ip| ip.to_string()),
        // SMBIOS keeps the first three fields in little endian, and iPXE writes them as numbers.
        b"uuid" => client.uuid.map(|bytes| {
            let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
            hyphened(order.map(|at: usize| bytes[at]))
        }),
        _ => {
            let name = crate::text::decode(name);
            return Err(TemplateError::UnknownName { name, line });
        }
    };
    value.ok_or_else(|| TemplateError::NoValue {
        name: crate::text::decode(name),
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_unknown_ones_are_told() {
        let client = Client::new()
            .with_mac([0x52, 0x54, 0, 0x15, 0, 1])
            .with_ip([10, 0, 0, 9].into());
        let text = expand(b"APPEND x=${net0/mac} $ ${ip}\n", &client).expect("known");
        assert_eq!(text, "APPEND x=52:54:00:15:00:01 $ 10.0.0.9\n");
        let error = expand(b"a\nb ${net1/mac}\n", &client).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "line 2: no placeholder `net1/mac`: known are net0/mac, mac, ip, uuid"
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

    #[test]
    fn the_uuid_is_written_as_a_number() {
        let uuid = [
            0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ];
        let text = expand(b"${uuid}", &Client::new().with_uuid(uuid)).expect("known");
        assert_eq!(text, "7e57ab1e-0000-4000-8000-000000000001");
    }
}
