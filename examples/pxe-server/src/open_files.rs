//! How many files and sockets the process may have open at once.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;
use crate::images::{IMAGES_MAX, RETIRED_MAX};
use crate::privileges::is_root;

/// HTTP connections that are about to be let in, or have just been closed.
const HTTP_WAITING: u64 = 256;
/// Sockets with which other name servers are asked, as `pxe_dns::ForwardLimits` bounds them by
/// default: three for each of 256 questions.
const DNS_QUESTIONS: u64 = 3 * 256;
/// Shared open files of the tree, as `pxe_tree::DirOptions` bounds them by default.
const SHARED_FILES: u64 = 4096;
/// Open images, and those that were replaced.
const IMAGES: u64 = (IMAGES_MAX + RETIRED_MAX) as u64;
/// Listeners, the log, the runtime, the control socket and its connections.
const OTHERS: u64 = 512;

/// Raises the limit (1024 on most systems) to what this configuration can need, and says so if
/// that is not allowed. To be called while the process is still root.
pub(crate) fn raise_limit(config: &Config) {
    let wanted = wanted(config);
    match raise(wanted) {
        Ok(got) if got < wanted => tracing::warn!(
            event = "open_files",
            got,
            wanted,
            "only {got} files and sockets can be open at once, {wanted} would serve every client \
             that the configuration allows; raise the limit (ulimit -n, LimitNOFILE)"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(event = "open_files", "cannot raise their limit: {error}"),
    }
}

fn wanted(config: &Config) -> u64 {
    // A transfer has a socket of its own, but in single-port mode.
    let tftp = config.tftp.as_ref().filter(|tftp| !tftp.single_port);
    let tftp = tftp
        .and_then(|tftp| u64::try_from(tftp.transfers_max).ok())
        .unwrap_or_default();
    let http = config.http.iter();
    let http: u64 = http
        .map(|http| http.limits.connections_max as u64 + HTTP_WAITING)
        .sum();
    let nfs = config.nfs.as_ref();
    let nfs = nfs.and_then(|nfs| u64::try_from(nfs.connections_max).ok());
    let dns = config.dns.as_ref().map(|_| {
        let connections = pxe_dns::Limits::default().connections_max as u64;
        connections + DNS_QUESTIONS
    });
    let images = config.images.as_ref().map_or(0, |_| IMAGES);
    let clients = tftp + http + nfs.unwrap_or_default() + dns.unwrap_or_default();
    clients + images + SHARED_FILES + OTHERS
}

/// The limit that is in force afterwards. It is never lowered.
fn raise(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(soft);
    }
    if is_root() && hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let most = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, most, hard)?;
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn each_client_that_is_allowed_needs_a_socket() {
        let wanted = |text: &str| {
            let text = format!("[tree]\nroot = \"/srv\"\n{text}");
            wanted(&Config::parse(&text, Path::new("x.toml")).expect("valid"))
        };
        let none = wanted("[tftp]\nsingle_port = true\n");
        assert_eq!(wanted("[tftp]\ntransfers_max = 100\n"), none + 100);
        assert_eq!(
            wanted("[http]\nconnections_max = 100\n"),
            none + 100 + HTTP_WAITING
        );
        let limits = pxe_dns::Limits::default();
        let of_dns = limits.connections_max as u64 + DNS_QUESTIONS;
        assert_eq!(wanted("[dns]\n"), none + of_dns);
        let images = wanted("[tftp]\nsingle_port = true\n[images]\ndir = \"x\"\n");
        assert_eq!(images, none + IMAGES);
        let nfs = "[nfs]\nconnections_max = 100\nexport = { clients = \"*\" }\n";
        assert_eq!(wanted(nfs), none + 100);
    }

    #[test]
    fn a_limit_is_never_lowered() {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("readable");
        assert_eq!(raise(1).expect("nothing to do"), soft);
    }
}
