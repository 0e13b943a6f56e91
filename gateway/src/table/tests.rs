//! Which route wins.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn route(name: &str) -> Arc<Route> {
    Arc::new(Route::new(
        RouteId { namespace: "default".into(), ingress: name.into(), host: String::new(), path: String::new() },
        Arc::default(),
        Action::fail(503, name),
    ))
}

fn host(pattern: &str) -> HostPattern {
    match (pattern, pattern.strip_prefix("*.")) {
        ("*", _) => HostPattern::Any,
        (_, Some(suffix)) => HostPattern::Wildcard(suffix.into()),
        (name, None) => HostPattern::Exact(name.into()),
    }
}

/// `=` before the path makes it Exact.
fn path_match(pattern: &str) -> PathMatch {
    pattern.strip_prefix('=').map_or_else(|| PathMatch::Prefix(pattern.into()), |path| PathMatch::Exact(path.into()))
}

/// Rules written `host path name`.
fn rules<'a>(rules: &'a [&str]) -> impl Iterator<Item = Rule> + use<'a> {
    rules.iter().map(|rule| {
        let parts: Vec<_> = rule.split(' ').collect();
        Rule::new(host(parts[0]), path_match(parts[1]), route(parts[2]))
    })
}

fn table(rules: &[&str]) -> RoutingTable {
    RoutingTable::build(self::rules(rules))
}

fn part(rules: &[&str]) -> TablePart {
    TablePart::new(self::rules(rules))
}

fn find<'a>(table: &'a RoutingTable, host: &str, path: &str) -> &'a str {
    table.find(host, path).map_or("-", |route| &route.id.ingress)
}

#[test]
fn exact_host_beats_wildcard_beats_catch_all() {
    let table = table(&["* / any", "*.example.org / wildcard", "a.example.org / exact", "example.org / apex"]);
    for (host, expected) in [
        ("a.example.org", "exact"),
        ("A.Example.ORG", "exact"),
        ("a.example.org.", "exact"),
        ("b.example.org", "wildcard"),
        ("B.EXAMPLE.org.", "wildcard"),
        ("example.org", "apex"),
        ("x.a.example.org", "any"),
        (".example.org", "any"),
        ("org", "any"),
        ("", "any"),
        ("192.0.2.1", "any"),
        ("[2001:db8::1]", "any"),
        ("a.example.org..", "any"),
    ] {
        assert_eq!(find(&table, host, "/"), expected, "{host}");
    }
}

#[test]
fn hosts_longer_than_a_name_never_match() {
    let table = table(&["* / any"]);
    let longest = "a".repeat(253);
    assert_eq!(find(&table, &longest, "/"), "any");
    assert_eq!(find(&table, &format!("{longest}."), "/"), "any");
    assert_eq!(find(&table, &format!("{longest}a"), "/"), "-");
    assert_eq!(find(&table, &"a".repeat(100_000), "/"), "-");
}

#[test]
fn a_known_host_without_the_path_does_not_fall_to_less_specific_hosts() {
    let table = table(&["* / any", "*.example.org / wildcard", "a.example.org /app exact", "*.example.net /x w"]);
    assert_eq!(find(&table, "a.example.org", "/other"), "-");
    assert_eq!(table.select("a.example.org", "/other"), Selection::NoPath(&host("a.example.org")));
    assert_eq!(table.select("b.example.net", "/other"), Selection::NoPath(&host("*.example.net")));
    assert_eq!(find(&table, "b.example.org", "/other"), "wildcard");
}

#[test]
fn unknown_hosts_are_told_apart() {
    assert_eq!(table(&["a.example.org / a"]).select("b.example.org", "/"), Selection::UnknownHost);
    assert_eq!(RoutingTable::default().select("", "/"), Selection::UnknownHost);
}

#[test]
fn exact_path_beats_longest_prefix_on_segment_boundaries() {
    let table = table(&["h / root", "h /foo foo", "h /foo/bar deep", "h =/foo exact", "h /slash/ slash", "h =/only/ only", "h /a-b dash", "h /a a"]);
    for (path, expected) in [
        ("/", "root"),
        ("/foo", "exact"),
        ("/foo/", "foo"),
        ("/foobar", "root"),
        ("/foo/ba", "foo"),
        ("/foo/bar", "deep"),
        ("/foo/bar/", "deep"),
        ("/foo/bar/baz", "deep"),
        ("/foo/barx", "foo"),
        ("/FOO", "root"),
        ("/slash", "slash"),
        ("/slash/", "slash"),
        ("/slash/x", "slash"),
        ("/slashx", "root"),
        ("/only/", "only"),
        ("/only", "root"),
        ("/a/b", "a"),
        ("/a-b/c", "dash"),
        ("/a-", "root"),
    ] {
        assert_eq!(find(&table, "h", path), expected, "{path}");
    }
}

#[test]
fn the_first_of_equal_rules_is_kept() {
    let table = table(&["h /foo first", "h /foo second", "h /foo/ third", "h =/x first", "h =/x second"]);
    assert_eq!(find(&table, "h", "/foo"), "first");
    assert_eq!(find(&table, "h", "/x"), "first");
    let rules: BTreeMap<_, _> = table.rules().map(|rule| (rule.path().clone(), rule.route.id.ingress.clone())).collect();
    assert_eq!(rules, BTreeMap::from([(path_match("/foo"), "first".into()), (path_match("=/x"), "first".into())]));
}

#[test]
fn a_second_reading_never_reaches_what_another_rule_protects() {
    let table = table(&["h / open", "h /admin protected", "h =/exact/secret protected"]);
    for path in
        ["//admin", "/%61dmin", "/%2Fadmin", "/admin%2Fx", "/admin;v=1/x", "/\\admin", "/exact%2fsecret", "/exact//secret", "/%61dmin/x", "/;x/admin"]
    {
        assert!(matches!(table.select("h", path), Selection::Ambiguous { .. }), "{path}");
        assert_eq!(find(&table, "h", path), "-", "{path}");
    }
    for (path, expected) in
        [("/projects/group%2Fproject", "open"), ("/a//b", "open"), ("/admin/a%2Fb", "protected"), ("/admin//x", "protected"), ("/x;v=1", "open")]
    {
        assert_eq!(find(&table, "h", path), expected, "{path}");
    }
}

#[test]
fn a_second_reading_does_not_matter_where_both_rules_serve_alike() {
    let same = |name: &str, path: &str| Rule::new(host(name), path_match(path), route("same"));
    let table = RoutingTable::build([same("h", "/"), same("h", "/api")]);
    assert_eq!(find(&table, "h", "//api"), "same");
    let single = self::table(&["h / only"]);
    assert_eq!(find(&single, "h", "//a%2Fb;c"), "only");
}

#[test]
fn encoded_rule_paths_match_encoded_requests() {
    let table = table(&["h / root", "h /caf%C3%A9 cafe"]);
    assert_eq!(find(&table, "h", "/caf%C3%A9/menu"), "cafe");
    assert_eq!(find(&table, "h", "/caf%C3%A9s"), "root");
}

#[test]
fn long_paths_cost_no_more_than_the_longest_prefix() {
    let table = table(&["h / root", "h /a/b deep"]);
    assert_eq!(find(&table, "h", &"/".repeat(100_000)), "root");
    assert_eq!(find(&table, "h", &format!("/a/b{}", "/x".repeat(50_000))), "deep");
    assert!(matches!(table.select("h", &format!("/{}", "/a/b".repeat(10_000))), Selection::Ambiguous { .. }));
}

#[test]
fn parts_serve_what_one_table_of_their_rules_serves() {
    let parts = [
        part(&["a.org / a", "a.org /x ax", "*.a.org /w wildcard"]),
        TablePart::default(),
        part(&["* /any any", "b.org / b", "b.org / hidden"]),
        part(&["c.a.org / c"]),
    ];
    let table = RoutingTable::of(&parts);
    for (host, path, expected) in [
        ("a.org", "/", "a"),
        ("A.org.", "/x/y", "ax"),
        ("z.a.org", "/w", "wildcard"),
        ("z.a.org", "/", "-"),
        ("c.a.org", "/w", "c"),
        ("b.org", "/", "b"),
        ("other", "/any", "any"),
        ("other", "/", "-"),
    ] {
        assert_eq!(find(&table, host, path), expected, "{host} {path}");
    }
    assert_eq!(table.rules().count(), 6);
    assert_eq!(RoutingTable::of([]).select("a.org", "/"), Selection::UnknownHost);
}

#[test]
fn of_a_host_in_two_parts_the_first_parts_rules_are_kept() {
    let (one, two) = (part(&["h /one one", "*.w / one", "* / one"]), part(&["h / two", "h /one two", "*.w / two", "* / two", "i / two"]));
    let table = RoutingTable::of([&one, &two]);
    for (host, path, expected) in [("h", "/one", "one"), ("h", "/", "-"), ("a.w", "/", "one"), ("other", "/", "one"), ("i", "/", "two")] {
        assert_eq!(find(&table, host, path), expected, "{host} {path}");
    }
}

#[test]
fn a_part_serves_in_many_tables_without_a_copy_of_its_rules() {
    let part = part(&["h / h", "several /a a", "several /b b"]);
    let (one, two) = (RoutingTable::of([&part]), RoutingTable::of([&part]));
    drop(part);
    for (host, path) in [("h", "/"), ("several", "/b")] {
        let routes = (one.find(host, path).unwrap(), two.find(host, path).unwrap());
        assert!(Arc::ptr_eq(routes.0, routes.1), "{host}");
    }
    let several = |table: &RoutingTable| match table.select("several", "/a") {
        Selection::Route(rule) => std::ptr::from_ref(rule),
        other => panic!("{other:?}"),
    };
    assert_eq!(several(&one), several(&two));
}

#[test]
fn patterns_are_folded_as_hosts_are() {
    let table = RoutingTable::of([&part(&["A.Example / a", "*.B.Example. / b"])]);
    assert_eq!((find(&table, "a.example", "/"), find(&table, "x.b.example", "/")), ("a", "b"));
    let too_long = format!("{} / a", "a".repeat(254));
    assert_eq!(RoutingTable::of([&part(&[&too_long])]).rules().count(), 0);
}

/// The sentences of the module's documentation, without any index.
fn naive<'a>(rules: &'a [Rule], host: &str, path: &str) -> Option<&'a Arc<Route>> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let parent = host.split_once('.').filter(|(label, rest)| !label.is_empty() && !rest.is_empty()).map(|(_, rest)| rest);
    let patterns =
        [Some(HostPattern::Exact(host.as_str().into())), parent.map(|parent| HostPattern::Wildcard(parent.into())), Some(HostPattern::Any)];
    let pattern = patterns.into_iter().flatten().find(|pattern| rules.iter().any(|rule| rule.host() == pattern))?;
    let of_host = || rules.iter().filter(|rule| *rule.host() == pattern);
    let exact = of_host().find(|rule| *rule.path() == PathMatch::Exact(path.into()));
    let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let prefixes = of_host().filter_map(|rule| match rule.path() {
        PathMatch::Prefix(prefix) => Some((segments(prefix.strip_suffix('/').unwrap_or(prefix)), rule)),
        PathMatch::Exact(_) => None,
    });
    let longest = prefixes.filter(|(prefix, _)| segments(path).starts_with(prefix)).rev_max_first();
    exact.or(longest).map(|rule| &rule.route)
}

trait FirstLongest<'a> {
    fn rev_max_first(self) -> Option<&'a Rule>;
}

impl<'a, I: Iterator<Item = (Vec<String>, &'a Rule)>> FirstLongest<'a> for I {
    fn rev_max_first(self) -> Option<&'a Rule> {
        self.fold(None, |best: Option<(usize, &Rule)>, (prefix, rule)| match best {
            Some((length, _)) if length >= prefix.len() => best,
            _ => Some((prefix.len(), rule)),
        })
        .map(|(_, rule)| rule)
    }
}

fn some_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "a-b", "A", ""]), 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn some_host() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "org", "A"]), 0..4).prop_map(|labels| labels.join("."))
}

fn some_rule() -> impl Strategy<Value = (HostPattern, PathMatch)> {
    let host = prop_oneof![
        4 => some_host().prop_map(|host| HostPattern::Exact(host.to_ascii_lowercase().into())),
        2 => some_host().prop_map(|host| HostPattern::Wildcard(host.to_ascii_lowercase().into())),
        1 => Just(HostPattern::Any),
    ];
    (host, prop_oneof![some_path().prop_map(|path| PathMatch::Exact(path.into())), some_path().prop_map(|path| PathMatch::Prefix(path.into()))])
}

proptest! {
    #[test]
    fn the_table_finds_what_a_scan_of_the_rules_finds(
        rules in prop::collection::vec(some_rule(), 0..12),
        requests in prop::collection::vec((some_host(), any::<bool>(), some_path()), 1..20),
    ) {
        let rules: Vec<_> = rules.into_iter().enumerate().map(|(n, (host, path))| Rule::new(host, path, route(&n.to_string()))).collect();
        let table = RoutingTable::build(rules.clone());
        for (host, dot, path) in requests {
            let host = if dot { format!("{host}.") } else { host };
            match table.select(&host, &path) {
                Selection::Ambiguous { written, .. } => {
                    prop_assert!(path.contains("//"));
                    prop_assert_eq!(written.map(|rule| &rule.route), naive(&rules, &host, &path));
                }
                _ => prop_assert_eq!(table.find(&host, &path), naive(&rules, &host, &path), "{} {}", host, path),
            }
        }
    }

    #[test]
    fn parts_by_host_make_the_table_of_all_rules(
        rules in prop::collection::vec(some_rule(), 0..12),
        requests in prop::collection::vec((some_host(), some_path()), 1..20),
    ) {
        let rules: Vec<_> = rules.into_iter().enumerate().map(|(n, (host, path))| Rule::new(host, path, route(&n.to_string()))).collect();
        let whole = RoutingTable::build(rules.clone());
        let mut by_host = BTreeMap::<_, Vec<_>>::new();
        for rule in rules {
            by_host.entry(rule.host().clone()).or_default().push(rule);
        }
        let parts: Vec<_> = by_host.into_values().map(TablePart::new).collect();
        let table = RoutingTable::of(parts.iter().rev());
        for (host, path) in requests {
            prop_assert_eq!(whole.select(&host, &path), table.select(&host, &path), "{} {}", host, path);
        }
    }

    #[test]
    fn no_input_panics(host in ".*", path in ".*") {
        let table = table(&["h / root", "*.h /a a", "* /b b", "h /%2F/;x odd"]);
        let _ = path::check(&path);
        let _ = table.select(&host, &path);
        let _ = table.select("h", &path);
    }
}
