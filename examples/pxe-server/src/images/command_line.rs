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

/// Where clients find an image. URLs are encoded, and without a slash at their ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The inside of the image: `http://192.0.2.1/images/debian-live`.
    pub(crate) http: String,
    /// The image itself as one file. Its name ends in `.iso`.
    pub(crate) image: String,
    /// The folder that the administrator put beside the image.
    pub(crate) beside: String,
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
    /// The image's own URL does not end in `.iso`.
    #[error(
        "the image is `{value}`; initramfs know an image by a name that ends in .iso, rename it"
    )]
    NotIso {
        /// The URL.
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
        let wants_nfs = template.names().any(|name| NFS_NAMES.contains(&name));
        if wants_nfs && served.nfs.is_none() {
            return Err(Unfilled::NoExport);
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
    let after_scheme = served.http.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = after_scheme.split_once('/').unwrap_or((after_scheme, ""));
    let mut values = BTreeMap::from([
        ("http".to_owned(), served.http.clone()),
        ("http_host".to_owned(), host.to_owned()),
        ("http_path".to_owned(), format!("/{path}")),
        ("image".to_owned(), served.image.clone()),
        ("beside".to_owned(), served.beside.clone()),
    ]);
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
    if value.is_empty() || !value.chars().all(fit) {
        return Some(Unfilled::Unfit {
            name: name.to_owned(),
            value: value.escape_debug().take(200).collect(),
        });
    }
    let is_iso = name != "image" || value.ends_with(".iso");
    (!is_iso).then(|| Unfilled::NotIso {
        value: value.to_owned(),
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

    // casper and live-boot look at the last letters of the URL, in lower case.
    #[test]
    fn an_image_is_known_by_its_ending() {
        assert_eq!(unfit("image", "http://a/b.iso"), None);
        assert!(matches!(
            unfit("image", "http://a/b.ISO"),
            Some(Unfilled::NotIso { .. })
        ));
    }

    #[test]
    fn host_and_path_are_taken_from_the_url() {
        let served = Served {
            http: "http://192.0.2.1:8080/images/x".to_owned(),
            image: String::new(),
            beside: String::new(),
            nfs: None,
        };
        let values = own_values(&served);
        assert_eq!(values["http_host"], "192.0.2.1:8080");
        assert_eq!(values["http_path"], "/images/x");
        assert!(!values.contains_key("nfs_path"));
    }
}
