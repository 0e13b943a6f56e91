//! Hosts and requests: from an Ingress in a file to an answer over trusted HTTPS.

use anyhow::Result;
use bytes::Bytes;
use e2e::manifest::{App, secret};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Setup, Vrata, dns, eventually};
use futures::{SinkExt, StreamExt};
use hickory_proto::rr::RecordType;
use http::{Method, Version};
use tokio_tungstenite::tungstenite::Message;

fn host(name: &str) -> String {
    format!("{name}.{ZONE}")
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_over_trusted_https_with_both_versions_of_http() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let host = host("hello");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    let answer = vrata.get_until(&host, "/a%2Fb?x=1", 200).await?;
    assert_eq!(answer.text().lines().next(), Some("GET /a%2Fb?x=1"));
    assert!(answer.text().contains("\nx-forwarded-proto: https\n"), "{}", answer.text());

    let second = Client::http2(vrata.ports().https, vrata.ca_pem())?.get(&host, "/").await?;
    assert_eq!((second.status, second.version), (200, Version::HTTP_2));

    let plain = vrata.http().get(&host, "/path").await?;
    let location = format!("https://{host}:{}/path", vrata.ports().https.port());
    assert_eq!((plain.status, plain.header("location")), (308, location.as_str()));
    vrata.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_tls_section_is_trusted_too() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    vrata.apply("bare.yaml", &App::new("bare", &host("bare"), backend.address()).without_tls_section().manifest())?;
    vrata.get_until(&host("bare"), "/", 200).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_follows_the_ingress() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let (server, host) = (vrata.ports().dns, host("hello"));
    let look = async || dns::answers(server, &host, RecordType::A).await;
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    eventually("the host resolves", look, |answers| answers == &["127.0.0.1"]).await?;
    assert_eq!(dns::dig(server, &[&host, "A"]).await?, "127.0.0.1");
    assert_eq!(dns::dig(server, &["+tcp", &host, "A"]).await?, "127.0.0.1");
    vrata.remove("hello.yaml")?;
    eventually("the host is gone", look, Vec::is_empty).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_survives_configuration_swaps() -> Result<()> {
    let (backend, vrata) = (Backend::websocket().await?, Vrata::start(Setup::new()).await?);
    let host = host("chat");
    vrata.apply("chat.yaml", &App::new("chat", &host, backend.address()).manifest())?;
    let client = vrata.https()?;
    let mut socket = eventually("the WebSocket opens", async || client.websocket(&host, "/").await, |_| true).await?;
    for round in 0..5 {
        let generation = vrata.generation().await?;
        vrata.apply("other.yaml", &App::new("other", &self::host(&format!("other{round}")), backend.address()).manifest())?;
        vrata.status_after(generation).await?;
        socket.send(Message::text(format!("round {round}"))).await?;
        assert_eq!(socket.next().await.transpose()?, Some(Message::text(format!("round {round}"))));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_auth_lets_in_who_knows_the_password() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let host = host("private");
    let app = App::new("private", &host, backend.address()).nginx("auth-type", "basic").nginx("auth-secret", "users").nginx("auth-realm", "Members");
    // alice: correct horse
    let users = secret("private", "users", &[("auth", "alice:$apr1$vr4t4gat$MShakUlviNBsZiqk8eMhA0\n")]);
    vrata.apply("private.yaml", &(app.manifest() + &users))?;
    let refused = vrata.get_until(&host, "/", 401).await?;
    assert_eq!(refused.header("www-authenticate"), "Basic realm=\"Members\", charset=\"UTF-8\"");
    let with = |credentials: &str| Ok::<_, anyhow::Error>(vrata.https()?.header("authorization", &format!("Basic {credentials}")));
    assert_eq!(with("YWxpY2U6d3Jvbmc=")?.get(&host, "/").await?.status, 401);
    let answer = with("YWxpY2U6Y29ycmVjdCBob3JzZQ==")?.get(&host, "/").await?;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("authorization:"), "the password does not reach the app:\n{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_service_lets_in_who_has_logged_in() -> Result<()> {
    let (backend, login, vrata) = (Backend::http().await?, Backend::login().await?, Vrata::start(Setup::new()).await?);
    let host = host("lab");
    let app = App::new("lab", &host, backend.address())
        .nginx("auth-url", "https://$host/oauth2/auth?allowed_emails=alice@example.org,carol@example.org")
        .nginx("auth-signin", "https://$host/oauth2/start?rd=$scheme%3A%2F%2F$host$escaped_request_uri")
        .nginx("auth-response-headers", "X-Auth-Request-Email");
    vrata.apply("lab.yaml", &app.manifest())?;
    // Closed for as long as nobody can be asked.
    vrata.get_until(&host, "/", 500).await?;
    let service = App::new("login", &host, login.address()).namespace("lab").path("/oauth2");
    vrata.apply("login.yaml", &service.manifest())?;
    let sent = vrata.get_until(&host, "/notes?x=1", 302).await?;
    let page = format!("/oauth2/start?rd=https%3A%2F%2F{host}%2Fnotes%3Fx%3D1");
    assert_eq!(sent.header("location"), format!("https://{host}{page}"));
    let logged_in = vrata.get(&host, &page).await?;
    assert_eq!((logged_in.status, logged_in.header("location")), (302, format!("https://{host}/notes?x=1").as_str()));
    let with =
        |user: &str| Ok::<_, anyhow::Error>(vrata.https()?.header("cookie", &format!("_oauth2_proxy={user}")).header("x-auth-request-email", "root"));
    let session = logged_in.header("set-cookie").split([';', '=']).nth(1).unwrap_or_default().to_owned();
    let answer = with(&session)?.get(&host, "/notes?x=1").await?;
    assert_eq!(answer.status, 200);
    let told: Vec<_> = answer.text().lines().filter(|line| line.starts_with("x-auth-request-email")).map(str::to_owned).collect();
    assert_eq!(told, ["x-auth-request-email: alice@example.org"], "what the client claims does not reach the app");
    assert_eq!(with("mallory@example.org")?.get(&host, "/").await?.status, 403);
    vrata.remove("login.yaml")?;
    vrata.get_until(&host, "/", 500).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_and_one_under_it_arrives() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let host = host("upload");
    vrata.apply("upload.yaml", &App::new("upload", &host, backend.address()).nginx("proxy-body-size", "2m").manifest())?;
    vrata.get_until(&host, "/", 200).await?;
    let client = vrata.https()?;
    let fits = client.send(Method::POST, &host, "/", Bytes::from(vec![b'x'; 2 << 20])).await?;
    assert_eq!((fits.status, fits.text().lines().last()), (200, Some("body Ok(2097152)")));
    let too_large = client.send(Method::POST, &host, "/", Bytes::from(vec![b'x'; (2 << 20) + 1])).await?;
    assert_eq!(too_large.status, 413);
    Ok(())
}
