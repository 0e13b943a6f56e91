//! Zone files, good and bad.
#![allow(clippy::unwrap_used)]

use super::*;

const ORIGIN: &str = "example.org.";

fn read(text: &str) -> Result<ZoneFile, ZoneFileError> {
    parse(text, &Name::from_ascii(ORIGIN).unwrap())
}

/// Every record as `owner ttl type data`.
fn lines(file: &ZoneFile) -> Vec<String> {
    let line = |set: &RecordSet, data: &RData| format!("{} {} {} {}", set.owner, set.ttl, data.record_type(), data);
    file.records.iter().flat_map(|set| set.data.iter().map(move |data| line(set, data))).collect()
}

#[test]
fn a_file_of_every_shape_is_read() {
    let file = read(
        r#"
$TTL 1h
@   IN SOA ns1 host\.master ( 2024 ; the serial is ours
        7200 15m
        2w 60 )
    NS ns1
    NS ns2.other.test.
ns1 300 IN A 192.0.2.1
    IN 300 A 192.0.2.2
*.apps AAAA 2001:db8::1
a.b CNAME @
t   TXT "one two" three "a\;b\"c\065"
$ORIGIN sub
x   MX 10 mail
_s._tcp SRV 1 2 443 x
y   TYPE65280 \# 3 01 02ff
z   TYPE1 \# 4 C0000203
d   DS 12345 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
c   CAA 0 issue "letsencrypt.org"
$ORIGIN example.org.
w   HTTPS 1 . alpn=h2
"#,
    )
    .unwrap();
    let soa = file.soa.clone().unwrap();
    assert_eq!(
        (soa.mname.to_ascii(), soa.rname.to_ascii(), soa.refresh, soa.retry, soa.expire, soa.minimum, soa.ttl),
        ("ns1.example.org.".to_owned(), "host\\.master.example.org.".to_owned(), 7200, 900, 1_209_600, 60, 3600)
    );
    assert_eq!(
        lines(&file)[..9],
        [
            "example.org. 3600 NS ns1.example.org.",
            "example.org. 3600 NS ns2.other.test.",
            "ns1.example.org. 300 A 192.0.2.1",
            "ns1.example.org. 300 A 192.0.2.2",
            "*.apps.example.org. 3600 AAAA 2001:db8::1",
            "a.b.example.org. 3600 CNAME example.org.",
            "t.example.org. 3600 TXT one twothreea;b\"cA",
            "x.sub.example.org. 3600 MX 10 mail.sub.example.org.",
            "_s._tcp.sub.example.org. 3600 SRV 1 2 443 x.sub.example.org.",
        ]
    );
    let types: Vec<u16> = file.records[6..].iter().map(|set| set.record_type().unwrap().into()).collect();
    assert_eq!(types, [33, 65280, 1, 43, 257, 65]);
}

#[test]
fn a_fault_names_its_line() {
    let table = [
        ("$TTL 60\n\nx A 192.0.2\n", 3, "x.example.org. A:"),
        ("x A 192.0.2.1\n", 1, "no TTL"),
        ("$INCLUDE /etc/passwd\n", 1, "$INCLUDE is not allowed"),
        ("$GENERATE 1-2 x A 192.0.2.$\n", 1, "$GENERATE"),
        ("x 60 CH A 192.0.2.1", 1, "class CH"),
        ("x 60 FOO bar", 1, "FOO: not a record type"),
        ("x 60 IN", 1, "without a type"),
        (" 60 A 192.0.2.1", 1, "without an owner"),
        ("x 60 TXT \"a\n", 1, "quote"),
        ("x 60 TXT (a\n\n", 1, "`(` without `)`"),
        ("x 60 TXT a)\n", 1, "`)` without `(`"),
        ("x 3000000000 A 192.0.2.1", 1, "expected a TTL"),
        ("x 60 TYPE65280 \\# 2 00", 1, "says 2 bytes, and 1 follow"),
        ("x 60 TYPE65280 00", 1, "\\# LENGTH HEX"),
        ("a..b 60 A 192.0.2.1", 1, "not a domain name"),
        ("@ 60 SOA a b 1 2 3 4 5\n@ 60 SOA a b 1 2 3 4 5", 2, "there is one already"),
        ("x 60 SOA a b 1 2 3 4 5", 1, "belongs to example.org."),
        ("x 60 DNAME y", 1, "DNAME"),
    ];
    for (text, line, what) in table {
        let error = read(text).unwrap_err();
        assert_eq!((error.line, error.what.contains(what)), (line, true), "{text:?}: {error}");
    }
}

#[test]
fn equal_records_count_once_and_the_lowest_ttl_holds() {
    let file = read("x 60 A 192.0.2.1\nX 30 A 192.0.2.1\nx 90 A 192.0.2.2").unwrap();
    assert_eq!(lines(&file), ["x.example.org. 30 A 192.0.2.1", "x.example.org. 30 A 192.0.2.2"]);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"[ -~\n\t]{0,200}"#) {
        let _ = read(&text);
    }
}
