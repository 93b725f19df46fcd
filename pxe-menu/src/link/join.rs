//! One menu of many.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Link, Node, Read, State};
use crate::diagnostic::Diagnostics;
use crate::keyword::ImageType;
use crate::scan::word;
use crate::{
    Action, Code, Command, Diagnostic, Entry, Limits, Menu, Place, Resolution, Screen, ScreenId,
    Setting, Text, Ui,
};

/// Joins the menus of all configurations. The findings are the caller's.
pub(super) fn join(nodes: &mut [Node], limits: &Limits, found: &mut Diagnostics) -> Resolution {
    let mut nodes: Vec<Part> = nodes.iter_mut().map(Part::of).collect();
    rename_labels(&mut nodes);
    let mut join = Join {
        at: vec![None; nodes.len()],
        nodes,
        limits,
        found,
        tags: BTreeSet::new(),
        joined: Resolution {
            menu: Menu::default(),
            places: Vec::new(),
            hidden_places: Vec::new(),
            lines: BTreeMap::new(),
            settings: Vec::new(),
            diagnostics: Vec::new(),
        },
        settings: BTreeMap::new(),
    };
    join.all();
    join.joined.settings = join.settings.into_values().collect();
    join.joined
}

/// A configuration to be joined.
struct Part {
    /// Its file, for the tag of its top menu.
    name: Text,
    is_there: bool,
    resolution: Resolution,
    links: Vec<Link>,
    same: Option<usize>,
    /// Its screens that can be opened only with a password.
    closed: BTreeSet<usize>,
}

impl Part {
    fn of(node: &mut Node) -> Self {
        let mut part = Self {
            name: node.target.name().clone(),
            is_there: matches!(node.state, State::Read(_)),
            resolution: not_there(node),
            links: Vec::new(),
            same: None,
            closed: BTreeSet::new(),
        };
        match core::mem::replace(&mut node.state, State::Waiting) {
            State::Read(read) => {
                let Read { resolution, links } = *read;
                part.closed = closed(&resolution.menu);
                part.resolution = resolution;
                part.links = links;
            }
            State::Same(other) => part.same = Some(other),
            State::Waiting | State::Missing => {}
        }
        part
    }

    fn labels(&self) -> impl Iterator<Item = &Text> {
        let menu = &self.resolution.menu;
        menu.entries().filter_map(|entry| entry.label.as_ref())
    }

    /// The screen that it opens with.
    fn start(&self) -> usize {
        self.resolution.menu.start.map_or(0, ScreenId::index)
    }
}

/// The screens that lie below an entry with a password.
fn closed(menu: &Menu) -> BTreeSet<usize> {
    let mut closed = BTreeSet::new();
    // A submenu comes after the one that it is in.
    for (index, screen) in menu.screens.iter().enumerate() {
        if let Some((parent, at)) = screen.parent {
            let entry = menu.screen(parent).and_then(|above| above.entries.get(at));
            let is_protected = entry.is_some_and(|entry| entry.password.is_some());
            if is_protected || closed.contains(&parent.index()) {
                closed.insert(index);
            }
        }
    }
    closed
}

/// What a person finds who chooses a link to nothing. The menu there says "Initial menu has no
/// LABEL entries!" and goes to the prompt (`main` in menu/menumain.c).
fn not_there(node: &Node) -> Resolution {
    let shown = Text::from(format!("{} is not there", node.target.name()));
    let command = Command {
        image_type: ImageType::Kernel,
        image: shown.clone(),
        append: Text::default(),
        initrd: None,
        sysappend: 0,
    };
    let line = |label: &Text, action: Action| Entry {
        label: Some(label.clone()),
        menu_label: None,
        indent: 0,
        hotkey: None,
        password: None,
        help: None,
        save: false,
        immediate: false,
        unreachable: false,
        action,
    };
    let back = Text::from("Back");
    let screen = Screen {
        title: shown.clone(),
        entries: vec![
            line(&shown, Action::Disabled(command)),
            line(&back, Action::Exit(ScreenId::TOP)),
        ],
        default: 1,
        ..Screen::default()
    };
    let place = node.place.unwrap_or(Place::new(crate::FileId(0), 1, 1));
    Resolution {
        menu: Menu {
            ui: Ui::Text(Vec::new()),
            screens: vec![screen],
            ..Menu::default()
        },
        places: vec![vec![place; 2]],
        hidden_places: Vec::new(),
        lines: BTreeMap::new(),
        settings: Vec::new(),
        diagnostics: Vec::new(),
    }
}

/// Gives labels another name that a command line of another configuration would find, or the other
/// way round: to the loader each configuration has labels of its own. What is shown stays.
fn rename_labels(nodes: &mut [Part]) {
    let mut wanted = BTreeSet::new();
    for part in nodes.iter() {
        let menu = &part.resolution.menu;
        let screens = menu.screens.iter();
        let lines = screens.flat_map(|screen| [&screen.on_timeout, &screen.on_error]);
        let lines = lines.chain([&menu.default, &menu.ui_command, &menu.core.on_error]);
        let lines = lines.flatten().chain(menu.hidden_keys.values());
        wanted.extend(lines.map(|line| Text::from(line.first_word())));
    }
    let mut owners: BTreeMap<Text, usize> = BTreeMap::new();
    for part in nodes.iter() {
        let labels: BTreeSet<&Text> = part
            .labels()
            .filter(|label| wanted.contains(*label))
            .collect();
        for label in labels {
            *owners.entry(label.clone()).or_default() += 1;
        }
    }
    owners.retain(|_, count| *count > 1);
    for (index, part) in nodes.iter_mut().enumerate().skip(1) {
        let other = |label: &[u8]| Text::new([label, format!("~{index}").as_bytes()].concat());
        let menu = &mut part.resolution.menu;
        let screens = menu.screens.iter_mut();
        let entries = screens.flat_map(|screen| &mut screen.entries);
        let mut renamed = BTreeSet::new();
        for entry in entries.chain(&mut menu.hidden) {
            if let Some(label) = &entry.label
                && owners.contains_key(label)
            {
                let old = label.clone();
                entry.label = Some(other(&old));
                entry.menu_label.get_or_insert_with(|| old.clone());
                renamed.insert(old);
            }
        }
        let screens = menu.screens.iter_mut();
        let lines = screens.flat_map(|screen| [&mut screen.on_timeout, &mut screen.on_error]);
        let lines = lines.chain([&mut menu.default, &mut menu.ui_command]);
        for line in lines.flatten() {
            let (first, rest) = word(line);
            if renamed.contains(first) {
                *line = Text::new([&other(first)[..], rest].concat());
            }
        }
    }
}

struct Join<'a> {
    nodes: Vec<Part>,
    /// The number of each node's first screen, once it has a place.
    at: Vec<Option<usize>>,
    limits: &'a Limits,
    found: &'a mut Diagnostics,
    tags: BTreeSet<Text>,
    joined: Resolution,
    settings: BTreeMap<Place, Setting>,
}

impl Join<'_> {
    fn all(&mut self) {
        let Some(first) = self.nodes.first() else {
            return;
        };
        let menu = &first.resolution.menu;
        self.joined.menu = Menu {
            screens: Vec::new(),
            hidden: Vec::new(),
            ..menu.clone()
        };
        self.put(0, None);
        // What can be reached without a password has its place there, so that a way with one does
        // not close it.
        self.follow(true);
        self.follow(false);
        self.start();
    }

    /// The node that stands for this one.
    fn same(&self, mut node: usize) -> usize {
        // A node is the same only as one before it.
        while let Some(other) = self.nodes.get(node).and_then(|part| part.same) {
            node = other;
        }
        node
    }

    /// Gives all configurations a place that the ones with a place lead to.
    fn follow(&mut self, only_open: bool) {
        let placed = (0..self.nodes.len()).filter(|node| self.at[*node].is_some());
        let mut queue: VecDeque<usize> = placed.collect();
        while let Some(node) = queue.pop_front() {
            let Some(base) = self.at[node] else {
                continue;
            };
            for link in self.nodes[node].links.clone() {
                let id = ScreenId(base + link.screen);
                let is_closed = self.nodes[node].closed.contains(&link.screen);
                let Some(entry) = self.entry(id, link.entry) else {
                    continue;
                };
                let is_protected = is_closed || entry.password.is_some();
                if (only_open && is_protected) || !matches!(entry.action, Action::Run(_)) {
                    continue;
                }
                let to = self.same(link.node);
                let action = match self.at[to] {
                    Some(at) => Action::Goto(ScreenId(at + self.nodes[to].start())),
                    None => {
                        let Some(at) = self.put(to, Some((id, link.entry))) else {
                            continue;
                        };
                        queue.push_back(to);
                        Action::Submenu(ScreenId(at))
                    }
                };
                if let Some(entry) = self.entry(id, link.entry) {
                    // A submenu of one file has no label to be shown.
                    entry.menu_label = entry.menu_label.take().or_else(|| entry.label.clone());
                    entry.action = action;
                }
            }
        }
    }

    fn entry(&mut self, id: ScreenId, entry: usize) -> Option<&mut Entry> {
        let screen = self.joined.menu.screens.get_mut(id.index())?;
        screen.entries.get_mut(entry)
    }

    /// Adds a configuration's screens; `parent` is the entry that leads there.
    fn put(&mut self, node: usize, parent: Option<(ScreenId, usize)>) -> Option<usize> {
        let base = self.joined.menu.screens.len();
        let part = self.nodes.get_mut(node)?;
        let count = part.resolution.menu.screens.len();
        if parent.is_some() && base + count > self.limits.screens_max {
            let max = self.limits.screens_max;
            let message = format!("more than {max} menus: a link is not followed");
            self.found
                .push(Diagnostic::new(Code::Limited, None, message));
            return None;
        }
        let menu = &mut part.resolution.menu;
        let mut screens = core::mem::take(&mut menu.screens);
        let mut hidden = core::mem::take(&mut menu.hidden);
        let entries = screens.iter_mut().flat_map(|screen| &mut screen.entries);
        for entry in entries.chain(&mut hidden) {
            if let Action::Submenu(id) | Action::Goto(id) | Action::Exit(id) = &mut entry.action {
                id.0 += base;
            }
        }
        for screen in &mut screens {
            screen.parent = screen.parent.map(|(id, at)| (ScreenId(id.0 + base), at));
        }
        if let (Some(top), Some(parent)) = (screens.first_mut(), parent) {
            top.parent = Some(parent);
            top.tag = Some(part.name.clone());
            top.linked = true;
            // The way back from what is not there: in a top menu MENU EXIT counts nowhere else.
            for entry in &mut top.entries {
                if let Action::Exit(to) = &mut entry.action
                    && !part.is_there
                {
                    *to = parent.0;
                }
            }
        }
        for screen in &mut screens {
            let Some(tag) = &screen.tag else {
                continue;
            };
            let mut unique = tag.clone();
            let mut number = 2;
            while parent.is_some() && self.tags.contains(&unique) {
                unique = Text::new([&tag[..], format!("~{number}").as_bytes()].concat());
                number += 1;
            }
            self.tags.insert(unique.clone());
            screen.tag = Some(unique);
        }
        let joined = &mut self.joined;
        joined.menu.screens.append(&mut screens);
        joined.menu.hidden.append(&mut hidden);
        joined.places.append(&mut part.resolution.places);
        let hidden_places = &mut part.resolution.hidden_places;
        joined.hidden_places.append(hidden_places);
        joined.lines.append(&mut part.resolution.lines);
        for setting in part.resolution.settings.drain(..) {
            let (by_core, by_menu) = (setting.by_core, setting.by_menu);
            let both = self.settings.entry(setting.place).or_insert(setting);
            both.by_core |= by_core;
            both.by_menu |= by_menu;
        }
        joined.menu.core.no_escape |= part.resolution.menu.core.no_escape;
        self.at[node] = Some(base);
        Some(base)
    }

    /// Where nothing is shown but the default entry is started at once, and that leads to another
    /// configuration: its menu comes first.
    fn start(&mut self) {
        let mut node = 0;
        for _ in 0..self.nodes.len() {
            let Some(base) = self.at[node] else {
                return;
            };
            let menu = &self.nodes[node].resolution.menu;
            if node > 0 {
                self.joined.menu.ui = menu.ui.clone();
                self.joined.menu.start = Some(ScreenId(base + self.nodes[node].start()));
            }
            if menu.ui != Ui::Prompt || menu.core.prompt {
                return;
            }
            let Some(default) = menu.default_command() else {
                return;
            };
            let is_it = |link: &&Link| {
                let screen = self.joined.menu.screens.get(base + link.screen);
                let entry = screen.and_then(|screen| screen.entries.get(link.entry));
                let label = entry.and_then(|entry| entry.label.as_deref());
                label.is_some_and(|label| label == default.first_word())
            };
            let Some(link) = self.nodes[node].links.iter().find(is_it) else {
                return;
            };
            let next = self.same(link.node);
            if !self.nodes[next].is_there {
                return;
            }
            node = next;
        }
    }
}
