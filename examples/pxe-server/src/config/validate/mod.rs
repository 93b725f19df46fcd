//! From what is written to what is meant: every value is read and compared with the others.

mod boot;
mod boot_rule;
mod class;
mod condition;
mod dhcp;
mod dns;
mod host;
mod images;
mod leases;
mod listen;
mod menu;
mod nfs;
mod option;
mod rewrite;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::boot::boot;
use self::dhcp::{dhcp, own_addresses};
use self::dns::{dns, dns_listeners};
use self::images::images;
use self::leases::leases;
use self::listen::{distinct_listeners, http, tftp};
use self::menu::menu;
use self::nfs::{export_images, nfs};
use self::value::{choice, number};
use super::file::{self, File};
use super::place::{ConfigError, Places, Problems};
use super::{CONTROL_DEFAULT, Config, Log, LogFormat, LogLevel, Server, Tree};

/// The kernel's `sockaddr_un` has room for 108 bytes with the NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The configuration that `raw` means, or all that is wrong with it.
pub(super) fn validate(raw: &File, places: Places, file: &Path) -> Result<Config, ConfigError> {
    let mut problems = Problems::new(&places);
    let directory = file.parent().unwrap_or(Path::new(""));
    let server = server(&mut problems, &raw.server, directory);
    let tree = tree(&mut problems, &raw.tree, directory);
    let tftp = (raw.tftp.as_ref()).map(|raw| tftp(&mut problems, raw, &tree));
    let http = http(&mut problems, &raw.http, directory);
    let has_images = raw.images.is_some();
    let mut nfs =
        (raw.nfs.as_ref()).map(|raw| nfs(&mut problems, raw, directory, &tree.root, has_images));
    let boot = raw.boot.as_ref().map(|raw| boot(&mut problems, raw));
    let dns_listen = raw
        .dns
        .as_ref()
        .and_then(|raw| dns_listeners(&mut problems, raw));
    let dhcp = raw.dhcp.as_ref().map(|raw| {
        let dns = dns_listen.as_deref();
        let owned = own_addresses(boot.as_ref(), tftp.as_ref(), &http, nfs.as_ref(), dns);
        dhcp(&mut problems, raw, owned)
    });
    let dns =
        (raw.dns.as_ref()).map(|raw| dns(&mut problems, raw, dns_listen, dhcp.as_ref(), directory));
    let gives_addresses = dhcp
        .as_ref()
        .is_some_and(|dhcp| dhcp.mode.gives_addresses());
    let leases = leases(&mut problems, &raw.leases, directory, gives_addresses);
    let serves_files = tftp.is_some() || !http.is_empty() || nfs.is_some();
    let images =
        (raw.images.as_ref()).map(|raw| images(&mut problems, raw, directory, serves_files));
    if let (Some(nfs), Some(images)) = (&mut nfs, &images) {
        export_images(&mut problems, nfs, images);
    }
    let menu = menu(&mut problems, &raw.menu, tftp.is_some(), !http.is_empty());
    let log = log(&mut problems, &raw.log);
    distinct_listeners(
        &mut problems,
        tftp.as_ref(),
        &http,
        nfs.as_ref(),
        dns.as_ref(),
    );
    let is_nothing = dhcp.is_none() && tftp.is_none() && http.is_empty() && nfs.is_none();
    if is_nothing && dns.is_none() {
        problems.error(
            "",
            "nothing to serve",
            "add [dhcp], [tftp], [http], [nfs] or [dns]",
        );
    }
    match (&dhcp, &boot) {
        (None, Some(_)) => problems.error(
            "boot",
            "boot files are told by DHCP, which is not configured",
            "add [dhcp], or remove [boot]",
        ),
        (Some(_), None) => problems.warning(
            "dhcp",
            "machines get addresses and nothing to boot",
            "add [boot] with files",
        ),
        _ => {}
    }
    let Problems {
        mut errors,
        warnings,
        ..
    } = problems;
    if !errors.is_empty() {
        errors.sort_by_key(|problem| problem.place);
        return Err(ConfigError {
            file: file.to_owned(),
            problems: errors,
        });
    }
    Ok(Config {
        file: file.to_owned(),
        server,
        tree,
        leases,
        dhcp,
        boot,
        tftp,
        http,
        nfs,
        dns,
        images,
        menu,
        log,
        warnings,
        places,
    })
}

fn server(problems: &mut Problems<'_>, raw: &file::Server, directory: &Path) -> Server {
    let user = raw.user.as_deref().unwrap_or("nobody");
    if user.contains([':', '/', '\0', '\n']) {
        problems.error(
            "server.user",
            format!("{user:?} is no user name"),
            "name an existing user, or leave it empty to keep the one that starts the server",
        );
    }
    let control = match raw.control.as_deref() {
        Some("") => None,
        control => Some(directory.join(control.unwrap_or(CONTROL_DEFAULT))),
    };
    if let Some(path) = &control
        && path.as_os_str().len() > SOCKET_PATH_BYTES_MAX
    {
        problems.error(
            "server.control",
            format!("{} has {} bytes", path.display(), path.as_os_str().len()),
            format!("choose a path of at most {SOCKET_PATH_BYTES_MAX} bytes"),
        );
    }
    let grace = number(
        problems,
        "server.grace_seconds",
        raw.grace_seconds,
        0..=86_400,
    );
    Server {
        user: (!user.is_empty()).then(|| user.to_owned()),
        control,
        grace: Duration::from_secs(grace.unwrap_or(30)),
    }
}

fn tree(problems: &mut Problems<'_>, raw: &file::Tree, directory: &Path) -> Tree {
    let root = match raw.root.as_deref() {
        None | Some("") => {
            problems.error(
                "tree.root",
                "no directory to serve is named",
                "add root = \"/srv/tftp\" to [tree]",
            );
            PathBuf::new()
        }
        Some(root) => directory.join(root),
    };
    Tree {
        root,
        ignore_case: raw.ignore_case.unwrap_or(false),
    }
}

fn log(problems: &mut Problems<'_>, raw: &file::Log) -> Log {
    let format = choice(
        problems,
        "log.format",
        raw.format.as_deref(),
        &LogFormat::NAMES,
    );
    let level = choice(
        problems,
        "log.level",
        raw.level.as_deref(),
        &LogLevel::NAMES,
    );
    Log {
        format: format.unwrap_or(LogFormat::Text),
        level: level.unwrap_or(LogLevel::Info),
    }
}
