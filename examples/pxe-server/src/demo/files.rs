//! What the demo serves: a boot tree in memory, plausible in its names and sizes.
//!
//! Loaders, kernels and initrds are pseudo-random bytes made from their path, so that the client
//! can tell a file from every other file, and a byte from the byte beside it.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The loaders with the sizes of Debian's, and a kernel and an initrd of a small installer.
///
/// `ldlinux.c32` ends exactly at the end of a 1408-byte block, so that the empty last block of
/// RFC 1350 is needed to end its transfer; the initrd is one byte too long for such comfort.
const BINARIES: [(&str, usize); 8] = [
    ("bios/lpxelinux.0", 75_072),
    ("bios/ldlinux.c32", 85 * 1408),
    ("bios/menu.c32", 26_228),
    ("efi64/syslinux.efi", 171_456),
    ("efi64/ldlinux.e64", 90 * 1408),
    ("efi64/menu.c32", 26_556),
    (KERNEL, 8 << 20),
    (INITRD, (24 << 20) + 1),
];

/// The kernel of the menu's default entry.
pub(super) const KERNEL: &str = "os/demo/vmlinuz";
/// The initrd of the menu's default entry.
pub(super) const INITRD: &str = "os/demo/initrd.img";
/// The menu of all machines.
pub(super) const MENU: &str = "pxelinux.cfg/default";
/// The menu's default entry.
pub(super) const LABEL: &str = "demo";
/// An entry of the menu whose kernel is not in the tree.
pub(super) const BROKEN_LABEL: &str = "old";
/// That kernel.
pub(super) const BROKEN_KERNEL: &str = "os/old/vmlinuz";

/// Links of the tree, with their targets: each loader looks for the menu in its own folder.
pub(super) const LINKS: [(&str, &str); 4] = [
    ("bios/pxelinux.cfg", "../pxelinux.cfg"),
    ("bios/os", "../os"),
    ("efi64/pxelinux.cfg", "../pxelinux.cfg"),
    ("efi64/os", "../os"),
];

/// The tree's files by their paths, links not followed.
#[derive(Debug, Clone)]
pub(super) struct Files {
    files: BTreeMap<String, Bytes>,
}

impl Files {
    /// All files; `http` is the authority (`127.0.0.1:8080`) of the menu's URLs.
    pub(super) fn new(http: &str) -> Self {
        let binaries = BINARIES.map(|(path, len)| (path.to_owned(), pseudo_random(path, len)));
        let mut files = BTreeMap::from(binaries);
        files.insert(MENU.to_owned(), Bytes::from(menu(http)));
        Self { files }
    }

    /// Each file with its content, by path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files
            .iter()
            .map(|(path, content)| (path.as_str(), content))
    }

    /// What a client that asks for `path` has to get, with the tree's links followed.
    pub(super) fn expected(&self, path: &str) -> Option<&Bytes> {
        let path = path.trim_start_matches('/');
        let behind_link = || {
            LINKS.iter().find_map(|(link, target)| {
                let rest = path.strip_prefix(link)?.strip_prefix('/')?;
                self.files
                    .get(&format!("{}/{rest}", target.strip_prefix("../")?))
            })
        };
        self.files.get(path).or_else(behind_link)
    }

    /// Turns one bit of the file's middle byte around; whether there is such a file. For the proof
    /// that the client would notice.
    pub(super) fn corrupt(&mut self, path: &str) -> bool {
        let Some(content) = self.files.get_mut(path) else {
            return false;
        };
        let mut bytes = content.to_vec();
        let middle = bytes.len() / 2;
        let Some(byte) = bytes.get_mut(middle) else {
            return false;
        };
        *byte ^= 1;
        *content = Bytes::from(bytes);
        true
    }
}

/// A menu as lpxelinux.0 and syslinux.efi read it.
fn menu(http: &str) -> String {
    format!(
        "# The demo's menu.\n\
         DEFAULT menu.c32\n\
         PROMPT 0\n\
         TIMEOUT 50\n\
         ONTIMEOUT {LABEL}\n\
         MENU TITLE pxe-server demo\n\
         \n\
         LABEL {LABEL}\n  \
           MENU LABEL ^Demo system\n  \
           KERNEL http://{http}/{KERNEL}\n  \
           INITRD http://{http}/{INITRD}\n  \
           APPEND ip=dhcp quiet\n\
         \n\
         LABEL {BROKEN_LABEL}\n  \
           MENU LABEL ^Old system, whose files somebody removed\n  \
           KERNEL http://{http}/{BROKEN_KERNEL}\n  \
           INITRD http://{http}/os/old/initrd.img\n"
    )
}

/// Random bytes are made for the first piece; the others are that one turned around, which even a
/// debug build does in no time.
const PIECE_LEN: usize = 64 << 10;
/// How much further each piece is turned than the one before it; odd, so that no two are alike.
const TURN: usize = 7919;

/// `len` bytes that are the same for the same path, and unlike those of any other.
fn pseudo_random(path: &str, len: usize) -> Bytes {
    // FNV-1a (64 bits), to make a seed of a name; then splitmix64 (Steele et al. 2014).
    let mut state = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut first = Vec::with_capacity(PIECE_LEN);
    while first.len() < PIECE_LEN {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        first.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(len + PIECE_LEN);
    let mut turn = 0;
    while bytes.len() < len {
        let (end, begin) = first.split_at(turn);
        bytes.extend_from_slice(begin);
        bytes.extend_from_slice(end);
        turn = (turn + TURN) % PIECE_LEN;
    }
    bytes.truncate(len);
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn files_differ_and_repeat() {
        assert_eq!(pseudo_random("a", 100), pseudo_random("a", 100));
        assert_ne!(pseudo_random("a", 100), pseudo_random("b", 100));
        assert_eq!(pseudo_random("a", 13).len(), 13);
        let large = pseudo_random("a", 24 << 20);
        let pieces: HashSet<&[u8]> = large.chunks(PIECE_LEN).collect();
        assert_eq!(
            pieces.len(),
            large.len() / PIECE_LEN,
            "no piece is there twice"
        );
    }

    #[test]
    fn links_lead_to_the_menu() {
        let mut files = Files::new("127.0.0.1:80");
        let menu = files.expected(MENU).expect("there").clone();
        assert_eq!(files.expected("bios/pxelinux.cfg/default"), Some(&menu));
        assert_eq!(
            files.expected("/efi64/os/demo/vmlinuz"),
            files.expected(KERNEL)
        );
        assert!(files.expected("bios/pxelinux.cfgdefault").is_none());
        assert!(files.expected(BROKEN_KERNEL).is_none());
        assert!(files.corrupt(MENU) && !files.corrupt(BROKEN_KERNEL));
        let corrupted = files.expected(MENU).expect("there");
        let differing = menu.iter().zip(corrupted).filter(|(a, b)| a != b).count();
        assert_eq!((corrupted.len(), differing), (menu.len(), 1));
    }
}
