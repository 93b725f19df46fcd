//! What follows a kernel: a profile's words, with where this server has the image.

use std::collections::BTreeMap;

use thiserror::Error;

use super::recognise::{Entry, Recognised, Start};

/// What every command line may name: where the image is served.
pub(super) const IMAGE_NAMES: [&str; 5] = ["http", "http_host", "http_path", "image", "beside"];
/// What a command line for NFS may name as well.
pub(super) const NFS_NAMES: [&str; 2] = ["nfs_server", "nfs_path"];

/// The longest command line that every kernel takes: `COMMAND_LINE_SIZE` of x86 is 2048 with the
/// zero at its end (Linux, `arch/x86/include/asm/setup.h`); a loader adds `initrd=` and `BOOTIF=`.
const BYTES_MAX: usize = 1800;

/// Where clients find an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The URL of the inside of the image, `http://192.0.2.1/images/debian-live`, encoded, and without
    /// a slash at its end; `None` if HTTP does not serve it. The image itself as one file is there
    /// with `.iso` behind it, and the folder that the administrator put beside it with `.beside`.
    pub(crate) http: Option<String>,
    /// The address of the NFS server and the export that is the inside of the image, if there is
    /// one.
    pub(crate) nfs: Option<(String, String)>,
}

/// How a machine reads what follows its kernel and initrds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// It mounts the image.
    Nfs,
    /// It downloads parts of it.
    Http,
}

/// Why there is no such command line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Unfilled {
    /// The entry is no kernel.
    #[error("this is no Linux kernel and has no command line")]
    NoKernel,
    /// The profile has none for this transport.
    #[error("the profile {profile} cannot boot by {transport}")]
    NoLine {
        /// The profile.
        profile: String,
        /// The transport.
        transport: &'static str,
    },
    /// HTTP does not serve the image.
    #[error("the image is not served by HTTP; turn [http] on")]
    NoHttp,
    /// The image is no NFS export.
    #[error("the image is not exported by NFS; turn [nfs] on")]
    NoExport,
    /// A name in it has no value.
    #[error("{{{name}}} has no value for this image")]
    Missing {
        /// The name.
        name: String,
    },
    /// A value has characters that a kernel, a loader or an initramfs would take for something
    /// else.
    #[error("{name} is `{value}`, which no command line can hold; rename the image or its files")]
    Unfit {
        /// The name.
        name: String,
        /// The value, as far as it can be shown.
        value: String,
    },
    /// It is longer than kernels take.
    #[error(
        "the command line has {bytes} bytes, kernels take {BYTES_MAX}; shorten the image's name"
    )]
    Long {
        /// Its length.
        bytes: usize,
    },
}

/// What follows the kernel of `entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine(pub(crate) String);

impl CommandLine {
    /// The command line for `transport`, or why there is none.
    pub(crate) fn of(
        recognised: &Recognised<'_>,
        entry: &Entry<'_>,
        transport: Transport,
        served: &Served,
    ) -> Result<Self, Unfilled> {
        let Start::Linux { nfs, http, .. } = &entry.start else {
            return Err(Unfilled::NoKernel);
        };
        let (template, word) = match transport {
            Transport::Nfs => (nfs, "NFS"),
            Transport::Http => (http, "HTTP"),
        };
        let template = template.ok_or_else(|| Unfilled::NoLine {
            profile: recognised.profile.id.clone(),
            transport: word,
        })?;
        let mut values = recognised.values.clone();
        values.extend(own_values(served));
        let wants = |names: &[&str]| template.names().any(|name| names.contains(&name));
        if wants(&NFS_NAMES) && served.nfs.is_none() {
            return Err(Unfilled::NoExport);
        }
        if wants(&IMAGE_NAMES) && served.http.is_none() {
            return Err(Unfilled::NoHttp);
        }
        for name in template.names() {
            let Some(value) = values.get(name) else {
                let name = name.to_owned();
                return Err(Unfilled::Missing { name });
            };
            if let Some(unfit) = unfit(name, value) {
                return Err(unfit);
            }
        }
        let line = template
            .fill(&values)
            .map_err(|name| Unfilled::Missing { name })?;
        match line.len() {
            bytes if bytes > BYTES_MAX => Err(Unfilled::Long { bytes }),
            _ => Ok(Self(line)),
        }
    }
}

/// What the server knows, by name.
fn own_values(served: &Served) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Some(http) = &served.http {
        let after_scheme = http.split_once("://").map_or("", |(_, rest)| rest);
        let (host, path) = after_scheme.split_once('/').unwrap_or((after_scheme, ""));
        values.extend([
            ("http".to_owned(), http.clone()),
            ("http_host".to_owned(), host.to_owned()),
            ("http_path".to_owned(), format!("/{path}")),
            // casper and live-boot look at the last letters of the URL, in lower case.
            ("image".to_owned(), format!("{http}.iso")),
            ("beside".to_owned(), format!("{http}.beside")),
        ]);
    }
    if let Some((server, path)) = &served.nfs {
        values.insert("nfs_server".to_owned(), server.clone());
        values.insert("nfs_path".to_owned(), path.clone());
    }
    values
}

/// An image's texts and names are anybody's: a space would end an argument, a quote or a `$` mean
/// something to a loader, and archiso puts values through `eval`.
fn unfit(name: &str, value: &str) -> Option<Unfilled> {
    let fit = |char: char| char.is_ascii_alphanumeric() || "-._~/:@+,=%[]".contains(char);
    let is_fit = !value.is_empty() && value.chars().all(fit);
    (!is_fit).then(|| Unfilled::Unfit {
        name: name.to_owned(),
        value: value.escape_debug().take(200).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_would_change_the_command_line_is_refused() {
        for wrong in [
            "",
            "a b",
            "a\nb",
            "a\"b",
            "a;b",
            "$(reboot)",
            "`x`",
            "${net0/mac}",
            "é",
        ] {
            assert!(unfit("version", wrong).is_some(), "{wrong}");
        }
        assert_eq!(
            unfit("http", "http://[2001:db8::1]:8080/images/a%20b"),
            None
        );
    }

    #[test]
    fn host_and_path_are_taken_from_the_url() {
        let served = Served {
            http: Some("http://192.0.2.1:8080/images/x".to_owned()),
            nfs: None,
        };
        let values = own_values(&served);
        assert_eq!(values["http_host"], "192.0.2.1:8080");
        assert_eq!(values["http_path"], "/images/x");
        assert_eq!(values["image"], "http://192.0.2.1:8080/images/x.iso");
        assert_eq!(values["beside"], "http://192.0.2.1:8080/images/x.beside");
        assert!(!values.contains_key("nfs_path"));
    }
}
