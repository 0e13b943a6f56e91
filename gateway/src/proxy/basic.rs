//! The credentials of an `Authorization: Basic` header (RFC 7617). Pure.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;

/// Longest header value that is decoded, in bytes.
const MAX_LEN: usize = 4096;

/// Clients write the padding or leave it out.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A user name and a password, as sent.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    /// Text before the first colon.
    pub(super) user: String,
    /// Everything after it; not necessarily text.
    pub(super) password: Vec<u8>,
}

/// Reads the header. `None` when it has another scheme, is malformed or far too long.
pub(super) fn credentials(authorization: &HeaderValue) -> Option<Credentials> {
    let value = authorization.as_bytes();
    let (scheme, encoded) = value.split_at_checked(6).filter(|_| value.len() <= MAX_LEN)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    let user = std::str::from_utf8(&decoded[..colon]).ok()?.to_owned();
    Some(Credentials { user, password: decoded[colon + 1..].to_vec() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credentials_are_split_at_the_first_colon() {
        for (header, expected) in [
            ("Basic dXNlcjpwYXNz", Some(("user", "pass"))),
            ("basic dXNlcjpwYXNz", Some(("user", "pass"))),
            ("Basic  dXNlcjpwYXNz ", Some(("user", "pass"))),
            ("Basic dTpwOnE=", Some(("u", "p:q"))),
            ("Basic dTpwOnE", Some(("u", "p:q"))),
            ("Basic Og==", Some(("", ""))),
            ("Basic dXNlcg==", None),
            ("Basic", None),
            ("Basic ", None),
            ("Basic !!!!", None),
            ("Bearer dXNlcjpwYXNz", None),
            ("", None),
        ] {
            let found = credentials(&HeaderValue::from_static(header));
            let found = found.map(|c| (c.user, String::from_utf8(c.password).unwrap()));
            assert_eq!(found, expected.map(|(user, password)| (user.into(), password.into())), "{header}");
        }
        let long = HeaderValue::from_str(&format!("Basic {}", "dXNl".repeat(2000))).unwrap();
        assert!(credentials(&long).is_none());
    }
}
