//! Timeouts: their unit, and whether they ever end.

use super::Lint;
use crate::keyword::{Keyword, Word};
use crate::scan::atoi;
use crate::{Code, Diagnostic, Place};

/// Tenths of a second below which nobody can read a menu.
const TOO_SHORT_TENTHS: i32 = 10;

/// Tenths of a second up to which a number was perhaps meant in seconds.
const SHORT_TENTHS: i32 = 20;

/// Tenths of a second from which on a multiple of a thousand was perhaps meant in milliseconds. Real menus
/// wait for five minutes, 3000.
const LONG_TENTHS: i32 = 5_000;

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
            match seconds_written(&setting.value) {
                Some(seconds) => self.timeout_in_seconds(name, seconds, setting),
                None => self.timeout(name, atoi(&setting.value), Some(setting.place)),
            }
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
            LONG_TENTHS.. if name == "TIMEOUT" && tenths % 1000 == 0 => {
                format!(
                    "{name} {tenths} is {} minutes {} seconds",
                    tenths / 600,
                    tenths % 600 / 10
                )
            }
            TOO_SHORT_TENTHS..=SHORT_TENTHS if name == "TIMEOUT" => {
                format!("{name} {tenths} is {}.{} seconds", tenths / 10, tenths % 10)
            }
            _ => return,
        };
        let meant = match tenths {
            LONG_TENTHS.. => tenths / 1000,
            _ => tenths,
        };
        let diagnostic = Diagnostic::new(Code::TimeoutUnit, place, message).with_remedy(format!(
            "{name} counts tenths of a second: {meant} seconds are {name} {}",
            meant * 10
        ));
        self.push(match tenths {
            TOO_SHORT_TENTHS..=SHORT_TENTHS | LONG_TENTHS..TOO_LONG_TENTHS => diagnostic.as_note(),
            _ => diagnostic,
        });
    }

    fn timeout_in_seconds(&mut self, name: &str, seconds: i32, setting: &crate::Setting) {
        let message = format!(
            "{name} {}: the loader reads {} tenths of a second",
            crate::diagnostic::quoted(&setting.value),
            atoi(&setting.value)
        );
        let remedy = format!(
            "{name} counts tenths of a second: {seconds} seconds are {name} {}",
            seconds.saturating_mul(10)
        );
        self.tell(Code::TimeoutUnit, setting.place, message, Some(&remedy));
    }
}

/// `30 seconds`: a number and a unit of its own, as seconds.
fn seconds_written(value: &[u8]) -> Option<i32> {
    let (number, rest) = crate::scan::word(value);
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let unit = crate::scan::word(crate::scan::skip_space(rest)).0;
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"s" | b"sec" | b"secs" | b"second" | b"seconds" => 1,
        b"m" | b"min" | b"mins" | b"minute" | b"minutes" => 60,
        _ => return None,
    };
    Some(atoi(number).saturating_mul(factor))
}
