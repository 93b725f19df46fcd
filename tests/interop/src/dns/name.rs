//! Domain names, written here once more: what judges the server must not be made of it.

use std::fmt;

/// The octets of a name at most, with its lengths and the root's (RFC 1035 section 2.3.4).
const NAME_LEN_MAX: usize = 255;
const LABEL_LEN_MAX: usize = 63;

/// A domain name with the case that it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(Vec<Vec<u8>>);

impl Name {
    /// A name of these labels, if it is not too long.
    pub(super) fn of_labels(labels: Vec<Vec<u8>>) -> Option<Self> {
        let len = labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1;
        let is_label = |label: &Vec<u8>| (1..=LABEL_LEN_MAX).contains(&label.len());
        (len <= NAME_LEN_MAX && labels.iter().all(is_label)).then_some(Self(labels))
    }

    /// Reads a name as zone files have it, absolute whether or not it ends in a dot.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let (mut labels, mut label) = (Vec::new(), Vec::new());
        let mut octets = text.bytes();
        while let Some(octet) = octets.next() {
            match octet {
                b'.' => labels.push(std::mem::take(&mut label)),
                b'\\' => {
                    let next = octets.next()?;
                    if !next.is_ascii_digit() {
                        label.push(next);
                        continue;
                    }
                    let digits = [next, octets.next()?, octets.next()?];
                    let digits = String::from_utf8_lossy(&digits).into_owned();
                    label.push(digits.parse().ok()?);
                }
                _ => label.push(octet),
            }
        }
        if !label.is_empty() {
            labels.push(label);
        }
        if text == "." {
            labels.clear();
        }
        Self::of_labels(labels)
    }

    pub(super) fn labels(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The name without its first label; the root has none.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_first()?;
        Some(Self(rest.to_vec()))
    }

    /// The name with one more label before it, if that is not too long.
    pub(super) fn child(&self, label: &[u8]) -> Option<Self> {
        let mut labels = vec![label.to_vec()];
        labels.extend_from_slice(&self.0);
        Self::of_labels(labels)
    }

    /// Whether it is the other name or below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let (own, others) = (self.folded(), other.folded());
        own.0.ends_with(&others.0)
    }

    /// The name in lower case.
    pub(super) fn folded(&self) -> Self {
        self.map(u8::to_ascii_lowercase)
    }

    /// The same with each octet made another.
    pub(super) fn map(&self, change: impl Fn(&u8) -> u8) -> Self {
        let label = |label: &Vec<u8>| label.iter().map(&change).collect();
        Self(self.0.iter().map(label).collect())
    }

    /// Appends its wire form, not compressed.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        for label in &self.0 {
            to.push(label.len() as u8);
            to.extend_from_slice(label);
        }
        to.push(0);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            for octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", *octet as char)?;
                    }
                    b'!'..=b'~' => write!(f, "{}", *octet as char)?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        if self.0.is_empty() {
            f.write_str(".")?;
        }
        Ok(())
    }
}
