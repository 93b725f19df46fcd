//! What is served: a source that can be replaced while it is asked.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pxe_tree::{FileRequest, Opened, Resolver, Result, Source, TreePath, TreeSource};

use crate::config::{Config, Http};
use crate::hub::Hub;
use crate::menus::{MenuSource, Menus};
use crate::rewriting::rewriting;

/// Asks another source, which can be replaced at any time. Who has a file open already keeps it,
/// and the tree that it came from, until done.
#[derive(Debug)]
pub(crate) struct SwapSource {
    current: ArcSwap<Box<dyn Source>>,
}

impl SwapSource {
    pub(crate) fn new(source: Box<dyn Source>) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(source),
        })
    }

    /// From now on, this source is asked.
    pub(crate) fn swap(&self, source: Box<dyn Source>) {
        self.current.store(Arc::new(source));
    }
}

#[async_trait]
impl Source for SwapSource {
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened> {
        self.current.load_full().open(request).await
    }

    fn open_now(&self, request: &FileRequest<'_>) -> Option<Result<Opened>> {
        self.current.load().open_now(request)
    }
}

/// The tree's files and its menus, as a TFTP client names them.
pub(crate) fn tftp_source(menus: &Arc<Menus>, hub: &Arc<Hub>) -> Box<dyn Source> {
    let source = menu_source(&tftp_menus(menus), hub, TreePath::ROOT);
    match &menus.config().tftp {
        Some(tftp) if !tftp.rewrite.is_empty() => Box::new(rewriting(source, &tftp.rewrite, hub)),
        _ => source,
    }
}

/// These menus and their tree as TFTP finds names in it.
pub(crate) fn tftp_menus(menus: &Arc<Menus>) -> Arc<Menus> {
    let config = menus.config();
    let tftp_ignores_case = config.tftp.as_ref().is_some_and(|tftp| tftp.ignore_case);
    match tftp_ignores_case && !config.tree.ignore_case {
        true => Arc::new(menus.ignoring_case()),
        false => Arc::clone(menus),
    }
}

/// Those of one directory of the tree, as an HTTP client names them.
pub(crate) fn http_source(menus: &Arc<Menus>, hub: &Arc<Hub>, http: &Http) -> Box<dyn Source> {
    menu_source(menus, hub, http.root.clone())
}

fn menu_source(menus: &Arc<Menus>, hub: &Arc<Hub>, base: TreePath) -> Box<dyn Source> {
    let config = menus.config();
    let files = |base: TreePath| {
        let files = TreeSource::new(Arc::clone(menus.tree())).with_base(base);
        match root_path(&config.tree.root) {
            Some(root) => files.with_root_path(root),
            None => files,
        }
    };
    let apart = images_apart(config, &base);
    let source = MenuSource::new(files(base), Arc::clone(menus), Arc::clone(hub));
    Box::new(match apart {
        Some(images) => source.with_images(images.clone(), files(TreePath::ROOT)),
        None => source,
    })
}

/// The folder of images, where it is outside of what a listener shows: each listener shows that
/// folder besides, by its path in the whole tree.
pub(crate) fn images_apart<'c>(config: &'c Config, shown: &TreePath) -> Option<&'c TreePath> {
    let images = config.images.as_ref().map(|images| &images.path)?;
    images.strip_prefix(shown).is_none().then_some(images)
}

/// How paths are walked in this configuration's tree.
pub(crate) fn resolver(root: &Path) -> Resolver {
    match root_path(root) {
        Some(root) => Resolver::new().with_root_path(root),
        None => Resolver::new(),
    }
}

/// The root's own path, which loaders may put before names (`/srv/tftp/bios/os`). A relative root
/// has none that anybody could name.
pub(crate) fn root_path(root: &Path) -> Option<TreePath> {
    let path = root
        .is_absolute()
        .then(|| TreePath::parse(root.as_os_str().as_bytes()));
    path?.ok().filter(|path| !path.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::menus::Served;
    use pxe_tree::{MemTree, Protocol};

    fn menus(config: &Config, content: &'static str) -> Arc<Menus> {
        let tree = MemTree::new();
        tree.insert_file("os/linux", content).expect("free");
        Arc::new(Menus::new(config, Served::default(), Arc::new(tree)))
    }

    fn tftp(config: &Config, content: &'static str) -> Box<dyn Source> {
        let hub = Arc::new(Hub::new(Arc::default()));
        tftp_source(&menus(config, content), &hub)
    }

    async fn read(source: &dyn Source, path: &str) -> Result<String> {
        let path = TreePath::parse(path)?;
        let remote = ([127, 0, 0, 1], 2070).into();
        match source
            .open(&FileRequest::new(Protocol::Tftp, remote, &path))
            .await?
        {
            Opened::File(blob) => {
                let bytes = blob.read_at(0, 100).await?;
                Ok(String::from_utf8(bytes.to_vec()).expect("UTF-8"))
            }
            _ => Ok("directory".into()),
        }
    }

    fn config() -> Config {
        let text = "[tree]\nroot = \"/srv/tftp\"\n[http]\nroot = \"/os\"\n";
        Config::parse(text, Path::new("test.toml")).expect("valid")
    }

    #[tokio::test]
    async fn a_swapped_source_answers_at_once_and_open_files_stay() {
        let config = config();
        let source = SwapSource::new(tftp(&config, "old"));
        let path = TreePath::parse("os/linux").expect("valid");
        let remote = ([127, 0, 0, 1], 2070).into();
        let request = FileRequest::new(Protocol::Tftp, remote, &path);
        let Ok(Opened::File(open)) = source.open(&request).await else {
            panic!("a file");
        };
        source.swap(tftp(&config, "new"));
        assert_eq!(read(&*source, "os/linux").await.expect("found"), "new");
        assert_eq!(open.read_at(0, 100).await.expect("in memory"), "old");
    }

    #[tokio::test]
    async fn the_roots_own_path_is_dropped_and_http_begins_below() {
        let config = config();
        let tftp = tftp(&config, "x");
        assert_eq!(
            read(&*tftp, "/srv/tftp/os/linux").await.expect("found"),
            "x"
        );
        let hub = Arc::new(Hub::new(Arc::default()));
        let http = http_source(&menus(&config, "x"), &hub, &config.http[0]);
        assert_eq!(read(&*http, "/linux").await.expect("found"), "x");
        assert_eq!(read(&*http, "/").await.expect("found"), "directory");
    }
}
