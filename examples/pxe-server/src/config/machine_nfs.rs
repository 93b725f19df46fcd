//! What `[nfs]` asks of the machine: directories that the server can read, and write to.

use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, Gid, User, access, geteuid};

use super::place::Problems;
use super::{Config, ExportedFiles, NfsExport};
use crate::capabilities::Kept;
use crate::nfs::Unreadable;
use crate::user_tree::Reader;

impl Config {
    pub(super) fn check_exports(&self, problems: &mut Problems<'_>) {
        let Some(nfs) = &self.nfs else { return };
        let is_single = !self.places.contains("nfs.export[0]");
        let kept = self.kept(problems);
        let reader = self.reader();
        for (index, export) in nfs.exports.iter().enumerate() {
            let key = match is_single {
                true => "nfs.export".to_owned(),
                false => format!("nfs.export[{index}]"),
            };
            // Images are checked one by one when they are found.
            let Some(directory) = self.exported_directory(export) else {
                continue;
            };
            if !directory.is_dir() {
                match &export.files {
                    ExportedFiles::InTree(path) => problems.error(
                        &format!("{key}.root"),
                        format!("{path} is no directory of the tree"),
                        format!("make {}, or name another one", directory.display()),
                    ),
                    ExportedFiles::Directory(_) => problems.error(
                        &format!("{key}.directory"),
                        format!("{} is no directory", directory.display()),
                        "make it, or name another one",
                    ),
                    ExportedFiles::Images => {}
                }
                continue;
            }
            if let Some(reader) = reader.as_ref().filter(|_| !kept.reads_all()) {
                let unreadable = Unreadable::below(&directory, reader);
                if !unreadable.is_empty() {
                    let remedy = match Kept::wanted(self).reads_all() {
                        true => "chmod o+r files and o+rx directories, or start as root",
                        false => {
                            "chmod o+r files and o+rx directories, or export with no_root_squash"
                        }
                    };
                    problems.warning(
                        &key,
                        format!(
                            "the server cannot read {unreadable} in {}",
                            directory.display()
                        ),
                        remedy,
                    );
                }
            }
            if export.is_writable()
                && let Err(errno) = access(&directory, AccessFlags::W_OK)
            {
                let remedy = match errno {
                    Errno::EACCES => "start the server as root, or make it writable for its user",
                    _ => "export it with ro",
                };
                let message = format!(
                    "{} cannot be written to: {}",
                    directory.display(),
                    errno.desc()
                );
                problems.warning(&key, message, remedy);
            }
        }
    }

    /// Where an export's files are; `None` if they are in images.
    pub(crate) fn exported_directory(&self, export: &NfsExport) -> Option<PathBuf> {
        match &export.files {
            ExportedFiles::InTree(path) => Some(self.path_in_tree(path)),
            ExportedFiles::Directory(directory) => Some(directory.clone()),
            ExportedFiles::Images => None,
        }
    }

    /// The powers of root that the server will have; what it lacks is doubtful.
    fn kept(&self, problems: &mut Problems<'_>) -> Kept {
        let wanted = Kept::wanted(self);
        let kept = wanted.possible().unwrap_or(Kept::NONE);
        for (name, effect) in wanted.without(kept) {
            problems.warning(
                "nfs",
                format!("an export asks for {name}, which this process does not have: {effect}"),
                "start the server as root, and in a container with that capability",
            );
        }
        kept
    }

    /// The user that will serve; `None` if that is not known.
    fn reader(&self) -> Option<Reader> {
        let user = self.server.user.as_deref().filter(|_| geteuid().is_root());
        let Some(user) = user else {
            return Reader::of_process().ok();
        };
        // One that does not exist is told of elsewhere.
        let user = User::from_name(user).ok()??;
        let name = std::ffi::CString::new(user.name).ok()?;
        let groups = nix::unistd::getgrouplist(&name, user.gid);
        let groups: Vec<Gid> = groups.unwrap_or_else(|_| vec![user.gid]);
        Some(Reader::new(user.uid, groups))
    }
}
