//! What a login service like oauth2-proxy answers, without anybody to log in with: whoever comes to `/oauth2/start` is alice from then on.
//!
//! `/oauth2/auth?allowed_emails=A,B` says whether a request may pass: 202 with the user's name, 401 without a session, 403 for others.

use bytes::Bytes;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;

const SESSION: &str = "_oauth2_proxy";
const ALICE: &str = "alice@example.org";

/// The answer to a request.
pub(super) fn answer<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    let parameter = |name: &str| {
        let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        query.into_iter().find(|(found, _)| found == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let response = match request.uri().path() {
        "/oauth2/start" => {
            let session = format!("{SESSION}={ALICE}; Path=/; Secure; HttpOnly");
            Response::builder().status(StatusCode::FOUND).header(LOCATION, parameter("rd")).header(SET_COOKIE, session)
        }
        "/oauth2/auth" => match session(request) {
            None => Response::builder().status(StatusCode::UNAUTHORIZED),
            Some(user) if parameter("allowed_emails").split(',').any(|allowed| allowed == user) => {
                Response::builder().status(StatusCode::ACCEPTED).header("x-auth-request-email", user)
            }
            Some(_) => Response::builder().status(StatusCode::FORBIDDEN),
        },
        _ => Response::builder().status(StatusCode::NOT_FOUND),
    };
    response.body(Full::default()).unwrap_or_else(|_| Response::new(Full::from("a parameter is no header")))
}

/// Whose session it is.
fn session<B>(request: &Request<B>) -> Option<&str> {
    let cookies = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split("; ")).filter_map(|cookie| cookie.split_once('=')).find(|(name, _)| *name == SESSION).map(|(_, user)| user)
}
