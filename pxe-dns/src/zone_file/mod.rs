//! Zone files: what people write for BIND (RFC 1035 section 5).

mod check;
mod data;
mod finding;
mod generate;
mod lexer;
mod reader;
mod text;
mod time;

pub use self::finding::{Finding, Severity};
use self::reader::Reader;
use crate::{Name, Zone};

/// Where the contents of zone files come from.
///
/// A closure will do: `&|path: &str, octets_max: usize| ..`.
pub trait ZoneFiles {
    /// The contents of a file. For an `$INCLUDE` the path is as it is written there: what it is
    /// relative to, and from where nothing may be read, is decided here.
    ///
    /// A file of more than `octets_max` octets is refused whether it is returned or not, so that
    /// reading may stop there.
    ///
    /// # Errors
    /// Why it cannot be read, for a person, without the path.
    fn read(&self, path: &str, octets_max: usize) -> Result<Vec<u8>, String>;
}

impl<F: Fn(&str, usize) -> Result<Vec<u8>, String>> ZoneFiles for F {
    fn read(&self, path: &str, octets_max: usize) -> Result<Vec<u8>, String> {
        self(path, octets_max)
    }
}

/// Bounds on what a zone file can make of itself with `$INCLUDE` and `$GENERATE`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneFileLimits {
    /// Octets of all files, each counted as often as it is included, and of all lines that
    /// `$GENERATE` makes: 64 MiB, which is a million records and more.
    pub octets_max: usize,
    /// Records: 1,000,000.
    pub records_max: usize,
    /// Files, each counted as often as it is included: 1,000.
    pub files_max: usize,
    /// How deep files include each other: 16.
    pub depth_max: usize,
    /// Records that all `$GENERATE` make together: 65,536, which is a /16.
    pub generated_max: usize,
    /// Findings: 1,000. What else there is to say is not said.
    pub findings_max: usize,
}

impl Default for ZoneFileLimits {
    fn default() -> Self {
        Self {
            octets_max: 64 << 20,
            records_max: 1_000_000,
            files_max: 1_000,
            depth_max: 16,
            generated_max: 65_536,
            findings_max: 1_000,
        }
    }
}

/// What came of reading a zone file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ZoneFile {
    /// The zone, if nothing was found that is an error.
    pub zone: Option<Zone>,
    /// What was found, in the order of the files' lines.
    pub findings: Vec<Finding>,
    /// The files that were read, or could not be, by the paths that they were asked by: the first
    /// is the zone's own. Each is here once.
    pub files: Vec<String>,
}

impl ZoneFile {
    /// Reads a zone, with all that its file includes, and checks it.
    ///
    /// ```
    /// # use pxe_dns::{Name, ZoneFile, ZoneFileLimits};
    /// let text = "$TTL 1d\n@ SOA ns root 7 3h 1h 1w 1h\n NS ns\nns A 192.0.2.1\n";
    /// let files = |_: &str, _: usize| Ok(text.as_bytes().to_vec());
    /// let origin: Name = "matrix.lan".parse()?;
    /// let file = ZoneFile::read(&origin, "db.matrix.lan", &files, &ZoneFileLimits::default());
    /// assert_eq!(file.findings, []);
    /// assert_eq!(file.zone.map(|zone| zone.records().count()), Some(3));
    /// # Ok::<(), pxe_dns::NameError>(())
    /// ```
    pub fn read(origin: &Name, path: &str, files: &dyn ZoneFiles, limits: &ZoneFileLimits) -> Self {
        Reader::new(origin, files, limits).read(path)
    }
}
