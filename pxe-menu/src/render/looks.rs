//! What of a menu only syslinux shows: colours, messages, consoles.

use crate::keyword::Parameter;
use crate::{Menu, Screen};

/// The directives of a menu's looks and consoles that a language without them loses, as one remark.
pub(super) fn lost(menu: &Menu) -> Option<String> {
    let core = &menu.core;
    let any = |has: fn(&Screen) -> bool| menu.screens.iter().any(has);
    let found = [
        ("SERIAL", core.serial.is_some()),
        ("CONSOLE 0", core.no_console),
        ("FONT", core.font.is_some()),
        ("KBDMAP", core.keymap.is_some()),
        ("DISPLAY", !core.display.is_empty()),
        ("SAY", !core.say.is_empty()),
        ("MENU RESOLUTION", menu.resolution.is_some()),
        ("MENU BACKGROUND", any(|screen| screen.background.is_some())),
        (
            "MENU COLOR",
            any(|screen| !screen.colours.is_empty() || screen.message_colours.is_some()),
        ),
        (
            "messages of MENU",
            any(|screen| !screen.messages.is_empty()),
        ),
        (
            "MENU SAVE",
            any(|screen| screen.save) || menu.entries().any(|entry| entry.save),
        ),
        ("PXERETRY", core.pxe_retry.is_some()),
        ("SENDCOOKIES", core.send_cookies.is_some()),
    ];
    let found = found.into_iter().filter(|(_, is_there)| *is_there);
    let mut words: Vec<String> = found.map(|(word, _)| word.to_owned()).collect();
    for parameter in Parameter::ALL {
        let has = |screen: &Screen| screen.layout.contains_key(&parameter);
        if menu.screens.iter().any(has) {
            words.push(format!("MENU {}", parameter.as_str().to_ascii_uppercase()));
        }
    }
    (!words.is_empty()).then(|| format!("{}: not in this language", words.join(", ")))
}
