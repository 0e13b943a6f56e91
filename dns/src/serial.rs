//! Serial numbers of a zone: they only grow (RFC 1982), and follow the clock where they can. Pure.

/// The serial after `previous`: the time in Unix seconds when that is ahead, else the next number.
///
/// ```
/// assert_eq!(dns::serial::next(None, 1_700_000_000), 1_700_000_000);
/// assert_eq!(dns::serial::next(Some(1_700_000_000), 1_700_000_000), 1_700_000_001);
/// ```
#[must_use]
pub const fn next(previous: Option<u32>, unix_seconds: u32) -> u32 {
    match previous {
        None => unix_seconds,
        Some(previous) if is_newer(unix_seconds, previous) => unix_seconds,
        Some(previous) => previous.wrapping_add(1),
    }
}

/// Whether `a` comes after `b` (RFC 1982 section 3.2).
#[must_use]
pub const fn is_newer(a: u32, b: u32) -> bool {
    let distance = a.wrapping_sub(b);
    distance != 0 && distance < 1 << 31
}
