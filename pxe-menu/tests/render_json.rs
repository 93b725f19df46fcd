//! JSON, read by a parser that nobody here wrote.

use proptest::prelude::*;
use pxe_menu::fuzzing::reread;
use pxe_menu::{Action, Client, JSON_VERSION, Loader, Menu, Text, render_json};
use serde_json::{Value, json};

fn parsed(menu: &Menu) -> Value {
    let text = render_json(menu, Loader::Lpxelinux, &Client::new());
    serde_json::from_str(&text).expect("JSON")
}

/// The bytes of a text.
fn bytes(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    let text = value["latin1"].as_str().expect("text");
    let byte = |character: char| u8::try_from(u32::from(character)).expect("a byte");
    text.chars().map(byte).collect()
}

const FULL: &str = "\
SERIAL 0 115200 0
CONSOLE 0
NOHALT 1
PROMPT 1
IMPLICIT 0
NOESCAPE 1
NOCOMPLETE 1
FONT a.psf
KBDMAP de.ktl
DISPLAY one.txt
SAY hello
PATH modules
PXERETRY 3
SENDCOOKIES 7
SYSAPPEND 1
ONERROR a
DEFAULT a
UI vesamenu.c32
TIMEOUT 50
TOTALTIMEOUT 9000
ONTIMEOUT a
ALLOWOPTIONS 0
MENU HIDDEN
MENU HIDDENKEY F1 a
MENU SHIFTKEY
MENU CLEAR
MENU RESOLUTION 800 600
MENU TITLE Title
MENU MASTER PASSWD m4ster
MENU BACKGROUND splash.png
MENU MSGCOLOR #fff *
MENU COLOR sel 7;37;40 #80ffffff * std
MENU TABMSG press
MENU ROWS 9
F1 help.txt help.png
LABEL a
MENU LABEL ^Alpha
MENU INDENT 2
MENU PASSWD s3cret
MENU SAVE
MENU IMMEDIATE
LINUX vmlinuz
INITRD one,two
APPEND quiet
TEXT HELP
First
ENDTEXT
LABEL off
MENU DISABLE
KERNEL off.c32
LABEL lost
MENU GOTO nosuch
LABEL shown
MENU HELP read.me back.png
MENU BEGIN sub
LABEL back
MENU EXIT
MENU END
LABEL away
MENU HIDE
LOCALBOOT 0
";

#[test]
fn all_that_a_menu_has_is_there() {
    let menu = reread(&FULL.into());
    let value = parsed(&menu);
    assert_eq!(value["version"], JSON_VERSION);
    let expected = json!({
        "ui": "graphic", "ui_files": [], "ui_module": null, "default": "a",
        "ui_command": "vesamenu.c32", "start": 0, "hidden_menu": true, "shift_key": true, "clear": true,
        "resolution": [800, 600], "total_timeout_tenths": 9000,
    });
    for (name, expected) in expected.as_object().expect("fields") {
        assert_eq!(&value[name], expected, "{name}");
    }
    assert_eq!(value["hidden_keys"][0]["command"], "a");
    assert_eq!(
        value["core"],
        json!({
            "prompt": true, "labels_only": true, "no_escape": true, "no_complete": true, "no_halt": true,
            "no_console": true, "serial": {"port": 0, "baud": 115_200, "flow": menu.core.serial.map(|s| s.flow)},
            "display": ["one.txt"], "font": "a.psf", "keymap": "de.ktl", "say": ["hello"], "path": ["modules"],
            "pxe_retry": 3, "send_cookies": 7, "on_error": "a", "sysappend": 1,
        })
    );
    let top = &value["screens"][0];
    let expected = json!({
        "tag": ".top", "title": "Title", "parent": null, "parent_entry": null, "default": 0,
        "timeout_tenths": 50, "on_timeout": "a", "on_error": null, "editable": false, "no_edit": true,
        "master_protected": true, "save": false, "immediate": false, "linked": false, "background": "splash.png",
        "messages": {"tabmsg": "press"}, "layout": {"rows": 9},
        "f_keys": [{"key": 1, "file": "help.txt", "background": "help.png"}],
    });
    for (name, expected) in expected.as_object().expect("fields") {
        assert_eq!(&top[name], expected, "{name}");
    }
    assert_eq!(
        top["colours"]["sel"],
        json!({"ansi": "7;37;40", "foreground": 0x80ff_ffff_u32, "background": null, "shadow": "std"})
    );
    assert_eq!(top["message_colours"]["foreground"], 0xffff_ffff_u32);
    let entries = top["entries"].as_array().expect("entries");
    assert_eq!(
        entries[0],
        json!({
            "label": "a", "menu_label": "^Alpha", "text": "  Alpha", "indent": 2, "hotkey": "A",
            "protected": true, "unreachable": false, "help": "First\n", "save": true, "immediate": true, "action": "run",
            "target": null, "tag": null, "file": null, "background": null,
            "command": {
                "image_type": "linux", "image": "vmlinuz", "append": "quiet", "initrd": "one,two",
                "sysappend": 1,
            },
            "run": {
                "type": "linux", "file": "vmlinuz", "initrds": ["one", "two"],
                "arguments": "quiet initrd=one,two",
            },
        })
    );
    assert_eq!(
        (&entries[1]["action"], &entries[1]["run"]),
        (&json!("disabled"), &Value::Null)
    );
    assert_eq!(entries[1]["command"]["image"], "off.c32");
    assert_eq!(
        (&entries[2]["action"], &entries[2]["tag"]),
        (&json!("nowhere"), &json!("nosuch"))
    );
    assert_eq!(
        (&entries[3]["file"], &entries[3]["background"]),
        (&json!("read.me"), &json!("back.png"))
    );
    assert_eq!(
        (&entries[4]["action"], &entries[4]["target"]),
        (&json!("submenu"), &json!(1))
    );
    let below = &value["screens"][1];
    assert_eq!(
        (&below["parent"], &below["parent_entry"]),
        (&json!(0), &json!(4))
    );
    assert_eq!(below["entries"][0]["target"], 0);
    assert_eq!(value["hidden"][0]["run"]["type"], "local");
    for secret in ["m4ster", "s3cret"] {
        assert!(!value.to_string().contains(secret));
    }
}

#[test]
fn text_that_is_not_utf_8_is_not_lost() {
    let menu = reread(&Text::new(
        *b"UI menu.c32\nLABEL a\nMENU LABEL D\xe9marrer \"\\\x01\x7f\nLINUX vmlinu\xff\n",
    ));
    let value = parsed(&menu);
    let entry = &value["screens"][0]["entries"][0];
    assert_eq!(entry["command"]["image"], json!({"latin1": "vmlinu\u{ff}"}));
    assert_eq!(bytes(&entry["command"]["image"]), b"vmlinu\xff");
    assert_eq!(bytes(&entry["menu_label"]), b"D\xe9marrer \"\\\x01\x7f");
}

proptest! {
    /// Whatever bytes a menu has: its JSON is JSON, and has them.
    #[test]
    fn every_text_comes_back(
        title in prop::collection::vec(any::<u8>(), 0..40),
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8),
    ) {
        let mut text = [&b"UI menu.c32\nMENU TITLE "[..], &title, b"\n"].concat();
        for label in &labels {
            text.extend_from_slice(&[b"LABEL x\nMENU LABEL ", &label[..], b"\nLINUX ", label, b"\n"].concat());
        }
        let menu = reread(&Text::new(text));
        let value = parsed(&menu);
        for (screen, told) in menu.screens.iter().zip(value["screens"].as_array().expect("screens")) {
            prop_assert_eq!(bytes(&told["title"]), screen.title.to_vec());
            for (entry, told) in screen.entries.iter().zip(told["entries"].as_array().expect("entries")) {
                prop_assert_eq!(bytes(&told["text"]), entry.shown().to_vec());
                if let Action::Run(command) = &entry.action {
                    prop_assert_eq!(bytes(&told["command"]["image"]), command.image.to_vec());
                }
            }
        }
    }
}
