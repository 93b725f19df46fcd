//! Which entries a password protects, and what another loader would have to ask for.

use std::collections::BTreeSet;

use crate::{Action, Entry, Menu, Screen, ScreenId, Text};

/// What opens a protected entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Passwords {
    /// Those in plain text.
    pub(super) plain: Vec<String>,
    /// Whether there are others that no language but syslinux's can check.
    pub(super) others: bool,
}

/// The passwords that open an entry: its own, or the menu's master password (`ask_passwd` in menumain.c).
/// `None`: it is not protected.
pub(super) fn passwords(screen: &Screen, entry: &Entry) -> Option<Passwords> {
    let own = entry.password.as_ref()?;
    let mut passwords = Passwords::default();
    for password in [Some(own), screen.master_password.as_ref()]
        .into_iter()
        .flatten()
    {
        match plain(password) {
            Some(word) if !passwords.plain.contains(&word) => passwords.plain.push(word),
            Some(_) => {}
            // An empty one is never typed.
            None => passwords.others |= !password.is_empty(),
        }
    }
    Some(passwords)
}

/// Why an entry is left out that nobody can start ([`Entry::unreachable`]): an item would open it.
pub(super) const UNREACHABLE: &str = "NOESCAPE keeps everybody from it, and no menu shows it";

/// A password in plain text that every loader can be told: of letters, digits and marks that mean nothing to
/// a script. `$1$`, `$4$`, `$5$` and `$6$` begin hashes (`passwd_compare` in passwd.c).
pub(super) fn plain(password: &Text) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!%*+,-./:=?@^_~".contains(byte);
    let text = core::str::from_utf8(password).ok()?;
    let is_word = !text.is_empty() && password.iter().all(is_plain);
    is_word.then(|| text.to_owned())
}

/// The submenus that a password guards, and what is below them.
pub(super) struct Guards {
    /// For each screen the guarded one that it is, or that it is below of.
    innermost: Vec<Option<usize>>,
    /// For each screen the one above it.
    above: Vec<Option<usize>>,
    /// The screens behind a password that cannot be asked for.
    closed: BTreeSet<usize>,
}

impl Guards {
    /// `can_ask` tells whether the language can ask for the password of an entry.
    pub(super) fn new(menu: &Menu, can_ask: impl Fn(&Screen, &Entry) -> bool) -> Self {
        let above: Vec<Option<usize>> = menu
            .screens
            .iter()
            .map(|screen| screen.parent.map(|(parent, _)| parent.index()))
            .collect();
        let guard = |index: usize| {
            let (parent, at) = menu.screens.get(index)?.parent?;
            let screen = menu.screen(parent)?;
            let entry = screen.entries.get(at)?;
            let leads_here = matches!(entry.action, Action::Submenu(id) if id.index() == index);
            (leads_here && entry.password.is_some()).then(|| can_ask(screen, entry))
        };
        let guards: Vec<Option<bool>> = (0..menu.screens.len()).map(guard).collect();
        let mut innermost = Vec::new();
        let mut closed = BTreeSet::new();
        for index in 0..menu.screens.len() {
            let mut found = None;
            for at in chain(&above, index) {
                match guards.get(at).copied().flatten() {
                    Some(false) => {
                        closed.insert(index);
                        found = found.or(Some(at));
                    }
                    Some(true) => found = found.or(Some(at)),
                    None => {}
                }
            }
            innermost.push(found);
        }
        Self {
            innermost,
            above,
            closed,
        }
    }

    /// Whether nothing of this screen can be said.
    pub(super) fn is_closed(&self, screen: ScreenId) -> bool {
        self.closed.contains(&screen.index())
    }

    /// Whether a jump passes no password: menu.c32 lets MENU GOTO in, but an entry is never to be easier to
    /// reach than it was meant to be.
    pub(super) fn may_go(&self, from: ScreenId, to: ScreenId) -> bool {
        let guard_of = |index: usize| self.innermost.get(index).copied().flatten();
        let Some(guard) = guard_of(to.index()) else {
            return !self.is_closed(to);
        };
        // Whoever is below the innermost guard has passed those above it.
        !self.is_closed(to) && chain(&self.above, from.index()).any(|index| index == guard)
    }
}

/// A screen and those above it; a chain that never ends is cut.
fn chain(above: &[Option<usize>], from: usize) -> impl Iterator<Item = usize> {
    let next = |index: &usize| above.get(*index).copied().flatten();
    core::iter::successors(Some(from), next).take(above.len())
}
