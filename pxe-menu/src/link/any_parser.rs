//! The parser of a configuration, of whatever format it is.

use crate::resolve::resolve_and_count;
use crate::{
    BootCfg, Client, Code, FileId, Format, GrubParser, Limits, Loader, Need, NeedKind, Parser,
    Resolution, SourceFile, Text,
};

/// A parser that asks for files and is given them. The first configuration's own file decides of
/// which format it is.
#[derive(Debug)]
pub(super) enum AnyParser {
    /// The first configuration, before it is there.
    First(Box<First>),
    /// pxelinux, or its menu.
    Syslinux(Parser),
    /// GRUB.
    Grub(GrubParser),
    /// mboot, which reads one file.
    Mboot {
        /// The file, with its content.
        file: SourceFile,
        /// What it means.
        resolution: Box<Resolution>,
    },
}

/// What is known of the first configuration before it is there.
#[derive(Debug)]
pub(super) struct First {
    /// Its name.
    pub(super) name: Text,
    /// The name in any directory, as GRUB and mboot want it.
    pub(super) absolute: Text,
    pub(super) is_asked: bool,
    /// What it is, if that is known.
    pub(super) format: Option<Format>,
    pub(super) loader: Loader,
    pub(super) client: Client,
    pub(super) limits: Limits,
}

/// A configuration that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) format: Format,
    pub(super) resolution: Resolution,
    pub(super) files: Vec<SourceFile>,
    /// The files without which there is nothing: one of them at least has to be there.
    pub(super) wanted: Vec<FileId>,
    /// The lines acted on.
    pub(super) lines: usize,
}

/// A parser of a grub.cfg. A build for the BIOS is one only if the paths say so.
pub(super) fn grub_parser(
    name: Text,
    loader: Loader,
    client: Client,
    limits: Limits,
) -> GrubParser {
    let loader = match loader {
        Loader::GrubPc => Loader::GrubPc,
        _ => Loader::GrubEfi,
    };
    GrubParser::new(name, limits)
        .with_loader(loader)
        .with_client(client)
}

impl AnyParser {
    pub(super) fn poll_need(&mut self) -> Option<Need> {
        match self {
            Self::First(first) => {
                let is_asked = core::mem::replace(&mut first.is_asked, true);
                (!is_asked).then(|| Need {
                    id: FileId(0),
                    file: first.name.clone(),
                    kind: NeedKind::Main,
                    place: None,
                })
            }
            Self::Syslinux(parser) => parser.poll_need(),
            Self::Grub(parser) => parser.poll_need(),
            Self::Mboot { .. } => None,
        }
    }

    pub(super) fn provide(&mut self, id: FileId, bytes: Vec<u8>) {
        if let Self::First(first) = self {
            *self = first.parser(&bytes);
            // It asks for the file that is there already.
            let _ = self.poll_need();
        }
        match self {
            Self::Syslinux(parser) => parser.provide(id, bytes),
            Self::Grub(parser) => parser.provide(id, bytes),
            Self::First(_) | Self::Mboot { .. } => {}
        }
    }

    pub(super) fn missing(&mut self, id: FileId) {
        match self {
            Self::Syslinux(parser) => parser.missing(id),
            Self::Grub(parser) => parser.missing(id),
            Self::First(_) | Self::Mboot { .. } => {}
        }
    }

    /// Whether the content of a file was taken.
    pub(super) fn has(&self, id: FileId) -> bool {
        let file = match self {
            Self::First(_) => None,
            Self::Syslinux(parser) => return parser.has(id),
            Self::Grub(parser) => parser.files().get(id.index()),
            Self::Mboot { file, .. } => Some(file),
        };
        file.is_some_and(|file| file.bytes.is_some())
    }

    pub(super) fn finish(self) -> Parsed {
        match self {
            Self::First(first) => {
                let mut parser = Parser::new(first.name, first.limits);
                let _ = parser.poll_need();
                Self::Syslinux(parser).finish()
            }
            Self::Syslinux(parser) => {
                let document = parser.finish();
                let (resolution, lines) = resolve_and_count(&document);
                let wanted = if document.only_menu {
                    document.menu_files().to_vec()
                } else {
                    vec![FileId(0)]
                };
                Parsed {
                    format: Format::Syslinux,
                    resolution,
                    files: document.files,
                    wanted,
                    lines,
                }
            }
            Self::Grub(parser) => {
                let (resolution, files, lines) = parser.finish_whole();
                Parsed {
                    format: Format::GrubCfg,
                    resolution,
                    files,
                    wanted: vec![FileId(0)],
                    lines,
                }
            }
            Self::Mboot { file, resolution } => Parsed {
                format: Format::MbootCfg,
                resolution: *resolution,
                files: vec![file],
                wanted: vec![FileId(0)],
                lines: 0,
            },
        }
    }
}

impl First {
    /// The parser for this content.
    fn parser(&self, bytes: &[u8]) -> AnyParser {
        let format = self.format;
        match format.unwrap_or_else(|| Format::of(&self.absolute, bytes)) {
            Format::Syslinux => {
                AnyParser::Syslinux(Parser::new(self.name.clone(), self.limits.clone()))
            }
            Format::GrubCfg => AnyParser::Grub(grub_parser(
                self.absolute.clone(),
                self.loader,
                self.client.clone(),
                self.limits.clone(),
            )),
            Format::MbootCfg => {
                let name = crate::text::decode(&self.absolute);
                let config = BootCfg::read(&name, bytes, &self.limits);
                let kept = bytes.len() <= self.limits.bytes_max;
                AnyParser::Mboot {
                    file: SourceFile {
                        name: self.name.clone(),
                        bytes: kept.then(|| bytes.to_vec()),
                        items: Vec::new(),
                    },
                    resolution: Box::new(config.resolution()),
                }
            }
        }
    }
}

/// Whether a file was not read since a limit was reached.
pub(super) fn is_refused(resolution: &Resolution, id: FileId) -> bool {
    let mut told = resolution.diagnostics.iter();
    told.any(|told| told.code == Code::Limited && told.place.is_some_and(|place| place.file == id))
}
