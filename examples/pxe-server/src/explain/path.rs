//! What a path leads to in the tree.

use pxe_tree::{NodeKind, TreePath};

use crate::config::Config;
use crate::reload::open_tree;
use crate::source;

/// A path as one protocol asks for it.
#[derive(Debug)]
pub(super) struct LookedUp {
    /// `tftp`, or `http` and the address of the listener.
    pub(super) by: String,
    /// The path in the tree and the file's length; or why it leads to no file.
    pub(super) found: Result<(String, u64), String>,
}

/// What TFTP and each HTTP listener make of this path.
pub(super) fn lookups(config: &Config, path: &str) -> Result<Vec<LookedUp>, String> {
    let tree = open_tree(config).map_err(|problem| config.locate(&problem))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| format!("the tree cannot be read: {error}"))?;
    let resolver = source::resolver(&config.tree.root);
    let mut asked = Vec::new();
    if config.tftp.is_some() {
        let path = TreePath::from_tftp(path.as_bytes());
        asked.push(("tftp".to_owned(), path, resolver.clone()));
    }
    for http in &config.http {
        let path = path.trim_start_matches('/');
        let listen: Vec<String> = http.listen.iter().map(ToString::to_string).collect();
        let resolver = resolver.clone().with_base(http.root.clone());
        let by = format!("http {}", listen.join(", "));
        asked.push((by, TreePath::from_uri_path(&format!("/{path}")), resolver));
    }
    let looked_up = asked.into_iter().map(|(by, path, resolver)| {
        let found = path
            .map_err(pxe_tree::Error::from)
            .and_then(|path| runtime.block_on(resolver.resolve(&*tree, &path)));
        let found = match found {
            Ok(found) if found.attributes.kind == NodeKind::File => {
                Ok((found.path.to_string(), found.attributes.len))
            }
            Ok(found) => Err(format!("{} is no file", found.path)),
            Err(error) => Err(error.kind().to_string()),
        };
        LookedUp { by, found }
    });
    Ok(looked_up.collect())
}
