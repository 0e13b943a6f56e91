//! Host names as objects write them, checked and brought into one form. Pure.

/// Why a text is no host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than 253 bytes (RFC 1035 section 2.3.4).
    #[error("is longer than 253 characters")]
    TooLong,
    /// A label is empty, too long, or has characters outside letters, digits and hyphens (RFC 1123 section 2.1).
    #[error("is not a DNS name: labels are 1 to 63 letters, digits and hyphens, with no hyphen at the ends; write other scripts as A-labels (xn--…)")]
    BadLabel,
    /// A `*` anywhere but as the whole first label.
    #[error("has a * that is not the whole first label; write *.example.org")]
    BadWildcard,
    /// Ingress hosts are names.
    #[error("is an IP address; hosts are DNS names")]
    Address,
}

/// The name in lower case, without a trailing dot; `*.` is kept.
pub(crate) fn host_name(text: &str) -> Result<String, NameError> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels = name.strip_prefix("*.").unwrap_or(name);
    match () {
        () if name.is_empty() => Err(NameError::Empty),
        () if name.len() > 253 => Err(NameError::TooLong),
        () if labels.contains('*') => Err(NameError::BadWildcard),
        () if labels.parse::<std::net::Ipv4Addr>().is_ok() || labels.contains(':') => Err(NameError::Address),
        () if labels.split('.').all(is_label) => Ok(name.to_ascii_lowercase()),
        () => Err(NameError::BadLabel),
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The name as a DNS name with its root; `None` when it is too long for one.
pub(crate) fn absolute(name: &str) -> Option<dns::Name> {
    let mut absolute = dns::Name::from_ascii(name).ok()?;
    absolute.set_fqdn(true);
    Some(absolute)
}

/// The name without its first label.
pub(crate) fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

/// The suffix of a `*.` wildcard.
pub(crate) fn wildcard_base(name: &str) -> Option<&str> {
    name.strip_prefix("*.")
}

/// Whether `name` is `zone` or below it.
pub(crate) fn is_within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_checked_and_brought_into_one_form() {
        let long = format!("{}.example", "a".repeat(64));
        let rows: &[(&str, Result<&str, NameError>)] = &[
            ("app.example.org", Ok("app.example.org")),
            ("App.Example.ORG.", Ok("app.example.org")),
            ("*.example.org", Ok("*.example.org")),
            ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
            ("localhost", Ok("localhost")),
            ("", Err(NameError::Empty)),
            ("*", Err(NameError::BadWildcard)),
            ("a.*.org", Err(NameError::BadWildcard)),
            ("*a.org", Err(NameError::BadWildcard)),
            ("192.0.2.1", Err(NameError::Address)),
            ("a..b", Err(NameError::BadLabel)),
            ("-a.org", Err(NameError::BadLabel)),
            ("_acme-challenge.example.org", Err(NameError::BadLabel)),
            ("bücher.example", Err(NameError::BadLabel)),
            ("app.example.org/path", Err(NameError::BadLabel)),
            ("app.example.org:80", Err(NameError::Address)),
            (&long, Err(NameError::BadLabel)),
        ];
        for (text, expected) in rows {
            assert_eq!(host_name(text).as_deref(), expected.as_deref(), "{text}");
        }
    }

    #[test]
    fn a_zone_holds_itself_and_what_is_below_on_label_boundaries() {
        for (name, zone, expected) in [("z.org", "z.org", true), ("a.z.org", "z.org", true), ("az.org", "z.org", false), ("org", "z.org", false)] {
            assert_eq!(is_within(name, zone), expected, "{name} in {zone}");
        }
    }
}
