//! Boot menus of the tree that is served.
//!
//! What is read out of the tree (`read`, `program`) is shown and checked by the commands, and
//! served: where GRUB or iPXE ask for a menu that the tree has not (`wanted`), pxelinux's menu for
//! that very client (`asker`, `found`) is said in their language (`converter`, `address`, `folders`), and
//! iPXE that is told nothing else is told to ask for it (`script_policy`); templates are filled in
//! (`template`, `check`). `source` is where both stand between a protocol and the tree.

mod address;
mod asker;
mod check;
mod converter;
mod folders;
mod found;
mod images;
pub(crate) mod program;
pub(crate) mod read;
mod script_policy;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod wanted;

use std::sync::Arc;

use bytes::Bytes;
use pxe_menu::{Location, Text};
use pxe_tree::{CaseFold, FileRequest, MemBlob, NodeKind, Resolved, Resolver, Tree, TreePath};

use self::converter::{Converter, Order, blob};
use self::found::{Found, find};
use self::images::{Images, ImagesFor};
use self::read::{MenuFiles, Unread};
use self::template::{TEMPLATE_BYTES_MAX, filled_in, is_template};
use self::wanted::{GRUB_MENUS, Wanted};
use crate::config::Config;
use crate::images::Library;

pub(crate) use self::address::Served;
pub(crate) use self::asker::Asker;
pub(crate) use self::check::TemplateFaults;
pub(crate) use self::converter::{Made, NotMade};
pub(crate) use self::found::loaders;
pub(crate) use self::images::{MEMDISK, MENUS as IMAGE_MENUS, WIMBOOT};
pub(crate) use self::script_policy::ScriptPolicy;
pub(crate) use self::source::{MenuSource, is_missing};
pub(crate) use self::template::TemplateFault;
pub(crate) use self::wanted::Language;

/// The menus of a tree, as this configuration has them served.
#[derive(Debug)]
pub(crate) struct Menus {
    config: Config,
    served: Served,
    tree: Arc<dyn Tree>,
    files: MenuFiles,
    converter: Arc<Converter>,
    images: Option<Images>,
    library: Option<Arc<Library>>,
}

impl Menus {
    /// Those of this tree.
    pub(crate) fn new(config: &Config, served: Served, tree: Arc<dyn Tree>) -> Self {
        let files = MenuFiles::new(config, Arc::clone(&tree));
        Self {
            config: config.clone(),
            served,
            tree,
            converter: Arc::new(Converter::new(files.clone())),
            files,
            images: None,
            library: None,
        }
    }

    /// The same, with the images of this library.
    #[must_use]
    pub(crate) fn with_images(mut self, library: Option<Arc<Library>>) -> Self {
        let images = library.clone();
        self.images = images.and_then(|library| Images::new(&self.config, library));
        self.library = library;
        self
    }

    /// The same for those who ask for names in any case.
    pub(crate) fn ignoring_case(&self) -> Self {
        let tree = Arc::new(CaseFold::new(Arc::clone(&self.tree)));
        Self::new(&self.config, self.served.clone(), tree).with_images(self.library.clone())
    }

    /// The configuration that they are served by.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// The tree.
    pub(crate) const fn tree(&self) -> &Arc<dyn Tree> {
        &self.tree
    }

    /// Whether a loader that asks for this path, which the tree has not, may get a menu that is made.
    pub(crate) fn may_make(&self, resolver: &Resolver, path: &TreePath) -> bool {
        self.asked_images(resolver, path).is_some()
            || (self.config.menu.convert && Wanted::of(path).is_some())
    }

    /// The language of the menu of images that this request names.
    fn asked_images(&self, resolver: &Resolver, path: &TreePath) -> Option<Language> {
        let images = self.images.as_ref()?;
        images.asked(&resolver.base().join(path).ok()?)
    }

    /// The menu that is made for this request, for which the tree has no file. `None`: there is none
    /// to make it of, or the loader has one of its own.
    /// `resolver` is how the request's protocol walks the tree.
    pub(crate) async fn menu(
        &self,
        resolver: &Resolver,
        request: &FileRequest<'_>,
        asker: &Asker,
    ) -> Result<Option<Arc<Made>>, NotMade> {
        if let Some(language) = self.asked_images(resolver, request.path) {
            let images = self.images(language, request, asker).await;
            let order = self.order(None, images, language, request, asker);
            return self.converter.menu(order).await.map(Some);
        }
        let wanted = Wanted::of(request.path).filter(|wanted| match wanted {
            Wanted::Grub { .. } | Wanted::Default => true,
            Wanted::Autoexec => asker.may_have_autoexec(),
            Wanted::Script => {
                request.path.as_bytes() == wanted::SCRIPT.as_bytes() || asker.is_told(request.path)
            }
        });
        let Some(wanted) = wanted.filter(|_| self.config.menu.convert) else {
            return Ok(None);
        };
        let language = wanted.language();
        let found = match wanted {
            Wanted::Default => None,
            _ => {
                let loaders = loaders(&self.config, language);
                find(&self.files, &loaders, asker, &wanted).await
            }
        };
        let offers_images = self.images.as_ref().is_some_and(Images::is_offered);
        if found.is_none() && !(offers_images && wanted.is_last()) {
            return Ok(None);
        }
        if self.has_own(resolver, &wanted, asker).await {
            return Ok(None);
        }
        let images = match offers_images {
            true => self.images(language, request, asker).await,
            false => None,
        };
        let images = images.filter(|images| !images.is_empty());
        if found.is_none() && images.is_none() {
            return Ok(None);
        }
        let order = self.order(found, images, language, request, asker);
        self.converter.menu(order).await.map(Some)
    }

    async fn images(
        &self,
        language: Language,
        request: &FileRequest<'_>,
        asker: &Asker,
    ) -> Option<ImagesFor> {
        let images = self.images.as_ref()?;
        let site = (&self.config, &self.served, &self.files);
        Some(images.for_client(site, language, request, asker).await)
    }

    fn order(
        &self,
        found: Option<Found>,
        images: Option<ImagesFor>,
        language: Language,
        request: &FileRequest<'_>,
        asker: &Asker,
    ) -> Order {
        Order {
            found,
            images,
            language,
            addresses: address::addresses(&self.config, &self.served, language, request),
            asker: asker.clone(),
            templates: self.config.menu.templates.clone(),
        }
    }

    /// Whether the loader finds a menu of its own by the names that it tries next. A file that is
    /// there comes before any menu that is made.
    async fn has_own(&self, resolver: &Resolver, wanted: &Wanted, asker: &Asker) -> bool {
        for path in wanted.later(&wanted.tell(asker.client.clone())) {
            if is_file(resolver, &*self.tree, &path).await {
                return true;
            }
        }
        if matches!(wanted, Wanted::Grub { .. }) {
            for path in GRUB_MENUS {
                let path = Text::from(path);
                if self
                    .files
                    .is_file(&Location::Tftp { host: None, path })
                    .await
                {
                    return true;
                }
            }
        }
        false
    }

    /// Whether any file of the tree is a template.
    pub(crate) const fn has_templates(&self) -> bool {
        !self.config.menu.templates.is_empty()
    }

    /// What this path leads to, if that is a template.
    pub(crate) async fn template(&self, resolver: &Resolver, path: &TreePath) -> Option<Resolved> {
        if !self.has_templates() {
            return None;
        }
        let templates = &self.config.menu.templates;
        let found = resolver.resolve(&*self.tree, path).await.ok()?;
        let is_file = found.attributes.kind == NodeKind::File;
        (is_file && is_template(templates, &found.path)).then_some(found)
    }

    /// A template as this client gets it.
    pub(crate) async fn filled_in(
        &self,
        template: &Resolved,
        asker: &Asker,
    ) -> Result<Arc<MemBlob>, NotMade> {
        let text = self.read(template).await;
        let text = text.map_err(|why| NotMade::Unread(template.path.clone(), why))?;
        let text = filled_in(&template.path, &text, asker).map_err(NotMade::Template)?;
        Ok(blob(text))
    }

    async fn read(&self, found: &Resolved) -> Result<Bytes, Unread> {
        let path = Text::from(found.path.as_bytes());
        let location = Location::Tftp { host: None, path };
        let file = self.files.read(&location, TEMPLATE_BYTES_MAX).await?;
        Ok(file.bytes)
    }
}

async fn is_file(resolver: &Resolver, tree: &dyn Tree, path: &TreePath) -> bool {
    let found = resolver.resolve(tree, path).await;
    found.is_ok_and(|found| found.attributes.kind == NodeKind::File)
}
