//! The head of a response, compared with what was asked for.

use super::client::Asked;

/// The length of the head if all of it is here.
///
/// # Errors
/// A text: it is not what there is to answer.
pub(super) fn check(bytes: &[u8], asked: &Asked<'_>) -> Result<Option<usize>, String> {
    let failed = |what: &str| {
        let head = String::from_utf8_lossy(bytes.get(..600).unwrap_or(bytes)).into_owned();
        Err(format!("{what}, {asked:?}: {head:?}"))
    };
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let status_line = lines.next().unwrap_or_default();
    let mut len = status_line.len();
    let (mut has_length, mut has_range, mut is_closing) = (false, false, false);
    for line in lines {
        len += line.len();
        if line == b"\r\n" {
            let status: &[u8] = match asked.range {
                None => b"HTTP/1.1 200 ",
                Some(_) => b"HTTP/1.1 206 ",
            };
            return match () {
                () if !status_line.starts_with(status) => failed("another status"),
                () if !has_length => failed("no Content-Length"),
                () if has_range != asked.range.is_some() => failed("Content-Range"),
                // Whether it closes when it was asked to, is seen: static-web-server does not say it.
                () if is_closing && !asked.is_last => failed("closes"),
                () => Ok(Some(len)),
            };
        }
        let Some(line) = line.strip_suffix(b"\r\n") else {
            // It goes on in the next segment.
            return Ok(None);
        };
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return failed("no field");
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                has_length = number(value) == Some(asked.len());
                if !has_length {
                    return failed("another length");
                }
            }
            13 if name.eq_ignore_ascii_case(b"content-range") => {
                has_range = is_range(value, asked);
                if !has_range {
                    return failed("another range");
                }
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                is_closing = value.eq_ignore_ascii_case(b"close");
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => return failed("encoded"),
            16 if name.eq_ignore_ascii_case(b"content-encoding") => return failed("encoded"),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether this is `bytes first-last/all` of what was asked for.
fn is_range(value: &[u8], asked: &Asked<'_>) -> bool {
    let Some((first, last)) = asked.range else {
        return false;
    };
    let parts = value.strip_prefix(b"bytes ").and_then(|rest| {
        let dash = rest.iter().position(|&byte| byte == b'-')?;
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let part = |from: usize, to: usize| number(rest.get(from..to)?);
        Some((
            part(0, dash)?,
            part(dash + 1, slash)?,
            part(slash + 1, rest.len())?,
        ))
    });
    parts == Some((first, last, asked.file.len))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::client::Check;
    use super::super::content::File;
    use super::*;

    #[test]
    fn heads_are_told_from_wrong_ones() {
        let file = File {
            path: "/f".to_owned(),
            first: 0,
            len: 100,
        };
        let mut asked = Asked {
            file: &file,
            range: None,
            is_last: false,
            check: Check::Whole,
        };
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nX: y\r\n\r\n";
        assert_eq!(check(whole, &asked), Ok(Some(whole.len())));
        for end in 0..whole.len() {
            assert_eq!(check(&whole[..end], &asked), Ok(None), "{end}");
        }
        for wrong in [
            "HTTP/1.1 206 Partial\r\nContent-Length: 100\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Range: bytes 0-99/100\r\n\r\n",
        ] {
            assert!(check(wrong.as_bytes(), &asked).is_err(), "{wrong}");
        }
        asked.range = Some((10, 19));
        let part = "HTTP/1.1 206 P\r\nContent-Length: 10\r\nContent-Range: bytes 10-19/100\r\n\r\n";
        assert_eq!(check(part.as_bytes(), &asked), Ok(Some(part.len())));
        let other = part.replace("19/", "20/");
        assert!(check(other.as_bytes(), &asked).is_err());
        assert!(check(part.replace("/100", "/99").as_bytes(), &asked).is_err());
    }
}
