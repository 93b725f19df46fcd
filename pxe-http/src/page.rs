//! Pages of the server's own: how text becomes HTML, and what says why there is no file.

use std::fmt::{self, Display, Write};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::accept::preferred;

/// A page, ready to be sent.
pub(crate) struct Page {
    /// What it is made of.
    pub(crate) media_type: HeaderValue,
    /// Its content.
    pub(crate) text: Bytes,
}

impl Page {
    /// A short page that says a status and its cause: HTML to clients that would rather have it
    /// than text (browsers), text to all others (firmware shows it as it comes, if at all).
    pub(crate) fn of_status(status: StatusCode, cause: &str, headers: &HeaderMap) -> Self {
        let code = status.as_str();
        let reason = status.canonical_reason().unwrap_or("Error");
        match preferred(headers, ["text/plain", "text/html"]) {
            0 => Self {
                media_type: HeaderValue::from_static("text/plain; charset=utf-8"),
                text: format!("{code} {reason}\n{cause}\n").into(),
            },
            _ => {
                let mut html = String::new();
                begin_html(&mut html, format!("{code} {reason}"), "");
                let _ = write!(html, "<h1>{code} {reason}</h1>\n<p>{}</p>\n", Html(cause));
                end_html(&mut html);
                Self::html(html)
            }
        }
    }

    pub(crate) fn html(html: String) -> Self {
        Self {
            media_type: HeaderValue::from_static("text/html; charset=utf-8"),
            text: html.into(),
        }
    }

    pub(crate) fn json(json: String) -> Self {
        Self {
            media_type: HeaderValue::from_static("application/json"),
            text: json.into(),
        }
    }
}

/// All that comes before a page's content. No script, nothing from elsewhere: browsers choose the
/// fonts, and light or dark; text browsers lose nothing.
pub(crate) fn begin_html(html: &mut String, title: impl Display, style: &str) {
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n\
         <style>\nbody {{ font-family: sans-serif; margin: 1em 2em }}\n\
         h1 {{ font-size: 1.3em }}\n{style}</style>\n</head>\n<body>\n",
        Html(title)
    );
}

/// All that comes after it.
pub(crate) fn end_html(html: &mut String) {
    html.push_str("</body>\n</html>\n");
}

/// Text with all escaped that means something in HTML, also within an attribute's quotes.
pub(crate) struct Html<T>(pub(crate) T);

impl<T: Display> Display for Html<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let (escaped, after) = match special.split_at(1) {
                ("&", after) => ("&amp;", after),
                ("<", after) => ("&lt;", after),
                (">", after) => ("&gt;", after),
                ("\"", after) => ("&quot;", after),
                (_, after) => ("&#39;", after),
            };
            self.0.write_str(escaped)?;
            rest = after;
        }
        self.0.write_str(rest)
    }
}

/// A peer's text on a page: harmless and not long.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 300;
        for character in self.0.chars().take(CHARS_MAX) {
            if character.is_control() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            } else {
                f.write_char(character)?;
            }
        }
        if self.0.chars().nth(CHARS_MAX).is_some() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_html_is_escaped() {
        assert_eq!(
            Html("a<b>&\"c\" 'd'&amp;\u{e9}").to_string(),
            "a&lt;b&gt;&amp;&quot;c&quot; &#39;d&#39;&amp;amp;\u{e9}"
        );
        assert_eq!(Html("").to_string(), "");
    }

    #[test]
    fn long_and_harmful_text_is_shown_short_and_harmless() {
        assert_eq!(
            Shown("a\r\n\u{9b}b").to_string(),
            "a\u{fffd}\u{fffd}\u{fffd}b"
        );
        let long = "a".repeat(400);
        assert_eq!(Shown(&long).to_string(), format!("{}...", &long[..300]));
    }
}
