//! Reading what is asked about: a URL, a DNS name or an address. Pure.

use std::net::IpAddr;

use http::uri::PathAndQuery;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A URL.
    Url {
        /// Its scheme, `http` or `https`.
        scheme: &'static str,
        /// Its host.
        host: String,
        /// Its path.
        path: String,
    },
    /// A DNS name.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

/// The text is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {fault}; expected a URL (https://host/path), a DNS name or an IP address")]
pub struct TargetError {
    text: String,
    fault: Fault,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("nothing is asked about")]
    Nothing,
    #[error("it has spaces or control characters")]
    Blank,
    #[error("the scheme {0:?} is not served here, write http or https")]
    Scheme(String),
    #[error("the port {0:?} is none, write a number from 1 to 65535")]
    Port(String),
    #[error("it has no host")]
    NoHost,
    #[error("the name has {0} characters, more than 253")]
    LongName(usize),
    #[error("a label of the name is empty")]
    EmptyLabel,
    #[error("the label {0:?} has {1} characters, more than 63")]
    LongLabel(String, usize),
    #[error("{0:?} is no name, write a-z, 0-9, '-' and '_' with dots between")]
    Characters(String),
    #[error("the path cannot stand in a URL, write other characters as %XX")]
    Path,
}

/// Reads what is asked about.
///
/// # Errors
/// When it is no URL, name or address.
pub fn parse(text: &str) -> Result<Target, TargetError> {
    target(text).map_err(|fault| TargetError { text: text.to_owned(), fault })
}

fn target(text: &str) -> Result<Target, Fault> {
    match text {
        "" => Err(Fault::Nothing),
        _ if text.contains(|character: char| character.is_whitespace() || character.is_control()) => Err(Fault::Blank),
        _ => match text.parse() {
            Ok(address) => Ok(Target::Address(address)),
            Err(_) if text.contains(['/', ':', '?', '#', '@']) => url(text),
            Err(_) => name(text).map(Target::Name),
        },
    }
}

/// `SCHEME://HOST:PORT/PATH?QUERY`, of which only the host has to be there.
fn url(text: &str) -> Result<Target, Fault> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known)).ok_or_else(|| Fault::Scheme(scheme.to_owned()))?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host_before_port(host)?;
    let path = rest.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = path.parse::<PathAndQuery>().map_err(|_| Fault::Path)?;
    Ok(Target::Url { scheme, host, path: path.path().to_owned() })
}

/// The host, in the form in which hosts are compared. The port decides nothing, but has to be one.
fn host_before_port(text: &str) -> Result<String, Fault> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if let Some(port) = port.filter(|port| !is_port(port)) {
        return Err(Fault::Port(port.to_owned()));
    }
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => literal.parse::<std::net::Ipv6Addr>().map(|address| format!("[{address}]")).map_err(|_| Fault::Characters(host.to_owned())),
        None if host.is_empty() => Err(Fault::NoHost),
        None => name(host),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|port: u16| port > 0)
}

/// A name in lower case, without a trailing dot. It may be one that no Ingress can have: `_acme-challenge.…`, `*.…`.
fn name(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let length = name.chars().count();
    for label in name.split('.') {
        match label.chars().count() {
            0 => return Err(Fault::EmptyLabel),
            long @ 64.. => return Err(Fault::LongLabel(label.to_owned(), long)),
            _ if label != "*" && !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) => {
                return Err(Fault::Characters(label.to_owned()));
            }
            _ => {}
        }
    }
    if length > 253 { Err(Fault::LongName(length)) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_names_and_addresses_are_told_apart() {
        let url = |scheme, host: &str, path: &str| Target::Url { scheme, host: host.into(), path: path.into() };
        for (text, expected) in [
            ("https://App.example.org/x?y=1", url("https", "app.example.org", "/x")),
            ("HTTP://app.example.org:8080", url("http", "app.example.org", "/")),
            ("https://user@app.example.org:1/x#y", url("https", "app.example.org", "/x")),
            ("app.example.org/x", url("https", "app.example.org", "/x")),
            ("app.example.org.:65535", url("https", "app.example.org", "/")),
            ("https://[2001:DB8::1]:443/", url("https", "[2001:db8::1]", "/")),
            ("https://192.0.2.1/", url("https", "192.0.2.1", "/")),
            ("App.Example.org.", Target::Name("app.example.org".into())),
            ("_acme-challenge.example.org", Target::Name("_acme-challenge.example.org".into())),
            ("*.example.org", Target::Name("*.example.org".into())),
            ("192.0.2.1", Target::Address([192, 0, 2, 1].into())),
            ("2001:db8::1", Target::Address("2001:db8::1".parse().unwrap())),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused_with_what_is_wrong() {
        let (label, name) = ("a".repeat(64), ["a".repeat(60).as_str(); 5].join("."));
        for (text, expected) in [
            ("", "nothing is asked about"),
            ("not a name", "it has spaces or control characters"),
            ("https://a.test/a b", "it has spaces or control characters"),
            ("ftp://a.test/", "the scheme \"ftp\" is not served here, write http or https"),
            ("://a.test/", "the scheme \"\" is not served here, write http or https"),
            ("https://a.test:99999/", "the port \"99999\" is none, write a number from 1 to 65535"),
            ("a.test:0", "the port \"0\" is none, write a number from 1 to 65535"),
            ("a.test:", "the port \"\" is none, write a number from 1 to 65535"),
            ("a.test:+80/", "the port \"+80\" is none, write a number from 1 to 65535"),
            ("https:///x", "it has no host"),
            ("https://:80/x", "it has no host"),
            ("/x", "it has no host"),
            ("a..test", "a label of the name is empty"),
            (".", "a label of the name is empty"),
            (&format!("https://{label}.test/"), &format!("the label {label:?} has 64 characters, more than 63")),
            (&name, "the name has 304 characters, more than 253"),
            ("https://a!.test/", "\"a!\" is no name, write a-z, 0-9, '-' and '_' with dots between"),
            ("bücher.test", "\"bücher\" is no name, write a-z, 0-9, '-' and '_' with dots between"),
            ("https://[::g]/", "\"[::g]\" is no name, write a-z, 0-9, '-' and '_' with dots between"),
            ("https://a.test/<", "the path cannot stand in a URL, write other characters as %XX"),
        ] {
            let whole = format!("{text:?}: {expected}; expected a URL (https://host/path), a DNS name or an IP address");
            assert_eq!(parse(text).unwrap_err().to_string(), whole);
        }
    }
}
