//! What is told of images, in the log.

use std::time::Duration;

use pxe_tree::NameBuf;

use super::library::{ImageState, LibraryImage, Reason};
use crate::fact::printable;

fn shown(file: &NameBuf) -> String {
    printable(&file.to_string())
}

/// Says what has become of an image.
pub(super) fn tell(image: &LibraryImage, before: Option<&LibraryImage>) {
    let (name, file) = (image.name.as_str(), shown(&image.file_name));
    match &image.state {
        ImageState::Offered(offered) => {
            let what = offered.label.as_deref().unwrap_or("no profile fits");
            let format = offered.tree.format_name();
            let event = match before.and_then(LibraryImage::offered) {
                Some(before) if before.number == offered.number => "image_recognised",
                Some(_) => "image_replaced",
                None => "image_offered",
            };
            tracing::info!(
                event,
                image = name,
                "image {name} is served: {}; {file}, {format}",
                printable(what)
            );
        }
        ImageState::Withheld(Reason::Settling) => {
            tracing::debug!(
                event = "image_found",
                image = name,
                "{file} is looked at when it settles"
            );
        }
        // That its disk is slow was told.
        ImageState::Withheld(Reason::Opening) => {}
        // Of which there may be many; that there are is told of the folder.
        ImageState::Withheld(Reason::TooMany) => tracing::debug!(
            event = "image_withheld",
            image = name,
            "{file} is not served: {}",
            Reason::TooMany
        ),
        ImageState::Withheld(reason @ Reason::Fault(_)) => tracing::error!(
            event = "image_withheld",
            image = name,
            reason = reason.as_str(),
            "{file} is not served: {}",
            printable(&reason.to_string())
        ),
        ImageState::Withheld(reason) => tracing::warn!(
            event = "image_withheld",
            image = name,
            reason = reason.as_str(),
            "{file} is not served: {}",
            printable(&reason.to_string())
        ),
    }
}

/// Says that an image is gone.
pub(super) fn removed(image: &LibraryImage) {
    tracing::info!(
        event = "image_removed",
        image = image.name,
        "{} is gone",
        shown(&image.file_name)
    );
}

/// Says that nothing was heard of a file for so long.
pub(super) fn slow(name: &str, file: &NameBuf, patience: Duration) {
    tracing::warn!(
        event = "image_slow",
        image = name,
        "{}: its disk has not answered for {} s; other images are looked at meanwhile",
        shown(file),
        patience.as_secs()
    );
}

/// Says that a file was slow, and is read.
pub(super) fn answered(name: &str, file: &NameBuf, slow_for: Duration) {
    tracing::info!(
        event = "image_answered",
        image = name,
        "{}: its disk answered after {} s",
        shown(file),
        slow_for.as_secs()
    );
}
