//! The DHCP clients of Linux systems, each run until it is told to give its address back.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::{Namespace, Output, Process, run};

/// Writes down what a client tells its script, one line for each call: `EVENT ADDRESS`.
const SCRIPT: &str = r#"#!/bin/sh
event=${reason:-$1}
address=${new_ip_address:-$ip}
gateway=${new_routers:-$router}
case $event in
BOUND|RENEW|REBIND|REBOOT|bound|renew)
    @configure@ ip address replace "$address/24" dev "$interface"
    [ -z "$gateway" ] || @configure@ ip route replace default via "$gateway" ;;
EXPIRE|FAIL|RELEASE|STOP|deconfig)
    @configure@ ip address flush dev "$interface" ;;
esac
echo "$event $address" >>@report@
exit 0
"#;

/// networkd without udev or D-Bus, whose sockets it must not find: those are the machine's.
const NETWORKD: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/network && cp "$1" /run/systemd/network/ || exit 1
# A read-only /sys tells it that there is no udev to wait for.
mount -o remount,ro /sys || exit 1
export SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console
exec /lib/systemd/systemd-networkd
"#;

const NETWORK: &str = "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n\
    IPv6AcceptRA=no\n[DHCPv4]\nClientIdentifier=duid\nDUIDType=link-layer\nUseHostname=no\n\
    SendRelease=yes\n";

/// dhcpcd with state of its own.
const DHCPCD: &str = r#"
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib/dhcpcd || exit 1
exec dhcpcd -4 -B -d -t 0 -f "$1" -c "$2" eth0
"#;

/// A program that keeps an interface's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Dhclient,
    Udhcpc,
    Dhcpcd,
    Networkd,
}

impl Program {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Dhclient, Self::Udhcpc, Self::Dhcpcd, Self::Networkd];
}

/// A client that runs on `eth0` of a namespace.
#[derive(Debug)]
pub(crate) struct DhcpClient {
    program: Program,
    process: Process,
    folder: PathBuf,
}

impl DhcpClient {
    /// Starts it; `folder` becomes its own.
    pub(crate) fn start(
        program: Program,
        namespace: &Namespace,
        folder: PathBuf,
    ) -> Result<Self, String> {
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let script = folder.join("script");
        let report = folder.join("report");
        let configure = match program {
            Program::Dhclient | Program::Udhcpc => "",
            // These do it themselves.
            Program::Dhcpcd | Program::Networkd => ":",
        };
        let text = SCRIPT.replace("@configure@", configure);
        write(
            &script,
            &text.replace("@report@", &report.display().to_string()),
        )?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&script, executable).map_err(|error| error.to_string())?;
        let mut command;
        match program {
            Program::Dhclient => {
                command = namespace.command("dhclient");
                command.args(["-4", "-d", "-v"]);
                command.args(dhclient_files(&folder)?).arg("eth0");
            }
            Program::Udhcpc => {
                command = namespace.command("busybox");
                command.args(["udhcpc", "-i", "eth0", "-f", "-T", "1", "-s"]);
                command.arg(&script);
            }
            Program::Dhcpcd => {
                let config = folder.join("dhcpcd.conf");
                write(&config, "noipv4ll\nnoarp\nclientid\noption routers\n")?;
                command = namespace.command("sh");
                command.args(["-c", DHCPCD, "sh"]).arg(config).arg(&script);
            }
            Program::Networkd => {
                let config = folder.join("eth0.network");
                write(&config, NETWORK)?;
                command = namespace.command("sh");
                command.args(["-c", NETWORKD, "sh"]).arg(config);
            }
        }
        let process = Process::spawn(command, "the client", &folder.join("log"), Output::Log)?;
        Ok(Self {
            program,
            process,
            folder,
        })
    }

    /// All that it has said: its script's report and its own log.
    pub(crate) fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        read("report") + &read("log")
    }

    /// What it says when it has renewed its lease of this address.
    pub(crate) fn says_renewed(&self, address: Ipv4Addr) -> String {
        match self.program {
            Program::Dhclient | Program::Dhcpcd => format!("RENEW {address}\n"),
            Program::Udhcpc => format!("renew {address}\n"),
            Program::Networkd => "REQUEST (renewing)".to_owned(),
        }
    }

    /// What it says when it has renewed it after asking everybody. udhcpc makes no difference, nor
    /// does dhclient where its retransmissions go on into the time of T2.
    pub(crate) fn says_rebound(&self, address: Ipv4Addr) -> String {
        match self.program {
            Program::Dhclient => format!("RENEW {address}\n"),
            Program::Udhcpc => format!("renew {address}\n"),
            Program::Dhcpcd => format!("REBIND {address}\n"),
            Program::Networkd => "REQUEST (rebinding)".to_owned(),
        }
    }

    /// Has it give its address back.
    pub(crate) fn release(&mut self, namespace: &Namespace) -> Result<(), String> {
        match self.program {
            Program::Dhclient => {
                let mut command = namespace.command("dhclient");
                command.args(["-4", "-v", "-r"]);
                run(command.args(dhclient_files(&self.folder)?).arg("eth0"))
            }
            Program::Udhcpc => self.signal("USR2"),
            Program::Dhcpcd => self.signal("ALRM"),
            Program::Networkd => self.signal("TERM"),
        }
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let id = self.process.id().to_string();
        run(Command::new("kill").args(["-s", name, &id]))
    }
}

/// The arguments that name dhclient's files; without its configuration it knows no identifier but
/// the hardware address.
fn dhclient_files(folder: &Path) -> Result<[String; 8], String> {
    let config = folder.join("dhclient.conf");
    write(
        &config,
        "timeout 10;\ninitial-interval 1;\nbackoff-cutoff 1;\nretry 1;\n",
    )?;
    let path = |name: &str| folder.join(name).display().to_string();
    Ok([
        "-cf".to_owned(),
        path("dhclient.conf"),
        "-lf".to_owned(),
        path("leases"),
        "-pf".to_owned(),
        path("pid"),
        "-sf".to_owned(),
        path("script"),
    ])
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
