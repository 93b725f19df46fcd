//! The files of the tree, and the menus that are made where it has none.

use std::sync::Arc;

use async_trait::async_trait;
use pxe_tree::{
    Error, ErrorKind, FileRequest, Opened, Protocol, Resolved, Result, Source, TreePath, TreeSource,
};

use super::read::Unread;
use super::{Asker, Made, Menus, NotMade};
use crate::config::LogLevel;
use crate::fact::{self, Fact, What, printable};
use crate::hub::Hub;

/// How many of a menu's losses the fact of a machine tells: the warning has more.
const LOSSES_TOLD: usize = 2;
/// How long the warning is at most, in bytes.
const WARNING_BYTES_MAX: usize = 8192;

/// Answers from the tree. What is not there, and is a menu that can be made, is made.
#[derive(Debug)]
pub(crate) struct MenuSource {
    files: TreeSource,
    /// The folder of images, and the whole tree, where the folder is outside of what `files` shows.
    images: Option<(TreePath, TreeSource)>,
    menus: Arc<Menus>,
    hub: Arc<Hub>,
}

impl MenuSource {
    pub(crate) const fn new(files: TreeSource, menus: Arc<Menus>, hub: Arc<Hub>) -> Self {
        Self {
            files,
            images: None,
            menus,
            hub,
        }
    }

    /// The same with the folder of images beside its own files, by its path in the whole tree.
    pub(crate) fn with_images(mut self, path: TreePath, tree: TreeSource) -> Self {
        self.images = Some((path, tree));
        self
    }

    /// Where the file of this path is.
    fn files(&self, path: &TreePath) -> &TreeSource {
        match &self.images {
            Some((images, tree)) if path.strip_prefix(images).is_some() => tree,
            _ => &self.files,
        }
    }

    async fn asker(&self, request: &FileRequest<'_>) -> Asker {
        let local = request.local.map(|local| local.ip().to_canonical());
        let ip = request.remote.ip().to_canonical();
        let identity = self.hub.identity(ip, local).await;
        Asker::new(self.menus.config(), &identity, ip, local)
    }

    async fn filled_in(&self, request: &FileRequest<'_>, template: &Resolved) -> Result<Opened> {
        let asker = self.asker(request).await;
        match self.menus.filled_in(template, &asker).await {
            Ok(blob) => Ok(Opened::File(blob)),
            Err(why) => Err(self.failed(request, why)),
        }
    }

    /// A menu that is made, if there is one.
    async fn made(&self, request: &FileRequest<'_>) -> Result<Option<Opened>> {
        let asker = self.asker(request).await;
        match self
            .menus
            .menu(self.files(request.path).resolver(), request, &asker)
            .await
        {
            Ok(None) => Ok(None),
            Ok(Some(made)) => {
                self.tell(request, &made);
                Ok(Some(Opened::File(Arc::clone(&made.blob) as _)))
            }
            Err(why) => Err(self.failed(request, why)),
        }
    }

    fn tell(&self, request: &FileRequest<'_>, made: &Made) {
        let file = printable(&request.path.to_string());
        let from = printable(&made.from.to_string());
        let count = made.losses_count;
        if count > 0 && made.is_untold() {
            let mut text = format!("{file}, made from {from}, is not all of it: ");
            let told = made.losses.join("; ");
            text.extend(told.chars().scan(WARNING_BYTES_MAX, |left, char| {
                *left = left.checked_sub(char.len_utf8())?;
                Some(char)
            }));
            if made.losses.len() < count || told.len() > WARNING_BYTES_MAX {
                text.push_str("; and more");
            }
            let what = What::Note {
                name: "menu_incomplete",
                text,
            };
            self.hub.note(self.fact(request, what), LogLevel::Warn);
        }
        let mut text = format!("made {file} from {from}");
        if count > 0 {
            let first = made.losses.iter().take(LOSSES_TOLD);
            let first = first.map(|loss| printable(loss)).collect::<Vec<_>>();
            text.push_str(&format!(", without: {}", first.join("; ")));
            if count > LOSSES_TOLD {
                text.push_str(&format!("; and {} more", count - LOSSES_TOLD));
            }
        }
        let what = What::Note {
            name: "menu_made",
            text,
        };
        self.hub.tell(self.fact(request, what), LogLevel::Info);
    }

    /// Tells why there is no menu, and what the client is told.
    fn failed(&self, request: &FileRequest<'_>, why: NotMade) -> Error {
        let file = printable(&request.path.to_string());
        let reason = printable(&why.to_string());
        let (name, text) = match &why {
            NotMade::Template(_) => ("template_failed", format!("{file} is refused: {reason}")),
            _ => (
                "menu_not_made",
                format!("no {file} could be made: {reason}"),
            ),
        };
        let what = What::Note { name, text };
        self.hub.tell(self.fact(request, what), LogLevel::Warn);
        let error = match why {
            NotMade::Unread(_, Unread::Tree(error)) => error,
            NotMade::Stopping => ErrorKind::Busy.into(),
            NotMade::NoAddress => ErrorKind::NotFound.into(),
            NotMade::Unread(..) | NotMade::Template(_) => ErrorKind::Io.into(),
        };
        error.at(request.path)
    }

    fn fact(&self, request: &FileRequest<'_>, what: What) -> Fact {
        let protocol = match request.protocol {
            Protocol::Tftp => fact::Protocol::Tftp,
            Protocol::Https => fact::Protocol::Https,
            _ => fact::Protocol::Http,
        };
        let ip = request.remote.ip().to_canonical();
        Fact::new(self.hub.now(), protocol, what).with_ip(ip)
    }
}

#[async_trait]
impl Source for MenuSource {
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened> {
        let files = self.files(request.path);
        let template = self.menus.template(files.resolver(), request.path).await;
        if let Some(template) = template {
            return self.filled_in(request, &template).await;
        }
        match files.open(request).await {
            Err(error)
                if is_missing(&error) && self.menus.may_make(files.resolver(), request.path) =>
            {
                let made = self.made(request).await?;
                made.ok_or(error)
            }
            opened => opened,
        }
    }

    fn open_now(&self, request: &FileRequest<'_>) -> Option<Result<Opened>> {
        match self.menus.has_templates() {
            true => None,
            false => self.files.open_now(request),
        }
    }
}

/// Whether the tree has no such file, so that one may be made.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
