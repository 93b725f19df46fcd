//! Lays out a boot tree.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::matrix::{TreeSpec, Variables, fill};

/// Makes the tree at `root`, which does not exist yet, readable for everybody: the server runs as nobody.
pub(crate) fn lay_out(
    root: &Path,
    specs: &[&TreeSpec],
    variables: &Variables,
) -> Result<(), String> {
    make_directory(root)?;
    for spec in specs {
        for (path, from) in &spec.copy {
            copy(from, &place(root, path)?)?;
        }
        for (path, text) in &spec.text {
            let text = fill(text, variables).map_err(|error| format!("{path}: {error}"))?;
            write(&place(root, path)?, text.as_bytes())?;
        }
        for (path, edit) in &spec.edit {
            let at = |error: &dyn std::fmt::Display| format!("{}: {error}", edit.from.display());
            let mut text = fs::read_to_string(&edit.from).map_err(|error| at(&error))?;
            for (old, new) in &edit.replace {
                if !text.contains(old.as_str()) {
                    return Err(at(&format!("{old:?} is no longer in it")));
                }
                let new = fill(new, variables).map_err(|error| format!("{path}: {error}"))?;
                text = text.replace(old.as_str(), &new);
            }
            text.insert_str(0, &edit.prepend);
            write(&place(root, path)?, text.as_bytes())?;
        }
        for (path, target) in &spec.link {
            let place = place(root, path)?;
            symlink(target, &place)
                .map_err(|error| format!("cannot link {}: {error}", place.display()))?;
        }
    }
    Ok(())
}

/// The path on disk, with its parent directories made.
fn place(root: &Path, path: &str) -> Result<std::path::PathBuf, String> {
    let place = root.join(path);
    let mut parents: Vec<&Path> = place
        .ancestors()
        .skip(1)
        .take_while(|parent| *parent != root)
        .collect();
    parents.reverse();
    for parent in parents {
        if !parent.is_dir() {
            make_directory(parent)?;
        }
    }
    Ok(place)
}

/// Makes one directory that everybody may read, whatever the umask.
pub(crate) fn make_directory(path: &Path) -> Result<(), String> {
    let at = |error: std::io::Error| format!("cannot make {}: {error}", path.display());
    fs::create_dir(path).map_err(at)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(at)
}

/// Writes a file that everybody may read.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    let at = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    fs::write(path, content).map_err(at)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(at)
}

/// Copies a file or a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let at = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
    if !from.is_dir() {
        fs::copy(from, to).map_err(at)?;
        return fs::set_permissions(to, fs::Permissions::from_mode(0o644)).map_err(at);
    }
    if !to.is_dir() {
        make_directory(to)?;
    }
    for entry in fs::read_dir(from).map_err(at)? {
        let entry = entry.map_err(at)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Edit;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    #[test]
    fn a_tree_is_laid_out_with_the_tutorials_links() {
        let directory = tempfile::tempdir().unwrap();
        let package = directory.path().join("package");
        fs::create_dir_all(package.join("below")).unwrap();
        fs::write(package.join("below/linux"), "kernel").unwrap();
        fs::write(package.join("grub.cfg"), "linux x --- quiet\n").unwrap();
        let edit = Edit {
            from: package.join("grub.cfg"),
            prepend: "set timeout=1\n".into(),
            replace: vec![("--- quiet".into(), "@append@".into())],
        };
        let mut spec = TreeSpec {
            copy: BTreeMap::from([("os".to_owned(), package)]),
            text: BTreeMap::from([("pxelinux.cfg/default".into(), "APPEND @append@".into())]),
            edit: BTreeMap::from([("grub/grub.cfg".into(), edit)]),
            link: BTreeMap::from([
                ("bios/os".into(), "../os".into()),
                ("bios/pxelinux.cfg".into(), "../pxelinux.cfg".into()),
            ]),
        };
        let variables = Variables::from([("append".into(), "console=ttyS0".into())]);
        let root = directory.path().join("tree");
        lay_out(&root, &[&spec], &variables).unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("bios/os/below/linux"), "kernel");
        assert_eq!(read("bios/pxelinux.cfg/default"), "APPEND console=ttyS0");
        assert_eq!(
            read("grub/grub.cfg"),
            "set timeout=1\nlinux x console=ttyS0\n"
        );
        for path in ["", "os/below", "bios"] {
            let mode = fs::metadata(root.join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755, "{path}");
        }

        spec.edit
            .values_mut()
            .for_each(|edit| edit.replace[0].0 = "gone".into());
        let again: PathBuf = directory.path().join("again");
        let error = lay_out(&again, &[&spec], &variables).unwrap_err();
        assert!(error.contains("\"gone\" is no longer in it"), "{error}");
    }
}
