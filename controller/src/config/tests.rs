//! Configuration files, good and bad.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;

fn findings(text: &str) -> Vec<String> {
    let file = Path::new("vrata.yaml").to_owned();
    parse(text).err().map_or(vec![], |findings| {
        let error = ConfigError { file: Some(file), findings };
        error.to_string().lines().map(str::to_owned).collect()
    })
}

/// Texts and what is found in them. `LISTEN` stands for what is expected of an address, and the file's name is left out.
fn assert_findings(table: &[(&str, &[&str])]) {
    let listen = "host:port, for instance 127.0.0.1:8080 or [::1]:8080";
    for (text, expected) in table {
        let expected: Vec<_> = expected.iter().map(|line| format!("vrata.yaml:{}", line.replace("LISTEN", listen))).collect();
        assert_eq!(findings(text), expected, "{text}");
    }
}

#[test]
fn wrong_keys_and_addresses_name_file_line_key_and_what_was_expected() {
    assert_findings(&[
        ("gatewy: {}\n", &["1:1: gatewy: there is no such key; did you mean gateway?"]),
        (
            "gateway:\n  htpp: []\ndns:\n  zones: [{name: a, fiel: b}]\n",
            &["2:3: gateway.htpp: there is no such key; did you mean http?", "4:21: dns.zones[0].fiel: there is no such key; did you mean file?"],
        ),
        ("gateway: {http: 5}\n", &["1:11: gateway.http: invalid type: integer `5`, expected an address or a list of addresses: LISTEN"]),
        (
            "gateway:\n  http: [\"80\", true]\n",
            &[
                "2:10: gateway.http[0]: \"80\" is no address to listen on; expected LISTEN",
                "2:16: gateway.http[1]: invalid type: boolean `true`, expected LISTEN",
            ],
        ),
        ("admin: {listen: 9090}\n", &["1:9: admin.listen: invalid type: integer `9090`, expected LISTEN"]),
        ("source: {kubernetes: {kubeConfig: a}}\n", &["1:23: source.kubernetes.kubeConfig: there is no such key; did you mean kubeconfig?"]),
    ]);
}

#[test]
fn values_of_wrong_types_name_file_line_key_and_what_was_expected() {
    assert_findings(&[
        (
            "source: {manifests: {a: b}}\n",
            &["1:10: source.manifests: invalid type: a mapping, expected a path or a list of paths; what belongs here: Directory of manifests \
               (searched recursively) or file, or a list of them. Either this or kubernetes is required."],
        ),
        (
            "gateway:\n  drainSeconds: soon\n  publicAddresses: [192.0.2.300]\n",
            &[
                "2:3: gateway.drainSeconds: invalid type: string \"soon\", expected a whole number that is not negative; what belongs here: How long \
                 open connections may go on after a stop, in seconds (0 to 86400).",
                "3:21: gateway.publicAddresses[0]: \"192.0.2.300\" is no IP address; what belongs here: Addresses under which clients reach the gateway, \
                 for DNS and status; by default those that are listened on.",
            ],
        ),
        (
            "role: some\ndns:\n  zones:\n  - ttl: 5\n  - a.example\n",
            &[
                "1:1: role: unknown variant `some`, expected one of `all`, `gateway`, `dns`, `controller`; what belongs here: Which part runs here: all, \
                 gateway (HTTP, HTTPS, addresses of Services), dns, or controller (no data plane).",
                "4:5: dns.zones[0]: missing field `name`; what belongs here: Zones that are served.",
                "5:5: dns.zones[1]: invalid type: string \"a.example\", expected a mapping; what belongs here: Zones that are served.",
            ],
        ),
        (
            "gateway: 5\naddresses: {pools: [{rnages: []}]}\ndns: {zones: {a: b}}\n",
            &[
                "1:1: gateway: invalid type: integer `5`, expected a mapping; what belongs here: HTTP and HTTPS.",
                "2:21: addresses.pools[0]: missing field `name`; what belongs here: Pools to allocate from, in this order.",
                "2:22: addresses.pools[0].rnages: there is no such key; did you mean ranges?",
                "3:7: dns.zones: invalid type: a mapping, expected a list; what belongs here: Zones that are served.",
            ],
        ),
        ("gateway: [a]\n", &["1:1: gateway: invalid type: a list, expected a mapping; what belongs here: HTTP and HTTPS."]),
        ("- a\n", &["1:1: invalid type: a list, expected a mapping"]),
        // What YAML would read as it is asked for is no fault beside another one.
        (
            "state: 5\nadmin: {listen: x}\ngateway: {drainSeconds: \"30\"}\n",
            &["2:9: admin.listen: \"x\" is no address to listen on; expected LISTEN"],
        ),
    ]);
}

#[test]
fn what_is_no_yaml_is_one_fault() {
    for text in ["a: [\n", "gateway:\n\thttp: []\n", "role: all\nrole: all\n"] {
        let found = findings(text);
        assert!(found.len() == 1 && found[0].starts_with("vrata.yaml:"), "{found:?}");
    }
}

#[test]
fn addresses_are_one_or_a_list_or_as_flags_have_them() {
    let http = |text: &str| parse(&format!("gateway: {{http: {text}}}\n")).unwrap().gateway.http;
    let two = ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
    assert_eq!(http("[\"localhost:80\", \"[::1]:80\"]"), two);
    assert_eq!(http("\"127.0.0.1:80,[::1]:80\""), two);
    assert_eq!(http("127.0.0.1:80"), two[..1]);
    assert_eq!(http("[]"), []);
}

#[test]
fn the_printed_configuration_reads_back_to_itself() {
    let text = "source: {manifests: [./a, ./b]}\nrole: dns\ngateway: {http: [\"127.0.0.1:8080\", \"localhost:81\"], accessLog: nginx}\n\
                dns: {listen: [\"[::1]:53\"], zones: [{name: a.example, file: a.zone}, {name: b.example, cname: gw.example, ttl: 5}]}\n\
                addresses: {pools: [{name: p, ranges: [\"192.0.2.0/24\"], autoAssign: false}]}\n";
    for config in [Config::default(), parse(text).unwrap()] {
        assert_eq!(parse(&print(&config)).unwrap(), config, "{}", print(&config));
    }
}

#[test]
fn what_is_printed_is_complete_with_nothing_given_and_is_accepted_again() {
    let nothing = Overrides { serves_nothing: true, ..Overrides::default() };
    let printed = print(&complete("", None, &nothing).unwrap());
    let flags = Overrides { manifests: vec!["src".into()], http: vec!["127.0.0.1:80".parse().unwrap()], ..Overrides::default() };
    assert_eq!(complete(&printed, None, &flags).unwrap(), complete("", None, &flags).unwrap());
    let checked = Overrides { manifests: vec!["src".into()], ..nothing };
    assert_eq!(complete(&printed, None, &checked).unwrap(), complete("", None, &checked).unwrap());
    let with_flags = Overrides { zones: vec!["a.example".into()], pools: vec!["192.0.2.0/24".into()], ..flags };
    let config = complete("", None, &with_flags).unwrap();
    assert_eq!(complete(&print(&config), None, &Overrides::default()).unwrap(), config);
    let wrong = Overrides { pools: vec!["x".into()], serves_nothing: true, ..Overrides::default() };
    assert_eq!(complete("", None, &wrong).unwrap_err().findings[0].key, "addresses.pools[0].ranges[0]");
}

#[test]
fn every_fault_is_told_at_once() {
    let text = "source: {manifests: /a}\ngateway: {http: [\"0.0.0.0:80\"], https: [\"127.0.0.1:80\"], drainSeconds: 100000}\n\
                dns: {listen: [\"127.0.0.1:53\"], zones: [{name: A.example., file: /z}, {name: a.example}, {name: \"a b\"}]}\n\
                addresses: {pools: [{name: p, ranges: [\"192.0.2.9-192.0.2.1\", x]}, {name: p, ranges: []}]}\n";
    let readable = |path: &Path| if path == Path::new("/z") { Err("no such file".to_owned()) } else { Ok(()) };
    let keys: Vec<_> = validate(&parse(text).unwrap(), true, &readable).into_iter().map(|finding| finding.key).collect();
    let expected = [
        "gateway.https[0]",
        "gateway.drainSeconds",
        "dns.zones[0].file",
        "dns.zones[1].name",
        "dns.zones[2].name",
        "gateway.publicAddresses",
        "addresses.pools[0].ranges[0]",
        "addresses.pools[0].ranges[1]",
        "addresses.pools[1].name",
        "addresses.pools[1].ranges",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn flags_override_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vrata.yaml");
    std::fs::write(&file, "dns: {zones: [{name: a.example, ttl: 5}, {name: b.example}]}\nadmin: {listen: x}\n").unwrap();
    let overrides = Overrides {
        manifests: vec![dir.path().to_owned()],
        zones: vec!["a.example".into(), "c.example".into()],
        pools: vec!["127.0.10.0/24".into()],
        http: vec!["127.0.0.1:8080".parse().unwrap()],
        dns: vec!["127.0.0.1:5353".parse().unwrap()],
        ..Overrides::default()
    };
    let error = load(Some(&file), &overrides).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2:9: admin.listen: \"x\" is no address", file.display())), "{error}");
    std::fs::write(&file, "dns: {zones: [{name: a.example, ttl: 5}, {name: b.example}]}\n").unwrap();
    let config = load(Some(&file), &overrides).unwrap();
    let zones: Vec<_> = config.dns.zones.iter().map(|zone| (zone.name.as_str(), zone.ttl)).collect();
    assert_eq!(zones, [("a.example", 5), ("c.example", 60)]);
    assert_eq!(config.gateway.public_addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn what_only_serving_needs_may_be_missing_in_a_check() {
    let overrides =
        |serves_nothing| Overrides { manifests: vec!["src".into()], zones: vec!["a.example".into()], serves_nothing, ..Overrides::default() };
    let found = complete("", None, &overrides(false)).unwrap_err().findings;
    assert_eq!(found.iter().map(|finding| finding.key.as_str()).collect::<Vec<_>>(), ["gateway", "gateway.publicAddresses"]);
    assert_eq!(complete("", None, &overrides(true)).unwrap().dns.zones.len(), 1);
    let found = complete("admin: {listen: \"127.0.0.1:1\"}\ndns: {listen: [\"127.0.0.1:1\"]}\n", None, &overrides(true)).unwrap_err().findings;
    assert_eq!(found.len(), 1, "what is wrong stays wrong: {found:?}");
}

#[test]
fn objects_come_from_one_place() {
    let rest = "gateway: {http: [\"127.0.0.1:80\"]}\n";
    let kubeconfig = || Overrides { kubeconfig: Some("Cargo.toml".into()), ..Overrides::default() };
    let table: [(&str, Overrides, &[&str]); 5] = [
        ("", Overrides::default(), &["source.manifests"]),
        ("source: {manifests: src, kubernetes: {}}\n", Overrides::default(), &["source"]),
        (
            "source: {kubernetes: {kubeconfig: /nonexistent, namespace: A.b}}\n",
            Overrides::default(),
            &["source.kubernetes.kubeconfig", "source.kubernetes.namespace"],
        ),
        ("source: {manifests: src}\n", kubeconfig(), &[]),
        ("source: {kubernetes: {}}\n", Overrides { manifests: vec!["src".into()], ..Overrides::default() }, &[]),
    ];
    for (text, overrides, keys) in table {
        let found = complete(&format!("{text}{rest}"), None, &overrides).err().map_or(vec![], |error| error.findings);
        assert_eq!(found.into_iter().map(|finding| finding.key).collect::<Vec<_>>(), keys, "{text}");
    }
    let config = complete(&format!("source: {{manifests: src}}\n{rest}"), None, &kubeconfig()).unwrap();
    let expected = Kubernetes { kubeconfig: Some("Cargo.toml".into()), ..Kubernetes::default() };
    assert_eq!(config.source, Source { manifests: vec![], kubernetes: Some(expected) });
    assert_eq!(parse(&print(&config)).unwrap(), config, "{}", print(&config));
}
