//! What a report looks like, and that nothing of a menu drives what it is shown on.

use pxe_menu::fuzzing::read;
use pxe_menu::{
    Code, Diagnostic, FileId, Limits, Paint, ReportFile, Tally, report_github, report_json,
    report_text, resolve,
};

/// A menu that would clear the screen, rename the terminal and forge lines of the report.
const HOSTILE: &str =
    "DEFAULT a\nLABEL a\n\x1b[2J\x1b]0;x\x07arppend \u{202e}x\r\n::error::forged,%\n";

fn hostile() -> (Vec<u8>, Vec<Diagnostic>) {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| HOSTILE.into())
    });
    let bytes = document.files()[0].bytes.clone().expect("it is there");
    (bytes, resolve(&document).diagnostics)
}

#[test]
fn text_is_laid_out_as_rustc_does_it() {
    let file = "UI menu.c32\n\nLABEL a\n\tKERNEL menu. c32\n";
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| file.into())
    });
    let item = &document.files()[0].items[3];
    let place = item.value_place(FileId::MAIN);
    let told = [
        Diagnostic::new(Code::MissingFile, place, "`menu.` is not there")
            .with_note("lpxelinux.0 asks for `bios/menu.`")
            .with_remedy("a space ends a name: did you mean menu.c32?"),
        Diagnostic::new(Code::NoDefault, None, "no DEFAULT"),
    ];
    let files = [ReportFile::new("srv/default", file.as_bytes())];
    let plain = "\
error[missing-file]: `menu.` is not there
 --> srv/default:4:9
  |
4 |     KERNEL menu. c32
  |            ^^^^^^^^^
  = note: lpxelinux.0 asks for `bios/menu.`
  = help: a space ends a name: did you mean menu.c32?

warning[no-default]: no DEFAULT

";
    assert_eq!(report_text(&files, &told, Paint::Plain), plain);
    let painted = report_text(&files, &told, Paint::Ansi);
    assert!(painted.starts_with("\x1b[1;31merror[missing-file]\x1b[0m"));
    let mut stripped = painted;
    for sequence in ["0", "1", "1;31", "1;33", "1;34"] {
        stripped = stripped.replace(&format!("\x1b[{sequence}m"), "");
    }
    assert_eq!(stripped, plain);
    assert_eq!(Tally::of(&told).to_string(), "1 error, 1 warning, 0 notes");
}

#[test]
fn no_report_has_a_control_character_of_the_menu() {
    let (bytes, told) = hostile();
    assert_eq!(told.len(), 2, "{told:#?}");
    let files = [ReportFile::new("a\x1b[2J\nb", &bytes)];
    for report in [
        report_text(&files, &told, Paint::Plain),
        report_json(&files, &told),
        report_github(&files, &told),
    ] {
        let bad = |character: char| character.is_control() && character != '\n';
        assert!(!report.contains(bad), "{report:?}");
    }
    let report = report_text(&files, &told, Paint::Plain);
    assert!(
        report.contains("\\x1b[2J\\x1b]0;x\\x07arppend \\u{202e}x"),
        "{report}"
    );
}

#[test]
fn json_is_one_documented_object() {
    let (bytes, told) = hostile();
    let files = [ReportFile::new("default", &bytes)];
    let told = told[1].clone().with_note("n").as_note();
    let json = report_json(&files, &[told]);
    assert_eq!(
        json,
        concat!(
            r#"{"version":1,"errors":0,"warnings":0,"notes":1,"findings":[{"code":"unknown-directive","#,
            r#""severity":"note","file":"default","line":4,"column":1,"bytes":17,"#,
            r#""message":"`::error::forged,%` is no directive: the line is ignored","#,
            r#""notes":["n"],"help":null}]}"#,
            "\n"
        )
    );
    assert_eq!(
        report_json(&[], &[]),
        "{\"version\":1,\"errors\":0,\"warnings\":0,\"notes\":0,\"findings\":[]}\n"
    );
}

#[test]
fn github_annotations_cannot_be_forged() {
    let (bytes, told) = hostile();
    let files = [ReportFile::new("a,b:c%/default", &bytes)];
    let report = report_github(&files, &told);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), told.len(), "one line a finding");
    assert_eq!(
        lines[1],
        "::warning file=a%2Cb%3Ac%25/default,line=4,col=1,title=unknown-directive::\
         `::error::forged,%25` is no directive: the line is ignored"
    );
    let with_help = Diagnostic::new(Code::NoDefault, None, "m").with_remedy("r");
    assert_eq!(
        report_github(&files, &[with_help.as_note()]),
        "::notice title=no-default::m%0Ahelp: r\n"
    );
}
