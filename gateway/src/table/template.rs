//! Texts with nginx's variables, as annotations hold them: a closed set of variables, parsed once and filled in for each request. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

/// A text with variables.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// What a variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    /// The client's address.
    Address,
    /// The query, without `?`.
    Arguments,
    /// The request target with everything but unreserved characters percent-encoded.
    EscapedTarget,
    /// The host, lower case, without its port.
    Host,
    /// The host as the client wrote it, with its port.
    HostAndPort,
    /// The method.
    Method,
    /// `http` or `https`.
    Scheme,
    /// Path and query, as sent.
    Target,
}

/// nginx's and ingress-nginx's names.
const NAMES: [(&str, Variable); 11] = [
    ("args", Variable::Arguments),
    ("best_http_host", Variable::HostAndPort),
    ("escaped_request_uri", Variable::EscapedTarget),
    ("host", Variable::Host),
    ("http_host", Variable::HostAndPort),
    ("pass_access_scheme", Variable::Scheme),
    ("query_string", Variable::Arguments),
    ("remote_addr", Variable::Address),
    ("request_method", Variable::Method),
    ("request_uri", Variable::Target),
    ("scheme", Variable::Scheme),
];

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A variable that has no value here.
    #[error("${0} is no variable that can be used here; those are {names}", names = names())]
    UnknownVariable(String),
    /// A `$` that starts no name.
    #[error("a $ is not followed by the name of a variable")]
    LoneDollar,
    /// A space, a control character or one outside of ASCII.
    #[error("it has the character {0:?}, which has to be percent-encoded")]
    Character(char),
}

fn names() -> String {
    NAMES.map(|(name, _)| format!("${name}")).join(", ")
}

/// The request that a template is filled in for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original<'a> {
    /// Whether it came over HTTPS.
    pub(crate) tls: bool,
    /// Its method.
    pub(crate) method: &'a str,
    /// Its host without the port.
    pub(crate) host: &'a str,
    /// Its host with the port, as the client wrote it.
    pub(crate) authority: &'a str,
    /// Path and query, as sent.
    pub(crate) target: &'a str,
    /// The client.
    pub(crate) client: IpAddr,
}

impl Original<'_> {
    /// `http` or `https`.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl Template {
    /// Parses a text; `$name` and `${name}` are variables.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push_text(&mut pieces, &rest[..at])?;
            let (name, after) = variable(&rest[at + 1..]).ok_or(TemplateError::LoneDollar)?;
            let known = NAMES.iter().find(|(known, _)| *known == name).ok_or_else(|| TemplateError::UnknownVariable(name.to_owned()))?;
            pieces.push(Piece::Variable(known.1));
            rest = after;
        }
        push_text(&mut pieces, rest)?;
        Ok(Self(pieces))
    }

    /// The text for a request; only visible ASCII.
    pub(crate) fn fill(&self, request: &Original<'_>) -> String {
        let mut filled = String::with_capacity(128);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Variable(variable) => variable.push(request, &mut filled),
            }
        }
        filled
    }

    /// The text, where it has no variables.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether all its variables are names of the host.
    pub(super) fn has_host_variables_only(&self) -> bool {
        let is_host = |piece: &Piece| matches!(piece, Piece::Text(_) | Piece::Variable(Variable::Host | Variable::HostAndPort));
        self.0.iter().all(is_host)
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Variable(variable) => {
                let name = NAMES.iter().find(|(_, known)| known == variable).map_or("", |(name, _)| name);
                write!(f, "${{{name}}}")
            }
        })
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), TemplateError> {
    if let Some(foreign) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(TemplateError::Character(foreign));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

/// The name that a text begins with, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(is_part)).then_some((name, rest))
}

impl Variable {
    fn push(self, request: &Original<'_>, filled: &mut String) {
        match self {
            Self::Address => {
                let _ = write!(filled, "{}", request.client.to_canonical());
            }
            Self::Arguments => push_encoded(request.target.split_once('?').map_or("", |(_, query)| query), |b| b.is_ascii_graphic(), filled),
            Self::EscapedTarget => push_encoded(request.target, is_unreserved, filled),
            Self::Host => filled.extend(request.host.strip_suffix('.').unwrap_or(request.host).chars().map(|c| c.to_ascii_lowercase())),
            Self::HostAndPort => push_encoded(request.authority, |b| b.is_ascii_graphic(), filled),
            Self::Method => push_encoded(request.method, |b| b.is_ascii_graphic(), filled),
            Self::Scheme => filled.push_str(request.scheme()),
            Self::Target => push_encoded(request.target, |b| b.is_ascii_graphic(), filled),
        }
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_encoded(text: &str, keeps: impl Fn(u8) -> bool, filled: &mut String) {
    for byte in text.bytes() {
        if keeps(byte) {
            filled.push(char::from(byte));
        } else {
            let _ = write!(filled, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn original() -> Original<'static> {
        Original {
            tls: true,
            method: "GET",
            host: "App.Example.org.",
            authority: "App.Example.org:8443",
            target: "/a b/ž?q=1&r=%2F\r\nx",
            client: "::ffff:192.0.2.1".parse().unwrap(),
        }
    }

    #[test]
    fn variables_are_filled_in_and_cannot_break_a_header() {
        for (text, expected) in [
            ("https://auth.test/check", "https://auth.test/check"),
            ("https://$host/oauth2/auth?allowed_emails=a@b.cz", "https://app.example.org/oauth2/auth?allowed_emails=a@b.cz"),
            ("https://${host}x", "https://app.example.orgx"),
            ("$scheme%3A%2F%2F$host", "https%3A%2F%2Fapp.example.org"),
            ("$pass_access_scheme://$best_http_host", "https://App.Example.org:8443"),
            ("$request_uri", "/a%20b/%C5%BE?q=1&r=%2F%0D%0Ax"),
            ("$escaped_request_uri", "%2Fa%20b%2F%C5%BE%3Fq%3D1%26r%3D%252F%0D%0Ax"),
            ("$args|$query_string", "q=1&r=%2F%0D%0Ax|q=1&r=%2F%0D%0Ax"),
            ("$request_method $remote_addr".replace(' ', "-").as_str(), "GET-192.0.2.1"),
            ("", ""),
        ] {
            assert_eq!(Template::parse(text).unwrap().fill(&original()), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_request_is_a_filled_template_is_one_word(authority in ".*", target in ".*", method in ".*") {
            let template = Template::parse(&NAMES.map(|(name, _)| format!("${{{name}}}&")).concat()).unwrap();
            let original = Original { authority: &authority, target: &target, method: &method, ..original() };
            let filled = template.fill(&original);
            proptest::prop_assert!(filled.bytes().all(|byte| byte.is_ascii_graphic()), "{filled:?}");
        }
    }

    #[test]
    fn only_known_variables_are_allowed() {
        use TemplateError::{Character, LoneDollar, UnknownVariable};
        for (text, expected) in [
            ("https://a/$cookie_session", UnknownVariable("cookie_session".into())),
            ("${arg_x}", UnknownVariable("arg_x".into())),
            ("$hostname", UnknownVariable("hostname".into())),
            ("$", LoneDollar),
            ("a$/b", LoneDollar),
            ("${host", LoneDollar),
            ("${}", LoneDollar),
            ("${ho st}", LoneDollar),
            ("a b", Character(' ')),
            ("a\r\nSet-Cookie:x", Character('\r')),
            ("ž", Character('ž')),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
        assert!(UnknownVariable("x".into()).to_string().contains("$escaped_request_uri, $host"));
    }

    #[test]
    fn a_text_without_variables_is_fixed() {
        assert_eq!(Template::parse("a.test").unwrap().fixed(), Some("a.test"));
        assert_eq!(Template::parse("").unwrap().fixed(), Some(""));
        assert_eq!(Template::parse("$host").unwrap().fixed(), None);
    }
}
