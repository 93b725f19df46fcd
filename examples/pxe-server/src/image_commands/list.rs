//! `pxe-server image list`: one line an image.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::print_json;
use super::site::Site;
use crate::cli::print;
use crate::fact::printable;
use crate::images::{ImageState, LibraryImage};

pub(super) fn run(site: &Site, is_json: bool) -> ExitCode {
    for problem in &site.shelf.problems {
        eprintln!("warning: {problem}");
    }
    if is_json {
        let images: Vec<Value> = site
            .shelf
            .images
            .iter()
            .map(|image| object(image))
            .collect();
        return print_json(&Value::from(images));
    }
    let images = site.shelf.images.iter();
    let wide = images.map(|image| image.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for image in &site.shelf.images {
        let (name, size, what) = (&image.name, size(image.len), what(image));
        text.push_str(&format!("{name:wide$}  {size:>9}  {what}\n"));
    }
    if text.is_empty() {
        eprintln!("{}: no images", site.dir.display());
    }
    print(&text)
}

/// What an image is, or why it is not served; for people.
pub(super) fn what(image: &LibraryImage) -> String {
    match &image.state {
        ImageState::Withheld(reason) => printable(&format!("not served: {reason}")),
        ImageState::Offered(offered) => match offered.recognised() {
            Some(recognised) => printable(&recognised.label),
            None => "not recognised: served, and in no menu".to_owned(),
        },
    }
}

/// The same for programs.
pub(super) fn object(image: &LibraryImage) -> Value {
    let mut object = json!({
        "name": image.name,
        "file": image.file_name.to_string(),
        "bytes": image.len,
        "modified": image.modified.seconds,
    });
    let more = match &image.state {
        ImageState::Withheld(reason) => json!({
            "state": reason.as_str(),
            "reason": reason.to_string(),
        }),
        ImageState::Offered(offered) => {
            let recognised = offered.recognised();
            json!({
                "state": "offered",
                "format": offered.tree.format_name(),
                "volume_id": offered.contents.volume_id,
                "profile": recognised.as_ref().map(|recognised| &recognised.profile.id),
                "label": recognised.map(|recognised| recognised.label),
            })
        }
    };
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// A length for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        unit => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (5 << 30, "5.0 GiB"),
            // As it stands in listings by HTTP.
            (6_193_152, "5.9 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
