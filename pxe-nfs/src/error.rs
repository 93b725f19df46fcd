//! What a caller can do wrong.

/// Why a service could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An export's path does not begin with a slash.
    #[error("export {path}: not an absolute path")]
    NotAbsolute {
        /// The path.
        path: String,
    },
    /// Two exports have the same path.
    #[error("export {path}: exported twice")]
    Twice {
        /// The path.
        path: String,
    },
}
