//! A file of profiles as it is written, before anything is checked. The first lines of
//! `profiles.toml` say what each key means.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::profile::Evidence;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenFile {
    #[serde(default, rename = "profile")]
    pub(super) profiles: Vec<WrittenProfile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenProfile {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) recognise: WrittenRecognise,
    #[serde(default)]
    pub(super) over: Vec<String>,
    #[serde(default)]
    pub(super) fallback: bool,
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) files: BTreeMap<String, Vec<String>>,
    pub(super) memory: Option<WrittenMemory>,
    pub(super) boot: Vec<WrittenBoot>,
    #[serde(default)]
    pub(super) quirks: Vec<String>,
    pub(super) source: Vec<WrittenSource>,
    #[serde(default)]
    pub(super) booted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRecognise {
    #[serde(default)]
    pub(super) all: Vec<String>,
    #[serde(default)]
    pub(super) any: Vec<String>,
    #[serde(default)]
    pub(super) none: Vec<String>,
    #[serde(default, rename = "text")]
    pub(super) texts: Vec<WrittenText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenText {
    pub(super) file: Option<String>,
    #[serde(default)]
    pub(super) volume_id: bool,
    pub(super) pattern: String,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenMemory {
    pub(super) fixed_mib: u64,
    pub(super) nfs: Option<WrittenCopied>,
    pub(super) http: Option<WrittenCopied>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCopied {
    pub(super) of: String,
    pub(super) percent: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBoot {
    #[serde(default)]
    pub(super) name: String,
    pub(super) architecture: Option<String>,
    pub(super) firmware: Vec<WrittenFirmware>,
    #[serde(default)]
    pub(super) needs: Vec<String>,
    pub(super) method: WrittenMethod,
    pub(super) kernel: Option<Vec<String>>,
    pub(super) initrd: Option<Vec<Vec<String>>>,
    pub(super) nfs: Option<String>,
    pub(super) http: Option<String>,
    pub(super) bootif: Option<bool>,
    pub(super) program: Option<Vec<String>>,
    pub(super) disk: Option<Vec<String>>,
    pub(super) wim: Option<BTreeMap<String, Vec<String>>>,
    pub(super) menus: Option<Vec<String>>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WrittenFirmware {
    Bios,
    Uefi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WrittenMethod {
    Linux,
    Program,
    Memdisk,
    Wimboot,
    Menu,
    Refused,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSource {
    pub(super) at: String,
    pub(super) evidence: Evidence,
}
