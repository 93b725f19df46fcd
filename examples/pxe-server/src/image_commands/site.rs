//! The folder that a command is about, and where its images are served.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pxe_tree::TreePath;
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::images::{Images, ImagesSettings, Served, Shelf, Shelves};

/// What stands for the server's address where that is not known.
const SERVER: &str = "SERVER";

/// A folder that was looked at.
#[derive(Debug)]
pub(super) struct Site {
    /// The configuration, if one was read.
    pub(super) config: Option<Config>,
    /// The folder.
    pub(super) dir: PathBuf,
    /// What is in it.
    pub(super) shelf: Arc<Shelf>,
    runtime: Runtime,
}

impl Site {
    /// Looks at the folder of the configuration in this file.
    pub(super) fn of_file(file: &Path) -> Result<Self, String> {
        Self::of_config(Config::load(file).map_err(|error| error.to_string())?)?.readable()
    }

    /// Looks at the folder of a configuration.
    pub(super) fn of_config(config: Config) -> Result<Self, String> {
        let settings = settings(&config)?;
        Self::look(Some(config), settings)
    }

    /// Looks at a folder.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, String> {
        Self::look(None, ImagesSettings::shipped(folder))?.readable()
    }

    /// It, unless there is nothing to say of it.
    fn readable(self) -> Result<Self, String> {
        match self.shelf.is_readable() {
            true => Ok(self),
            false => Err(self.shelf.problems.join("; ")),
        }
    }

    fn look(config: Option<Config>, settings: ImagesSettings) -> Result<Self, String> {
        let dir = settings.dir.clone();
        let no_start = |error: io::Error| format!("cannot start: {error}");
        let images = Images::once(settings).map_err(no_start)?;
        Ok(Self {
            config,
            dir,
            shelf: images.library().shelf(),
            runtime: Builder::new_current_thread().build().map_err(no_start)?,
        })
    }

    /// Waits for what reads an image.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The path of the images in the tree; nothing if the configuration serves none.
    fn path(&self) -> TreePath {
        let images = self.config.iter().flat_map(|config| &config.images);
        let path = images.map(|images| images.path.clone()).next();
        path.unwrap_or_default()
    }

    /// Where a loader finds them that has nothing but TFTP.
    pub(super) fn shelves(&self) -> Shelves {
        let path = match self.config {
            Some(_) => self.path().to_string(),
            None => "/images".to_owned(),
        };
        Shelves {
            loads: format!("::{}/", path.trim_start_matches('/')),
            http: None,
            nfs: None,
            memdisk: None,
            wimboot: None,
        }
    }

    /// Where clients find this image.
    pub(super) fn served(&self, name: &str) -> Served {
        let Some(config) = &self.config else {
            return Served {
                http: Some(format!("http://{SERVER}/images/{name}")),
                nfs: Some((SERVER.into(), format!("/images/{name}"))),
            };
        };
        let path = self.path();
        let http = config.http.iter().filter(|http| http.tls.is_none());
        // Where a listener shows another part of the tree, it shows images besides.
        let below = |root: &TreePath| path.strip_prefix(root).unwrap_or_else(|| path.clone());
        let mut below = http.map(|http| (http, below(&http.root)));
        let http = below.next().map(|(http, below)| {
            let host = host(config, &http.listen);
            let port = http.listen.first().map(SocketAddr::port);
            let base = match port.filter(|port| *port != 80) {
                Some(port) => format!("http://{host}:{port}{below}"),
                None => format!("http://{host}{below}"),
            };
            format!("{}/{name}", base.trim_end_matches('/'))
        });
        let nfs = config.nfs.as_ref();
        let nfs = nfs.map(|nfs| (host(config, &nfs.listen), format!("{path}/{name}")));
        Served { http, nfs }
    }
}

fn settings(config: &Config) -> Result<ImagesSettings, String> {
    let Some(images) = &config.images else {
        return Err(format!(
            "{} has no [images]; add it, or name a folder",
            config.file.display()
        ));
    };
    ImagesSettings::of(config, images).map_err(|problem| config.locate(&problem))
}

/// The server's address as far as the configuration names one: a machine is told the one that it
/// asked.
fn host(config: &Config, listen: &[SocketAddr]) -> String {
    if let Some(server) = config.menu.server {
        return server.to_string();
    }
    let mut named = listen.iter().map(|listen| listen.ip());
    match named.find(|ip| !ip.is_unspecified()) {
        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
        Some(ip) => ip.to_string(),
        None => SERVER.to_owned(),
    }
}
