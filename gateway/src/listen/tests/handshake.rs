//! What a TLS handshake settles, and what is known of a connection afterwards.

use rustls::version::{TLS12, TLS13};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;

fn leaf(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn alpn(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

#[tokio::test]
async fn certificates_are_chosen_by_server_name() {
    let (exact, wildcard) = (certificate(&["a.test"]), certificate(&["*.test"]));
    let gateway = start(&options(), serving(&[("a.test", &exact), ("*.test", &wildcard)]));
    for (name, expected) in [("a.test", &exact), ("A.TEST", &exact), ("b.test", &wildcard)] {
        assert_eq!(leaf(&connect(gateway.https(), name, &[]).await.unwrap()), expected.key().cert[0], "{name}");
    }
    // No server name is sent for an address.
    for name in ["b.c.test", "test", "other.example", "127.0.0.1"] {
        let leaf = leaf(&connect(gateway.https(), name, &[]).await.unwrap());
        assert_eq!(X509Certificate::from_der(&leaf).unwrap().1.subject().to_string(), "CN=Vrata default certificate", "{name}");
    }
}

#[tokio::test]
async fn a_configured_default_answers_for_unknown_names() {
    let default = certificate(&["default.test"]);
    let snapshot = Snapshot { certificates: CertificateTable::build([], Some(Arc::clone(&default))), ..Snapshot::default() };
    let gateway = start(&options(), snapshot);
    assert_eq!(leaf(&connect(gateway.https(), "other.example", &[]).await.unwrap()), default.key().cert[0]);
}

#[tokio::test]
async fn a_swapped_certificate_is_for_new_connections_and_open_ones_go_on() {
    let (old, new) = (certificate(&["a.test"]), certificate(&["a.test"]));
    let gateway = start(&options(), serving(&[("a.test", &old)]));
    let mut open = connect(gateway.https(), "a.test", &["http/1.1"]).await.unwrap();
    assert!(get(&mut open, "/").await.ends_with("hello"));
    gateway.snapshots.store(Arc::new(serving(&[("a.test", &new)])));
    assert!(get(&mut open, "/").await.ends_with("hello"));
    assert_eq!(leaf(&open), old.key().cert[0]);
    assert_eq!(leaf(&connect(gateway.https(), "a.test", &[]).await.unwrap()), new.key().cert[0]);
}

#[tokio::test]
async fn the_protocol_is_chosen_by_alpn() {
    let gateway = start(&options(), Snapshot::default());
    for (offered, chosen) in [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)] {
        assert_eq!(alpn(&connect(gateway.https(), "a.test", offered).await.unwrap()), chosen, "{offered:?}");
    }
    assert!(connect(gateway.https(), "a.test", &["spdy/3"]).await.is_err());
    gateway.wait_for_metric("vrata_gateway_tls_handshake_failures_total", &["protocol"], 1.0).await;
}

#[tokio::test]
async fn filters_see_the_connection_over_http1_and_http2() {
    let gateway = start(&options(), Snapshot::default());
    let mut plain = TcpStream::connect(gateway.http()).await.unwrap();
    let seen = get(&mut plain, "/connection").await;
    let (peer, local) = (plain.local_addr().unwrap(), gateway.http());
    assert!(seen.contains(&format!("Some(ConnInfo {{ peer: {peer}, local: {local}, tls: None,")), "{seen}");

    let mut tls = connect_with(&client(&["http/1.1"], &[&TLS12]), gateway.https(), "B.test").await.unwrap();
    let seen = get(&mut tls, "/connection").await;
    assert!(seen.contains("tls: Some(TlsInfo { server_name: Some(\"b.test\"), version: \"TLSv1.2\", cipher: \"TLS_ECDHE"), "{seen}");

    let (mut requests, _connection) = http2(gateway.https()).await;
    let seen = body(within(requests.send_request(request("/connection"), true).unwrap().0).await.unwrap()).await;
    assert!(seen.contains("server_name: Some(\"a.test\"), version: \"TLSv1.3\", cipher: \"TLS13_"), "{seen}");
}

#[tokio::test]
async fn sessions_are_resumed_and_handshakes_counted() {
    let gateway = start(&options(), Snapshot::default());
    for version in [&TLS12, &TLS13] {
        let client = client(&["http/1.1"], &[version]);
        let name = if version.version == rustls::ProtocolVersion::TLSv1_2 { "TLSv1.2" } else { "TLSv1.3" };
        let mut first = connect_with(&client, gateway.https(), "a.test").await.unwrap();
        // Tickets of TLS 1.3 come after the handshake.
        get(&mut first, "/").await;
        let second = connect_with(&client, gateway.https(), "a.test").await.unwrap();
        assert_eq!(second.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "{name}");
        gateway.wait_for_metric("vrata_gateway_tls_handshakes_total", &["full", name], 1.0).await;
        gateway.wait_for_metric("vrata_gateway_tls_handshakes_total", &["resumed", name], 1.0).await;
    }
}

#[tokio::test]
async fn acme_tls_is_answered_for_names_with_a_challenge_when_it_is_offered_alone() {
    let digest = [7; 32];
    let own = certificate(&["a.test"]);
    let challenges = Challenges { tls_alpn01: [("a.test".to_owned(), digest)].into(), ..Challenges::default() };
    let gateway = start(&options(), Snapshot { challenges, ..serving(&[("a.test", &own)]) });

    let mut answered = connect(gateway.https(), "A.test", &["acme-tls/1"]).await.unwrap();
    assert_eq!(alpn(&answered), Some(&b"acme-tls/1"[..]));
    let der = leaf(&answered);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName("a.test")]);
    let identifier = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    assert!(identifier.critical);
    assert_eq!(identifier.value, [&[4, 32], &digest[..]].concat());
    assert_eq!(until_closed(&mut answered).await, "");
    gateway.wait_for_metric("vrata_gateway_tls_handshakes_total", &["acme_challenge", ""], 1.0).await;

    assert!(connect(gateway.https(), "b.test", &["acme-tls/1"]).await.is_err());
    let ordinary = connect(gateway.https(), "a.test", &["acme-tls/1", "h2"]).await.unwrap();
    assert_eq!((alpn(&ordinary), leaf(&ordinary)), (Some(&b"h2"[..]), own.key().cert[0].clone()));
    assert_eq!(leaf(&connect(gateway.https(), "a.test", &[]).await.unwrap()), own.key().cert[0]);
}

#[tokio::test]
async fn plain_http_on_the_https_port_is_told_so() {
    let gateway = start(&options(), Snapshot::default());
    let mut plain = TcpStream::connect(gateway.https()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut plain).await.ends_with("\r\n\r\nPlainHttp"));
    gateway.wait_for_metric("vrata_gateway_tls_handshake_failures_total", &["plain_http"], 1.0).await;

    let mut noise = TcpStream::connect(gateway.https()).await.unwrap();
    noise.write_all(b"\x00\x01\x02").await.unwrap();
    assert_eq!(until_closed(&mut noise).await, "");
    gateway.wait_for_metric("vrata_gateway_tls_handshake_failures_total", &["not_tls"], 1.0).await;
}

#[tokio::test]
async fn http2_without_tls_is_not_accepted() {
    let gateway = start(&options(), Snapshot::default());
    let mut plain = TcpStream::connect(gateway.http()).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let answer = until_closed(&mut plain).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
}

#[tokio::test]
async fn ipv6_is_served_beside_ipv4() {
    let loopback = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
    let gateway = start(&Options { http: vec![loopback], https: vec![loopback], ..Options::default() }, Snapshot::default());
    let mut plain = TcpStream::connect(gateway.http()).await.unwrap();
    assert!(get(&mut plain, "/connection").await.contains("peer: [::1]:"));
    let mut tls = connect(gateway.https(), "a.test", &["http/1.1"]).await.unwrap();
    assert!(get(&mut tls, "/").await.ends_with("hello"));
}

#[tokio::test]
async fn both_wildcard_addresses_can_be_bound_with_one_port() {
    let (server, running) = bind(&Options { http: vec!["0.0.0.0:0".parse().unwrap()], ..Options::default() }, Snapshot::default()).unwrap();
    let both = SocketAddr::from(([0; 16], running.http().port()));
    let (_other, also) = bind(&Options { http: vec![both], ..Options::default() }, Snapshot::default()).unwrap();
    assert_eq!(also.http().port(), running.http().port());
    drop(server);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let (_server, running) = bind(&options(), Snapshot::default()).unwrap();
    let error = bind(&Options { https: vec![running.http()], ..Options::default() }, Snapshot::default()).err().unwrap();
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", running.http())), "{error}");
}

#[tokio::test]
async fn keys_of_every_usual_kind_are_served() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let made = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let own = Arc::new(ParsedCertificate::parse(made.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap());
        let gateway = start(&options(), serving(&[("a.test", &own)]));
        for version in [&TLS12, &TLS13] {
            let mut open = connect_with(&client(&["http/1.1"], &[version]), gateway.https(), "a.test").await.unwrap();
            assert!(get(&mut open, "/").await.ends_with("hello"), "{algorithm:?}");
            assert_eq!(leaf(&open), own.key().cert[0], "{algorithm:?}");
        }
    }
}

/// A ClientHello of an old version: one suite, no extension.
fn old_hello(version: u8) -> Vec<u8> {
    let mut hello = vec![3, version];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    [&[22, 3, version, 0, length + 4, 1, 0, 0, length], &hello[..]].concat()
}

#[tokio::test]
async fn tls_1_0_and_1_1_are_refused_with_an_alert() {
    let gateway = start(&options(), Snapshot::default());
    for version in [1, 2] {
        let mut tcp = TcpStream::connect(gateway.https()).await.unwrap();
        tcp.write_all(&old_hello(version)).await.unwrap();
        let mut answer = Vec::new();
        let _ = within(tcp.read_to_end(&mut answer)).await;
        // A fatal alert (RFC 8446 section 6): protocol_version or handshake_failure; never a ServerHello.
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, 70 | 40]), "{answer:?}");
    }
}
