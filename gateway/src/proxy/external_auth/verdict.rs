//! What the answer of an authentication server means (nginx's `auth_request`): 2xx lets a request pass, 401 and 403 do not, all else is a fault. Pure.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Fault;
use crate::proxy::request::MAX_HEADER_BYTES;
use crate::table::ExternalAuth;

/// What a server says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Verdict {
    /// It may pass.
    Granted(Granted),
    /// It may not.
    Refused(Refused),
}

/// What comes with a yes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Granted {
    /// For the upstream.
    pub(in crate::proxy) headers: HeaderMap,
    /// `Set-Cookie` for the client.
    cookies: Vec<HeaderValue>,
    always_set_cookie: bool,
}

/// What comes with a no.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Refused {
    /// 401 or 403.
    pub(in crate::proxy) status: StatusCode,
    /// `WWW-Authenticate` for the client.
    pub(in crate::proxy) challenges: Vec<HeaderValue>,
    /// `Set-Cookie` for the client that is sent to sign in.
    pub(in crate::proxy) cookies: Vec<HeaderValue>,
}

impl Granted {
    /// The cookies that an answer with this status carries.
    pub(in crate::proxy) fn cookies(&self, status: StatusCode) -> &[HeaderValue] {
        if self.always_set_cookie || carries_headers(status) { &self.cookies } else { &[] }
    }
}

/// The statuses that nginx adds headers to.
const fn carries_headers(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

/// Reads an answer.
///
/// # Errors
/// It is neither yes nor no, or its headers are too large to be handed on.
pub(super) fn verdict(auth: &ExternalAuth, status: StatusCode, headers: &HeaderMap) -> Result<Verdict, Fault> {
    let all = |name: &http::HeaderName| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    let verdict = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let challenges = if status == StatusCode::UNAUTHORIZED { all(&header::WWW_AUTHENTICATE) } else { Vec::new() };
            Verdict::Refused(Refused { status, challenges, cookies: all(&header::SET_COOKIE) })
        }
        status if status.is_success() => {
            let mut passed = HeaderMap::new();
            for name in &auth.response_headers {
                for value in headers.get_all(name) {
                    passed.append(name, value.clone());
                }
            }
            Verdict::Granted(Granted { headers: passed, cookies: all(&header::SET_COOKIE), always_set_cookie: auth.always_set_cookie })
        }
        other => return Err(Fault::Status(other.as_u16())),
    };
    if size(&verdict) > MAX_HEADER_BYTES { Err(Fault::TooLarge) } else { Ok(verdict) }
}

fn size(verdict: &Verdict) -> usize {
    let of = |values: &[HeaderValue]| values.iter().map(HeaderValue::len).sum::<usize>();
    match verdict {
        Verdict::Refused(refused) => of(&refused.challenges) + of(&refused.cookies),
        Verdict::Granted(granted) => {
            granted.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + of(&granted.cookies)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use http::HeaderName;

    use super::*;
    use crate::table::AuthUrl;

    fn auth(always_set_cookie: bool) -> ExternalAuth {
        ExternalAuth {
            url: AuthUrl::parse("https://a.test/").unwrap(),
            method: None,
            sign_in: None,
            request_redirect: None,
            response_headers: vec![HeaderName::from_static("x-user"), HeaderName::from_static("x-group")],
            always_set_cookie,
        }
    }

    fn answered(status: u16, headers: &[(&'static str, &str)]) -> Result<Verdict, Fault> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        verdict(&auth(false), StatusCode::from_u16(status).unwrap(), &map)
    }

    #[test]
    fn only_a_success_lets_a_request_pass() {
        for status in [200, 201, 202, 204, 299] {
            assert!(matches!(answered(status, &[]), Ok(Verdict::Granted(_))), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(answered(status, &[]), Ok(Verdict::Refused(refused)) if refused.status == status), "{status}");
        }
        for status in [101, 300, 302, 304, 308, 400, 404, 407, 429, 500, 502, 503, 504] {
            assert_eq!(answered(status, &[]), Err(Fault::Status(status)));
        }
    }

    #[test]
    fn a_yes_carries_the_named_headers_and_cookies_and_nothing_else() {
        let answer = [("x-user", "jane"), ("x-group", "a"), ("x-group", "b"), ("x-other", "1"), ("set-cookie", "s=1"), ("set-cookie", "t=2")];
        let Ok(Verdict::Granted(granted)) = answered(202, &answer) else { panic!("not granted") };
        let passed: Vec<_> = granted.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(passed, ["x-user: jane", "x-group: a", "x-group: b"]);
        assert_eq!(granted.cookies(StatusCode::OK), ["s=1", "t=2"]);
        assert_eq!(granted.cookies(StatusCode::FOUND).len(), 2);
        assert!(granted.cookies(StatusCode::NOT_FOUND).is_empty());
        assert_eq!(Granted { always_set_cookie: true, ..granted }.cookies(StatusCode::NOT_FOUND).len(), 2);
    }

    #[test]
    fn a_no_carries_its_challenge_when_it_asks_who_somebody_is() {
        let answer = [("www-authenticate", "Bearer"), ("set-cookie", "csrf=1")];
        for (status, challenges) in [(401, 1), (403, 0)] {
            let refused = match answered(status, &answer) {
                Ok(Verdict::Refused(refused)) => Some((refused.challenges.len(), refused.cookies.len())),
                _ => None,
            };
            assert_eq!(refused, Some((challenges, 1)));
        }
    }

    #[test]
    fn headers_beyond_what_a_request_may_have_are_a_fault() {
        let long = "x".repeat(MAX_HEADER_BYTES);
        for (status, name) in [(200, "x-user"), (200, "set-cookie"), (401, "www-authenticate"), (401, "set-cookie")] {
            assert_eq!(answered(status, &[(name, long.as_str()), (name, "y")]), Err(Fault::TooLarge), "{status} {name}");
        }
        assert!(answered(200, &[("x-other", long.as_str()), ("x-other", "y")]).is_ok());
    }
}
