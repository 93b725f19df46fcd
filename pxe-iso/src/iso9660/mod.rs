//! ISO 9660 (ECMA-119), with Rock Ridge, Joliet and El Torito.

mod boot;
mod descriptor;
mod el_torito;
#[cfg(test)]
mod extension_tests;
mod field;
pub(crate) mod fuzzing;
pub(crate) mod image_builder;
mod name;
mod path_table;
mod record;
mod rock_ridge;
mod system_use;
mod volume;
#[cfg(test)]
mod volume_tests;

pub(crate) use self::volume::Volume;
