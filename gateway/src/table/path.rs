//! How a request path may be read: which paths are refused, and what a backend that decodes sees. Pure.
//!
//! The path that is matched is the path that the backend sees, byte for byte: nothing is decoded, merged or resolved before it is forwarded. Two things
//! follow, so that no reading of a path slips past the rule that protects it:
//!
//! 1. Paths that no client sends by accident and that backends resolve differently are refused ([`check`]): dot segments in any spelling, NUL,
//!    malformed percent-encodings. Clients resolve dot segments before they send (RFC 3986 section 5.2.4), so a refused one is an attack or a bug.
//! 2. Paths that are in use but are read in two ways (`//`, `%2F`, `;v=1`, `\`) are served as long as both readings select the same backend under the
//!    same policy; otherwise the routing table selects nothing ([`super::Selection::Ambiguous`]).

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousPath {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// A segment is `.` or `..`, written plainly, percent-encoded, or with path parameters (`..;x`).
    #[error("the path contains a dot segment")]
    DotSegment,
    /// A `%` is not followed by two hexadecimal digits (RFC 3986 section 2.1).
    #[error("the path contains a malformed percent-encoding")]
    MalformedEncoding,
    /// It contains a NUL, plain or percent-encoded.
    #[error("the path contains a NUL")]
    Nul,
}

/// Checks the path of a request (without its query) before anything is matched. An accepted path is matched and forwarded byte for byte as it is.
///
/// # Errors
/// The request is to be answered with 400.
pub fn check(path: &str) -> Result<(), AmbiguousPath> {
    if !path.starts_with('/') {
        return Err(AmbiguousPath::NotAbsolute);
    }
    let mut segment = Segment::Empty;
    for byte in Decoded(path.bytes()) {
        let byte = byte?;
        if byte == 0 {
            return Err(AmbiguousPath::Nul);
        }
        if is_separator(byte) && segment.is_dots() {
            return Err(AmbiguousPath::DotSegment);
        }
        segment = segment.then(byte);
    }
    if segment.is_dots() { Err(AmbiguousPath::DotSegment) } else { Ok(()) }
}

/// Whether a backend may read the path otherwise than it is written.
pub(super) fn has_second_reading(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';')) || path.windows(2).any(|pair| pair == b"//")
}

/// Writes the path as decoding backends read it: percent-encodings resolved, `\` as `/`, path parameters (`;…`) dropped, repeated slashes merged.
/// Returns the part of `out` that it filled; `out` has to be as long as the path.
pub(super) fn second_reading<'a>(path: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    let mut length = 0;
    let mut in_parameters = false;
    for byte in Decoded(path.iter().copied()) {
        let byte = match byte {
            Ok(b'\\') => b'/',
            Ok(byte) => byte,
            Err(_) => b'%',
        };
        if byte == b'/' {
            in_parameters = false;
            if length > 0 && out[length - 1] == b'/' {
                continue;
            }
        }
        in_parameters |= byte == b';';
        if !in_parameters {
            out[length] = byte;
            length += 1;
        }
    }
    &out[..length]
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// What is known of the segment that is being read.
#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    DotDot,
    /// `.;…` or `..;…`: some servers drop the parameters before they resolve dot segments.
    DotsWithParameters,
    Ordinary,
}

impl Segment {
    const fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (_, b'/' | b'\\') => Self::Empty,
            (Self::Empty, b'.') => Self::Dot,
            (Self::Dot, b'.') => Self::DotDot,
            (Self::Dot | Self::DotDot, b';') | (Self::DotsWithParameters, _) => Self::DotsWithParameters,
            _ => Self::Ordinary,
        }
    }

    const fn is_dots(self) -> bool {
        matches!(self, Self::Dot | Self::DotDot | Self::DotsWithParameters)
    }
}

/// Bytes with percent-encodings resolved once.
struct Decoded<I>(I);

impl<I: Iterator<Item = u8> + Clone> Iterator for Decoded<I> {
    type Item = Result<u8, AmbiguousPath>;

    fn next(&mut self) -> Option<Self::Item> {
        let byte = self.0.next()?;
        if byte != b'%' {
            return Some(Ok(byte));
        }
        let mut ahead = self.0.clone();
        let (Some(high), Some(low)) = (ahead.next().and_then(hex), ahead.next().and_then(hex)) else {
            return Some(Err(AmbiguousPath::MalformedEncoding));
        };
        self.0 = ahead;
        Some(Ok(high << 4 | low))
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn dot_segments_are_refused_in_every_spelling() {
        for path in [
            "/.",
            "/..",
            "/./a",
            "/../a",
            "/a/..",
            "/a/../b",
            "/%2e%2E/a",
            "/.%2e/a",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a\\..\\b",
            "/a/%2e%2e%3bx/b",
            "/a/..%2f",
            "//..//",
        ] {
            assert_eq!(check(path), Err(AmbiguousPath::DotSegment), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_are_accepted() {
        for path in [
            "/",
            "//",
            "/a",
            "/a/",
            "/.well-known/acme-challenge/x",
            "/...",
            "/..a",
            "/a..",
            "/a..b/",
            "/.a/",
            "/projects/group%2Fproject",
            "/x;v=1/y",
            "/caf%C3%A9",
            "/%252e%252e/a",
            "/a/b.;c",
            "/;..",
            "/proxy/https://example.org/",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn other_refusals_say_why() {
        for (path, why) in [
            ("", AmbiguousPath::NotAbsolute),
            ("*", AmbiguousPath::NotAbsolute),
            ("a/b", AmbiguousPath::NotAbsolute),
            ("/a%00", AmbiguousPath::Nul),
            ("/a\0", AmbiguousPath::Nul),
            ("/%", AmbiguousPath::MalformedEncoding),
            ("/%4", AmbiguousPath::MalformedEncoding),
            ("/%zz", AmbiguousPath::MalformedEncoding),
        ] {
            assert_eq!(check(path), Err(why), "{path}");
        }
    }

    #[test]
    fn second_reading_is_what_a_decoding_backend_sees() {
        for (path, read) in [
            ("/a/b", "/a/b"),
            ("//a///b/", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/a%2Fb", "/a/b"),
            ("/a%2F/b", "/a/b"),
            ("/a\\b", "/a/b"),
            ("/a;v=1/b;w", "/a/b"),
            ("/a%3Bx/b", "/a/b"),
            ("/a%252Fb", "/a%2Fb"),
            ("/a%zz", "/a%zz"),
        ] {
            let mut out = vec![0; path.len()];
            assert_eq!(std::str::from_utf8(second_reading(path.as_bytes(), &mut out)).unwrap(), read, "{path}");
            assert_eq!(has_second_reading(path.as_bytes()), path != read || path.contains('%'), "{path}");
        }
    }
}
