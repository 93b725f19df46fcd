//! Images of systems, made once by the recipes in `images/` and kept for later runs.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::run;

use crate::matrix::{Cell, Image, Matrix};
use crate::nfs::debian::{CACHE, sources};
use crate::tree;

/// The program of a recipe: `make IMAGE DIRECTORY SOURCE..`, or `make IMAGE DIRECTORY BASE`.
const PROGRAM: &str = "make";

/// The file of a recipe that names the recipe whose image it is made from.
const BASE: &str = "base";

/// Where recipes are, and where what they made is kept.
#[derive(Debug)]
pub(crate) struct Images {
    recipes: PathBuf,
    kept: PathBuf,
}

impl Images {
    /// The recipes of the package whose directory is `home`.
    pub(crate) fn of(home: &Path) -> Images {
        Images {
            recipes: home.join("images"),
            kept: PathBuf::from(CACHE),
        }
    }

    /// Makes those that the cells need and no earlier run has made.
    pub(crate) fn ensure(&self, matrix: &Matrix, cells: &[&Cell]) -> Result<(), String> {
        let systems = cells
            .iter()
            .filter_map(|cell| matrix.systems.get(&cell.system));
        let images = systems.flat_map(|system| system.images.values());
        let recipes: BTreeSet<&String> = images
            .filter_map(|image| match image {
                Image::Recipe(recipe) => Some(recipe),
                Image::File(_) => None,
            })
            .collect();
        for recipe in recipes {
            self.ensure_one(recipe)?;
        }
        Ok(())
    }

    /// Makes one, and before it the one that it is made from.
    fn ensure_one(&self, recipe: &str) -> Result<PathBuf, String> {
        let image = self.path(recipe)?;
        if !image.is_file() {
            let from = match self.base(recipe)? {
                Some(base) => vec![self.ensure_one(&base)?],
                None => sources()?,
            };
            println!("making {}", image.display());
            self.make(recipe, &image, &from)?;
        }
        Ok(image)
    }

    /// Lets an image appear in the folder at once and as a whole, as `mv` does.
    pub(crate) fn drop_into(&self, folder: &Path, name: &str, image: &Image) -> Result<(), String> {
        let from = match image {
            Image::Recipe(recipe) => self.path(recipe)?,
            Image::File(path) => path.clone(),
        };
        let part = folder.join(format!(".{name}"));
        tree::copy(&from, &part)?;
        let to = folder.join(name);
        fs::rename(&part, &to).map_err(|error| format!("{}: {error}", to.display()))
    }

    /// The recipe whose image this one is made from, if there is one.
    fn base(&self, recipe: &str) -> Result<Option<String>, String> {
        let file = self.recipes.join(recipe).join(BASE);
        match fs::read_to_string(&file) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    /// Where the recipe's image is kept: a recipe that changes has another place, and so has all that is made from it.
    fn path(&self, recipe: &str) -> Result<PathBuf, String> {
        let directory = self.recipes.join(recipe);
        let at = |error: std::io::Error| format!("{}: {error}", directory.display());
        let mut files: Vec<PathBuf> = fs::read_dir(&directory)
            .map_err(at)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_, _>>()
            .map_err(at)?;
        files.sort();
        let mut hasher = DefaultHasher::new();
        for file in files {
            file.file_name().hash(&mut hasher);
            fs::read(&file).map_err(at)?.hash(&mut hasher);
        }
        if let Some(base) = self.base(recipe)? {
            self.path(&base)?.hash(&mut hasher);
        }
        let hash = hasher.finish();
        Ok(self.kept.join(format!("{recipe}-{hash:016x}.iso")))
    }

    /// Makes it beside its place, and moves it there when it is complete.
    fn make(&self, recipe: &str, image: &Path, from: &[PathBuf]) -> Result<(), String> {
        let at = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(&self.kept).map_err(|error| at(&self.kept, error))?;
        let work = image.with_extension(format!("part-{}", std::process::id()));
        fs::create_dir_all(&work).map_err(|error| at(&work, error))?;
        let part = work.join("image");
        let mut command = Command::new(self.recipes.join(recipe).join(PROGRAM));
        command.arg(&part).arg(&work).args(from);
        let made = run(&mut command).and_then(|_| {
            // Another run may have been faster: the one image is as good as the other.
            fs::rename(&part, image).map_err(|error| at(image, error))
        });
        let _ = fs::remove_dir_all(&work);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_image_is_made_once_and_again_when_its_recipe_changes() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images {
            recipes: directory.path().join("recipes"),
            kept: directory.path().join("kept"),
        };
        let recipe = images.recipes.join("small");
        fs::create_dir_all(&recipe).unwrap();
        fs::create_dir(&images.kept).unwrap();
        fs::write(recipe.join("list"), "one").unwrap();
        fs::set_permissions(&recipe, fs::Permissions::from_mode(0o755)).unwrap();
        let first = images.path("small").unwrap();
        assert_eq!(images.path("small").unwrap(), first);
        fs::write(recipe.join("list"), "two").unwrap();
        let second = images.path("small").unwrap();
        assert_ne!(second, first);
        assert!(images.path("absent").is_err());

        let larger = images.recipes.join("larger");
        fs::create_dir(&larger).unwrap();
        fs::write(larger.join(BASE), "small\n").unwrap();
        let with_second = images.path("larger").unwrap();
        fs::write(recipe.join("list"), "three").unwrap();
        assert_ne!(images.path("larger").unwrap(), with_second);
        fs::write(recipe.join("list"), "two").unwrap();
        assert_eq!(images.path("larger").unwrap(), with_second);
        fs::write(larger.join(BASE), "absent").unwrap();
        assert!(images.path("larger").is_err());

        fs::write(&second, "an image").unwrap();
        let folder = directory.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let small = Image::Recipe("small".to_owned());
        images.drop_into(&folder, "small.iso", &small).unwrap();
        let other = Image::File(second);
        images.drop_into(&folder, "other.iso", &other).unwrap();
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["other.iso", "small.iso"]);
        assert_eq!(fs::read(folder.join("small.iso")).unwrap(), b"an image");
    }
}
