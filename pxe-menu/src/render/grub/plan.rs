//! What GRUB does by itself: what it selects, shows first, and starts when the time is over.

use std::collections::BTreeSet;

use super::super::opening::{Target, linked_timeout};
use super::{Config, Said, id, quote};
use crate::{Screen, ScreenId};

/// What a timeout starts; without one, what is selected.
#[derive(Default)]
pub(super) struct Plan {
    /// Its identifiers, from the screen shown first down.
    path: Option<String>,
    /// The platform that it needs.
    platform: Option<&'static str>,
    /// The submenus on the way there.
    through: BTreeSet<usize>,
}

impl Config<'_> {
    /// The timeout, and what it starts.
    pub(super) fn open(&mut self) {
        let menu = self.menu;
        let start = self.opening.screen;
        if !self.guards.may_go(ScreenId::TOP, start) {
            self.out
                .unprotected("MENU START: the menu shown first is behind a password");
            self.opening.screen = ScreenId::TOP;
            self.opening.timeout_tenths = None;
        }
        if self.opening.screen != ScreenId::TOP {
            self.start();
        }
        self.plan = self.plan();
        if self.opening.screen != ScreenId::TOP {
            return;
        }
        if let Some(then) = &self.plan.path {
            self.out.line(format!("set default='{then}'"));
        }
        if self.opening.is_hidden {
            let style = if menu.shift_key {
                "hidden"
            } else {
                "countdown"
            };
            self.out.line(format!("set timeout_style={style}"));
        }
        self.timeout(self.opening.timeout_tenths, self.plan.platform);
    }

    /// `set timeout`, on the platform on which its entry is there: another one is not to be started instead.
    fn timeout(&mut self, tenths: Option<u32>, platform: Option<&str>) {
        let Some(seconds) = tenths.map(|tenths| tenths.div_ceil(10)) else {
            self.out.line("set timeout=-1");
            return;
        };
        match platform {
            None => self.out.line(format!("set timeout={seconds}")),
            Some(platform) => {
                self.out.line("set timeout=-1");
                self.out
                    .line(format!("if [ \"$grub_platform\" = \"{platform}\" ]; then"));
                self.out.line(format!("  set timeout={seconds}"));
                self.out.line("fi");
            }
        }
    }

    /// MENU START: a submenu that is opened at once. One further below is only selected: the way back to those
    /// between would be closed.
    fn start(&mut self) {
        let menu = self.menu;
        let Some((ScreenId::TOP, at)) = menu
            .screen(self.opening.screen)
            .and_then(|screen| screen.parent)
        else {
            self.out
                .lost("MENU START: GRUB shows the top menu first, and waits");
            self.opening.screen = ScreenId::TOP;
            self.opening.timeout_tenths = None;
            return;
        };
        self.out
            .line(format!("set default='{}'", id(ScreenId::TOP, at)));
        self.out.line("set timeout=0");
    }

    /// What the timeout starts. Where that is not in the file, there is no timeout.
    fn plan(&mut self) -> Plan {
        let screen = self.menu.screen(self.opening.screen);
        let selected = screen.map_or(0, |screen| screen.default);
        let selected = Target::Entry(self.opening.screen, selected);
        if self.opening.timeout_tenths.is_none() {
            return self.plan_for(&selected).unwrap_or_default();
        }
        let then = self.opening.then.clone();
        if then != selected {
            self.out
                .lost("ONTIMEOUT is not the default entry: GRUB selects what the timeout starts");
        }
        if let Some(plan) = self.plan_for(&then) {
            return plan;
        }
        let why = match then {
            Target::Nothing(why) => why,
            _ => "what it would start is not in this file",
        };
        self.out
            .lost(&format!("the timeout: {why}, so this menu waits"));
        self.opening.timeout_tenths = None;
        Plan::default()
    }

    fn plan_for(&self, target: &Target) -> Option<Plan> {
        let (screen, at) = match target {
            Target::Entry(screen, at) => (*screen, *at),
            Target::Command(command) => {
                let body = self.run(None, command, &mut Vec::new()).ok()?;
                return Some(Plan {
                    path: Some("timeout".to_owned()),
                    platform: body.platform,
                    through: BTreeSet::new(),
                });
            }
            Target::Nothing(_) => return None,
        };
        let platform = match self.said.get(screen.index())?.get(at)? {
            Said::Commands(body, _) => body.platform,
            Said::Screen(_) => None,
            Said::Dead | Said::LeftOut(..) => return None,
        };
        let mut path = vec![id(screen, at)];
        let mut through = BTreeSet::new();
        let mut here = (screen, at);
        loop {
            let shown_on = self.menu.screen(here.0)?;
            // Nobody is there to type it.
            if shown_on.entries.get(here.1)?.password.is_some() {
                return None;
            }
            if here.0 == self.opening.screen {
                break;
            }
            if !through.insert(here.0.index()) {
                return None;
            }
            here = shown_on.parent?;
            path.push(id(here.0, here.1));
        }
        path.reverse();
        Some(Plan {
            path: Some(path.join(">")),
            platform,
            through,
        })
    }

    /// What is selected in a submenu, and the timeout of the one that is shown first.
    pub(super) fn selected(&mut self, at: ScreenId, screen: &Screen, said: &[Said]) {
        if at == self.opening.screen {
            if let Some(then) = &self.plan.path {
                self.out.line(format!("set default='{then}'"));
            }
            self.timeout(self.opening.timeout_tenths, self.plan.platform);
        } else if self.plan.through.contains(&at.index()) {
            // GRUB has set what comes next already (`grub_menu_execute_entry` in normal/menu.c).
        } else if let Some((tenths, entry, platform)) = self.linked(at, said) {
            self.out.line(format!("set default='{}'", id(at, entry)));
            self.timeout(Some(tenths), platform);
        } else if screen.default > 0
            && matches!(
                said.get(screen.default),
                Some(Said::Commands(..) | Said::Screen(_))
            )
        {
            self.out
                .line(format!("set default='{}'", id(at, screen.default)));
        }
    }

    /// What ONTIMEOUT starts, where that is no entry.
    pub(super) fn timeout_entry(&mut self, screen: &Screen) -> bool {
        let Target::Command(command) = self.opening.then.clone() else {
            return false;
        };
        if self.opening.timeout_tenths.is_none() {
            return false;
        }
        let mut lost = Vec::new();
        let Ok(body) = self.run(None, &command, &mut lost) else {
            return false;
        };
        for what in &lost {
            self.out.lost(what);
        }
        let line = self.opening.line(self.menu, screen);
        let head = format!("{} --id timeout --unrestricted", quote::title(&line));
        self.commands(&head, &body);
        true
    }

    /// The timeout of a linked configuration, its entry, and the platform that the entry needs.
    fn linked(
        &mut self,
        at: ScreenId,
        said: &[Said],
    ) -> Option<(u32, usize, Option<&'static str>)> {
        let why = match linked_timeout(self.menu, at) {
            Ok(None) => return None,
            Ok(Some((tenths, entry))) => match said.get(entry) {
                Some(Said::Commands(body, _)) => return Some((tenths, entry, body.platform)),
                Some(Said::Screen(_)) => return Some((tenths, entry, None)),
                _ => "what it would start is not in this file",
            },
            Err(why) => why,
        };
        self.out
            .lost(&format!("the timeout of a linked menu: {why}, so it waits"));
        None
    }
}
