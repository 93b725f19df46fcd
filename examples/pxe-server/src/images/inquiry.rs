//! Asking an image what profiles want to know of it.

use std::collections::BTreeMap;

use pxe_iso::ImageTree;
use pxe_tree::{
    Attributes, Blob, Cookie, ErrorKind, Name, NodeKind, Resolver, Result, Tree, TreePath,
};

use super::contents::{Contents, Questions, TEXT_BYTES_MAX};

/// How many files of one folder are looked at. Those with kernels hold a few.
const FOLDER_FILES_MAX: usize = 10_000;
/// How many links of one folder are followed: each is a walk, through directories of any size.
const FOLDER_LINKS_MAX: usize = 100;
const PAGE_ENTRIES: usize = 1000;

/// The answers of an image, but for what lies beside it.
///
/// # Errors
/// `Stale` if the image was edited meanwhile, `Io` if it cannot be read. What is damaged in it is
/// not there.
pub(super) async fn contents(
    tree: &ImageTree,
    image: &dyn Blob,
    questions: &Questions,
) -> Result<Contents> {
    let mut contents = Contents {
        volume_id: tree.volume_id().trim().to_owned(),
        image_bytes: image.attributes().len,
        ..Contents::default()
    };
    let resolver = Resolver::new();
    for path in &questions.files {
        let found = find_file(tree, &resolver, path).await;
        if let Some(found) = there(image, found)?.flatten() {
            contents.files.insert(path.clone(), found.len);
        }
    }
    for folder in &questions.folders {
        add_folder(tree, image, folder, &mut contents.files).await?;
    }
    for path in &questions.texts {
        let found = find_file(tree, &resolver, path).await;
        let Some(found) = there(image, found)?.flatten() else {
            continue;
        };
        let text = async {
            let file = tree.open(found.node).await?;
            file.read_at(0, TEXT_BYTES_MAX).await
        };
        if let Some(text) = there(image, text.await)? {
            let text = String::from_utf8_lossy(&text).into_owned();
            contents.texts.insert(path.clone(), text);
        }
    }
    Ok(contents)
}

/// The files in a folder beside an image that are asked for, with their lengths.
pub(super) async fn beside(
    folder: &dyn Tree,
    name: &Name,
    questions: &Questions,
) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    let Ok(root) = folder.lookup(folder.root(), name).await else {
        return files;
    };
    // A link there leads no further than that folder, as one in an image does.
    let resolver = Resolver::new().with_root(root.node);
    for path in &questions.beside {
        if let Ok(Some(found)) = find_file(folder, &resolver, path).await {
            files.insert(path.clone(), found.len);
        }
    }
    files
}

async fn find_file(tree: &dyn Tree, resolver: &Resolver, path: &str) -> Result<Option<Attributes>> {
    let Ok(path) = TreePath::parse(path) else {
        return Ok(None);
    };
    let found = resolver.resolve(tree, &path).await?.attributes;
    Ok((found.kind == NodeKind::File).then_some(found))
}

async fn add_folder(
    tree: &ImageTree,
    image: &dyn Blob,
    folder: &str,
    files: &mut BTreeMap<String, u64>,
) -> Result<()> {
    let Ok(path) = TreePath::parse(folder) else {
        return Ok(());
    };
    let Some(found) = there(image, Resolver::new().resolve(tree, &path).await)? else {
        return Ok(());
    };
    let (mut looked_at, mut followed) = (0, 0);
    let mut after = Cookie::START;
    while looked_at < FOLDER_FILES_MAX {
        let page = tree.read_dir_attributes(found.attributes.node, after, PAGE_ENTRIES);
        let Some(page) = there(image, page.await)? else {
            return Ok(());
        };
        for listed in &page.entries {
            looked_at += 1;
            after = listed.entry.cookie;
            let Some(attributes) = &listed.attributes else {
                continue;
            };
            let Some(name) = as_text(&listed.entry.name) else {
                continue;
            };
            let path = match folder {
                "" => name.to_owned(),
                folder => format!("{folder}/{name}"),
            };
            let len = match attributes.kind {
                NodeKind::File => Some(attributes.len),
                NodeKind::Link if followed < FOLDER_LINKS_MAX => {
                    followed += 1;
                    let found = find_file(tree, &Resolver::new(), &path).await;
                    there(image, found)?.flatten().map(|found| found.len)
                }
                _ => None,
            };
            files.extend(len.map(|len| (path, len)));
        }
        if page.end {
            return Ok(());
        }
    }
    Ok(())
}

fn as_text(name: &Name) -> Option<&str> {
    std::str::from_utf8(name.as_bytes()).ok()
}

/// What is there: a part of an image that is damaged is not, nor one to which the image leads and
/// where nothing can be. An image that was edited is no image to ask.
fn there<T>(image: &dyn Blob, done: Result<T>) -> Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::Stale => image.validate().map(|()| None),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pxe_tree::MemBlob;

    /// It would be opened again and again, as one that is being written.
    #[test]
    fn an_image_that_leads_to_nothing_was_not_edited() {
        let image = MemBlob::new("image");
        let stale: Result<()> = Err(ErrorKind::Stale.into());
        assert_eq!(there(&*image, stale).expect("not edited"), None);
    }
}
