//! Which of several forms of a page a client likes best (RFC 9110 section 12).

use http::HeaderMap;
use http::header::ACCEPT;

/// The index of the media type that the client prefers; the earlier one of equals.
///
/// A client that accepts none gets the first, as section 12.4.1 allows: it can read the status.
pub(crate) fn preferred<const N: usize>(headers: &HeaderMap, types: [&str; N]) -> usize {
    let mut best = (0, 0);
    if headers.contains_key(ACCEPT) {
        for (index, media_type) in types.into_iter().enumerate() {
            let quality = quality(headers, media_type);
            if quality > best.1 {
                best = (index, quality);
            }
        }
    }
    best.0
}

/// The weight, in thousandths, that the most specific fitting media range gives to a type.
fn quality(headers: &HeaderMap, media_type: &str) -> u16 {
    let kind = media_type.split('/').next().unwrap_or_default();
    // How specific the range is, and its weight.
    let mut best = (0, 0);
    for value in headers.get_all(ACCEPT) {
        // What is no text names no type that we have.
        for element in value.to_str().unwrap_or_default().split(',') {
            let mut parts = element.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            let specific = match range.split_once('/') {
                _ if range.eq_ignore_ascii_case(media_type) => 3,
                Some((range, "*")) if range.eq_ignore_ascii_case(kind) => 2,
                Some(("*", "*")) => 1,
                _ => continue,
            };
            if specific > best.0 {
                best = (specific, parts.find_map(weight).unwrap_or(1000));
            }
        }
    }
    best.1
}

/// The value of a parameter `q` in thousandths, 0 if it is malformed; `None` for other parameters.
fn weight(parameter: &str) -> Option<u16> {
    let value = parameter
        .strip_prefix("q=")
        .or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let is_valid = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    Some(match whole {
        "1" => 1000,
        "0" if is_valid => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn preferred_of(accept: &[&'static str]) -> &'static str {
        let types = ["text/html", "application/json"];
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        types[preferred(&headers, types)]
    }

    #[test]
    fn the_heaviest_of_the_most_specific_ranges_wins() {
        let json: [&[&str]; 8] = [
            &["application/json"],
            &["APPLICATION/JSON"],
            &["text/html;q=0.5, application/json"],
            &["application/*"],
            &["text/*;q=0.1", "*/*;q=0.2"],
            &["text/html;q=0, */*"],
            &["*/*;q=0.1, application/json;q=0.101"],
            &["application/json; charset=utf-8 ;q=0.9"],
        ];
        for accept in json {
            assert_eq!(preferred_of(accept), "application/json", "{accept:?}");
        }
        let html: [&[&str]; 12] = [
            &[],
            &[""],
            &["*/*"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["application/json, text/html"],
            &["application/json;q=0.5, */*"],
            &["application/json;q=2"],
            &["application/json;q=-1"],
            &["application/json;q=0.0001"],
            &["application/json;q="],
            &["image/png"],
            &["json", ";,/;q=1,"],
        ];
        for accept in html {
            assert_eq!(preferred_of(accept), "text/html", "{accept:?}");
        }
    }
}
