//! The matrix of boots as data: firmware, loaders, systems, servers, and the cells that join them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// Everything that the `*.toml` files of one directory say, joined and checked.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    pub(crate) firmware: BTreeMap<String, Firmware>,
    pub(crate) loaders: BTreeMap<String, Loader>,
    pub(crate) systems: BTreeMap<String, System>,
    pub(crate) servers: BTreeMap<String, ServerDefinition>,
    pub(crate) cells: Vec<Cell>,
}

/// One file: any part of the matrix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatrixFile {
    #[serde(default)]
    firmware: BTreeMap<String, Firmware>,
    #[serde(default)]
    loader: BTreeMap<String, Loader>,
    #[serde(default)]
    system: BTreeMap<String, System>,
    #[serde(default)]
    server: BTreeMap<String, ServerDefinition>,
    #[serde(default)]
    cell: Vec<Cell>,
}

/// What runs when the machine is switched on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Firmware {
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    pub(crate) emulator: String,
    pub(crate) machine: String,
    /// QEMU's device and its properties, without `netdev`, `mac` and `bootindex`.
    pub(crate) nic: String,
    pub(crate) flash: Option<Flash>,
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    /// A ruleset of nft(8) for the namespace, which may change what the card sends.
    pub(crate) nftables: Option<String>,
    /// Option 60 of the first DHCPDISCOVER.
    pub(crate) vendor_class: String,
    /// Option 77 of the first DHCPDISCOVER; without it there must be none.
    pub(crate) user_class: Option<String>,
    #[serde(default)]
    pub(crate) failures: Vec<String>,
}

/// Firmware in flash memory: its code, and the variables of which each boot gets a fresh copy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flash {
    pub(crate) code: PathBuf,
    pub(crate) variables: PathBuf,
}

/// Boot files, and the tree in which they lie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loader {
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// Architecture's name -> boot file, as the server's configuration has them.
    pub(crate) boot_files: BTreeMap<String, String>,
    /// What iPXE is told, as the server's configuration has it.
    pub(crate) ipxe: Option<String>,
    /// The directory of the tree that is shown by HTTP; without it, `/os`.
    pub(crate) http_root: Option<String>,
    #[serde(default)]
    pub(crate) tree: TreeSpec,
    #[serde(default)]
    pub(crate) failures: Vec<String>,
}

/// What is booted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct System {
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    pub(crate) memory_mib: u32,
    pub(crate) append: String,
    /// How it is known that it runs.
    pub(crate) sign: Sign,
    #[serde(default)]
    pub(crate) failures: Vec<String>,
    #[serde(default)]
    pub(crate) tree: TreeSpec,
    /// Name in the server's folder of images -> the image that is dropped there once the server runs.
    #[serde(default)]
    pub(crate) images: BTreeMap<String, Image>,
}

/// How a system is known to run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Sign {
    /// By what its kernel, and then the system, write to the serial console.
    Console {
        /// The kernel's first line.
        kernel_banner: String,
        /// What only the running system prints.
        marker: String,
    },
    /// By the colour of nearly all of the screen: red, green, blue. It writes nothing to the serial console.
    Screen {
        /// That colour.
        colour: [u8; 3],
    },
}

/// An image of a system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Image {
    /// What a recipe of the directory `images/` makes.
    Recipe(String),
    /// A file of a package.
    File(PathBuf),
}

/// Files of a boot tree. Keys are paths inside the tree.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TreeSpec {
    /// Path -> the file or directory to copy.
    #[serde(default)]
    pub(crate) copy: BTreeMap<String, PathBuf>,
    /// Path -> content, with `@names@` filled in.
    #[serde(default)]
    pub(crate) text: BTreeMap<String, String>,
    /// Path -> a file that is copied with changes.
    #[serde(default)]
    pub(crate) edit: BTreeMap<String, Edit>,
    /// Path -> target of the symbolic link.
    #[serde(default)]
    pub(crate) link: BTreeMap<String, String>,
}

/// A file of a package, with changes. What is to be replaced must be there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) from: PathBuf,
    #[serde(default)]
    pub(crate) prepend: String,
    #[serde(default)]
    pub(crate) replace: Vec<(String, String)>,
}

/// A firmware, a loader and a system that have to boot together from a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) firmware: String,
    pub(crate) loader: String,
    pub(crate) system: String,
    time_limit_seconds: u64,
    /// What a person does at the console, in this order. All of it must have come to pass.
    #[serde(default)]
    pub(crate) press: Vec<Press>,
    /// Names whose addresses the machine has to ask the server under test for, and to be told.
    #[serde(default)]
    pub(crate) names: Vec<String>,
    pub(crate) expect: Expect,
}

impl Cell {
    /// How long after power-on the marker has to be there.
    pub(crate) fn time_limit(&self) -> Duration {
        Duration::from_secs(self.time_limit_seconds)
    }
}

/// Keys, and what the console has to show before they are pressed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Press {
    /// Text that the console shows after the keys before these were pressed.
    pub(crate) after: String,
    pub(crate) keys: String,
}

/// The requests without which the boot did not go the way that the cell is about, in their order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) loader: Step,
    pub(crate) menu: Step,
    pub(crate) kernel: Step,
    pub(crate) initrd: Step,
}

impl Expect {
    /// All of them, in their order.
    pub(crate) fn steps(&self) -> [&Step; 4] {
        [&self.loader, &self.menu, &self.kernel, &self.initrd]
    }
}

/// The protocol of a file request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tftp,
    Http,
    /// HTTP over TLS: on the wire it can be seen that something was sent, and not what.
    Https,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tftp => "tftp",
            Protocol::Http => "http",
            Protocol::Https => "https",
        })
    }
}

/// A file request: `tftp bios/lpxelinux.0`, `http debian/linux`, `https ipxe/snponly.efi`. The path has no leading slash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Step {
    pub(crate) protocol: Protocol,
    pub(crate) path: String,
}

impl Step {
    /// Whether it is a request for this path. One that ends in `*` is for all that begin so.
    pub(crate) fn is_for(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        match self.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == self.path,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.path)
    }
}

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Step, String> {
        let bad =
            || format!("{text:?} is no request: write `tftp PATH`, `http PATH` or `https PATH`");
        let (protocol, path) = text.split_once(' ').ok_or_else(bad)?;
        let protocol = match protocol {
            "tftp" => Protocol::Tftp,
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            _ => return Err(bad()),
        };
        let path = path.trim().trim_start_matches('/');
        if path.is_empty() {
            return Err(bad());
        }
        Ok(Step {
            protocol,
            path: path.to_owned(),
        })
    }
}

/// The server under test, and what else serves on the network beside it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerDefinition {
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// Who gives addresses, if not the server under test. It must say nothing of a boot.
    pub(crate) leases_from: Option<Ipv4Addr>,
    /// Name in the work directory -> content, with `@names@` filled in.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Commands that make further files in the work directory, where they run one after the other.
    #[serde(default)]
    pub(crate) prepare: Vec<Vec<String>>,
    pub(crate) process: Vec<ServerProcess>,
}

/// One process of a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerProcess {
    pub(crate) name: String,
    /// The address of a host of its own on the same network; without it, it runs on the server's.
    pub(crate) host: Option<Ipv4Addr>,
    /// Program and arguments, with `@names@` filled in.
    pub(crate) command: Vec<String>,
    /// Ports that are bound when it serves.
    pub(crate) ready: Vec<Port>,
    /// SIGTERM must end it with status 0.
    #[serde(default)]
    pub(crate) clean_exit: bool,
    /// Whom it must have become when it serves.
    pub(crate) user: Option<String>,
}

/// A port of the server: `udp 69`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Port {
    Udp(u16),
    Tcp(u16),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Udp(number) => write!(f, "udp {number}"),
            Port::Tcp(number) => write!(f, "tcp {number}"),
        }
    }
}

impl TryFrom<String> for Port {
    type Error = String;

    fn try_from(text: String) -> Result<Port, String> {
        let bad = || format!("{text:?} is no port: write `udp NUMBER` or `tcp NUMBER`");
        let (protocol, number) = text.split_once(' ').ok_or_else(bad)?;
        let number: u16 = number.trim().parse().map_err(|_| bad())?;
        match protocol {
            "udp" => Ok(Port::Udp(number)),
            "tcp" => Ok(Port::Tcp(number)),
            _ => Err(bad()),
        }
    }
}

impl Matrix {
    /// Reads every `*.toml` of the directory.
    pub(crate) fn load(directory: &Path) -> Result<Matrix, String> {
        let entries = fs::read_dir(directory)
            .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .collect();
        files.sort();
        let mut matrix = Matrix::default();
        for file in files {
            let at = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
            let text = fs::read_to_string(&file).map_err(|error| at(&error))?;
            matrix.add(&text).map_err(|error| at(&error))?;
        }
        matrix.check()?;
        Ok(matrix)
    }

    /// Replaces the servers by those of another file, and keeps the cells that have one there.
    pub(crate) fn load_servers(&mut self, file: &Path) -> Result<(), String> {
        let at = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| at(&error))?;
        self.servers.clear();
        self.add(&text).map_err(|error| at(&error))?;
        let servers = &self.servers;
        self.cells.retain(|cell| servers.contains_key(&cell.server));
        self.check()
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let file: MatrixFile = toml::from_str(text).map_err(|error| error.to_string())?;
        join("firmware", &mut self.firmware, file.firmware)?;
        join("loader", &mut self.loaders, file.loader)?;
        join("system", &mut self.systems, file.system)?;
        join("server", &mut self.servers, file.server)?;
        for cell in file.cell {
            if self.cells.iter().any(|other| other.name == cell.name) {
                return Err(format!("cell {:?} is there twice", cell.name));
            }
            self.cells.push(cell);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for cell in &self.cells {
            let name = &cell.name;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(format!(
                    "cell {name:?}: a name has letters, digits and hyphens"
                ));
            }
            if cell.time_limit_seconds == 0 {
                return Err(format!("cell {name:?}: time_limit_seconds is 0"));
            }
            let unknown =
                |kind: &str, what: &str| format!("cell {name:?}: there is no {kind} {what:?}");
            if !self.servers.contains_key(&cell.server) {
                return Err(unknown("server", &cell.server));
            }
            if !self.firmware.contains_key(&cell.firmware) {
                return Err(unknown("firmware", &cell.firmware));
            }
            if !self.loaders.contains_key(&cell.loader) {
                return Err(unknown("loader", &cell.loader));
            }
            if !self.systems.contains_key(&cell.system) {
                return Err(unknown("system", &cell.system));
            }
        }
        let loaders = self
            .loaders
            .iter()
            .map(|(name, loader)| (name, &loader.tree));
        let systems = self
            .systems
            .iter()
            .map(|(name, system)| (name, &system.tree));
        for (name, tree) in loaders.chain(systems) {
            let paths = tree.copy.keys().chain(tree.text.keys());
            for path in paths.chain(tree.edit.keys()).chain(tree.link.keys()) {
                let inside = Path::new(path)
                    .components()
                    .all(|c| matches!(c, Component::Normal(_)));
                if path.is_empty() || !inside {
                    return Err(format!("{name}: {path:?} is no path inside the tree"));
                }
            }
        }
        for (name, system) in &self.systems {
            for image in system.images.keys() {
                if image.starts_with('.') || image.contains('/') {
                    return Err(format!("{name}: {image:?} is no name of an image"));
                }
            }
        }
        for (name, server) in &self.servers {
            if server.process.is_empty() {
                return Err(format!("server {name:?} has no process"));
            }
        }
        Ok(())
    }
}

fn join<T>(
    kind: &str,
    all: &mut BTreeMap<String, T>,
    more: BTreeMap<String, T>,
) -> Result<(), String> {
    for (name, value) in more {
        if all.insert(name.clone(), value).is_some() {
            return Err(format!("{kind} {name:?} is there twice"));
        }
    }
    Ok(())
}

/// Names to be filled into texts and commands.
pub(crate) type Variables = BTreeMap<String, String>;

/// Replaces each `@name@` by its value. A name has small letters, digits, `_`, `:` and `-`; one without a value is an
/// error; any other `@` stays.
pub(crate) fn fill(template: &str, variables: &Variables) -> Result<String, String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        filled.push_str(before);
        let name = after
            .split_once('@')
            .map(|(name, _)| name)
            .filter(|name| is_variable(name));
        match name {
            Some(name) => {
                let value = variables
                    .get(name)
                    .ok_or_else(|| format!("there is no value for @{name}@"))?;
                filled.push_str(value);
                rest = after.get(name.len() + 1..).unwrap_or_default();
            }
            None => {
                filled.push('@');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_variable(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:-".contains(c);
    !name.is_empty() && name.chars().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        [firmware.f]
        about = ""
        emulator = "qemu"
        machine = "q35"
        nic = "e1000"
        vendor_class = "PXEClient"
        [loader.l]
        about = ""
        boot_files = { default = "bios/lpxelinux.0" }
        tree.link = { "bios/os" = "../os" }
        [system.s]
        about = ""
        memory_mib = 512
        append = ""
        sign = { kernel_banner = "Linux", marker = "hello" }
        [server.v]
        about = ""
        process = [{ name = "p", command = ["p"], ready = ["udp 67"] }]
        [[cell]]
        name = "one"
        server = "v"
        firmware = "f"
        loader = "l"
        system = "s"
        time_limit_seconds = 9
        expect = { loader = "tftp /a", menu = "tftp b", kernel = "http c", initrd = "http d" }
    "#;

    fn parse(text: &str) -> Result<Matrix, String> {
        let mut matrix = Matrix::default();
        matrix.add(text)?;
        matrix.check()?;
        Ok(matrix)
    }

    #[test]
    fn a_small_matrix_is_read() {
        let matrix = parse(SMALL).unwrap();
        let cell = &matrix.cells[0];
        assert_eq!(cell.time_limit(), Duration::from_secs(9));
        assert_eq!(
            cell.expect.loader,
            Step {
                protocol: Protocol::Tftp,
                path: "a".into()
            }
        );
        assert_eq!(cell.expect.kernel.to_string(), "http c");
        assert!(cell.expect.kernel.is_for("/c") && !cell.expect.kernel.is_for("/cd"));
        let step = Step::try_from("tftp live/vmlinuz-*".to_owned()).unwrap();
        assert!(step.is_for("/live/vmlinuz-6.1") && !step.is_for("live/vmlinuz"));
    }

    #[test]
    fn the_shipped_matrix_is_valid_and_has_every_way_to_boot() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix");
        let matrix = Matrix::load(&directory).unwrap();
        let names: Vec<&str> = matrix.cells.iter().map(|cell| cell.name.as_str()).collect();
        for system in ["debian-live-by-nfs", "debian-live-by-http"] {
            let image = Image::Recipe("debian-live".to_owned());
            assert!(matrix.systems[system].images.values().eq([&image]));
        }
        for name in [
            "seabios-ipxe-lpxelinux",
            "seabios-undionly-script",
            "ovmf-syslinux-efi",
            "ovmf-grub",
            "ovmf-snponly-script",
            "ovmf-http-snponly-script",
            "seabios-proxy-lpxelinux",
            "seabios-proxy-undionly-script",
            "ovmf-proxy-syslinux-efi",
            "ovmf-proxy-http-snponly-script",
            "seabios-undionly-converted-menu",
            "ovmf-grub-converted-menu",
            "seabios-image-live-nfs",
            "ovmf-image-live-nfs",
            "seabios-image-live-http",
            "ovmf-image-live-http",
            "seabios-image-dracut",
            "ovmf-image-dracut",
            "seabios-image-memdisk",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }

    #[test]
    fn a_definition_of_servers_keeps_the_cells_that_it_can_serve() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("other.toml");
        let process = "process = [{ name = \"p\", command = [\"p\"], ready = [] }]";
        for (name, kept) in [("v", 1), ("w", 0)] {
            let mut matrix = parse(SMALL).unwrap();
            let definition = format!("[server.{name}]\nabout = \"other\"\n{process}\n");
            fs::write(&file, definition).unwrap();
            matrix.load_servers(&file).unwrap();
            assert_eq!(matrix.cells.len(), kept);
            assert_eq!(matrix.servers[name].about, "other");
        }
    }

    #[test]
    fn faults_are_named() {
        for (change, complaint) in [
            (
                ("server = \"v\"", "server = \"w\""),
                "there is no server \"w\"",
            ),
            (
                ("firmware = \"f\"", "firmware = \"g\""),
                "there is no firmware \"g\"",
            ),
            (
                ("loader = \"l\"", "loader = \"m\""),
                "there is no loader \"m\"",
            ),
            (
                ("system = \"s\"", "system = \"t\""),
                "there is no system \"t\"",
            ),
            (("memory_mib", "memory_mb"), "unknown field `memory_mb`"),
            (("= 9", "= 0"), "time_limit_seconds is 0"),
            (("\"one\"", "\"../one\""), "a name has letters"),
            (("bios/os", "../os"), "no path inside the tree"),
            (("tftp b", "gopher b"), "\"gopher b\" is no request"),
        ] {
            assert!(SMALL.contains(change.0));
            let error = parse(&SMALL.replace(change.0, change.1)).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn nothing_may_be_there_twice() {
        let mut matrix = parse(SMALL).unwrap();
        assert_eq!(
            matrix.add(SMALL).unwrap_err(),
            "firmware \"f\" is there twice"
        );
    }

    #[test]
    fn names_are_filled_in() {
        let variables = Variables::from([
            ("address".to_owned(), "10.77.0.1".to_owned()),
            ("boot:uefi-x64".to_owned(), "x.efi".to_owned()),
        ]);
        let filled = fill("http://@address@:80/ @boot:uefi-x64@ a@b @ @@", &variables);
        assert_eq!(filled.unwrap(), "http://10.77.0.1:80/ x.efi a@b @ @@");
        assert_eq!(
            fill("@adress@", &variables).unwrap_err(),
            "there is no value for @adress@"
        );
        assert_eq!(
            fill("a@Host@address@", &variables).unwrap(),
            "a@Host10.77.0.1"
        );
    }

    #[test]
    fn ports_are_read() {
        assert_eq!(
            Port::try_from("tcp 8080".to_owned()).unwrap(),
            Port::Tcp(8080)
        );
        assert!(Port::try_from("tcp 65536".to_owned()).is_err());
    }
}
