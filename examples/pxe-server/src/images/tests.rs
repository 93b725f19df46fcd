//! The shipped profiles against what real images have in them.
//!
//! Each image is a list of some of its names, and its small texts, as they are on the image that
//! its comment names. The texts of `.disk/info` are those that VirtualBox lists
//! (`src/VBox/Main/src-server/UnattendedImpl.cpp`), or that installed systems keep in
//! `/var/log/installer/media-info` and `sources.list`.

use std::collections::BTreeMap;
use std::path::Path;

use super::command_line::Unfilled;
use super::contents::{Contents, Questions};
use super::recognise::{recognise, why_not};
use super::*;

const MIB: u64 = 1024 * 1024;

/// Some image: its profile, what people see, its volume identifier, names, and texts.
pub(super) struct Image {
    pub(super) profile: &'static str,
    label: &'static str,
    volume_id: &'static str,
    files: &'static [&'static str],
    texts: &'static [(&'static str, &'static str)],
}

pub(super) const IMAGES: &[Image] = &[
    // ubuntu-24.04.4-desktop-amd64.iso
    Image {
        profile: "ubuntu-live",
        label: "Ubuntu 24.04.4 LTS live",
        volume_id: "Ubuntu 24.04.4 LTS amd64",
        files: &[
            ".disk/info",
            "boot/grub/grub.cfg",
            "boot/grub/loopback.cfg",
            "casper/initrd",
            "casper/minimal.standard.live.squashfs",
            "casper/vmlinuz",
            "EFI/boot/bootx64.efi",
        ],
        texts: &[(
            ".disk/info",
            "Ubuntu 24.04.4 LTS \"Noble Numbat\" - Release amd64 (20260210)",
        )],
    },
    // xubuntu-20.04.2.0-desktop-amd64.iso
    Image {
        profile: "ubuntu-live",
        label: "Xubuntu 20.04.2.0 LTS live",
        volume_id: "Xubuntu 20.04.2.0 LTS amd64",
        files: &[
            "casper/filesystem.squashfs",
            "casper/initrd",
            "casper/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(
            ".disk/info",
            "Xubuntu 20.04.2.0 LTS \"Focal Fossa\" - Release amd64 (20210209.1)",
        )],
    },
    // ubuntu-24.04.4-live-server-amd64.iso
    Image {
        profile: "ubuntu-server",
        label: "Ubuntu Server 24.04.4 LTS",
        volume_id: "Ubuntu-Server 24.04.4 LTS amd64",
        files: &[
            "boot/grub/grub.cfg",
            "casper/hwe-initrd",
            "casper/hwe-vmlinuz",
            "casper/initrd",
            "casper/ubuntu-server-minimal.squashfs",
            "casper/vmlinuz",
        ],
        texts: &[(
            ".disk/info",
            "Ubuntu-Server 24.04.4 LTS \"Noble Numbat\" - Release amd64 (20260210)",
        )],
    },
    // ubuntu-mini-iso-amd64.iso of 24.04; its text is that of livecd-rootfs, 01-mini-iso.binary
    Image {
        profile: "ubuntu-mini",
        label: "Ubuntu 24.04 LTS mini",
        volume_id: "",
        files: &["boot/grub/grub.cfg", "casper/initrd", "casper/vmlinuz"],
        texts: &[(
            ".disk/info",
            "ubuntu-mini-iso 24.04 LTS \"Noble Numbat\" - amd64 (20240424)",
        )],
    },
    // linuxmint-20.3-cinnamon-64bit.iso
    Image {
        profile: "linux-mint",
        label: "Linux Mint 20.3",
        volume_id: "Linux Mint 20.3 Cinnamon 64-bit",
        files: &[
            "boot/grub/grub.cfg",
            "casper/filesystem.squashfs",
            "casper/initrd.lz",
            "casper/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(
            ".disk/info",
            "Linux Mint 20.3 \"Una\" - Release amd64 20220104",
        )],
    },
    // debian-live-12.5.0-amd64-gnome.iso
    Image {
        profile: "debian-live",
        label: "Debian GNU/Linux 12.5.0 live",
        volume_id: "d-live 12.5.0 gn amd64",
        files: &[
            "boot/grub/grub.cfg",
            "install/vmlinuz",
            "isolinux/isolinux.cfg",
            "live/filesystem.squashfs",
            "live/initrd.img-6.1.0-18-amd64",
            "live/vmlinuz-6.1.0-18-amd64",
        ],
        texts: &[(
            ".disk/info",
            "Official Debian GNU/Linux Live 12.5.0 gnome 2024-02-10T11:07:25Z",
        )],
    },
    // debian-live-10.10.0-amd64-cinnamon.iso
    Image {
        profile: "debian-live",
        label: "Debian GNU/Linux 10.10.0 live",
        volume_id: "d-live 10.10.0 ci amd64",
        files: &[
            "d-i/vmlinuz",
            "live/filesystem.squashfs",
            "live/initrd.img-4.19.0-17-amd64",
            "live/vmlinuz-4.19.0-17-amd64",
        ],
        texts: &[(
            ".disk/info",
            "Official Debian GNU/Linux Live 10.10.0 cinnamon 2021-06-19T12:13",
        )],
    },
    // lmde-7-cinnamon-64bit.iso, whose initrd has a name of its own
    Image {
        profile: "debian-live",
        label: "LMDE 7 live",
        volume_id: "LMDE 7 Cinnamon 64-bit",
        files: &[
            "isolinux/isolinux.cfg",
            "live/filesystem.squashfs",
            "live/initrd.lz",
            "live/vmlinuz",
        ],
        texts: &[],
    },
    // debian-12.13.0-amd64-netinst.iso
    Image {
        profile: "debian-netinst",
        label: "Debian 12.13.0 installer (netinst)",
        volume_id: "Debian 12.13.0 amd64 n",
        files: &[
            "boot/grub/grub.cfg",
            "install.amd/initrd.gz",
            "install.amd/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(
            ".disk/info",
            "Debian GNU/Linux 12.13.0 \"Bookworm\" - Official amd64 NETINST with firmware \
             20260110-15:42",
        )],
    },
    // debian-testing-amd64-netinst.iso of a week
    Image {
        profile: "debian-netinst",
        label: "Debian testing installer (netinst)",
        volume_id: "Debian testing amd64 n",
        files: &["install.amd/initrd.gz", "install.amd/vmlinuz"],
        texts: &[(
            ".disk/info",
            "Debian GNU/Linux testing \"Stretch\" - Official Snapshot amd64 NETINST Binary-1 \
             20170109-05:56",
        )],
    },
    // debian-9.13.0-amd64-DVD-1.iso
    Image {
        profile: "debian-dvd",
        label: "Debian GNU/Linux 9.13.0 installer",
        volume_id: "Debian 9.13.0 amd64 1",
        files: &[
            "boot/grub/grub.cfg",
            "install.amd/initrd.gz",
            "install.amd/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(
            ".disk/info",
            "Debian GNU/Linux 9.13.0 \"Stretch\" - Official amd64 DVD Binary-1 20200718-11:07",
        )],
    },
    // debian-testing-amd64-DVD-1.iso of a week
    Image {
        profile: "debian-dvd",
        label: "Debian GNU/Linux testing installer",
        volume_id: "Debian testing amd64 1",
        files: &["install.amd/initrd.gz", "install.amd/vmlinuz"],
        texts: &[(
            ".disk/info",
            "Debian GNU/Linux testing \"Trixie\" - Official Snapshot amd64 DVD Binary-1 with \
             firmware 20231225-03:16",
        )],
    },
    // kali-linux-2021.3a-installer-amd64.iso
    Image {
        profile: "kali-installer",
        label: "Kali Linux 2021.3a installer",
        volume_id: "Kali Linux amd64 1",
        files: &[
            "install.amd/initrd.gz",
            "install.amd/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(
            ".disk/info",
            "Kali GNU/Linux 2021.3a \"Kali-last-snapshot\" - Official amd64 BD Binary-1 with \
             firmware 20211015-16:55",
        )],
    },
    // kali-linux-2024.2-live-amd64.iso; its volume identifier is in kali-live's auto/config, its
    // text is that of live-build, binary_disk, which calls all systems Debian
    Image {
        profile: "kali-live",
        label: "Kali Linux 2024.2 live",
        volume_id: "Kali Live",
        files: &[
            "boot/grub/grub.cfg",
            "live/filesystem.squashfs",
            "live/initrd.img",
            "live/vmlinuz",
        ],
        texts: &[(
            ".disk/info",
            "Debian GNU/Linux 2024.2 \"Kali-rolling\" - Official Snapshot amd64 LIVE/INSTALL Binary \
             20240602-12:30",
        )],
    },
    // gparted-live-1.5.0-6-amd64.iso
    Image {
        profile: "gparted",
        label: "GParted Live 1.5.0-6",
        volume_id: "GParted-live",
        files: &[
            "GParted-Live-Version",
            "live/filesystem.squashfs",
            "live/initrd.img",
            "live/vmlinuz",
            "syslinux/isolinux.cfg",
        ],
        texts: &[("GParted-Live-Version", "gparted-live-1.5.0-6-amd64\n")],
    },
    // clonezilla-live-3.1.2-9-amd64.iso
    Image {
        profile: "clonezilla",
        label: "Clonezilla Live 3.1.2-9",
        volume_id: "3.1.2-9-amd64",
        files: &[
            "Clonezilla-Live-Version",
            "live/filesystem.squashfs",
            "live/initrd.img",
            "live/vmlinuz",
            "syslinux/isolinux.cfg",
        ],
        texts: &[(
            "Clonezilla-Live-Version",
            "clonezilla-live-3.1.2-9-amd64\nThis Clonezilla live iso file was created by this \
             command:\nocs-iso -s -i 3.1.2-9-amd64\n",
        )],
    },
    // clonezilla-live-20240408-noble-amd64.iso, the alternative one, of Ubuntu
    Image {
        profile: "clonezilla",
        label: "Clonezilla Live 20240408-noble",
        volume_id: "20240408-noble-amd64",
        files: &[
            "Clonezilla-Live-Version",
            "live/filesystem.squashfs",
            "live/initrd.img",
            "live/vmlinuz",
        ],
        texts: &[(
            "Clonezilla-Live-Version",
            "clonezilla-live-20240408-noble-amd64\n",
        )],
    },
    // tails-amd64-6.iso
    Image {
        profile: "tails",
        label: "Tails",
        volume_id: "TAILS 6.0 - 20240227",
        files: &[
            "live/Tails.module",
            "live/filesystem.squashfs",
            "live/initrd.img",
            "live/vmlinuz",
        ],
        texts: &[],
    },
    // Rocky-9.3-x86_64-dvd.iso
    Image {
        profile: "fedora-installer",
        label: "Rocky Linux 9.3 installer",
        volume_id: "Rocky-9-3-x86_64-dvd",
        files: &[
            ".discinfo",
            ".treeinfo",
            "BaseOS/repodata/repomd.xml",
            "images/install.img",
            "images/pxeboot/initrd.img",
            "images/pxeboot/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(
            ".treeinfo",
            "[general]\narch = x86_64\nfamily = Rocky Linux\nname = Rocky Linux 9.3\n\
             version = 9.3\n\n[header]\ntype = productmd.treeinfo\nversion = 1.2\n",
        )],
    },
    // Fedora-Everything-netinst-x86_64-34.iso
    Image {
        profile: "fedora-netinst",
        label: "Fedora 34 network installer",
        volume_id: "Fedora-E-dvd-x86_64-34",
        files: &[
            ".discinfo",
            "images/install.img",
            "images/pxeboot/initrd.img",
            "images/pxeboot/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[],
    },
    // CentOS-7-x86_64-NetInstall-2009.iso
    Image {
        profile: "rhel7-netinst",
        label: "RHEL or CentOS 7.9 network installer",
        volume_id: "CentOS 7 x86_64",
        files: &[
            ".discinfo",
            "LiveOS/squashfs.img",
            "images/pxeboot/initrd.img",
            "images/pxeboot/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[(".discinfo", "1604001756.987867\n7.9\nx86_64\n")],
    },
    // Fedora-Workstation-Live-x86_64-34-1.2.iso
    Image {
        profile: "fedora-live",
        label: "Fedora 34-1-2 live",
        volume_id: "Fedora-WS-Live-34-1-2",
        files: &[
            "LiveOS/squashfs.img",
            "images/pxeboot/initrd.img",
            "images/pxeboot/vmlinuz",
            "isolinux/isolinux.cfg",
        ],
        texts: &[],
    },
    // openSUSE-Tumbleweed-DVD-x86_64-Current.iso
    Image {
        profile: "opensuse-yast",
        label: "openSUSE-Tumbleweed installer",
        volume_id: "openSUSE-Tumbleweed-DVD-x86_6415",
        files: &[
            "boot/x86_64/loader/initrd",
            "boot/x86_64/loader/isolinux.cfg",
            "boot/x86_64/loader/linux",
            "media.1/products",
        ],
        texts: &[],
    },
    // openSUSE-Leap-15.6-DVD-x86_64-Media.iso
    Image {
        profile: "opensuse-yast",
        label: "openSUSE-Leap 15.6 installer",
        volume_id: "openSUSE-Leap-15.6-DVD-x86_64",
        files: &["boot/x86_64/loader/initrd", "boot/x86_64/loader/linux"],
        texts: &[],
    },
    // Leap-16.0-online-installer-x86_64.install.iso
    Image {
        profile: "opensuse-agama",
        label: "Leap 16.0 installer (Agama)",
        volume_id: "Leap-16.0-online-installer",
        files: &[
            "LiveOS/squashfs.img",
            "boot/grub2/grub.cfg",
            "boot/x86_64/loader/initrd",
            "boot/x86_64/loader/linux",
        ],
        texts: &[],
    },
    // openSUSE-Tumbleweed-KDE-Live-x86_64-Current.iso
    Image {
        profile: "opensuse-live",
        label: "openSUSE_Tumbleweed_KDE live",
        volume_id: "openSUSE_Tumbleweed_KDE_Live",
        files: &[
            "LiveOS/squashfs.img",
            "boot/grub2/grub.cfg",
            "boot/x86_64/loader/initrd",
            "boot/x86_64/loader/linux",
        ],
        texts: &[],
    },
    // archlinux-2024.01.01-x86_64.iso
    Image {
        profile: "arch",
        label: "Arch Linux 202401",
        volume_id: "ARCH_202401",
        files: &[
            "arch/boot/x86_64/initramfs-linux.img",
            "arch/boot/x86_64/vmlinuz-linux",
            "arch/x86_64/airootfs.sfs",
            "boot/syslinux/syslinux.cfg",
        ],
        texts: &[],
    },
    // systemrescue-11.02-amd64.iso
    Image {
        profile: "systemrescue",
        label: "SystemRescue 1102",
        volume_id: "RESCUE1102",
        files: &[
            "boot/grub/grubsrcd.cfg",
            "sysresccd/boot/amd_ucode.img",
            "sysresccd/boot/intel_ucode.img",
            "sysresccd/boot/x86_64/sysresccd.img",
            "sysresccd/boot/x86_64/vmlinuz",
            "sysresccd/x86_64/airootfs.sfs",
        ],
        texts: &[],
    },
    // alpine-standard-3.20.3-x86_64.iso
    Image {
        profile: "alpine",
        label: "Alpine Linux 3.20.3",
        volume_id: "alpine-std 3.20.3 x86_64",
        files: &[
            "apks/x86_64/APKINDEX.tar.gz",
            "boot/grub/grub.cfg",
            "boot/initramfs-lts",
            "boot/modloop-lts",
            "boot/syslinux/syslinux.cfg",
            "boot/vmlinuz-lts",
        ],
        texts: &[],
    },
    // nixos-minimal-25.05.804219.36ab78dab7da-x86_64-linux.iso
    Image {
        profile: "nixos",
        label: "NixOS 25.05",
        volume_id: "nixos-minimal-25.05-x86_64",
        files: &[
            "boot/bzImage",
            "boot/initrd",
            "boot/grub/loopback.cfg",
            "isolinux/isolinux.cfg",
            "nix-store.squashfs",
            "version.txt",
        ],
        texts: &[("version.txt", "25.05.804219.36ab78dab7da")],
    },
    // memtest86+ 7.20: what its Makefile puts into the ISO
    Image {
        profile: "memtest86plus",
        label: "Memtest86+",
        volume_id: "MT86PLUS_64",
        files: &["EFI/BOOT/bootx64.efi", "boot/floppy.img"],
        texts: &[],
    },
    // FD13LIVE.iso, as v86's tests know it
    Image {
        profile: "freedos",
        label: "FreeDOS",
        volume_id: "FD13-LiveCD",
        files: &["isolinux/isolinux.cfg"],
        texts: &[],
    },
    // Windows ADK's WinPE
    Image {
        profile: "windows-pe",
        label: "Windows PE",
        volume_id: "DVD_ROM",
        files: &["boot/bcd", "boot/boot.sdi", "bootmgr", "sources/boot.wim"],
        texts: &[],
    },
    // Win11_24H2_English_x64.iso, its UDF side
    Image {
        profile: "windows-installer",
        label: "Windows installer",
        volume_id: "CCCOMA_X64FRE_EN-US_DV9",
        files: &[
            "boot/bcd",
            "boot/boot.sdi",
            "bootmgr",
            "setup.exe",
            "sources/boot.wim",
            "sources/install.wim",
        ],
        texts: &[],
    },
    // what grub-mkrescue makes
    Image {
        profile: "own-menu",
        label: "ISOIMAGE",
        volume_id: "ISOIMAGE",
        files: &["boot/grub/grub.cfg", "vmlinuz", "initrd.gz"],
        texts: &[],
    },
];

impl Image {
    pub(super) fn contents(&self) -> Contents {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let len = |name: &&str| ((*name).to_owned(), 300 * MIB + 1);
        Contents {
            volume_id: self.volume_id.to_owned(),
            image_bytes: 1000 * MIB,
            files: self.files.iter().map(len).collect(),
            texts: self.texts.iter().map(owned).collect(),
            beside: BTreeMap::new(),
        }
    }

    pub(super) fn of(profile: &str) -> &'static Self {
        let mut images = IMAGES.iter();
        images
            .find(|image| image.profile == profile)
            .expect("each profile has an image")
    }
}

fn served() -> Served {
    Served {
        http: Some("http://192.0.2.1:8080/images/some".to_owned()),
        nfs: Some(("192.0.2.1".to_owned(), "/images/some".to_owned())),
    }
}

/// The contents with all that some profile wants beside it.
pub(super) fn with_all_beside(profiles: &Profiles, mut contents: Contents) -> Contents {
    let beside = Questions::of(profiles).beside;
    contents.beside = beside.into_iter().map(|path| (path, MIB)).collect();
    contents
}

fn line(profile: &str, name: &str, transport: Transport) -> Result<String, Unfilled> {
    let profiles = Profiles::shipped();
    let contents = with_all_beside(&profiles, Image::of(profile).contents());
    let recognised = recognise(&profiles, &contents).expect("recognised");
    let entry = recognised.entries.iter().find(|entry| entry.name == name);
    let entry = entry.expect("an entry");
    CommandLine::of(&recognised, entry, transport, &served()).map(|line| line.0)
}

#[test]
fn images_are_recognised() {
    let profiles = Profiles::shipped();
    for image in IMAGES {
        let recognised = recognise(&profiles, &image.contents()).expect(image.profile);
        assert_eq!(recognised.profile.id, image.profile, "{}", image.label);
        assert_eq!(recognised.label, image.label);
        assert!(!recognised.reasons.is_empty(), "{}", image.label);
        let usual = recognised.entries.first().expect(image.label);
        if !matches!(usual.start, Start::Refused(_)) {
            assert!(recognised.memory_mib(Transport::Nfs).is_some() || image.profile == "own-menu");
        }
    }
}

// Of the profiles that fit an image one is preferred to all others; the order in the file decides
// nothing.
#[test]
fn no_profile_shadows_another() {
    let profiles = Profiles::shipped();
    for image in IMAGES {
        let contents = image.contents();
        let chosen = recognise(&profiles, &contents).expect(image.profile);
        for other in &chosen.passed_over {
            let fallback = profiles.get(other).expect("a profile").fallback;
            let preferred = chosen.profile.over.iter().any(|over| over == other);
            assert!(fallback || preferred, "{} and {other}", image.profile);
        }
    }
    for profile in profiles.iter() {
        let images = IMAGES.iter().filter(|image| image.profile == profile.id);
        assert!(images.count() > 0, "{} has no image", profile.id);
    }
}

#[test]
fn every_command_line_fills_without_a_hole() {
    let profiles = Profiles::shipped();
    for image in IMAGES {
        let contents = with_all_beside(&profiles, image.contents());
        let recognised = recognise(&profiles, &contents).expect(image.profile);
        let mut lines = 0;
        for entry in &recognised.entries {
            let Start::Linux { nfs, http, .. } = &entry.start else {
                continue;
            };
            for (transport, template) in [(Transport::Nfs, nfs), (Transport::Http, http)] {
                let line = CommandLine::of(&recognised, entry, transport, &served());
                match (line, template) {
                    (Ok(line), Some(_)) => {
                        assert!(!line.0.contains(['{', '}', '"', '$']), "{}", line.0);
                        lines += 1;
                    }
                    (Err(Unfilled::NoLine { .. }), None) => {}
                    (line, _) => panic!("{}: {line:?}", image.profile),
                }
            }
        }
        let is_linux = recognised
            .entries
            .iter()
            .any(|entry| matches!(entry.start, Start::Linux { .. }));
        assert_eq!(lines > 0, is_linux, "{}", image.profile);
    }
}

#[test]
fn command_lines() {
    let cases = [
        (
            "debian-live",
            Transport::Nfs,
            "boot=live components netboot=nfs nfsroot=192.0.2.1:/images/some",
        ),
        (
            "debian-live",
            Transport::Http,
            "boot=live components \
             fetch=http://192.0.2.1:8080/images/some/live/filesystem.squashfs",
        ),
        (
            "ubuntu-live",
            Transport::Nfs,
            "boot=casper netboot=nfs nfsroot=192.0.2.1:/images/some ip=dhcp",
        ),
        (
            "ubuntu-live",
            Transport::Http,
            "boot=casper url=http://192.0.2.1:8080/images/some.iso ip=dhcp root=/dev/ram0",
        ),
        (
            "fedora-installer",
            Transport::Nfs,
            "inst.repo=nfs:192.0.2.1:/images/some ip=dhcp",
        ),
        (
            "arch",
            Transport::Http,
            "archisobasedir=arch archiso_http_srv=http://192.0.2.1:8080/images/some/ ip=dhcp \
             net.ifnames=0",
        ),
        (
            "opensuse-yast",
            Transport::Nfs,
            "install=nfs://192.0.2.1/images/some",
        ),
        ("ubuntu-mini", Transport::Http, "iso-chooser-menu ip=dhcp"),
    ];
    for (profile, transport, expected) in cases {
        assert_eq!(
            line(profile, "", transport).as_deref(),
            Ok(expected),
            "{profile}"
        );
    }
    assert_eq!(
        line("ubuntu-server", "autoinstall", Transport::Http).as_deref(),
        Ok("root=/dev/ram0 ip=dhcp cloud-config-url=/dev/null \
            url=http://192.0.2.1:8080/images/some.iso autoinstall \
            ds=nocloud;s=http://192.0.2.1:8080/images/some.beside/seed/")
    );
    assert_eq!(
        line("alpine", "netboot", Transport::Http).as_deref(),
        Ok(
            "ip=dhcp alpine_repo=http://192.0.2.1:8080/images/some/apks \
            modloop=http://192.0.2.1:8080/images/some.beside/netboot/modloop-lts \
            modules=loop,squashfs"
        )
    );
    let error = line("alpine", "netboot", Transport::Nfs).expect_err("no NFS");
    assert_eq!(error.to_string(), "the profile alpine cannot boot by NFS");
}

// The initrds of debian-installer's CDs have cdrom-detect and no net-retriever, those of Alpine's
// images neither DHCP nor drivers of network cards.
#[test]
fn images_without_a_way_to_the_network_boot_with_the_netboot_files_beside_them() {
    let profiles = Profiles::shipped();
    let debians: &[&str] = &["netboot: no kernel: beside:netboot/linux is not there"];
    let alpines: &[&str] = &[
        "netboot: no kernel: beside:netboot/vmlinuz-lts, beside:netboot/vmlinuz-virt, \
         beside:netboot/vmlinuz-vanilla is not there",
        "netboot: apks/x86/APKINDEX.tar.gz is not there",
        "netboot: apks/aarch64/APKINDEX.tar.gz is not there",
    ];
    for (profile, missing) in [
        ("debian-netinst", debians),
        ("debian-dvd", debians),
        ("kali-installer", debians),
        ("alpine", alpines),
    ] {
        let contents = Image::of(profile).contents();
        let alone = recognise(&profiles, &contents).expect(profile);
        assert!(matches!(
            alone.entries[..],
            [Entry {
                start: Start::Refused(_),
                ..
            }]
        ));
        assert_eq!(alone.missing, missing, "{profile}");
        let contents = with_all_beside(&profiles, contents);
        let helped = recognise(&profiles, &contents).expect(profile);
        assert!(matches!(
            helped.entries[..],
            [Entry {
                name: "netboot",
                ..
            }]
        ));
    }
}

#[test]
fn memory_is_the_system_and_its_copies() {
    let profiles = Profiles::shipped();
    let memory = |profile: &str, transport| {
        let contents = Image::of(profile).contents();
        let recognised = recognise(&profiles, &contents).expect("recognised");
        recognised.memory_mib(transport)
    };
    assert_eq!(memory("debian-live", Transport::Nfs), Some(1024));
    assert_eq!(memory("debian-live", Transport::Http), Some(1024 + 301));
    assert_eq!(memory("ubuntu-live", Transport::Http), Some(4096 + 1000));
    assert_eq!(memory("fedora-installer", Transport::Nfs), Some(2048));
    assert_eq!(
        memory("fedora-installer", Transport::Http),
        Some(2048 + 301)
    );
    assert_eq!(memory("arch", Transport::Nfs), Some(1024));
    assert_eq!(memory("arch", Transport::Http), Some(1024 + 601));
    assert_eq!(memory("tails", Transport::Http), None);
}

#[test]
fn the_processor_is_known_by_the_names_of_distributions() {
    let profiles = Profiles::shipped();
    let architecture = |image: &Contents| {
        let recognised = recognise(&profiles, image).expect("recognised");
        recognised.entries[0].architecture
    };
    let mut image = Image::of("ubuntu-live").contents();
    assert_eq!(architecture(&image), Some(Architecture::X86_64));
    let old = "Ubuntu 16.04.6 LTS \"Xenial Xerus\" - Release i386 (20190227.1)";
    image.texts.insert(".disk/info".to_owned(), old.to_owned());
    assert_eq!(architecture(&image), Some(Architecture::X86));
    let live = Image::of("debian-live").contents();
    assert_eq!(
        architecture(&live),
        Some(Architecture::X86_64),
        "by the volume identifier"
    );
}

#[test]
fn clonezilla_is_not_for_one_processor_alone() {
    let profiles = Profiles::shipped();
    let mut image = Image::of("clonezilla").contents();
    for (tag, architecture) in [
        ("3.2.0-5-amd64", Architecture::X86_64),
        ("2.4.2-49-i686-pae", Architecture::X86),
        ("3.2.0-5-arm64", Architecture::Arm64),
        ("3.2.0-5-riscv64", Architecture::Riscv64),
    ] {
        let text = format!("clonezilla-live-{tag}\n");
        image
            .texts
            .insert("Clonezilla-Live-Version".to_owned(), text);
        let recognised = recognise(&profiles, &image).expect("recognised");
        assert_eq!(recognised.profile.id, "clonezilla");
        assert_eq!(recognised.entries[0].architecture, Some(architecture));
    }
}

// An image is anybody's file: what it says of itself may not become arguments of a kernel.
#[test]
fn texts_of_an_image_cannot_add_arguments() {
    let text = "[[profile]]\nid = \"mine\"\nlabel = \"{v}\"\nsource = [{ at = \"x\", evidence = \
                \"used by others\" }]\nrecognise.text = [{ volume_id = true, pattern = \
                '(?s)(?P<v>.+)' }]\n[[profile.boot]]\nfirmware = [\"bios\"]\nmethod = \"linux\"\n\
                kernel = [\"k\"]\nhttp = \"v={v}\"\n";
    let profiles = Profiles::default();
    let profiles = profiles.with(Path::new("my.toml"), text).expect("valid");
    let contents = Contents {
        volume_id: "1\ninit=/bin/sh".to_owned(),
        files: BTreeMap::from([("k".to_owned(), 1)]),
        ..Contents::default()
    };
    let recognised = recognise(&profiles, &contents).expect("recognised");
    assert_eq!(recognised.label, "1 init=/bin/sh");
    let line = CommandLine::of(
        &recognised,
        &recognised.entries[0],
        Transport::Http,
        &served(),
    );
    assert!(matches!(line, Err(Unfilled::Unfit { .. })), "{line:?}");
}

#[test]
fn questions_are_few() {
    let questions = Questions::of(&Profiles::shipped());
    assert!(questions.files.len() < 200, "{}", questions.files.len());
    assert_eq!(questions.folders.iter().collect::<Vec<_>>(), ["live"]);
    assert!(questions.texts.contains(".disk/info"));
    assert!(questions.beside.contains("netboot/initrd.gz"));
}

#[test]
fn who_wonders_is_told_why_a_profile_does_not_fit() {
    let profiles = Profiles::shipped();
    let contents = Image::of("debian-dvd").contents();
    let why = |id| why_not(profiles.get(id).expect("a profile"), &contents);
    assert_eq!(why("debian-dvd"), None);
    assert_eq!(
        why("nixos").as_deref(),
        Some("nix-store.squashfs is not there")
    );
    let why = why("debian-netinst").expect("no netinst");
    assert!(why.starts_with(".disk/info does not fit "), "{why}");
}

// What is said to be booted is booted by tests/boot; say so there and in docs/images.md as well.
#[test]
fn the_table_for_administrators_has_every_profile() {
    let table = include_str!("../../../../docs/images.md");
    for profile in Profiles::shipped().iter() {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", profile.id)));
        let row = row.unwrap_or_else(|| panic!("{} is not in docs/images.md", profile.id));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[4] != "no", profile.booted, "{row}");
        let strongest = profile.sources.iter().map(|source| source.evidence).max();
        let evidence = match strongest.expect("a source") {
            Evidence::SourceRead => "source read",
            Evidence::Documentation => "documentation",
            Evidence::UsedByOthers => "used by others",
            Evidence::Unread => "unread",
        };
        assert_eq!(cells[5], evidence, "{row}");
    }
}
