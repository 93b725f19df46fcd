//! A directory's page: for people as HTML, for programs as JSON.

use std::fmt::{self, Display, Write};

use http::HeaderMap;
use pxe_tree::{NodeKind, TreePath};

use crate::accept::preferred;
use crate::date::Date;
use crate::page::{Html, Page, begin_html, end_html};
use crate::{Listing, ListingEntry, Omitted};

/// After how many bytes a page shows no more entries. Names of usual length never come near, as
/// far as [`ListingLimits`](crate::ListingLimits) lets entries through; those of 255 bytes that
/// all have to be escaped do.
const PAGE_LEN_MAX: usize = 1 << 20;

const STYLE: &str = "\
table { border-spacing: 0 }
th { text-align: left }
th, td { padding: 0.1em 2em 0.1em 0 }
td:nth-child(2), th:nth-child(2) { text-align: right; white-space: nowrap }
td:nth-child(3) { white-space: nowrap }
tbody tr:hover { background: color-mix(in srgb, currentColor 8%, transparent) }
a { text-decoration: none }
a:hover { text-decoration: underline }
";

/// The page that the client likes best: HTML, unless it would rather have JSON.
pub(crate) fn listing_page(listing: &Listing, path: &TreePath, headers: &HeaderMap) -> Page {
    match preferred(headers, ["text/html", "application/json"]) {
        0 => Page::html(html(listing, path)),
        _ => Page::json(json(listing, path)),
    }
}

fn html(listing: &Listing, path: &TreePath) -> String {
    let mut html = String::new();
    begin_html(&mut html, Folder(path), STYLE);
    push_heading(&mut html, path);
    html.push_str(
        "<table>\n<thead>\n<tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr>\n\
         </thead>\n<tbody>\n",
    );
    if !path.is_root() {
        html.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    let mut shown = 0_u64;
    for entry in &listing.entries {
        if html.len() > PAGE_LEN_MAX {
            break;
        }
        push_row(&mut html, entry);
        shown = shown.saturating_add(1);
    }
    html.push_str("</tbody>\n</table>\n");
    match omitted(listing, shown) {
        Omitted::Nothing => {}
        Omitted::Entries(1) => html.push_str("<p>... and 1 more entry</p>\n"),
        Omitted::Entries(count) => {
            let _ = writeln!(html, "<p>... and {count} more entries</p>");
        }
        Omitted::Unknown => html.push_str("<p>... and more entries</p>\n"),
    }
    end_html(&mut html);
    html
}

/// What a page with the first `shown` entries does not show.
fn omitted(listing: &Listing, shown: u64) -> Omitted {
    let left_out = (listing.entries.len() as u64).saturating_sub(shown);
    match (listing.omitted, left_out) {
        (Omitted::Unknown, _) => Omitted::Unknown,
        (Omitted::Nothing, 0) => Omitted::Nothing,
        (Omitted::Nothing, count) => Omitted::Entries(count),
        (Omitted::Entries(more), count) => Omitted::Entries(count.saturating_add(more)),
    }
}

/// The path, each of its directories a link.
fn push_heading(html: &mut String, path: &TreePath) {
    html.push_str("<h1>");
    let names: Vec<_> = path.names().collect();
    // Relative, so that the page is right behind a proxy that serves it elsewhere.
    let up = |html: &mut String, count: usize| match count {
        0 => html.push_str("./"),
        _ => (0..count).for_each(|_| html.push_str("../")),
    };
    html.push_str("<a href=\"");
    up(html, names.len());
    html.push_str("\">/</a>");
    for (index, name) in names.iter().enumerate() {
        html.push_str("<a href=\"");
        up(html, names.len() - index - 1);
        let _ = write!(html, "\">{}/</a>", Html(name));
    }
    html.push_str("</h1>\n");
}

fn push_row(html: &mut String, entry: &ListingEntry) {
    let slash = slash(entry);
    html.push_str("<tr><td><a href=\"");
    push_reference(html, entry);
    let _ = write!(html, "\">{}{slash}</a>", Html(&*entry.name));
    if let Some(target) = &entry.target {
        let _ = write!(html, " &rarr; {}", Html(Raw(target)));
    }
    html.push_str("</td><td>");
    if let Some(len) = entry.len {
        let _ = write!(html, "{}", HumanLen(len));
    }
    html.push_str("</td><td>");
    if let Some(date) = date(entry) {
        let _ = write!(html, "{}", date.to_minute());
    }
    html.push_str("</td></tr>\n");
}

fn json(listing: &Listing, path: &TreePath) -> String {
    let mut json = String::from("{\"path\":");
    push_string(&mut json, Folder(path));
    json.push_str(",\"entries\":[");
    let mut shown = 0_u64;
    for entry in &listing.entries {
        if json.len() > PAGE_LEN_MAX {
            break;
        }
        json.push_str(if shown == 0 { "\n" } else { ",\n" });
        push_object(&mut json, entry);
        shown = shown.saturating_add(1);
    }
    json.push_str("\n],\"omitted\":");
    let _ = match omitted(listing, shown) {
        Omitted::Nothing => write!(json, "0"),
        Omitted::Entries(count) => write!(json, "{count}"),
        Omitted::Unknown => write!(json, "null"),
    };
    json.push_str("}\n");
    json
}

fn push_object(json: &mut String, entry: &ListingEntry) {
    json.push_str("{\"name\":");
    push_string(json, String::from_utf8_lossy(entry.name.as_bytes()));
    json.push_str(",\"href\":\"");
    push_reference(json, entry);
    let kind = match entry.kind {
        NodeKind::File => "file",
        NodeKind::Directory => "directory",
        NodeKind::Link => "link",
        _ => "other",
    };
    let _ = write!(json, "\",\"type\":\"{kind}\"");
    if let Some(len) = entry.len {
        let _ = write!(json, ",\"size\":{len}");
    }
    if let Some(date) = date(entry) {
        let _ = write!(json, ",\"modified\":\"{}\"", date);
    }
    if let Some(target) = &entry.target {
        json.push_str(",\"target\":");
        push_string(json, String::from_utf8_lossy(target));
    }
    json.push('}');
}

/// A string of JSON (RFC 8259 section 7).
fn push_string(json: &mut String, text: impl Display) {
    struct Escaping<'a>(&'a mut String);

    impl Write for Escaping<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for character in text.chars() {
                match character {
                    '"' | '\\' => {
                        self.0.push('\\');
                        self.0.push(character);
                    }
                    character if character.is_control() => {
                        write!(self.0, "\\u{:04x}", u32::from(character))?;
                    }
                    _ => self.0.push(character),
                }
            }
            Ok(())
        }
    }

    json.push('"');
    let _ = write!(Escaping(json), "{text}");
    json.push('"');
}

/// An entry's name as a reference from the page: with a slash behind a directory, and `./` before
/// what would else be read as a scheme (RFC 3986 section 4.2).
fn push_reference(page: &mut String, entry: &ListingEntry) {
    if entry.name.as_bytes().contains(&b':') {
        page.push_str("./");
    }
    push_segment(page, entry.name.as_bytes());
    page.push_str(slash(entry));
}

/// A name as a segment of a URI's path: all but unreserved characters (RFC 3986 section 2.3) and
/// the colons of MAC addresses are percent-encoded.
pub(crate) fn push_segment(uri: &mut String, name: &[u8]) {
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
}

const fn slash(entry: &ListingEntry) -> &'static str {
    match entry.kind {
        NodeKind::Directory => "/",
        _ => "",
    }
}

fn date(entry: &ListingEntry) -> Option<Date> {
    entry
        .modified
        .and_then(|modified| Date::from_seconds(modified.seconds))
}

/// A directory's path with a slash at either end.
struct Folder<'a>(&'a TreePath);

impl Display for Folder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_root() {
            true => f.write_str("/"),
            false => write!(f, "{}/", self.0),
        }
    }
}

/// A link's target, as [`Name`](pxe_tree::Name) shows a name.
struct Raw<'a>(&'a [u8]);

impl Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in String::from_utf8_lossy(self.0).chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// A length as people read it: bytes, or a number with one decimal and a unit of 1,024.
struct HumanLen(u64);

impl Display for HumanLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let len = self.0;
        if len < 1024 {
            return write!(f, "{len} B");
        }
        let exponent = len.ilog2() / 10;
        let tenths = (u128::from(len) * 10) >> (10 * exponent);
        let unit = UNITS.get(exponent as usize - 1).unwrap_or(&"");
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use pxe_tree::{NameBuf, Timestamp};

    fn entry(name: &'static [u8], kind: NodeKind) -> ListingEntry {
        ListingEntry::new(NameBuf::new(name).expect("a name"), kind)
    }

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("a path")
    }

    /// A file, a directory, a link, a hidden file, and names that mean something in HTML and JSON.
    fn listing() -> Listing {
        let mut linux = entry(b"linux", NodeKind::File);
        linux.len = Some(8_765_432);
        linux.modified = Some(Timestamp::from_seconds(784_111_777));
        let mut current = entry(b"current", NodeKind::Link);
        current.target = Some(Bytes::from_static(b"../<debian>\n"));
        Listing::new(vec![
            linux,
            current,
            entry(b"pool", NodeKind::Directory),
            entry(b"52:54:00", NodeKind::Directory),
            entry(b".disk", NodeKind::File),
            entry(b"\"<&'>\\\x01\xff e.iso", NodeKind::File),
            entry(b"pipe", NodeKind::Fifo),
        ])
    }

    #[test]
    fn people_read_html() {
        let html = html(&listing(), &path("/os/a&b"));
        let rows: Vec<&str> = html
            .lines()
            .filter(|row| row.starts_with("<tr><td>"))
            .collect();
        assert_eq!(
            rows,
            [
                "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>",
                "<tr><td><a href=\"./52:54:00/\">52:54:00/</a></td><td></td><td></td></tr>",
                "<tr><td><a href=\"pool/\">pool/</a></td><td></td><td></td></tr>",
                "<tr><td><a href=\"%22%3C%26%27%3E%5C%01%FF%20e.iso\">\
                 &quot;&lt;&amp;&#39;&gt;\\\\\\u{1}\\xff e.iso</a></td><td></td><td></td></tr>",
                "<tr><td><a href=\".disk\">.disk</a></td><td></td><td></td></tr>",
                "<tr><td><a href=\"current\">current</a> &rarr; ../&lt;debian&gt;\\n</td>\
                 <td></td><td></td></tr>",
                "<tr><td><a href=\"linux\">linux</a></td><td>8.3 MiB</td>\
                 <td>1994-11-06 08:49</td></tr>",
                "<tr><td><a href=\"pipe\">pipe</a></td><td></td><td></td></tr>",
            ]
        );
        assert!(html.contains("<title>/os/a&amp;b/</title>"));
        assert!(html.contains(
            "<h1><a href=\"../../\">/</a><a href=\"../\">os/</a><a href=\"./\">a&amp;b/</a></h1>"
        ));
        assert!(!html.contains("more entr") && !html.contains("<script"));
    }

    #[test]
    fn the_root_has_no_parent() {
        let html = html(&Listing::new(Vec::new()), &TreePath::ROOT);
        assert!(
            html.contains("<title>/</title>") && html.contains("<h1><a href=\"./\">/</a></h1>")
        );
        assert!(!html.contains("../"));
    }

    #[test]
    fn programs_read_json() {
        assert_eq!(
            json(&listing(), &path("/os")),
            concat!(
                r#"{"path":"/os/","entries":["#,
                "\n",
                r#"{"name":"52:54:00","href":"./52:54:00/","type":"directory"},"#,
                "\n",
                r#"{"name":"pool","href":"pool/","type":"directory"},"#,
                "\n",
                r#"{"name":"\"<&'>\\\u0001"#,
                "\u{fffd}",
                r#" e.iso","href":"%22%3C%26%27%3E%5C%01%FF%20e.iso","type":"file"},"#,
                "\n",
                r#"{"name":".disk","href":".disk","type":"file"},"#,
                "\n",
                r#"{"name":"current","href":"current","type":"link","target":"../<debian>\u000a"},"#,
                "\n",
                r#"{"name":"linux","href":"linux","type":"file","size":8765432,"#,
                r#""modified":"1994-11-06T08:49:37Z"},"#,
                "\n",
                r#"{"name":"pipe","href":"pipe","type":"other"}"#,
                "\n],\"omitted\":0}\n"
            )
        );
    }

    #[test]
    fn what_is_not_shown_is_said() {
        let mut listing = listing();
        for (omitted, line, number) in [
            (Omitted::Entries(1), "<p>... and 1 more entry</p>", "1"),
            (
                Omitted::Entries(95_904),
                "<p>... and 95904 more entries</p>",
                "95904",
            ),
            (Omitted::Unknown, "<p>... and more entries</p>", "null"),
        ] {
            listing.omitted = omitted;
            assert!(html(&listing, &TreePath::ROOT).contains(line));
            let json = json(&listing, &TreePath::ROOT);
            assert!(json.ends_with(&format!("\n],\"omitted\":{number}}}\n")));
        }
    }

    #[test]
    fn pages_are_bounded_whatever_names_there_are() {
        let name = NameBuf::new(vec![b'"'; 255]).expect("a name");
        let entries = vec![ListingEntry::new(name, NodeKind::File); 4096];
        let listing = Listing::new(entries);
        for page in [
            html(&listing, &TreePath::ROOT),
            json(&listing, &TreePath::ROOT),
        ] {
            assert!((PAGE_LEN_MAX..PAGE_LEN_MAX + 4096).contains(&page.len()));
        }
        assert!(html(&listing, &TreePath::ROOT).contains("more entries</p>"));
    }

    #[test]
    fn lengths_in_units_of_people() {
        for (len, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(HumanLen(len).to_string(), text);
        }
    }
}
