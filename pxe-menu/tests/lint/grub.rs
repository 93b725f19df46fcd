//! Menus of GRUB: the same files, kernels and arguments.

use pxe_menu::{Client, Code, Diagnostic, GrubParser, Limits, Loader, Paths, check};

use crate::tree::MemFiles;

fn findings(config: &str, loader: Loader) -> Vec<Diagnostic> {
    let mut parser = GrubParser::new("grub/grub.cfg", Limits::default());
    while let Some(need) = parser.poll_need() {
        if need.file == "grub/grub.cfg" {
            parser.provide(need.id, config);
        } else {
            parser.missing(need.id);
        }
    }
    let files = MemFiles::new(&["os/vmlinuz", "os/initrd", "grub/grubx64.efi"])
        .with("efi/shimx64.efi", b"MZ\x90")
        .with("efi/script.ipxe", b"#!ipxe");
    let paths = [Paths::new(loader, "grub/grubx64.efi")];
    check(&parser.finish(), &paths, &Client::new(), &files)
}

#[test]
fn a_grub_menu_without_mistakes_has_no_findings() {
    let config = "\
set timeout=5
menuentry 'Linux' {
  linux /os/vmlinuz boot=live ip=dhcp netboot=nfs nfsroot=192.0.2.1:/os
  initrd /os/initrd
}
menuentry 'Shim' {
  chainloader /efi/shimx64.efi
}
menuentry 'Again' {
  reboot
}
";
    assert_eq!(findings(config, Loader::GrubEfi), []);
}

#[test]
fn mistakes_of_a_grub_menu_are_told() {
    for (commands, code, words) in [
        (
            "linux /os/vmlinux",
            Code::MissingFile,
            "`/os/vmlinux` is not there",
        ),
        (
            "linux /os/vmlinux",
            Code::MissingFile,
            "did you mean vmlinuz?",
        ),
        (
            "linux /srv/tftp/os/vmlinuz",
            Code::MissingFile,
            "write /os/vmlinuz",
        ),
        (
            "linux /os/vmlinuz\ninitrd /os/initrd.gz",
            Code::MissingFile,
            "`/os/initrd.gz`",
        ),
        (
            "linux /os/vmlinuz boot=casper",
            Code::MissingInitrd,
            "add the command initrd",
        ),
        (
            "linux /os/vmlinuz nfsroot=tftp://h/x",
            Code::NfsRoot,
            "server:/path",
        ),
        (
            "chainloader /efi/shim.efi",
            Code::MissingFile,
            "`/efi/shim.efi`",
        ),
        (
            "chainloader /efi/script.ipxe",
            Code::WrongArchitecture,
            "no program for UEFI",
        ),
    ] {
        let config = format!("menuentry 'x' {{\n{commands}\n}}\n");
        let found = findings(&config, Loader::GrubEfi);
        let is_told = |told: &Diagnostic| told.code == code && told.to_string().contains(words);
        assert!(found.iter().any(is_told), "{commands}: {found:#?}");
    }
}
