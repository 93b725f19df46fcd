//! The small guest: busybox, a kernel's modules and one script, all of it in an initramfs.

use std::collections::BTreeSet;
use std::path::Path;

use crate::nfs::cpio::Archive;
use crate::nfs::debian::Debian;

/// What its kernel has to be able to do, beside what is built in.
const MODULES: [&str; 3] = ["virtio_pci", "virtio_net", "nfsv3"];

/// Programs, and the libraries that they and further ones need.
const PROGRAMS: [&str; 1] = ["bin/busybox"];
const LIBRARIES: [&str; 5] = [
    "lib64/ld-linux-x86-64.so.2",
    "lib/x86_64-linux-gnu/libc.so.6",
    "lib/x86_64-linux-gnu/libgcc_s.so.1",
    "lib/x86_64-linux-gnu/libm.so.6",
    "lib/x86_64-linux-gnu/libresolv.so.2",
];

/// Further files of a guest.
#[derive(Debug, Default)]
pub(crate) struct Extra<'a> {
    /// Programs of the host, by their place in the guest.
    pub(crate) programs: Vec<(&'a str, &'a Path)>,
    pub(crate) texts: Vec<(&'a str, &'a str)>,
}

/// Makes it: `init` is the first process, and runs `script`.
pub(crate) fn make(
    debian: &Debian,
    init: &str,
    script: &str,
    extra: &Extra<'_>,
) -> Result<Vec<u8>, String> {
    let mut files: Vec<(String, Vec<u8>, bool)> = vec![
        ("init".to_owned(), init.into(), true),
        ("guest.sh".to_owned(), script.into(), false),
    ];
    for path in PROGRAMS.iter().chain(&LIBRARIES) {
        files.push(((*path).to_owned(), debian.read(path)?, true));
    }
    let mut list = String::new();
    for module in debian.modules(&MODULES)? {
        list.push_str(&format!("/{module}\n"));
        files.push((module.clone(), debian.read(&module)?, false));
    }
    files.push(("modules".to_owned(), list.into_bytes(), false));
    for (path, from) in &extra.programs {
        let content =
            std::fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
        files.push(((*path).to_owned(), content, true));
    }
    for (path, text) in &extra.texts {
        files.push(((*path).to_owned(), (*text).into(), false));
    }
    let mut archive = Archive::default();
    for directory in parents(files.iter().map(|(path, ..)| path.as_str())) {
        archive.directory(&directory);
    }
    for (path, content, is_program) in &files {
        if *is_program {
            archive.program(path, content);
        } else {
            archive.file(path, content);
        }
    }
    Ok(archive.finish())
}

/// The directories of the paths, each before those that are in it.
fn parents<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut directories = BTreeSet::new();
    for path in paths {
        for (end, _) in path.match_indices('/') {
            directories.extend(path.get(..end).map(str::to_owned));
        }
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::parents;

    #[test]
    fn directories_come_before_what_is_in_them() {
        let paths = ["lib/modules/6.1/a.ko", "lib64/ld.so", "init"];
        let parents: Vec<String> = parents(paths.into_iter()).into_iter().collect();
        assert_eq!(parents, ["lib", "lib/modules", "lib/modules/6.1", "lib64"]);
    }
}
