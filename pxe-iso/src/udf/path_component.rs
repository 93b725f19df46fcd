//! Path components: the target of a symbolic link (ECMA-167 part 4 section 14.16).

use super::characters::decode;
use super::fields::Fields;
use crate::Damage;

/// The target that a link's content names.
pub(super) fn target(content: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut target = String::new();
    let mut rest = content;
    while !rest.is_empty() {
        let fields = Fields::new(rest);
        let len = usize::from(fields.u8(1)?);
        let identifier = fields.slice(4, len)?;
        rest = rest.get(4 + len..).ok_or(Damage::TooShort)?;
        match fields.u8(0)? {
            // The root of a place that the identifier names, which only its writer knows; Linux
            // leaves it out too.
            1 if len > 0 => {}
            // The root of the hierarchy, or of the file system.
            1 | 2 => {
                target.clear();
                target.push('/');
            }
            3 => push(&mut target, ".."),
            4 => push(&mut target, "."),
            5 => push(&mut target, &decode(identifier)?),
            _ => return Err(Damage::Malformed),
        }
    }
    match target.contains('\0') {
        true => Err(Damage::Malformed),
        false => Ok(target.into_bytes()),
    }
}

fn push(target: &mut String, name: &str) {
    if !target.is_empty() && !target.ends_with('/') {
        target.push('/');
    }
    target.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_joined_from_their_components() {
        let parsed = |content: &[u8]| {
            target(content).map(|target| String::from_utf8(target).expect("UTF-8"))
        };
        let up = b"\x03\0\0\0\x05\x04\0\0\x08abc";
        assert_eq!(parsed(up).as_deref(), Ok("../abc"));
        let root = b"\x02\0\0\0\x05\x02\0\0\x08a\x05\x03\0\0\x10\x6f\x22";
        assert_eq!(parsed(root).as_deref(), Ok("/a/漢"));
        assert_eq!(parsed(b"\x04\0\0\0").as_deref(), Ok("."));
        assert_eq!(parsed(b"\x01\x01\0\0x\x04\0\0\0").as_deref(), Ok("."));
        assert_eq!(parsed(b"").as_deref(), Ok(""));
    }

    #[test]
    fn components_that_are_none_are_damage() {
        assert_eq!(target(b"\x05\x04\0\0\x08ab"), Err(Damage::TooShort));
        assert_eq!(target(b"\x05"), Err(Damage::TooShort));
        assert_eq!(target(b"\x07\0\0\0"), Err(Damage::Malformed));
        assert_eq!(target(b"\x05\x02\0\0\x08\0"), Err(Damage::Malformed));
    }
}
