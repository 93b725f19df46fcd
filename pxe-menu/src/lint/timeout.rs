//! Timeouts: their unit, and whether they ever end.

use super::Lint;
use crate::keyword::{Keyword, Word};
use crate::scan::atoi;
use crate::{Code, Diagnostic, Place};

/// Tenths of a second below which nobody can read a menu.
const TOO_SHORT_TENTHS: i32 = 10;

/// Tenths of a second up to which a number was perhaps meant in seconds.
const SHORT_TENTHS: i32 = 20;

/// Tenths of a second from which on a timeout was probably meant in milliseconds.
const TOO_LONG_TENTHS: i32 = 30_000;

impl Lint<'_> {
    pub(super) fn timeouts(&mut self) {
        let resolution = self.resolution;
        for setting in &resolution.settings {
            let name = match setting.keyword {
                Keyword::Word(Word::Timeout) => "TIMEOUT",
                Keyword::Word(Word::TotalTimeout) => "TOTALTIMEOUT",
                _ => continue,
            };
            self.timeout(name, atoi(&setting.value), Some(setting.place));
        }
        let menu = &resolution.menu;
        for (screen, places) in menu.screens.iter().zip(&resolution.places) {
            let default = screen.entries.get(screen.default);
            // The cursor moves off it, and "cursor movement cancels timeout" (`run_menu` in menumain.c).
            let is_dead = default.is_some_and(|entry| !entry.can_be_chosen());
            if menu.ui.is_menu() && screen.timeout_tenths.is_some() && is_dead {
                let message = "the default entry cannot be chosen: the cursor moves off it, which stops TIMEOUT";
                let place = places.get(screen.default).copied();
                let remedy = "give MENU DEFAULT to an entry that can be chosen";
                self.tell(Code::DeadTimeout, place, message, Some(remedy));
            }
        }
        let has_timeout = menu.total_timeout_tenths.is_some()
            || menu
                .screens
                .iter()
                .any(|screen| screen.timeout_tenths.is_some());
        let on_timeout =
            |setting: &&crate::Setting| setting.keyword == Keyword::Word(Word::OnTimeout);
        if let Some(setting) = resolution.settings.iter().find(on_timeout)
            && !has_timeout
        {
            let message = "ONTIMEOUT without TIMEOUT: it is never started";
            self.push(
                Diagnostic::new(Code::DeadTimeout, setting.place, message)
                    .with_remedy("add TIMEOUT, in tenths of a second"),
            );
        }
    }

    fn timeout(&mut self, name: &str, tenths: i32, place: Option<Place>) {
        let message = match tenths {
            // 1 is how one says `at once`: 0 is no timeout.
            2..TOO_SHORT_TENTHS => format!("{name} {tenths} is less than a second"),
            TOO_LONG_TENTHS.. if name == "TIMEOUT" => {
                format!("{name} {tenths} is {} minutes", tenths / 600)
            }
            TOO_SHORT_TENTHS..=SHORT_TENTHS if name == "TIMEOUT" => {
                format!("{name} {tenths} is {}.{} seconds", tenths / 10, tenths % 10)
            }
            _ => return,
        };
        let meant = match tenths {
            TOO_LONG_TENTHS.. => tenths / 1000,
            _ => tenths,
        };
        let diagnostic = Diagnostic::new(Code::TimeoutUnit, place, message).with_remedy(format!(
            "{name} counts tenths of a second: {meant} seconds are {name} {}",
            meant * 10
        ));
        self.push(match tenths {
            TOO_SHORT_TENTHS..=SHORT_TENTHS => diagnostic.as_note(),
            _ => diagnostic,
        });
    }
}
