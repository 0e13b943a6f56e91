//! Answers that are given here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn field<'a>(answer: &'a Answer, name: &HeaderName) -> Option<&'a str> {
    answer.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.to_str().unwrap())
}

fn text(reason: &Reason, accept: &'static str, id: &'static str) -> String {
    let answer = answer(reason, false, &headers(&[(header::ACCEPT, accept)]), &HeaderValue::from_static(id));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[test]
fn every_reason_has_its_status() {
    let location = HeaderValue::from_static("https://a.test");
    for (reason, status) in [
        (Reason::Redirect(location), 308),
        (Reason::BadRequest, 400),
        (Reason::PlainHttp, 400),
        (Reason::Unauthorized(basic_challenge("x")), 401),
        (Reason::Forbidden, 403),
        (Reason::NotFound, 404),
        (Reason::MethodNotAllowed, 405),
        (Reason::BodyTooLarge, 413),
        (Reason::TargetTooLong, 414),
        (Reason::Misdirected, 421),
        (Reason::HeadersTooLarge, 431),
        (Reason::BadGateway, 502),
        (Reason::Unavailable, 503),
        (Reason::GatewayTimeout, 504),
        (Reason::Refused(StatusCode::IM_A_TEAPOT), 418),
    ] {
        let answer = answer(&reason, false, &HeaderMap::new(), &HeaderValue::from_static("id"));
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(field(&answer, &header::CONTENT_LENGTH), Some(answer.body.len().to_string().as_str()));
        assert_eq!(field(&answer, &header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(field(&answer, &crate::proxy::forwarded::X_REQUEST_ID), Some("id"));
    }
}

#[test]
fn text_for_terminals_problem_details_for_programs_and_a_page_for_browsers() {
    assert_eq!(text(&Reason::NotFound, "*/*", "abc"), "404 Not Found: Nothing is published under this address.\nRequest id: abc\n");
    let json: serde_json::Value = serde_json::from_str(&text(&Reason::NotFound, "application/json", "a\"b\\c")).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "type": "about:blank", "title": "Not Found", "status": 404,
            "detail": "Nothing is published under this address.", "requestId": "a\"b\\c",
        })
    );
    let page = text(&Reason::NotFound, "text/html", "<script>alert('x')</script>&");
    assert!(page.contains("<h1>404 Not Found</h1>") && page.contains("width=device-width") && page.contains("color-scheme"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;") && !page.contains("<script>"), "{page}");
}

#[test]
fn head_has_the_length_and_no_content() {
    let (none, id) = (HeaderMap::new(), HeaderValue::from_static("id"));
    let (head, get) = (answer(&Reason::NotFound, true, &none, &id), answer(&Reason::NotFound, false, &none, &id));
    assert_eq!((head.body.len(), &head.headers), (0, &get.headers));
    assert_eq!(field(&key_authorization("token.print", true), &header::CONTENT_LENGTH), Some("11"));
}

#[test]
fn redirect_names_its_location_and_a_refused_user_the_realm() {
    let id = HeaderValue::from_static("id");
    let redirect = answer(&Reason::Redirect(HeaderValue::from_static("https://a.test")), false, &HeaderMap::new(), &id);
    assert_eq!(field(&redirect, &header::LOCATION), Some("https://a.test"));
    let refused = answer(&Reason::Unauthorized(basic_challenge("Staff \"only\" \\ ž")), false, &HeaderMap::new(), &id);
    assert_eq!(field(&refused, &header::WWW_AUTHENTICATE), Some(r#"Basic realm="Staff \"only\" \\ ", charset="UTF-8""#));
}

#[test]
fn grpc_calls_end_with_a_grpc_status() {
    let call = headers(&[(header::CONTENT_TYPE, "application/grpc")]);
    let answer = answer(&Reason::Unavailable, false, &call, &HeaderValue::from_static("id"));
    let trailers = answer.trailers.unwrap();
    assert_eq!((answer.status, answer.body.len(), &trailers["grpc-status"]), (StatusCode::OK, 0, &HeaderValue::from_static("14")));
}

#[test]
fn key_authorization_is_plain_text() {
    let answer = key_authorization("token.print", false);
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"token.print"[..]));
    assert_eq!(field(&answer, &header::CONTENT_TYPE), Some("text/plain"));
}
