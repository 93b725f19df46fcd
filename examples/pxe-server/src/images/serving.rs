//! A library at work: its folder is looked at as long as the server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pxe_tree::DirKeys;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::keeper::{Keeper, Settings};
use super::library::Library;
use super::profile::Profiles;
use super::tree::ImagesTree;
use crate::config::{Config, Images as ImagesConfig, Problem};

/// How long events are gathered before the folder is looked at.
const GATHER: Duration = Duration::from_millis(100);

/// The images of a running server. Dropping it stops the looking.
#[derive(Debug)]
pub(crate) struct Images {
    library: Arc<Library>,
    tree: Arc<ImagesTree>,
    looking: Option<Looking>,
}

/// The task that looks at the folder.
#[derive(Debug)]
struct Looking {
    settings: watch::Sender<Settings>,
    task: AbortHandle,
}

impl Images {
    /// Begins to look at the folder of this configuration, if it has one.
    ///
    /// # Errors
    /// A file of profiles cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn start(config: &Config) -> Result<Option<Arc<Self>>, Problem> {
        let Some(images) = &config.images else {
            return Ok(None);
        };
        let (settings, changed) = watch::channel(Settings::of(config, images)?);
        let library = Library::new();
        let keeper = Keeper::new(Arc::clone(&library), settings.borrow().clone());
        let task = tokio::spawn(keep(keeper, Arc::clone(&library), changed));
        let task = task.abort_handle();
        let looking = Looking { settings, task };
        Ok(Some(Arc::new(Self::of(library, Some(looking)))))
    }

    /// What is in the folder now, settled or not, for a command that ends.
    ///
    /// # Errors
    /// There are no threads to be had.
    ///
    /// # Panics
    /// Within a tokio runtime.
    pub(crate) fn once(settings: Settings) -> std::io::Result<Self> {
        let library = Library::new();
        let mut keeper = Keeper::unwatched(Arc::clone(&library), settings);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(keeper.look());
        // A disk that hangs is not waited for.
        runtime.shutdown_background();
        Ok(Self::of(library, None))
    }

    fn of(library: Arc<Library>, looking: Option<Looking>) -> Self {
        let tree = Arc::new(ImagesTree::new(Arc::clone(&library)));
        Self {
            library,
            tree,
            looking,
        }
    }

    /// From now on, these hold.
    pub(crate) fn set(&self, settings: Settings) {
        if let Some(looking) = &self.looking {
            looking.settings.send_replace(settings);
        }
    }

    /// All images as a tree.
    pub(crate) const fn tree(&self) -> &Arc<ImagesTree> {
        &self.tree
    }

    /// The images.
    pub(crate) const fn library(&self) -> &Arc<Library> {
        &self.library
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Settings {
    /// A folder without a configuration.
    pub(crate) fn shipped(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            settle: Duration::ZERO,
            profiles: Arc::new(Profiles::shipped()),
            keys: DirKeys::default(),
        }
    }

    /// What a configuration says of the folder.
    ///
    /// # Errors
    /// A file of profiles cannot be used.
    pub(crate) fn of(config: &Config, images: &ImagesConfig) -> Result<Self, Problem> {
        let keys = config.nfs.as_ref().map(|nfs| nfs.handles);
        Ok(Self {
            dir: images.dir.clone(),
            settle: images.settle,
            profiles: Arc::new(profiles(config, images)?),
            keys: keys.unwrap_or_default(),
        })
    }
}

/// The shipped profiles, and those of the configuration.
fn profiles(config: &Config, images: &ImagesConfig) -> Result<Profiles, Problem> {
    let mut profiles = Profiles::shipped();
    // Those of the first file are tried first.
    for (index, file) in images.profiles.iter().enumerate().rev() {
        let key = match images.profiles.len() {
            1 => "images.profiles".to_owned(),
            _ => format!("images.profiles[{index}]"),
        };
        let wrong = |what: String| config.problem(&key, what, "correct the file, or leave it out");
        let text = std::fs::read_to_string(file)
            .map_err(|error| wrong(format!("{}: {error}", file.display())))?;
        let added = profiles.with(file, &text);
        profiles = added.map_err(|error| wrong(error.to_string()))?;
    }
    Ok(profiles)
}

async fn keep(mut keeper: Keeper, library: Arc<Library>, mut settings: watch::Receiver<Settings>) {
    let runtime = tokio::runtime::Handle::current();
    loop {
        let runtime = runtime.clone();
        // A disk may hang: what is known is served meanwhile.
        let looked = tokio::task::spawn_blocking(move || {
            let wait = runtime.block_on(keeper.look());
            (keeper, wait)
        });
        let wait = match looked.await {
            Ok((back, wait)) => {
                keeper = back;
                wait
            }
            Err(error) => {
                tracing::error!(event = "failed", "images: {error}");
                return;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => continue,
            () = keeper.changed() => {}
            () = library.rung() => {}
            changed = settings.changed() => match changed {
                Ok(()) => keeper.set(settings.borrow_and_update().clone()),
                Err(_) => return,
            },
        }
        tokio::time::sleep(GATHER).await;
    }
}
