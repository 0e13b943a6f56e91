//! Which certificate answers for a name.
#![allow(clippy::unwrap_used, clippy::panic)]

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use super::*;

struct Pem {
    chain: String,
    key: String,
}

fn pem(names: &[&str]) -> Pem {
    pem_with(names, &KeyPair::generate().unwrap())
}

fn pem_with(names: &[&str], key: &KeyPair) -> Pem {
    let certificate = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap().self_signed(key).unwrap();
    Pem { chain: certificate.pem(), key: key.serialize_pem() }
}

fn parsed(names: &[&str]) -> Arc<ParsedCertificate> {
    let pem = pem(names);
    Arc::new(ParsedCertificate::parse(pem.chain.as_bytes(), pem.key.as_bytes()).unwrap())
}

fn parse(chain: &str, key: &str) -> Result<ParsedCertificate, CertificateError> {
    ParsedCertificate::parse(chain.as_bytes(), key.as_bytes())
}

#[test]
fn names_and_validity_are_read_from_the_leaf() {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["A.example.org".to_owned(), "*.example.org".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let leaf = parameters.self_signed(&key).unwrap().pem();
    let expired = parse(&(leaf + &pem(&["ca"]).chain), &key.serialize_pem()).unwrap();
    assert_eq!(expired.names(), ["a.example.org", "*.example.org"]);
    assert_eq!(expired.not_before(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800));
    assert_eq!(expired.not_after(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_609_459_200));
    assert_eq!(expired.key().cert.len(), 2);
}

#[test]
fn keys_of_all_kinds_are_accepted() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let pem = pem_with(&["a.example.org"], &KeyPair::generate_for(algorithm).unwrap());
        assert!(parse(&pem.chain, &pem.key).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn what_cannot_be_served_is_named() {
    let (one, other) = (pem(&["a"]), pem(&["b"]));
    let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(parse(&one.chain, &other.key).unwrap_err(), CertificateError::KeyMismatch);
    assert_eq!(parse("", &one.key).unwrap_err(), CertificateError::NoCertificate);
    assert_eq!(parse("nothing", &one.key).unwrap_err(), CertificateError::NoCertificate);
    assert_eq!(parse(&one.key, &one.key).unwrap_err(), CertificateError::NoCertificate);
    assert_eq!(parse(&one.chain, "").unwrap_err(), CertificateError::NoKey);
    assert_eq!(parse(&one.chain, &one.chain).unwrap_err(), CertificateError::NoKey);
    assert_eq!(parse(&one.chain.repeat(MAX_CHAIN + 1), &one.key).unwrap_err(), CertificateError::TooLarge);
    assert_eq!(parse(&" ".repeat(MAX_PEM + 1), &one.key).unwrap_err(), CertificateError::TooLarge);
    assert!(matches!(parse(not_x509, &one.key), Err(CertificateError::MalformedCertificate { index: 0, .. })));
    assert!(matches!(parse(&(one.chain.clone() + not_x509), &one.key), Err(CertificateError::MalformedCertificate { index: 1, .. })));
    assert!(matches!(parse(&one.chain.replace("-----END", "!!-----END"), &one.key), Err(CertificateError::MalformedChain(_))));
    let empty_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(parse(&one.chain, empty_key), Err(CertificateError::UnusableKey(_))));
}

#[test]
fn a_certificate_is_for_its_names_and_one_label_below_its_wildcards() {
    let certificate = parsed(&["a.example.org", "*.example.net"]);
    for (name, expected) in [
        ("a.example.org", true),
        ("b.example.org", false),
        ("*.example.org", false),
        ("x.example.net", true),
        ("*.example.net", true),
        ("example.net", false),
        (".example.net", false),
        ("x.y.example.net", false),
    ] {
        assert_eq!(certificate.is_for(name), expected, "{name}");
    }
}

#[test]
fn exact_name_beats_wildcard_and_the_default_answers_for_the_rest() {
    let (exact, wildcard, default) = (parsed(&["a.example.org"]), parsed(&["*.example.org"]), parsed(&["default"]));
    let table = CertificateTable::build(
        [
            ("a.example.org".to_owned(), exact.clone()),
            ("*.example.org".to_owned(), wildcard.clone()),
            ("a.example.org".to_owned(), wildcard.clone()),
            ("foreign.example".to_owned(), exact.clone()),
        ],
        Some(default.clone()),
    );
    for (name, expected) in [
        ("a.example.org", Some(&exact)),
        ("A.EXAMPLE.ORG.", Some(&exact)),
        ("b.example.org", Some(&wildcard)),
        ("b.c.example.org", None),
        ("example.org", None),
        ("foreign.example", None),
        ("", None),
    ] {
        assert_eq!(table.resolve(name).map(Arc::as_ptr), expected.map(|certificate| Arc::as_ptr(certificate.key())), "{name}");
        assert_eq!(table.covers(name), expected.is_some(), "{name}");
    }
    assert!(Arc::ptr_eq(table.default_certificate().unwrap(), &default));
    let mut names: Vec<_> = table.entries().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["*.example.org", "a.example.org"]);
}

#[test]
fn the_self_signed_default_names_itself() {
    let default = ParsedCertificate::self_signed_default(&KeyPair::generate().unwrap()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&default.key().cert[0]).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=Vrata default certificate");
}
