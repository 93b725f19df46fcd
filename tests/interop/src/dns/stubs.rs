//! Resolvers of operating systems: ours is the only server that they know.

use std::path::Path;

use super::tutorial::{Kind, SERVER, World};
use crate::client::ensure;

/// A program that resolves by musl, as Alpine's do.
const RESOLVE: &str = include_str!("../../fixtures/resolve.c");

/// glibc, musl and busybox find names with the search domain and without, and addresses.
pub(super) fn find_names(server: &Path) -> Result<(), String> {
    let world = World::new(Kind::Ours(server))?;
    for (program, arguments, parts) in [
        (
            "getent",
            &["hosts", "pxe.matrix.lan"][..],
            &[SERVER, "pxe.matrix.lan"][..],
        ),
        ("getent", &["hosts", "pxe"], &[SERVER, "pxe.matrix.lan"]),
        ("getent", &["ahosts", "pxe"], &[SERVER, "STREAM"]),
        ("getent", &["ahostsv4", "PXE.MATRIX.LAN."], &[SERVER]),
        ("getent", &["hosts", SERVER], &[SERVER, "pxe.matrix.lan"]),
        (
            "busybox",
            &["nslookup", "pxe.matrix.lan", SERVER],
            &["Address", SERVER],
        ),
        ("busybox", &["nslookup", SERVER], &["pxe.matrix.lan"]),
    ] {
        let ran = world.run(program, arguments)?.succeeds()?;
        for part in parts {
            ensure(ran.text.contains(part), || {
                format!("{program} {arguments:?}: {}", ran.text)
            })?;
        }
    }
    for name in ["neo", "neo.matrix.lan", "www.example.net"] {
        // 2: no such name. A server that does not answer at all is another failure, and takes long.
        world.run("getent", &["hosts", name])?.exits_with(2)?;
    }
    let program = world.compile("musl-gcc", RESOLVE)?;
    for name in ["pxe", "pxe.matrix.lan"] {
        let ran = world.run(&program, &[name])?.succeeds()?;
        ensure(ran.text.contains(SERVER), || format!("musl: {}", ran.text))?;
    }
    let ran = world.run(&program, &["neo.matrix.lan"])?.exits_with(2)?;
    ensure(ran.text.contains("does not resolve"), || ran.text.clone())
}
