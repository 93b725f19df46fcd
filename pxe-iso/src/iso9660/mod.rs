//! ISO 9660 (ECMA-119), with Rock Ridge, Joliet and El Torito.

mod boot;
mod descriptor;
mod el_torito;
mod field;
mod name;
mod record;
mod rock_ridge;
mod system_use;
mod volume;

pub(crate) use self::volume::Volume;
