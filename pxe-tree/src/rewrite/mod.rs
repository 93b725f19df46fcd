//! Rules that lead from the path that was asked for to the one that is served.

mod pattern;
mod source;
mod template;

use std::collections::BTreeSet;

pub use pattern::{Case, PathPattern, PatternError};
pub use source::{RewriteLookup, RewriteSource, Rewritten};
pub use template::{Replacement, RewriteValues};

use crate::{ErrorKind, TreePath};

/// Most rules that a list of them has.
pub const REWRITE_RULES_MAX: usize = 256;
/// How often rules may begin from the first one again for one request.
const RESTARTS_MAX: usize = 16;
/// How many parts of a path one rule replaces, if it replaces all of them.
const PARTS_MAX: usize = 64;

/// What a rule does with a path that its pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewriteAction {
    /// Puts this in the place of the part that matches; the rest stays.
    Replace(Replacement),
    /// The same for every part that matches, from the left, up to 64 of them.
    ReplaceAll(Replacement),
    /// The client is told that it may not have the file (`PermissionDenied`).
    Refuse,
}

/// When a rule is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RewriteWhen {
    /// For each request, before the file is looked for.
    #[default]
    Always,
    /// Where there is no such file: one more place to look at.
    Missing,
}

/// What comes after a rule of [`RewriteWhen::Always`] whose pattern matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RewriteThen {
    /// The next rule, which sees what this one made.
    #[default]
    Next,
    /// The file is looked for.
    Stop,
    /// The first rule again, at most 16 times for a request; then it is refused as a loop of links
    /// is (`LinkLoop`).
    Restart,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewriteRule {
    /// What events call it.
    pub name: String,
    /// Which paths it is about, and which part of them.
    pub pattern: PathPattern,
    /// What becomes of them.
    pub action: RewriteAction,
    /// When it is looked at. Default: always.
    pub when: RewriteWhen,
    /// What comes after it. Default: the next rule.
    pub then: RewriteThen,
}

impl RewriteRule {
    /// A rule that is always looked at, with the next one after it.
    pub fn new(name: impl Into<String>, pattern: PathPattern, action: RewriteAction) -> Self {
        Self {
            name: name.into(),
            pattern,
            action,
            when: RewriteWhen::default(),
            then: RewriteThen::default(),
        }
    }

    /// The same, looked at only then.
    #[must_use]
    pub const fn when(mut self, when: RewriteWhen) -> Self {
        self.when = when;
        self
    }

    /// The same, with this after it.
    #[must_use]
    pub const fn then(mut self, then: RewriteThen) -> Self {
        self.then = then;
        self
    }

    const fn replacement(&self) -> Option<&Replacement> {
        match &self.action {
            RewriteAction::Replace(to) | RewriteAction::ReplaceAll(to) => Some(to),
            RewriteAction::Refuse => None,
        }
    }

    /// What the rule makes of a path; `None` if it has nothing to do with it, or does not know
    /// what to fill in.
    fn apply(&self, path: &TreePath, values: &RewriteValues) -> Option<Applied> {
        let bytes = path.as_bytes();
        let mut found = self.pattern.find(bytes, 0)?;
        let Some(replacement) = self.replacement() else {
            return Some(Err(ErrorKind::PermissionDenied));
        };
        if !replacement.is_filled_by(values) {
            return None;
        }
        let parts_max = match self.action {
            RewriteAction::ReplaceAll(_) => PARTS_MAX,
            _ => 1,
        };
        let mut out = Vec::with_capacity(bytes.len());
        let mut copied = 0;
        for part in 1.. {
            let whole = found.whole.clone();
            let between = bytes.get(copied..whole.start).unwrap_or_default();
            let slash: &[u8] = if found.ends_before_name { b"/" } else { b"" };
            let done = template::push(between, &mut out)
                .and_then(|()| replacement.append(&found.groups, values, &mut out))
                .and_then(|()| template::push(slash, &mut out));
            if let Err(kind) = done {
                return Some(Err(kind));
            }
            copied = whole.end;
            // An empty match is not found again at the same place.
            let from = copied + usize::from(whole.is_empty());
            if part >= parts_max || from > bytes.len() {
                break;
            }
            match self.pattern.find(bytes, from) {
                Some(next) => found = next,
                None => break,
            }
        }
        let rest = bytes.get(copied..).unwrap_or_default();
        let made = template::push(rest, &mut out).and_then(|()| TreePath::parse(&out));
        Some(made)
    }
}

/// What a rule makes of a path that it is about.
type Applied = Result<TreePath, ErrorKind>;

/// Rules, in the order in which they are looked at.
///
/// # Example
///
/// Windows' loader looks for its files in a directory of its own, and every machine has a
/// configuration of its own where one is there:
///
/// ```
/// use pxe_tree::{
///     Case, PathPattern, Replacement, RewriteAction, RewriteRule, RewriteRules, RewriteValues,
///     RewriteWhen, TreePath,
/// };
///
/// let boot = PathPattern::below(TreePath::parse("boot")?, Case::Ignored);
/// let to = RewriteAction::Replace(Replacement::parse("windows/Boot")?);
/// let default = PathPattern::exact(TreePath::parse("linux.cfg")?, Case::Sensitive);
/// let of_machine = RewriteAction::Replace(Replacement::parse("machines/${mac}.cfg")?);
/// let rules = RewriteRules::new([
///     RewriteRule::new("windows", boot, to),
///     RewriteRule::new("machine", default, of_machine).when(RewriteWhen::Missing),
/// ])?;
///
/// let values = RewriteValues::from([("mac", "52-54-00-00-00-01".to_owned())]);
/// let asked = TreePath::from_tftp(b"\\Boot\\BCD")?;
/// let course = rules.apply(&asked, &values);
/// assert_eq!(course.outcome.unwrap().to_string(), "/windows/Boot/BCD");
///
/// let missing = TreePath::parse("linux.cfg")?;
/// let (rule, path) = rules.elsewhere(&missing, &values).next().unwrap();
/// assert_eq!(rule.name, "machine");
/// assert_eq!(path.unwrap().to_string(), "/machines/52-54-00-00-00-01.cfg");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewriteRules {
    rules: Vec<RewriteRule>,
    root_path: TreePath,
}

/// What rules made of a path, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewriteCourse {
    /// The rules that changed it or refused it, by their numbers from 0, each with what it made; a
    /// rule that refused made nothing.
    pub steps: Vec<(usize, Option<TreePath>)>,
    /// The path to look for, or why there is none.
    pub outcome: Result<TreePath, ErrorKind>,
}

impl RewriteRules {
    /// These rules.
    ///
    /// # Errors
    /// More than [`REWRITE_RULES_MAX`] rules; a replacement that refers to a group that its
    /// pattern lacks.
    pub fn new(rules: impl IntoIterator<Item = RewriteRule>) -> Result<Self, PatternError> {
        let rules: Vec<_> = rules.into_iter().take(REWRITE_RULES_MAX + 1).collect();
        if rules.len() > REWRITE_RULES_MAX {
            let text = format!("there are more than {REWRITE_RULES_MAX} rules");
            return Err(PatternError(text));
        }
        for rule in &rules {
            let group = rule.replacement().map_or(0, Replacement::greatest_group);
            let groups = rule.pattern.groups();
            if group > groups {
                let text = format!("there is no group {group}: the pattern has {groups}");
                return Err(PatternError(text));
            }
        }
        Ok(Self {
            rules,
            root_path: TreePath::ROOT,
        })
    }

    /// The same, for a tree whose root lies at that path for those who make requests, as
    /// [`Resolver::with_root_path`](crate::Resolver::with_root_path) has it: where a path begins with
    /// it, each rule sees the path without it, and as it is only if it has nothing to do with that.
    #[must_use]
    pub fn with_root_path(mut self, root_path: TreePath) -> Self {
        self.root_path = root_path;
        self
    }

    /// What a rule makes of a path, if it has something to do with it.
    fn made(&self, rule: &RewriteRule, path: &TreePath, values: &RewriteValues) -> Option<Applied> {
        let has_root_path = !self.root_path.is_root();
        let below = has_root_path.then(|| path.strip_prefix(&self.root_path));
        let made = below.flatten().and_then(|path| rule.apply(&path, values));
        made.or_else(|| rule.apply(path, values))
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[RewriteRule] {
        &self.rules
    }

    /// The names of values that replacements want, each once.
    pub fn value_names(&self) -> BTreeSet<&str> {
        let replacements = self.rules.iter().filter_map(RewriteRule::replacement);
        replacements.flat_map(Replacement::value_names).collect()
    }

    /// What the rules of [`RewriteWhen::Always`] make of a path.
    ///
    /// A rule whose replacement wants a value that is not there has nothing to do with the path.
    pub fn apply(&self, path: &TreePath, values: &RewriteValues) -> RewriteCourse {
        let mut course = RewriteCourse {
            steps: Vec::new(),
            outcome: Ok(path.clone()),
        };
        let mut current = path.clone();
        let mut restarts = 0;
        let mut next = 0;
        while let Some(rule) = self.rules.get(next) {
            let index = next;
            next += 1;
            if rule.when != RewriteWhen::Always {
                continue;
            }
            let Some(made) = self.made(rule, &current, values) else {
                continue;
            };
            match made {
                Ok(made) => {
                    if made != current {
                        course.steps.push((index, Some(made.clone())));
                    }
                    current = made;
                }
                Err(kind) => {
                    course.steps.push((index, None));
                    course.outcome = Err(kind);
                    return course;
                }
            }
            match rule.then {
                RewriteThen::Next => {}
                RewriteThen::Stop => break,
                RewriteThen::Restart if restarts < RESTARTS_MAX => {
                    restarts += 1;
                    next = 0;
                }
                RewriteThen::Restart => {
                    course.outcome = Err(ErrorKind::LinkLoop);
                    return course;
                }
            }
        }
        course.outcome = Ok(current);
        course
    }

    /// The other places where a file that is missing may be, in the order of the rules of
    /// [`RewriteWhen::Missing`]: each is made from this path.
    pub fn elsewhere<'a>(
        &'a self,
        path: &'a TreePath,
        values: &'a RewriteValues,
    ) -> impl Iterator<Item = (&'a RewriteRule, Result<TreePath, ErrorKind>)> {
        let rules = self.rules.iter();
        rules
            .filter(|rule| rule.when == RewriteWhen::Missing)
            .filter_map(move |rule| Some((rule, self.made(rule, path, values)?)))
            .filter(move |(_, made)| made.as_ref() != Ok(path))
    }
}
