//! Lines of the access log.
#![allow(clippy::unwrap_used)]
use super::*;

fn entry<'a>(tries: &'a [Try]) -> Entry<'a> {
    Entry {
        at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_438_645_007),
        client: "::ffff:192.0.2.7".parse().unwrap(),
        user: None,
        method: "GET",
        tls: true,
        host: "a.test",
        target: b"/x?y=1",
        version: "HTTP/2.0",
        status: 200,
        sent: 5,
        received: 123,
        referer: None,
        user_agent: None,
        duration: Duration::from_millis(1042),
        ingress: Some(("ns", "web")),
        upstream: "ns-web-80",
        tries,
        request_id: "0123",
    }
}

fn one(port: u16, status: u16) -> Try {
    Try { address: Some(([192, 0, 2, 1], port).into()), status, length: 5, duration: Duration::from_millis(40) }
}

fn written(entry: &Entry<'_>, format: fn(&Entry<'_>, &mut Vec<u8>)) -> String {
    let mut line = Vec::new();
    format(entry, &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn nginx_line_is_the_default_of_ingress_nginx() {
    let agent = HeaderValue::from_static("curl/8");
    let with_all = Entry { user: Some("jane"), user_agent: Some(&agent), referer: Some(&agent), ..entry(&[]) };
    for (entry, expected) in [
        (
            entry(&[one(80, 200)]),
            "192.0.2.7 - - [05/Dec/2026:02:44:05 +0000] \"GET /x?y=1 HTTP/2.0\" 200 5 \"-\" \"-\" 123 1.042 [ns-web-80] [] 192.0.2.1:80 5 0.040 200 0123\n",
        ),
        (
            entry(&[one(80, 502), one(81, 200)]),
            "192.0.2.7 - - [05/Dec/2026:02:44:05 +0000] \"GET /x?y=1 HTTP/2.0\" 200 5 \"-\" \"-\" 123 1.042 [ns-web-80] [] \
             192.0.2.1:80, 192.0.2.1:81 5, 5 0.040, 0.040 502, 200 0123\n",
        ),
        (
            with_all,
            "192.0.2.7 - jane [05/Dec/2026:02:44:05 +0000] \"GET /x?y=1 HTTP/2.0\" 200 5 \"curl/8\" \"curl/8\" 123 1.042 [ns-web-80] [] - - - - 0123\n",
        ),
    ] {
        assert_eq!(written(&entry, nginx), expected);
    }
}

#[test]
fn json_line_has_the_same_names() {
    let agent = HeaderValue::from_static("curl/8");
    let tries = [one(80, 502), Try { address: None, ..one(81, 200) }];
    let entry = Entry { user: Some("jane"), user_agent: Some(&agent), ..entry(&tries) };
    assert_eq!(
        written(&entry, json),
        concat!(
            r#"{"time":"2026-12-05T02:44:05.007Z","remote_addr":"192.0.2.7","remote_user":"jane","method":"GET","scheme":"https","host":"a.test","#,
            r#""uri":"/x?y=1","protocol":"HTTP/2.0","status":200,"body_bytes_sent":5,"request_length":123,"request_time":1.042,"http_user_agent":"curl/8","#,
            r#""namespace":"ns","ingress":"web","proxy_upstream_name":"ns-web-80","#,
            r#""upstream":[{"address":"192.0.2.1:80","status":502,"length":5,"duration":0.04},{"address":null,"status":200,"length":5,"duration":0.04}],"#,
            r#""req_id":"0123"}"#,
            "\n"
        )
    );
}

#[test]
fn nothing_from_outside_can_forge_a_line_or_field() {
    let evil = HeaderValue::from_bytes(b"x\" 200 \\ \xff\x80{\"a\":1}\t").unwrap();
    let entry = Entry { user: Some("a\nb\"c\u{e9}"), target: b"/\x0a\x0d\"\x1b[31m", referer: Some(&evil), user_agent: Some(&evil), ..entry(&[]) };
    for line in [written(&entry, nginx), written(&entry, json)] {
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.chars().all(|c| c == '\n' || !c.is_control()), "{line:?}");
    }
    let line = written(&entry, nginx);
    assert_eq!(line.matches('"').count(), 6, "{line}");
    assert!(line.contains(r"a\x0Ab\x22c\xC3\xA9") && line.contains(r"/\x0A\x0D\x22\x1B[31m"), "{line}");
    let object: serde_json::Value = serde_json::from_str(&written(&entry, json)).unwrap();
    assert_eq!(object["http_user_agent"], "x\" 200 \\ \u{fffd}\u{fffd}{\"a\":1}\t");
}

#[test]
fn long_fields_are_cut() {
    let (user, target) = ("é".repeat(3 * MAX_FIELD), vec![b'a'; 3 * MAX_FIELD]);
    let entry = Entry { user: Some(&user), target: &target, ..entry(&[]) };
    assert!(written(&entry, json).len() < 3 * MAX_FIELD);
    assert!(written(&entry, nginx).len() < 6 * MAX_FIELD);
}
