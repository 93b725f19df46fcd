//! What GRUB makes of what people write: each named for the rule, with its source.

use pxe_menu::{Action, Boot, Client, Diagnostic, GrubParser, Limits, Loader, Menu, Resolution};

/// A configuration of these files, the first being the main one.
fn read(files: &[(&str, &str)]) -> Resolution {
    let mut parser = GrubParser::new(files[0].0, Limits::default());
    while let Some(need) = parser.poll_need() {
        let found = files.iter().find(|(name, _)| need.file == *name);
        match found {
            Some((_, text)) => parser.provide(need.id, *text),
            None => parser.missing(need.id),
        }
    }
    parser.finish()
}

fn one(text: &str) -> Resolution {
    read(&[("grub/grub.cfg", text)])
}

fn told(resolution: &Resolution) -> Vec<String> {
    resolution
        .diagnostics
        .iter()
        .map(Diagnostic::to_string)
        .collect()
}

/// Each entry as `shown: what it starts`, those of submenus below their own with a dash before them.
fn outline(menu: &Menu) -> Vec<String> {
    let mut lines = Vec::new();
    screen(menu, 0, "", &mut lines);
    lines
}

fn screen(menu: &Menu, index: usize, indent: &str, lines: &mut Vec<String>) {
    for entry in &menu.screens[index].entries {
        let shown = entry.shown();
        match &entry.action {
            Action::Run(command) => {
                let what = match command.boot(Loader::GrubEfi, &Client::new()) {
                    Boot::Linux(linux) => format!(
                        "{} {:?} {}",
                        linux.kernel,
                        linux.initrds,
                        linux.arguments_without_initrd()
                    ),
                    other => format!("{other:?}"),
                };
                lines.push(format!("{indent}{shown}: {what}"));
            }
            Action::Submenu(below) => {
                lines.push(format!("{indent}{shown} >"));
                screen(menu, below.index(), &format!("{indent}- "), lines);
            }
            other => lines.push(format!("{indent}{shown}: {other:?}")),
        }
    }
}

/// Installers of the Debian family: a font and a background that may be there or not, submenus in submenus.
#[test]
fn an_installer_as_debian_writes_it() {
    let resolution = one("\
if [ x$feature_default_font_path = xy ] ; then
   font=unicode
else
   font=$prefix/font.pf2
fi
if loadfont $font ; then
  set gfxmode=800x600
  terminal_output gfxterm
fi
if background_image /splash.png; then
  set color_normal=light-gray/black
else
  set menu_color_normal=cyan/blue
fi
insmod play
play 960 440 1 0 4 440 1
menuentry 'Install' {
    set background_color=black
    linux    /images/amd64/linux vga=788 --- quiet
    initrd   /images/amd64/initrd.gz
}
submenu --hotkey=o 'Other ways ...' {
    set gfxpayload=keep
    menuentry '... Rescue' {
        linux    /images/amd64/linux rescue/enable=true --- quiet
        initrd   /images/amd64/initrd.gz
    }
    submenu '... Desktops' {
        menuentry --hotkey=k '... KDE' {
            linux /images/amd64/linux desktop=kde
            initrd /images/amd64/initrd.gz
        }
    }
}
");
    assert_eq!(told(&resolution), Vec::<String>::new());
    assert_eq!(
        outline(&resolution.menu),
        [
            "Install: ::images/amd64/linux [\"::images/amd64/initrd.gz\"] vga=788 --- quiet",
            "Other ways ... >",
            "- ... Rescue: ::images/amd64/linux [\"::images/amd64/initrd.gz\"] rescue/enable=true --- quiet",
            "- ... Desktops >",
            "- - ... KDE: ::images/amd64/linux [\"::images/amd64/initrd.gz\"] desktop=kde",
        ]
    );
    let top = &resolution.menu.screens[0];
    assert_eq!(
        (top.timeout_tenths, top.entries[1].hotkey),
        (None, Some(b'O'))
    );
    assert_eq!(resolution.places[0][0].line, 17);
}
