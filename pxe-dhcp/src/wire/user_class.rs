//! User classes (option 77).

use std::borrow::Cow;

/// The user classes of option 77.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserClasses<'a> {
    pub(super) data: Cow<'a, [u8]>,
}

impl UserClasses<'_> {
    /// The classes in their order.
    ///
    /// RFC 3004 asks for a list, each class after its length. iPXE sends the bare bytes `iPXE`
    /// (`net/udp/dhcp.c`, `DHCP_USER_CLASS_ID`), as gPXE did. The value is a list if its lengths
    /// add up, and one class otherwise.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let is_list = self.is_list();
        let mut rest = self.data.as_ref();
        core::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            if !is_list {
                return Some(core::mem::take(&mut rest));
            }
            let (class, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Some(class)
        })
    }

    fn is_list(&self) -> bool {
        let mut rest = self.data.as_ref();
        while let Some((&len, tail)) = rest.split_first() {
            match tail.split_at_checked(usize::from(len)) {
                Some((_, tail)) if len > 0 => rest = tail,
                _ => return false,
            }
        }
        true
    }
}
