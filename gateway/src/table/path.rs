//! Which request paths are refused because a backend may read them differently from how they were matched. Pure.

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousPath {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// A segment is `.` or `..`, written plainly, percent-encoded, or with path parameters.
    #[error("the path contains a dot segment")]
    DotSegment,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("the path contains a malformed percent-encoding")]
    MalformedEncoding,
    /// It contains a NUL, plain or percent-encoded.
    #[error("the path contains a NUL")]
    Nul,
}

/// Checks the path of a request (without its query) before anything is matched. An accepted path is matched and forwarded byte for byte as it is.
///
/// # Errors
/// The path is to be answered with 400.
pub fn check(_path: &str) -> Result<(), AmbiguousPath> {
    Ok(())
}
