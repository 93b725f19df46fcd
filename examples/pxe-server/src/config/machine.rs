//! What a configuration asks of the machine: directories, the user, interfaces.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pxe_dhcp::Boot;
use pxe_tree::{RewriteValues, TreePath};

use super::place::Problems;
use super::suggest::nearest;
use super::{Config, ConfigError, Problem, Tftp};
use crate::images::ImagesSettings;
use crate::menus::TemplateFaults;

impl Config {
    /// Checks what depends on this machine. It tells nothing of ports: they are tried by binding.
    ///
    /// # Errors
    /// All that is missing here. What is only doubtful is returned.
    pub fn check_machine(&self) -> Result<Vec<Problem>, ConfigError> {
        self.checked(|problems| {
            self.check_user(problems);
            self.check_files(problems);
        })
    }

    /// The same without the user, for a server that has become it already.
    pub(crate) fn check_files_and_interfaces(&self) -> Result<Vec<Problem>, ConfigError> {
        self.checked(|problems| self.check_files(problems))
    }

    fn checked(&self, check: impl FnOnce(&mut Problems<'_>)) -> Result<Vec<Problem>, ConfigError> {
        let mut problems = Problems::new(&self.places);
        check(&mut problems);
        let Problems {
            mut errors,
            warnings,
            ..
        } = problems;
        if errors.is_empty() {
            return Ok(warnings);
        }
        errors.sort_by_key(|problem| problem.place);
        Err(ConfigError {
            file: self.file.clone(),
            problems: errors,
        })
    }

    fn check_files(&self, problems: &mut Problems<'_>) {
        self.check_directories(problems);
        self.check_boot_files(problems);
        self.check_templates(problems);
        self.check_exports(problems);
        self.check_images(problems);
        self.check_certificates(problems);
        self.check_interfaces(problems, &InterfaceAddresses::read());
    }

    fn check_directories(&self, problems: &mut Problems<'_>) {
        let root = &self.tree.root;
        match std::fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let message = format!("{} is no directory", root.display());
                problems.error("tree.root", message, "name the directory to serve");
                return;
            }
            Err(error) => {
                problems.error(
                    "tree.root",
                    format!("{}: {}", root.display(), reason(&error)),
                    "name an existing directory, or make one with `pxe-server init`",
                );
                return;
            }
        }
        for http in &self.http {
            let directory = self.path_in_tree(&http.root);
            if !directory.is_dir() {
                problems.error(
                    &format!("{}.root", http.key),
                    format!("{} is no directory of the tree", http.root),
                    format!("make {}, or name another one", directory.display()),
                );
            }
        }
    }

    /// The folder may come later, with a disk, so its absence is only doubtful.
    fn check_images(&self, problems: &mut Problems<'_>) {
        let Some(images) = &self.images else { return };
        if !images.dir.is_dir() {
            problems.warning(
                "images.dir",
                format!("{} is no directory", images.dir.display()),
                "make it; images are served as soon as it is there",
            );
        }
        if let Err(problem) = ImagesSettings::of(self, images) {
            problems.errors.push(problem);
        }
        let hidden = self.path_in_tree(&images.path);
        if hidden.symlink_metadata().is_ok() {
            problems.warning(
                "images.path",
                format!("{} is hidden by the images", hidden.display()),
                "rename it, or serve images at another path",
            );
        }
    }

    /// A boot file may be added later, so its absence is only doubtful.
    fn check_boot_files(&self, problems: &mut Problems<'_>) {
        // Another server has the files, if it is not us.
        let Some(tftp) = self.tftp.as_ref().filter(|_| self.tree.root.is_dir()) else {
            return;
        };
        for (key, file) in self.named_files() {
            let Ok(path) = TreePath::from_tftp(file.as_bytes()) else {
                problems.warning(&key, format!("{file} cannot be a file's name"), "");
                continue;
            };
            let root = TreePath::parse(self.tree.root.as_os_str().as_bytes()).unwrap_or_default();
            let path = path.strip_prefix(&root).unwrap_or(path);
            let ignores_case = self.tree.ignore_case || tftp.ignore_case;
            if !ignores_case && !self.is_served(tftp, &path) {
                problems.warning(
                    &key,
                    format!("{} has no file {file}", self.tree.root.display()),
                    "put it there; `pxe-server init` collects installed loaders",
                );
            }
        }
    }

    /// Whether there is a file at what rules make of a path for a machine of which nothing is known.
    fn is_served(&self, tftp: &Tftp, path: &TreePath) -> bool {
        let values = RewriteValues::new();
        let Ok(path) = tftp.rewrite.apply(path, &values).outcome else {
            return false;
        };
        let is_file = |path: &TreePath| self.path_in_tree(path).is_file();
        let mut elsewhere = tftp.rewrite.elsewhere(&path, &values);
        is_file(&path) || elsewhere.any(|(_, made)| made.is_ok_and(|path| is_file(&path)))
    }

    /// A template is refused to the client that asks for it, so its faults are told before.
    fn check_templates(&self, problems: &mut Problems<'_>) {
        let found = TemplateFaults::of(self);
        for fault in found.faults {
            problems.warning("menu.templates", fault, "correct it: it is given to nobody");
        }
        if found.is_partial {
            let message = "the tree is too large: not all templates were checked";
            problems.warning("menu.templates", message, "");
            return;
        }
        for index in found.unused {
            let key = match self.menu.templates.len() {
                1 => "menu.templates".to_owned(),
                _ => format!("menu.templates[{index}]"),
            };
            let pattern = self.menu.templates.get(index);
            let pattern = pattern.map_or_else(String::new, ToString::to_string);
            let message = format!("{pattern} is no file of the tree");
            let remedy = "name files by their paths in the tree, without links";
            problems.warning(&key, message, remedy);
        }
    }

    /// Every boot file that this server is asked for by name, with the key that names it. URLs,
    /// names with placeholders and files of other servers are not among them.
    fn named_files(&self) -> Vec<(String, &str)> {
        let mut named = self.told_files();
        named.retain(|(_, file)| !file.contains("://") && !file.contains('{'));
        named
    }

    /// The same with URLs and placeholders.
    fn told_files(&self) -> Vec<(String, &str)> {
        let mut named: Vec<(String, &str)> = Vec::new();
        if let Some(boot) = &self.boot {
            let files = boot.files.iter();
            named.extend(files.map(|(arch, file)| (format!("boot.files.{arch}"), file.as_str())));
            let default = boot.default_file.as_deref();
            named.extend(default.map(|file| ("boot.files.default".to_owned(), file)));
            // A script that is not there is made of pxelinux's menu.
            let is_made = |file: &&str| self.menu.convert && file.ends_with(".ipxe");
            let ipxe = boot.ipxe.as_deref().filter(|file| !is_made(file));
            named.extend(ipxe.map(|file| ("boot.ipxe".to_owned(), file)));
            let rules = boot.rules.iter().enumerate();
            for (index, rule) in rules.filter(|(_, rule)| rule.next_server.is_none()) {
                let key = format!("boot.rule[{index}]");
                match &rule.boot {
                    Some(Boot::File(file)) => named.push((format!("{key}.boot"), file)),
                    Some(Boot::Menu(menu)) => {
                        let own = menu.items().iter();
                        let own = own.filter(|item| item.next_server().is_none());
                        let files = own.filter_map(|item| item.boot());
                        named.extend(files.map(|file| (format!("{key}.menu"), file)));
                    }
                    _ => {}
                }
            }
        }
        let hosts = self.dhcp.iter().flat_map(|dhcp| &dhcp.hosts).enumerate();
        for (index, host) in hosts.filter(|(_, host)| host.boot.next_server.is_none()) {
            let file = host.boot.file.as_deref();
            named.extend(file.map(|file| (format!("dhcp.host[{index}].boot"), file)));
        }
        named
    }

    /// All that machines are told to boot, whether it is a file or a URL.
    pub(crate) fn boot_texts(&self) -> Vec<&str> {
        self.told_files()
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// The boot files that are to be in the tree: their names and their places.
    pub(crate) fn boot_files(&self) -> Vec<(String, PathBuf)> {
        let root = TreePath::parse(self.tree.root.as_os_str().as_bytes()).unwrap_or_default();
        (self.named_files().into_iter())
            .filter_map(|(_, name)| {
                let path = TreePath::from_tftp(name.as_bytes()).ok()?;
                let path = path.strip_prefix(&root).unwrap_or(path);
                Some((name.to_owned(), self.path_in_tree(&path)))
            })
            .collect()
    }

    fn check_user(&self, problems: &mut Problems<'_>) {
        let Some(user) = &self.server.user else {
            return;
        };
        if !nix::unistd::geteuid().is_root() {
            if self.places.contains("server.user") {
                problems.warning(
                    "server.user",
                    format!("only root can become {user}, so this has no effect"),
                    "",
                );
            }
            return;
        }
        match nix::unistd::User::from_name(user) {
            Ok(Some(_)) => {}
            Ok(None) => problems.error(
                "server.user",
                format!("this machine has no user {user}"),
                "name an existing one, or make it with `useradd --system`",
            ),
            Err(error) => problems.error(
                "server.user",
                format!("cannot look up {user}: {}", error.desc()),
                "name a local user",
            ),
        }
    }

    fn check_interfaces(&self, problems: &mut Problems<'_>, found: &InterfaceAddresses) {
        let Some(dhcp) = &self.dhcp else { return };
        let key = match self.places.contains("dhcp.interfaces") {
            true => "dhcp.interfaces",
            false => "dhcp.interface",
        };
        let mut served = false;
        for name in &dhcp.interfaces {
            let Some(addresses) = found.0.get(name) else {
                let remedy = match nearest(name, found.0.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are: {}", found.names()),
                };
                problems.error(key, format!("this machine has no interface {name}"), remedy);
                continue;
            };
            served |= addresses.iter().any(|own| {
                dhcp.subnets
                    .iter()
                    .any(|subnet| subnet.network.contains(*own))
            });
        }
        for (index, subnet) in dhcp.subnets.iter().enumerate() {
            for own in dhcp
                .interfaces
                .iter()
                .filter_map(|name| found.0.get(name))
                .flatten()
            {
                if let Some(pool) = subnet.pools.iter().find(|pool| pool.contains(own)) {
                    problems.error(
                        &format!("dhcp.subnet[{index}].pools"),
                        format!(
                            "{}-{} contains {own}, our own address",
                            pool.start(),
                            pool.end()
                        ),
                        "leave it out, or a machine may get it",
                    );
                }
            }
        }
        let needs_network = dhcp.mode.gives_addresses();
        if !served && needs_network && !dhcp.interfaces.is_empty() && problems.errors.is_empty() {
            problems.warning(
                key,
                format!(
                    "{} has no address in any network of dhcp.subnet, so that only relayed \
                     requests can be answered",
                    dhcp.interfaces.join(", "),
                ),
                "give it one with `ip address add`",
            );
        }
    }

    pub(super) fn path_in_tree(&self, path: &TreePath) -> PathBuf {
        self.tree
            .root
            .join(Path::new(OsStr::from_bytes(path.as_bytes())))
    }
}

/// The IPv4 addresses of each interface; those without any are in it, too.
struct InterfaceAddresses(BTreeMap<String, Vec<Ipv4Addr>>);

impl InterfaceAddresses {
    fn read() -> Self {
        let mut found: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let addresses = found.entry(interface.interface_name).or_default();
            let address = interface
                .address
                .and_then(|address| Some(address.as_sockaddr_in()?.ip()));
            addresses.extend(address);
        }
        Self(found)
    }

    fn names(&self) -> String {
        self.0
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such directory".to_owned(),
        _ => error.to_string(),
    }
}
