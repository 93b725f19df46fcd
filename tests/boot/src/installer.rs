//! The Debian installer's own menus, read with all that they include.

use std::path::Path;

use pxe_menu::{Action, Loader, Menu, Paths, resolve};

use crate::document;

/// Where its package has the trees.
const IMAGES: &str = "/usr/lib/debian-installer/images/12/amd64";

/// The packages with them.
pub(crate) fn packages() -> Vec<String> {
    vec!["debian-installer-12-netboot-amd64".to_owned()]
}

/// One of the trees, and what its menu has.
struct Variant {
    name: &'static str,
    /// Files that the menu includes and the package has not: one menu is written for all variants.
    absent: &'static [&'static str],
    /// The title of each screen, and below it its entries.
    screens: &'static str,
}

const VARIANTS: [Variant; 2] = [
    Variant {
        name: "text",
        absent: &[
            "gtk", "adgtk", "adspkgtk", "adspk", "drkgtk", "addrkgtk", "x86drkme", "x86menu",
            "spkgtk", "spk",
        ],
        screens: "\
Debian GNU/Linux installer menu (BIOS mode)
  Install
  Advanced options >
  Accessible dark contrast installer menu >
  Help
Advanced options
  Back.. <
  Expert install
  Rescue mode
  Automated install
Accessible dark contrast option
  Back.. <
  Install
  Advanced options >
  Help
Advanced options
  Back.. <
  Expert install
  Rescue mode
  Automated install
",
    },
    Variant {
        name: "gtk",
        absent: &[
            "gtk", "adgtk", "adspkgtk", "drkgtk", "addrkgtk", "x86drkme", "x86menu", "spkgtk",
        ],
        screens: "\
Debian GNU/Linux installer menu (BIOS mode)
  Install
  Advanced options >
  Accessible dark contrast installer menu >
  Help
  Install with speech synthesis
Advanced options
  Back.. <
  Expert install
  Rescue mode
  Automated install
  Speech-enabled advanced options >
Speech-enabled advanced options
  Back.. <
  Expert speech install
  Rescue speech mode
  Automated speech install
Accessible dark contrast option
  Back.. <
  Install
  Advanced options >
  Help
Advanced options
  Back.. <
  Expert install
  Rescue mode
  Automated install
",
    },
];

/// Reads the menu of each of its trees, and says where it is not what the package has.
pub(crate) fn check() -> Result<(), String> {
    for variant in VARIANTS {
        let name = variant.name;
        let root = Path::new(IMAGES).join(name);
        let paths = Paths::new(Loader::Pxelinux, "pxelinux.0");
        let (document, missing) = document::read(&root, &paths, "pxelinux.cfg/default");
        let file = |name: &&str| format!("debian-installer/amd64/boot-screens/{name}.cfg");
        let absent: Vec<String> = variant.absent.iter().map(file).collect();
        if missing != absent {
            return Err(format!(
                "the installer's {name} tree: {missing:?} are missing, and {absent:?} should be"
            ));
        }
        let menu = resolve(&document).menu;
        let screens = screens(&menu);
        if screens != variant.screens {
            return Err(format!(
                "the menu of the installer's {name} tree is:\n{screens}"
            ));
        }
        println!(
            "the installer's {name} tree: {} files, {} entries, as the package has them",
            document.files().len() - missing.len(),
            menu.entries().count()
        );
    }
    Ok(())
}

/// Each screen's title, and below it its entries; `!` is at those that start nothing of the installer's.
fn screens(menu: &Menu) -> String {
    let mut told = String::new();
    for screen in &menu.screens {
        told.push_str(&format!("{}\n", screen.title));
        for entry in &screen.entries {
            let mark = match &entry.action {
                Action::Submenu(_) => " >",
                Action::Exit(_) => " <",
                Action::Run(command) if command.image.starts_with(b"debian-installer/") => "",
                _ => " !",
            };
            told.push_str(&format!("  {}{mark}\n", entry.shown()));
        }
    }
    told
}
