//! Which format of an answer a client prefers (RFC 9110 section 12.5.1). Pure.

use http::HeaderValue;

/// Media ranges that are looked at; the rest of a longer header is ignored.
const MAX_RANGES: usize = 32;

/// What an answer can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A page for a browser.
    Html,
    /// Problem details (RFC 9457).
    Json,
    /// One line for a terminal.
    Text,
}

impl Format {
    /// Its media type.
    pub(super) const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/problem+json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

/// The format with the highest quality; among equals a type that is named in full goes before a wildcard, then the one named first. Text when nothing
/// is acceptable or nothing was said: an answer in the wrong format is better than none.
pub(super) fn preferred<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let ranges = accept.flat_map(|value| value.split(',')).take(MAX_RANGES);
    let best = ranges.filter_map(parse).reduce(|best, next| if (next.1, next.2) > (best.1, best.2) { next } else { best });
    best.map_or(Format::Text, |(format, ..)| format)
}

/// Format, quality in thousandths and whether the type is named in full. `None` for other types and those that are not acceptable.
fn parse(range: &str) -> Option<(Format, u16, bool)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?;
    let (format, is_full) = format_of(media_type)?;
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))).map_or(Some(1000), thousandths)?;
    (quality > 0).then_some((format, quality, is_full))
}

fn format_of(media_type: &str) -> Option<(Format, bool)> {
    const NAMES: [(&str, Format, bool); 8] = [
        ("text/html", Format::Html, true),
        ("application/xhtml+xml", Format::Html, true),
        ("application/json", Format::Json, true),
        ("application/problem+json", Format::Json, true),
        ("text/plain", Format::Text, true),
        ("application/*", Format::Json, false),
        ("text/*", Format::Text, false),
        ("*/*", Format::Text, false),
    ];
    NAMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(media_type)).map(|(_, format, is_full)| (*format, *is_full))
}

/// `1`, `0.5`, `0.125` in thousandths (RFC 9110 section 12.4.2); `None` for anything else.
fn thousandths(quality: &str) -> Option<u16> {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_quality_wins_then_the_full_name_then_the_first() {
        use Format::{Html, Json, Text};
        for (accept, expected) in [
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Html),
            ("application/json, text/plain, */*", Json),
            ("text/plain, application/json", Text),
            ("*/*, application/json", Json),
            ("text/html;q=0.5, application/json;q=0.7", Json),
            ("text/html;q=0.5, application/json;q=0.05", Html),
            ("TEXT/HTML ; q=0.001", Html),
            ("text/html;level=1;q=0.4, */*;q=0.1", Html),
            ("text/html;q=0, application/json;q=0.1", Json),
            ("application/*", Json),
            ("text/*", Text),
            ("image/png", Text),
            ("text/html;q=2", Text),
            ("text/html;q=1.001", Text),
            ("text/html;q=0.1234", Text),
            ("text/html;q=", Text),
            (";;;,,,", Text),
        ] {
            assert_eq!(preferred([accept].into_iter()), expected, "{accept}");
        }
        assert_eq!(preferred(["image/png", "application/json"].into_iter()), Json);
        assert_eq!(preferred(std::iter::empty()), Text);
    }

    #[test]
    fn long_headers_are_cut() {
        let long = format!("{}text/html", "image/png,".repeat(MAX_RANGES));
        assert_eq!(preferred([long.as_str()].into_iter()), Format::Text);
    }
}
