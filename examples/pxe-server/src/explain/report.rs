//! The explanation, for people and for programs.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use pxe_dhcp::wire::{Message, RawOption};
use pxe_dhcp::{Boot, BootMenu};
use serde_json::{Value, json};

use super::answer::Told;
use super::path::{Found, How, LookedUp};
use super::{Args, client};
use crate::config::Config;
use crate::decisions::Access;
use crate::fact::printable;

pub(super) struct Report<'a> {
    pub(super) args: &'a Args,
    pub(super) config: &'a Config,
    pub(super) told: &'a Told,
    pub(super) files: Option<&'a [LookedUp]>,
}

impl Report<'_> {
    pub(super) fn text(&self) -> String {
        let (args, told) = (self.args, self.told);
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<13} {value}");
        };
        let arch: Vec<String> = args.arch.iter().map(ToString::to_string).collect();
        let machine = match arch.is_empty() {
            true => args.mac.to_string(),
            false => format!("{}, {}", args.mac, arch.join(", ")),
        };
        line(
            "machine",
            &format!("{machine}, stage {}", client::stage_of(args)),
        );
        if let Some((server, is_supposed)) = told.server {
            line(
                "server",
                &match is_supposed {
                    true => format!("{server} (supposed; --server says another one)"),
                    false => server.to_string(),
                },
            );
        }
        if let Some(silence) = &told.silence {
            line("no answer", silence);
        }
        line("decision", &boot_text(&told.boot));
        if let Some(next_server) = told.next_server {
            line("next server", &next_server.to_string());
        }
        if let Some((address, why)) = &told.address {
            line("address", &format!("{address}, {why}"));
        }
        let access = Access::of(&told.boot, &told.explanation);
        line("files", &access.to_string());
        for file in self.files.unwrap_or_default() {
            line(&format!("  {}", file.by), &self.file_text(file));
        }
        let rules = told.explanation.to_string();
        if !rules.is_empty() {
            text.push_str("rules\n");
        }
        for tried in rules.lines() {
            let _ = writeln!(text, "  {tried}");
        }
        let options = self.options();
        if !options.is_empty() {
            text.push_str("options\n");
        }
        for (code, value) in options {
            let _ = writeln!(text, "  {code:<4}{value}");
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let told = self.told;
        let tried = told.explanation.tried().iter().map(|tried| {
            json!({
                "rule": tried.rule,
                "matched": tried.matched,
                "decides": tried.decides,
                "reason": tried.reason,
            })
        });
        let files = self.files.map(|files| {
            let files = files.iter().map(|file| match &file.found {
                Ok(found) => json!({
                    "by": file.by,
                    "rewritten": rewritten_json(file),
                    "path": found.path,
                    "bytes": found.bytes,
                    "filled_in": found.how == How::FilledIn,
                    "converted": matches!(found.how, How::Converted(_)),
                    "mounted_with": match &found.how {
                        How::Exported { options, .. } => Some(options),
                        _ => None,
                    },
                    "without": match &found.how {
                        How::Converted(losses) => &losses[..],
                        _ => &[],
                    },
                }),
                Err(reason) => json!({
                    "by": file.by,
                    "rewritten": rewritten_json(file),
                    "error": reason,
                }),
            });
            files.collect::<Vec<_>>()
        });
        let options = self.options().into_iter();
        let options = options.map(|(code, value)| json!({ "code": code, "value": value }));
        let access = Access::of(&told.boot, &told.explanation);
        json!({
            "config": self.config.file.display().to_string(),
            "mac": self.args.mac.to_string(),
            "stage": client::stage_of(self.args).to_string(),
            "server": told.server.map(|(server, _)| server.to_string()),
            "no_answer": told.silence,
            "boot": boot_json(&told.boot),
            "next_server": told.next_server.map(|server| server.to_string()),
            "address": told.address.as_ref().map(|(address, _)| address.to_string()),
            "address_reason": told.address.as_ref().map(|(_, why)| why),
            "files_allowed": access.denial().is_none(),
            "path": files,
            "rules": tried.collect::<Vec<_>>(),
            "options": options.collect::<Vec<_>>(),
        })
    }

    fn file_text(&self, file: &LookedUp) -> String {
        let mut text = self.found_text(file);
        for (rule, made) in &file.rewritten {
            let rule = printable(rule);
            text.push_str(&match made {
                Some(path) => format!("\n    {rule}: {path}"),
                None => format!("\n    {rule}: refused"),
            });
        }
        text
    }

    fn found_text(&self, file: &LookedUp) -> String {
        let access = Access::of(&self.told.boot, &self.told.explanation);
        match (&file.found, access.denial()) {
            (Ok(found), None) => {
                let Found { path, bytes, how } = found;
                match how {
                    How::Unchanged => format!("{path}, {bytes} bytes"),
                    How::FilledIn => format!("{path}, filled in for it: {bytes} bytes"),
                    How::Exported {
                        options,
                        is_directory: true,
                    } => format!("{path}, to be mounted ({options})"),
                    How::Exported { options, .. } => format!("{path}, {bytes} bytes ({options})"),
                    How::Converted(losses) => {
                        let mut text = format!("made from {path}: {bytes} bytes");
                        for loss in losses {
                            text.push_str(&format!("\n    without: {loss}"));
                        }
                        text
                    }
                }
            }
            (Ok(found), Some(_)) => format!("{}, which it does not get", found.path),
            (Err(reason), _) => reason.clone(),
        }
    }

    /// The options that go out, in their order.
    fn options(&self) -> Vec<(u8, String)> {
        let reply = self.told.reply.as_deref();
        let message = reply.and_then(|bytes| Message::parse(bytes).ok());
        let options = message.iter().flat_map(Message::options);
        options
            .map(|option| (option.code.0, value(&option)))
            .collect()
    }
}

fn rewritten_json(file: &LookedUp) -> Vec<Value> {
    let steps = file.rewritten.iter();
    steps
        .map(|(rule, made)| json!({ "rule": rule, "path": made }))
        .collect()
}

fn boot_text(boot: &Boot) -> String {
    match boot {
        Boot::Nothing => "boots nothing".to_owned(),
        Boot::Denied => "denied".to_owned(),
        Boot::File(file) | Boot::Url(file) => printable(file),
        Boot::Menu(menu) => format!("menu: {}", labels(menu).join(", ")),
        other => format!("{other:?}"),
    }
}

fn boot_json(boot: &Boot) -> Value {
    match boot {
        Boot::Nothing => Value::Null,
        Boot::Denied => json!({ "denied": true }),
        Boot::File(file) => json!({ "file": file }),
        Boot::Url(url) => json!({ "url": url }),
        Boot::Menu(menu) => json!({ "menu": labels(menu) }),
        other => json!(format!("{other:?}")),
    }
}

fn labels(menu: &BootMenu) -> Vec<String> {
    let items = menu.items().iter();
    items
        .map(|item| match item.boot() {
            Some(file) => format!("{} ({})", printable(item.label()), printable(file)),
            None => format!("{} (local disk)", printable(item.label())),
        })
        .collect()
}

/// A value as a person would write it: addresses, seconds, text, or octets.
fn value(option: &RawOption<'_>) -> String {
    let data = option.data;
    match (option.code.0, data) {
        (1 | 3..=11 | 16 | 28 | 32 | 41 | 42 | 44 | 45 | 48 | 49 | 54 | 150, _)
            if !data.is_empty() && data.len().is_multiple_of(4) =>
        {
            let (addresses, _) = data.as_chunks::<4>();
            let addresses = addresses.iter().map(|one| Ipv4Addr::from(*one).to_string());
            addresses.collect::<Vec<_>>().join(", ")
        }
        (51 | 58 | 59 | 211, [a, b, c, d]) => {
            format!("{} seconds", u32::from_be_bytes([*a, *b, *c, *d]))
        }
        (53, [number]) => pxe_dhcp::wire::MessageType(*number).to_string(),
        _ => {
            let text = data.strip_suffix(&[0]).unwrap_or(data);
            let is_text = |byte: &u8| matches!(byte, b' '..=b'~');
            if !text.is_empty() && text.iter().all(is_text) {
                return format!("\"{}\"", String::from_utf8_lossy(text));
            }
            let octets: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("hex:{octets}")
        }
    }
}
