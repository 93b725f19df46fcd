//! `$GENERATE`: many records from one line, as BIND has it.

use std::fmt::Write as _;

/// Octets of what is made of an owner or of data at most; BIND has the same bound.
const FILLED_LEN_MAX: usize = 2047;
/// Characters of a number at most; BIND has the same bound.
const NUMBER_LEN_MAX: usize = 127;

/// `START-STOP` or `START-STOP/STEP`, each up to 2^31 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    start: i32,
    stop: i32,
    step: usize,
}

impl Range {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let is_signed = text.contains('+');
        let (start, rest) = text.split_once('-').filter(|_| !is_signed)?;
        let (stop, step) = rest.split_once('/').unwrap_or((rest, "1"));
        let (start, stop): (i32, i32) = (start.parse().ok()?, stop.parse().ok()?);
        let step: i32 = step.parse().ok().filter(|step| *step > 0)?;
        (0 <= start && start <= stop).then_some(Self {
            start,
            stop,
            step: usize::try_from(step).ok()?,
        })
    }

    pub(super) fn values(self) -> impl Iterator<Item = i32> {
        (self.start..=self.stop).step_by(self.step)
    }
}

/// Text with places for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a [u8]),
    Number {
        offset: i32,
        width: usize,
        base: Base,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Decimal,
    Octal,
    LowerHex,
    UpperHex,
    /// Hexadecimal digits from the last to the first, with dots between them: as `ip6.arpa` has
    /// them.
    LowerNibbles,
    UpperNibbles,
}

impl<'a> Template<'a> {
    /// Text in which `$` is a number, `${offset}`, `${offset,width}` or `${offset,width,base}` one
    /// that is changed and filled with zeros, and `$$` and `\$` a dollar.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|octet| matches!(octet, b'$' | b'\\')) {
            let (before, special) = rest.split_at(at);
            parts.push(Part::Text(before));
            rest = match special {
                // What a backslash protects is left as it is, the backslash with it.
                [b'\\', _, after @ ..] => {
                    parts.push(Part::Text(special.get(..2).unwrap_or_default()));
                    after
                }
                [b'$', b'$', after @ ..] => {
                    parts.push(Part::Text(b"$"));
                    after
                }
                [b'$', b'{', inner @ ..] => {
                    let end = inner.iter().position(|octet| *octet == b'}');
                    let (inner, after) = inner.split_at(end.unwrap_or(inner.len()));
                    let number = number(inner).filter(|_| end.is_some());
                    parts.push(number.ok_or_else(|| {
                        let shown = String::from_utf8_lossy(special).escape_debug().to_string();
                        format!("{shown}: write ${{offset,width,base}}, the base of d o x X n N")
                    })?);
                    after.get(1..).unwrap_or_default()
                }
                [b'$', after @ ..] => {
                    parts.push(Part::Number {
                        offset: 0,
                        width: 0,
                        base: Base::Decimal,
                    });
                    after
                }
                _ => {
                    parts.push(Part::Text(special));
                    &[]
                }
            };
        }
        parts.push(Part::Text(rest));
        Ok(Self { parts })
    }

    /// The text with this number in its places.
    pub(super) fn fill(&self, value: i32) -> Result<Vec<u8>, &'static str> {
        let mut filled = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.extend_from_slice(text),
                Part::Number {
                    offset,
                    width,
                    base,
                } => {
                    let value = value
                        .checked_add(*offset)
                        .ok_or("the number is too large")?;
                    filled.extend_from_slice(base.write(value, *width).as_bytes());
                }
            }
            if filled.len() > FILLED_LEN_MAX {
                return Err("it makes more than 2047 octets");
            }
        }
        Ok(filled)
    }
}

/// What is between the braces.
fn number(text: &[u8]) -> Option<Part<'static>> {
    let mut fields = std::str::from_utf8(text).ok()?.split(',');
    let offset = fields.next()?.trim_start().parse().ok()?;
    let width = fields
        .next()
        .map_or(Some(0), |width| width.trim_start().parse().ok())?;
    let base = match fields.next() {
        None | Some("d") => Base::Decimal,
        Some("o") => Base::Octal,
        Some("x") => Base::LowerHex,
        Some("X") => Base::UpperHex,
        Some("n") => Base::LowerNibbles,
        Some("N") => Base::UpperNibbles,
        Some(_) => return None,
    };
    (fields.next().is_none() && width <= NUMBER_LEN_MAX).then_some(Part::Number {
        offset,
        width,
        base,
    })
}

impl Base {
    fn write(self, value: i32, width: usize) -> String {
        match self {
            Self::Decimal => format!("{value:0width$}"),
            Self::Octal => format!("{value:0width$o}"),
            Self::LowerHex => format!("{value:0width$x}"),
            Self::UpperHex => format!("{value:0width$X}"),
            Self::LowerNibbles => nibbles(value, width),
            Self::UpperNibbles => nibbles(value, width).to_ascii_uppercase(),
        }
    }
}

/// The width counts dots too.
fn nibbles(value: i32, width: usize) -> String {
    let mut text = String::new();
    let mut left = value.cast_unsigned();
    loop {
        let _ = write!(text, "{:x}", left & 0xf);
        left >>= 4;
        if left == 0 && text.len() >= width {
            return text;
        }
        text.push('.');
        if left == 0 && text.len() >= width {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_a_step_or_none() {
        let values = |text: &str| {
            let range = Range::parse(text.as_bytes());
            range.map(|range| range.values().take(10).collect::<Vec<_>>())
        };
        assert_eq!(values("1-3"), Some(vec![1, 2, 3]));
        assert_eq!(values("0-10/5"), Some(vec![0, 5, 10]));
        assert_eq!(values("0-9/5"), Some(vec![0, 5]));
        assert_eq!(values("7-7"), Some(vec![7]));
        let most = "2147483647-2147483647/2147483647";
        assert_eq!(values(most), Some(vec![i32::MAX]));
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "3-1",
            "1-3/0",
            "1-3/",
            "1-3/-1",
            "+1-3",
            "1-2147483648",
        ] {
            assert_eq!(values(text), None, "{text}");
        }
    }

    /// The forms of BIND's manual, section `$GENERATE`, and what `genname` makes of the rest.
    #[test]
    fn numbers_are_put_into_text() {
        for (template, value, filled) in [
            ("host", 7, "host"),
            ("$", 7, "7"),
            ("host-$.$", 7, "host-7.7"),
            ("a$$b", 7, "a$b"),
            (r"a\$b\\$", 7, r"a\$b\\7"),
            ("${10}", 7, "17"),
            ("${-10}", 7, "-3"),
            ("${0,3}", 7, "007"),
            ("${0,3}", 1234, "1234"),
            ("${-10,4}", 7, "-003"),
            ("${0,3,d}", 7, "007"),
            ("${0,0,o}", 8, "10"),
            ("${0,4,x}", 254, "00fe"),
            ("${0,4,X}", 254, "00FE"),
            ("${0,0,n}", 0x1f, "f.1"),
            ("${0,0,N}", 0x1f, "F.1"),
            ("${0,7,n}", 0x1f, "f.1.0.0"),
            ("${0,4,n}", 0x1f, "f.1."),
            ("${0,2,n}", 1, "1."),
            ("${0,3,n}", 0x1f, "f.1"),
            ("${ 1}", 1, "2"),
        ] {
            let parsed = Template::parse(template.as_bytes()).expect(template);
            let expected = Ok(filled.as_bytes().to_vec());
            assert_eq!(parsed.fill(value), expected, "{template}");
        }
    }

    #[test]
    fn what_is_no_number_is_told() {
        for template in [
            "${",
            "${}",
            "${1",
            "${a}",
            "${1,}",
            "${1,2,}",
            "${1,2,q}",
            "${1,2,d,}",
        ] {
            assert!(Template::parse(template.as_bytes()).is_err(), "{template}");
        }
        assert!(Template::parse(b"${0,128}").is_err());
        let long = "$".repeat(4) + &"${0,127}".repeat(20);
        let parsed = Template::parse(long.as_bytes()).expect("a template");
        assert!(parsed.fill(1).is_err());
        let far = Template::parse(b"${1}").expect("a template");
        assert!(far.fill(i32::MAX).is_err());
    }
}
