//! The few powers of root that an export can ask to be kept.

use std::fmt;
use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::config::{Config, ExportedFiles};

/// Powers of root (capabilities(7)) that the process keeps when it becomes its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept(CapabilitySet);

/// Each that may be kept, with its name and with what lacks without it.
const KNOWN: [(CapabilitySet, &str, &str); 6] = [
    (
        CapabilitySet::DAC_READ_SEARCH,
        "CAP_DAC_READ_SEARCH",
        "files that only root may read are not readable",
    ),
    (
        CapabilitySet::DAC_OVERRIDE,
        "CAP_DAC_OVERRIDE",
        "nothing can be made in directories of other users",
    ),
    (
        CapabilitySet::CHOWN,
        "CAP_CHOWN",
        "what clients make does not become theirs",
    ),
    (
        CapabilitySet::FOWNER,
        "CAP_FOWNER",
        "modes and times of other users' files cannot be set",
    ),
    (
        CapabilitySet::FSETID,
        "CAP_FSETID",
        "set-group-ID bits are lost where a file has another group",
    ),
    (CapabilitySet::MKNOD, "CAP_MKNOD", "devices cannot be made"),
];

impl Kept {
    /// None at all.
    pub(crate) const NONE: Self = Self(CapabilitySet::empty());

    /// Those that the exports ask for.
    ///
    /// `no_root_squash` says that a client's root may read everything, so we have to be able to.
    /// `rw` is done for many users, so files have to become theirs; what each user may do, pxe-nfs
    /// decides. Only a client's root makes devices.
    pub(crate) fn wanted(config: &Config) -> Self {
        let mut wanted = CapabilitySet::empty();
        for export in config.nfs.iter().flat_map(|nfs| &nfs.exports) {
            // Their files' modes are only compared, and not the kernel's.
            if export.files == ExportedFiles::Images {
                continue;
            }
            if export.has_root() {
                wanted |= CapabilitySet::DAC_READ_SEARCH;
            }
            if export.is_writable() {
                wanted |= CapabilitySet::DAC_OVERRIDE
                    | CapabilitySet::CHOWN
                    | CapabilitySet::FOWNER
                    | CapabilitySet::FSETID;
            }
            if export.is_writable() && export.has_root() {
                wanted |= CapabilitySet::MKNOD;
            }
        }
        Self(wanted)
    }

    /// Those of them that this process has: a container may have taken some away.
    pub(crate) fn possible(self) -> io::Result<Self> {
        Ok(Self(self.0 & capabilities(None)?.permitted))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0.is_empty()
    }

    /// Whether files are readable that only root may read.
    pub(crate) fn reads_all(self) -> bool {
        self.0
            .intersects(CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE)
    }

    /// Those that `other` has not, each with what lacks without it.
    pub(crate) fn without(self, other: Self) -> Vec<(&'static str, &'static str)> {
        let lacking = self.0 & !other.0;
        let known = KNOWN.iter().filter(|(one, ..)| lacking.contains(*one));
        known.map(|(_, name, effect)| (*name, *effect)).collect()
    }

    /// This thread has these from now on, and no others.
    pub(crate) fn assume(self) -> io::Result<()> {
        let sets = CapabilitySets {
            effective: self.0,
            permitted: self.0,
            inheritable: CapabilitySet::empty(),
        };
        Ok(set_capabilities(None, sets)?)
    }

    /// Those that this thread can use.
    pub(crate) fn current() -> io::Result<Self> {
        Ok(Self(capabilities(None)?.permitted))
    }
}

impl fmt::Display for Kept {
    /// `CAP_CHOWN, CAP_FOWNER`; `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .without(Self::NONE)
            .iter()
            .map(|(name, _)| *name)
            .collect();
        match names.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn wanted(clients: &str) -> String {
        let text = format!("[tree]\nroot = \"/srv\"\n[nfs.export]\nclients = \"{clients}\"\n");
        let config = Config::parse(&text, Path::new("x.toml")).expect("valid");
        Kept::wanted(&config).to_string()
    }

    #[test]
    fn nothing_is_kept_that_no_export_asks_for() {
        assert_eq!(wanted("10.0.0.0/8(ro)"), "none");
        assert_eq!(wanted("10.0.0.0/8(ro,all_squash)"), "none");
        assert_eq!(
            wanted("10.0.0.0/8(ro,no_root_squash)"),
            "CAP_DAC_READ_SEARCH"
        );
        assert_eq!(
            wanted("10.0.0.0/8(rw)"),
            "CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, CAP_FSETID"
        );
        assert_eq!(
            wanted("10.0.0.0/8(rw,no_root_squash)"),
            "CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_MKNOD"
        );
    }

    #[test]
    fn what_lacks_is_named_with_its_effect() {
        let all = Kept(CapabilitySet::CHOWN | CapabilitySet::MKNOD);
        let some = Kept(CapabilitySet::CHOWN);
        assert!(some.without(all).is_empty());
        assert_eq!(all.without(some), [("CAP_MKNOD", "devices cannot be made")]);
    }
}
