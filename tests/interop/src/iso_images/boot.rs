//! Images that machines boot from, by BIOS and UEFI, from discs and from disks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pxe_iso::{ImageTree, NameSource};
use pxe_tree::{Name, Tree};

use super::node::told;
use super::tools::{self, Extractor, block_on, open, program, run};
use super::{ALL, RESTORED, check, reading, source};

/// Where Debian's package isolinux has its files.
const ISOLINUX: &str = "/usr/lib/ISOLINUX";

/// El Torito's entries for BIOS and UEFI, and partition tables before the volume descriptors.
pub(super) fn bootable(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::files(&source).map_err(|error| error.to_string())?;
    let efi = source.join("uefi.img");
    File::create(&efi)
        .and_then(|file| file.set_len(1440 << 10))
        .map_err(|error| error.to_string())?;
    run(program("mformat")
        .arg("-i")
        .arg(&efi)
        .args(["-f", "1440", "::"]))?;
    let isolinux = source.join("isolinux.bin");
    fs::copy(format!("{ISOLINUX}/isolinux.bin"), isolinux).map_err(|error| error.to_string())?;
    for (name, make) in [
        (
            "xorriso",
            by_xorriso as fn(&Path, &Path) -> Result<(), String>,
        ),
        ("genisoimage and isohybrid", by_genisoimage),
        ("grub-mkrescue", by_grub),
    ] {
        let image = work.path().join("image.iso");
        let result = make(&source, &image).and_then(|()| {
            // genisoimage's time of 2038 is a day wrong to xorriso.
            let readings = [
                reading(NameSource::RockRidge, Extractor::Xorriso("any"), RESTORED)
                    .without(&["times/2038"]),
                reading(NameSource::RockRidge, Extractor::Bsdtar(""), ALL),
            ];
            check(work.path(), &image, &readings)?;
            let extracted = work.path().join("boot images");
            boot_images(&image, &extracted)
        });
        result.map_err(|error| format!("{name}: {error}"))?;
        fs::remove_dir_all(work.path().join("boot images")).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn by_xorriso(source: &Path, image: &Path) -> Result<(), String> {
    let mbr = format!("{ISOLINUX}/isohdpfx.bin");
    let flags = [
        "-R",
        "-c",
        "boot.cat",
        "-b",
        "isolinux.bin",
        "-no-emul-boot",
        "-boot-load-size",
        "4",
        "-boot-info-table",
        "-eltorito-alt-boot",
        "-e",
        "uefi.img",
        "-no-emul-boot",
        "-isohybrid-mbr",
        &mbr,
        "-isohybrid-gpt-basdat",
    ];
    tools::xorriso(source, image, &flags)
}

fn by_genisoimage(source: &Path, image: &Path) -> Result<(), String> {
    let flags = [
        "-R",
        "-c",
        "boot.cat",
        "-b",
        "isolinux.bin",
        "-no-emul-boot",
        "-boot-load-size",
        "4",
        "-boot-info-table",
        "-eltorito-alt-boot",
        "-e",
        "uefi.img",
        "-no-emul-boot",
    ];
    tools::genisoimage(source, image, &flags)?;
    run(program("isohybrid").arg("--uefi").arg(image)).map(drop)
}

fn by_grub(source: &Path, image: &Path) -> Result<(), String> {
    let mut command = program("grub-mkrescue");
    run(command.arg("-o").arg(image).arg(source)).map(drop)
}

/// What xorriso takes for El Torito's images is what is shown. For BIOS the catalogue says how much
/// the firmware loads, which may be less than the file that lies there.
fn boot_images(image: &Path, extracted: &Path) -> Result<(), String> {
    let mut xorriso = program("xorriso");
    xorriso.args(["-osirrox", "on", "-indev"]).arg(image);
    run(xorriso.arg("-extract_boot_images").arg(extracted))?;
    block_on(async {
        let tree = open(image, NameSource::Best).await?;
        let tree = tree.map_err(|error| error.to_string())?;
        for (shown, file, is_whole) in [
            ("1-BIOS.img", "eltorito_img1_bios.img", false),
            ("2-UEFI.img", "eltorito_img2_uefi.img", true),
        ] {
            let found = boot_image(&tree, shown).await?;
            let expected: PathBuf = extracted.join(file);
            let expected = fs::read(expected).map_err(|error| format!("{file}: {error}"))?;
            let is_same = match is_whole {
                true => found == expected,
                false => found.len() >= 2048 && expected.starts_with(&found),
            };
            if !is_same {
                let sizes = format!("{} and {} bytes", found.len(), expected.len());
                return Err(format!("{shown} is not {file}: {sizes}"));
            }
        }
        Ok(())
    })
}

async fn boot_image(tree: &ImageTree, name: &str) -> Result<Vec<u8>, String> {
    let mut found = tree.attributes(tree.root()).await.map_err(told)?;
    for name in ["[BOOT]", name] {
        let name = Name::new(name).map_err(|kind| kind.to_string())?;
        found = tree.lookup(found.node, name).await.map_err(told)?;
    }
    let blob = tree.open(found.node).await.map_err(told)?;
    let len = usize::try_from(found.len).map_err(|error| error.to_string())?;
    Ok(blob.read_at(0, len).await.map_err(told)?.to_vec())
}
