//! As much of a PXELINUX menu as the virtual machine needs: which kernel, which initrd.

/// An entry that a machine can boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kernel: String,
    pub(super) initrd: Option<String>,
    pub(super) append: String,
}

/// A menu, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Menu {
    /// `DEFAULT`: here the module that shows the menu.
    pub(super) default: Option<String>,
    /// `ONTIMEOUT`: the entry that boots if nobody chooses.
    pub(super) on_timeout: Option<String>,
    entries: Vec<(String, Entry)>,
}

impl Menu {
    /// Reads a menu; words that it does not know say nothing to it.
    pub(super) fn read(text: &str) -> Self {
        let mut menu = Self::default();
        for line in text.lines().map(str::trim) {
            let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let value = value.trim();
            let entry = menu.entries.last_mut().map(|(_, entry)| entry);
            match (word.to_ascii_uppercase().as_str(), entry) {
                ("DEFAULT", _) => menu.default = Some(value.to_owned()),
                ("ONTIMEOUT", _) => menu.on_timeout = Some(value.to_owned()),
                ("LABEL", _) => menu.entries.push((value.to_owned(), Entry::default())),
                ("KERNEL" | "LINUX", Some(entry)) => value.clone_into(&mut entry.kernel),
                ("INITRD", Some(entry)) => entry.initrd = Some(value.to_owned()),
                ("APPEND", Some(entry)) => value.clone_into(&mut entry.append),
                _ => {}
            }
        }
        menu
    }

    /// The entry with this label.
    pub(super) fn entry(&self, label: &str) -> Option<&Entry> {
        let (_, entry) = self.entries.iter().find(|(known, _)| known == label)?;
        (!entry.kernel.is_empty()).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let menu = Menu::read(
            "# x\nDEFAULT menu.c32\nAPPEND ignored\nontimeout b\nLABEL a\n  MENU LABEL ^A\n  kernel k\n\
             LABEL b\n\tLINUX http://h/k\n\tINITRD i\n\tAPPEND  x y\nLABEL c\n",
        );
        assert_eq!(menu.default.as_deref(), Some("menu.c32"));
        assert_eq!(menu.on_timeout.as_deref(), Some("b"));
        let entry = menu.entry("b").expect("there");
        assert_eq!(
            (entry.kernel.as_str(), entry.append.as_str()),
            ("http://h/k", "x y")
        );
        assert_eq!(entry.initrd.as_deref(), Some("i"));
        assert_eq!(menu.entry("a").expect("there").initrd, None);
        assert_eq!(menu.entry("c"), None);
    }
}
