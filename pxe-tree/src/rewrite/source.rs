//! A source that asks another one for the paths that rules make.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::{RewriteRules, RewriteValues};
use crate::{Error, ErrorKind, FileRequest, Opened, Result, Source, TreePath};

/// Knows what replacements want filled in beyond `ip` and `ip_hex`.
#[async_trait]
pub trait RewriteLookup: fmt::Debug + Send + Sync + 'static {
    /// Adds the values of these names that are known of this client. Called for each request, if
    /// rules want any.
    async fn look_up(&self, request: &FileRequest<'_>, values: &mut RewriteValues);
}

/// What rules did to a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Rewritten<'a> {
    /// What was asked for.
    pub asked: &'a TreePath,
    /// What was served in its place; why nothing was, if a rule refused it.
    pub outcome: std::result::Result<&'a TreePath, ErrorKind>,
    /// The names of the rules that did it, in their order.
    pub rules: &'a [&'a str],
}

type Observer = Box<dyn Fn(&FileRequest<'_>, &Rewritten<'_>) + Send + Sync>;

/// A [`Source`] whose requests go through [`RewriteRules`] before another one answers them.
///
/// `${ip}` is the client's address, and `${ip_hex}` that of IPv4 in eight capital hexadecimal
/// digits, as pxelinux writes it. A [`RewriteLookup`] knows more.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use pxe_tree::{
///     Case, MemTree, PathPattern, Replacement, RewriteAction, RewriteRule, RewriteRules,
///     RewriteSource, TreePath, TreeSource,
/// };
///
/// let files = TreeSource::new(Arc::new(MemTree::new()));
/// let old = PathPattern::below(TreePath::parse("tftpboot")?, Case::Sensitive);
/// let drop = RewriteAction::Replace(Replacement::parse("")?);
/// let rules = RewriteRules::new([RewriteRule::new("old prefix", old, drop)])?;
/// let source = RewriteSource::new(Arc::new(files), Arc::new(rules))
///     .on_rewrite(|request, done| println!("{}: {done:?}", request.remote));
/// # let _ = source;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RewriteSource {
    source: Arc<dyn Source>,
    rules: Arc<RewriteRules>,
    lookup: Option<Box<dyn RewriteLookup>>,
    observer: Option<Observer>,
}

impl fmt::Debug for RewriteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewriteSource")
            .field("source", &self.source)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl RewriteSource {
    /// Asks this source for what these rules make of a path.
    pub const fn new(source: Arc<dyn Source>, rules: Arc<RewriteRules>) -> Self {
        Self {
            source,
            rules,
            lookup: None,
            observer: None,
        }
    }

    /// The same, with more values to fill in.
    #[must_use]
    pub fn with_lookup(mut self, lookup: impl RewriteLookup) -> Self {
        self.lookup = Some(Box::new(lookup));
        self
    }

    /// The same; the observer is told of each request that rules changed or refused. It must not
    /// block.
    #[must_use]
    pub fn on_rewrite(
        mut self,
        observer: impl Fn(&FileRequest<'_>, &Rewritten<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    async fn values(&self, request: &FileRequest<'_>) -> RewriteValues {
        let mut values = RewriteValues::new();
        if self.rules.value_names().is_empty() {
            return values;
        }
        let ip = request.remote.ip().to_canonical();
        values.insert("ip", ip.to_string());
        if let IpAddr::V4(v4) = ip {
            values.insert("ip_hex", format!("{:08X}", v4.to_bits()));
        }
        if let Some(lookup) = &self.lookup {
            lookup.look_up(request, &mut values).await;
        }
        values
    }

    fn tell(
        &self,
        request: &FileRequest<'_>,
        outcome: std::result::Result<&TreePath, ErrorKind>,
        rules: &[&str],
    ) {
        if let (Some(observer), false) = (&self.observer, rules.is_empty()) {
            let asked = request.path;
            let rewritten = Rewritten {
                asked,
                outcome,
                rules,
            };
            observer(request, &rewritten);
        }
    }
}

/// Whether there is no such file, so that another place may have it.
fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[async_trait]
impl Source for RewriteSource {
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened> {
        let values = self.values(request).await;
        let course = self.rules.apply(request.path, &values);
        let steps = course.steps.iter();
        let mut names: Vec<&str> = steps
            .filter_map(|(index, _)| Some(self.rules.rules().get(*index)?.name.as_str()))
            .collect();
        let path = match course.outcome {
            Ok(path) => path,
            Err(kind) => {
                self.tell(request, Err(kind), &names);
                return Err(Error::new(kind).at(request.path));
            }
        };
        let missing = match self.source.open(&request.with_path(&path)).await {
            Err(error) if is_missing(&error) => error,
            answer => {
                self.tell(request, Ok(&path), &names);
                return answer;
            }
        };
        for (rule, made) in self.rules.elsewhere(&path, &values) {
            let (outcome, answer) = match made {
                Ok(other) => match self.source.open(&request.with_path(&other)).await {
                    Err(error) if is_missing(&error) => continue,
                    answer => (Ok(other), answer),
                },
                Err(kind) => (Err(kind), Err(Error::new(kind).at(request.path))),
            };
            names.push(&rule.name);
            self.tell(request, outcome.as_ref().map_err(|kind| *kind), &names);
            return answer;
        }
        self.tell(request, Ok(&path), &names);
        Err(missing)
    }
}
