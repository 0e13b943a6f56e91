//! Rules and requests from text, and which rule wins by linear search: the model of `gateway::RoutingTable`.

use std::sync::Arc;

use gateway::table::{Action, HostPattern, PathMatch, Route, RouteId, Rule};

/// Most rules that one input makes.
const MAX_RULES: usize = 64;

/// Rules and one request.
#[derive(Debug)]
pub struct Case {
    /// In order of precedence.
    pub rules: Vec<Rule>,
    /// Host of the request.
    pub host: String,
    /// Path of the request, without the query.
    pub path: String,
}

/// Reads a case: the first line is `host path`, each further line is a rule `host path` or `host =path` (exact). `*.` before a host is a wildcard, `*` is
/// every host. Everything is read as something; `None` only when there is no request.
pub fn parse(text: &str) -> Option<Case> {
    let mut lines = text.lines();
    let (host, path) = lines.next()?.split_once(' ')?;
    let rules = lines.filter_map(|line| line.split_once(' ')).take(MAX_RULES).enumerate().map(|(number, (host, path))| rule(number, host, path));
    Some(Case { rules: rules.collect(), host: host.to_owned(), path: path.to_owned() })
}

fn rule(number: usize, host: &str, path: &str) -> Rule {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let pattern = match host.strip_prefix("*.") {
        _ if host == "*" => HostPattern::Any,
        Some(suffix) => HostPattern::Wildcard(suffix.into()),
        None => HostPattern::Exact(host.as_str().into()),
    };
    let matches = match path.strip_prefix('=') {
        Some(exact) => PathMatch::Exact(exact.into()),
        None => PathMatch::Prefix(path.into()),
    };
    let id = RouteId { namespace: "fuzz".into(), ingress: number.to_string(), host, path: path.to_owned() };
    let action = Action::fail(503, number.to_string());
    Rule::new(pattern, matches, Arc::new(Route::new(id, Arc::default(), action)))
}

/// Longest host that any rule can serve (RFC 1035 section 2.3.4, as text without the trailing dot).
const LONGEST_HOST: usize = 253;

/// A host as a request names it, as rules hold it: lower case, without the one trailing dot that it may have. Rules never have any. `None` when no name
/// can be so long: not even the catch-all serves it.
fn normal(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    (host.len() <= LONGEST_HOST).then(|| host.to_ascii_lowercase())
}

/// The rule that wins: the most specific host that any rule has, and within it the exact path, else the longest prefix, else nothing.
pub fn winner<'a>(rules: &'a [Rule], host: &str, path: &str) -> Option<&'a Rule> {
    let host = normal(host)?;
    let pattern = host_patterns(&host).into_iter().find(|pattern| rules.iter().any(|rule| rule.host() == pattern))?;
    let of_host = || rules.iter().filter(|rule| *rule.host() == pattern);
    of_host().find(|rule| matches!(rule.path(), PathMatch::Exact(exact) if **exact == *path)).or_else(|| longest_prefix(of_host(), path))
}

/// The patterns that match the host, the most specific first.
fn host_patterns(host: &str) -> Vec<HostPattern> {
    let wildcard = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, suffix)| HostPattern::Wildcard(suffix.into()));
    [Some(HostPattern::Exact(host.into())), wildcard, Some(HostPattern::Any)].into_iter().flatten().collect()
}

fn longest_prefix<'a>(rules: impl Iterator<Item = &'a Rule>, path: &str) -> Option<&'a Rule> {
    let mut best: Option<(usize, &Rule)> = None;
    for rule in rules {
        let PathMatch::Prefix(prefix) = rule.path() else { continue };
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let below = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below && best.is_none_or(|(length, _)| prefix.len() > length) {
            best = Some((prefix.len(), rule));
        }
    }
    best.map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::{parse, winner};

    #[test]
    fn the_model_follows_the_order_of_hosts_and_paths() {
        let rules = "*.a /\na.a /x\na.a =/x\na.a /x/y\n* /\n";
        let cases = [
            ("a.a /x", Some("2")),
            ("a.a /x/", Some("1")),
            ("a.a /x/y/z", Some("3")),
            ("a.a /xy", None),
            ("b.a /anything", Some("0")),
            ("c.b.a /", Some("4")),
            ("A.A. /x", Some("2")),
        ];
        let (longest, longer) = ("l".repeat(253), "l".repeat(254));
        let lengths = [(format!("{longest} /"), Some("4")), (format!("{longest}. /"), Some("4")), (format!("{longer} /"), None)];
        let cases = cases.into_iter().map(|(request, expected)| (request.to_owned(), expected)).chain(lengths);
        for (request, expected) in cases {
            let case = parse(&format!("{request}\n{rules}")).unwrap();
            assert_eq!(winner(&case.rules, &case.host, &case.path).map(|rule| rule.route.id.ingress.as_str()), expected, "{request}");
        }
    }
}
