//! The tutorial's zones and its access list, by BIND and by ours, to the clients of Debian.

use std::fs;
use std::path::Path;
use std::process::Command;

use pxe_test_lab::{Namespace, Process, run, unique_name};
use tempfile::TempDir;

use super::pair::{start_named, start_ours};
use crate::client::{Ran, client, ensure};

/// The server's address, in both worlds.
pub(super) const SERVER: &str = "192.168.150.1";
/// A client that the access list names, and one that it does not.
const FRIEND: &str = "192.168.150.100";
const STRANGER: &str = "192.168.151.9";

const FILES: [(&str, &str); 3] = [
    (
        "db.matrix.lan",
        include_str!("../../fixtures/tutorial-dns/db.matrix.lan"),
    ),
    (
        "db.150.168.192",
        include_str!("../../fixtures/tutorial-dns/db.150.168.192"),
    ),
    (
        "resolv.conf",
        "nameserver 192.168.150.1\nsearch matrix.lan\n",
    ),
];

/// A server on a link with a client. Dropped, everything is gone.
#[derive(Debug)]
pub(super) struct World {
    // Dropped in this order: processes, then namespaces, then files.
    _server: Process,
    client: Namespace,
    _at_server: Namespace,
    directory: TempDir,
}

/// Which server a world has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    Named,
    Ours(&'a Path),
}

impl World {
    pub(super) fn new(kind: Kind<'_>) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        for (name, text) in FILES {
            let written = fs::write(directory.path().join(name), text);
            written.map_err(|error| error.to_string())?;
        }
        let [at_server, client] = [(); 2].map(|()| Namespace::new(&unique_name()));
        let (at_server, client) = (at_server?, client?);
        at_server.connect("br0", &client, "eth0")?;
        for (namespace, address, interface) in [
            (&at_server, "192.168.150.1/24", "br0"),
            (&at_server, "192.168.151.1/24", "br0"),
            (&client, "192.168.150.100/24", "eth0"),
            (&client, "192.168.151.9/24", "eth0"),
        ] {
            namespace.ip(&["address", "add", address, "dev", interface])?;
        }
        let work = directory.path().display().to_string();
        let server = match kind {
            Kind::Named => {
                // Debian's defaults, without its files of the root's servers, and the tutorial's zones.
                let zones = include_str!("../../fixtures/tutorial-dns/named.conf.local");
                let text = format!(
                    "options {{ directory \"@work@\"; pid-file none; dnssec-validation no; \
                     listen-on-v6 {{ none; }}; }};\ncontrols {{ }};\n{zones}"
                );
                let text = text.replace("@work@", &work);
                start_named(&at_server, directory.path(), "named", &text)?
            }
            Kind::Ours(server) => {
                let text = include_str!("../../fixtures/tutorial-dns/server.toml");
                let text = text.replace("@work@", &work);
                start_ours(&at_server, directory.path(), server, &text, SERVER)?
            }
        };
        Ok(Self {
            _server: server,
            client,
            _at_server: at_server,
            directory,
        })
    }

    /// Runs a program on the client, whose resolv.conf names the server.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, String> {
        let resolv_conf = self
            .directory
            .path()
            .join("resolv.conf")
            .display()
            .to_string();
        // The mount is seen by this process alone: `ip netns exec` gives it a mount namespace.
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let mut all = vec!["-c", script, &resolv_conf, program];
        all.extend(arguments);
        client(&self.client, "sh", &all)
    }

    /// Makes a program of C source, and says where it lies.
    pub(super) fn compile(&self, compiler: &str, source: &str) -> Result<String, String> {
        let (file, program) = (
            self.directory.path().join("program.c"),
            self.directory.path().join("program"),
        );
        fs::write(&file, source).map_err(|error| error.to_string())?;
        run(Command::new(compiler).arg("-o").arg(&program).arg(&file))?;
        Ok(program.display().to_string())
    }
}

/// What is asked, by which program. Each answer is compared as text, but for times and sizes.
const ASKED: [(&str, &[&str]); 33] = [
    (
        "dig",
        &["+qid=1", "+nocookie", "@192.168.150.1", "pxe.matrix.lan"],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "PXE.Matrix.LAN",
            "A",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "pxe.matrix.lan",
            "AAAA",
        ],
    ),
    (
        "dig",
        &["+qid=1", "+nocookie", "@192.168.150.1", "matrix.lan", "SOA"],
    ),
    (
        "dig",
        &["+qid=1", "+nocookie", "@192.168.150.1", "matrix.lan", "NS"],
    ),
    (
        "dig",
        &["+qid=1", "+nocookie", "@192.168.150.1", "matrix.lan", "MX"],
    ),
    (
        "dig",
        &["+qid=1", "+nocookie", "@192.168.150.1", "neo.matrix.lan"],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "+tcp",
            "pxe.matrix.lan",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "+noedns",
            "pxe.matrix.lan",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "+norecurse",
            "pxe.matrix.lan",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "+dnssec",
            "pxe.matrix.lan",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "-x",
            "192.168.150.1",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "-x",
            "192.168.150.2",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "@192.168.150.1",
            "150.168.192.in-addr.arpa",
            "SOA",
        ],
    ),
    ("dig", &["+search", "+short", "pxe"]),
    ("dig", &["+short", "-x", "192.168.150.1"]),
    (
        "dig",
        &[
            "+noall",
            "+answer",
            "@192.168.150.1",
            "+tcp",
            "matrix.lan",
            "AXFR",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "-b",
            STRANGER,
            "@192.168.150.1",
            "pxe.matrix.lan",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "-b",
            STRANGER,
            "@192.168.150.1",
            "-x",
            "192.168.150.1",
        ],
    ),
    (
        "dig",
        &[
            "+qid=1",
            "+nocookie",
            "-b",
            FRIEND,
            "@192.168.150.1",
            "+short",
            "pxe.matrix.lan",
        ],
    ),
    ("host", &["pxe.matrix.lan"]),
    ("host", &["pxe"]),
    ("host", &["-v", "-t", "NS", "matrix.lan", SERVER]),
    ("host", &["192.168.150.1", SERVER]),
    ("host", &["neo", SERVER]),
    ("nslookup", &["pxe.matrix.lan", SERVER]),
    ("nslookup", &["pxe"]),
    ("nslookup", &["-type=any", "pxe.matrix.lan", SERVER]),
    ("nslookup", &["192.168.150.1"]),
    ("drill", &["pxe.matrix.lan", "@192.168.150.1"]),
    ("drill", &["-x", "192.168.150.1", "@192.168.150.1"]),
    (
        "kdig",
        &["@192.168.150.1", "pxe.matrix.lan", "A", "neo.matrix.lan"],
    ),
    ("kdig", &["@192.168.150.1", "+tcp", "-x", "192.168.150.1"]),
];

/// All of them say the same of both servers.
pub(super) fn clients_agree(server: &Path) -> Result<(), String> {
    let (named, ours) = (World::new(Kind::Named)?, World::new(Kind::Ours(server))?);
    for (program, arguments) in ASKED {
        let (named, ours) = (
            named.run(program, arguments)?,
            ours.run(program, arguments)?,
        );
        let shown = format!("{program} {}", arguments.join(" "));
        ensure(named.code() == ours.code(), || {
            format!(
                "{shown}: exits otherwise\nnamed:\n{}\nours:\n{}",
                named.text, ours.text
            )
        })?;
        ensure(comparable(&named.text) == comparable(&ours.text), || {
            format!("{shown}:\nnamed:\n{}\nours:\n{}", named.text, ours.text)
        })?;
        // What is the same on both sides can still be nothing.
        let is_refused = arguments.contains(&STRANGER) || arguments.contains(&"AXFR");
        let is_nothing = arguments.iter().any(|word| word.contains("neo"));
        let says = |word: &str| ours.text.to_lowercase().contains(word);
        ensure(
            is_nothing || is_refused || says("matrix.lan") || says(SERVER),
            || format!("{shown}: {}", ours.text),
        )?;
        ensure(!arguments.contains(&STRANGER) || says("refused"), || {
            format!("{shown}: is not refused: {}", ours.text)
        })?;
    }
    Ok(())
}

/// A program's lines without times, sizes and numbers that are drawn, and without the reason of a
/// refusal, which BIND tells and ours does not (RFC 8914; see `rules`: no-edns-options).
fn comparable(text: &str) -> Vec<String> {
    let varies = |line: &&str| {
        [
            "; EDE:",
            "Query time",
            ";; WHEN",
            "MSG SIZE",
            "EXTENDED-DNS-ERROR",
            ";; Time",
            ";; From",
            ";; Received",
            " bytes from ",
        ]
        .iter()
        .any(|word| line.contains(word))
    };
    let without_id = |line: &str| {
        let words = line.split_ascii_whitespace();
        let mut words = words.map(str::to_owned).collect::<Vec<_>>();
        if let Some(at) = words.iter().position(|word| word == "id:")
            && let Some(id) = words.get_mut(at + 1)
        {
            "N".clone_into(id);
        }
        words.join(" ")
    };
    text.lines()
        .filter(|line| !varies(line))
        .map(without_id)
        .collect()
}
