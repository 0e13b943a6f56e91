//! The id that names a request in answers, logs and towards the upstream (`X-Request-ID`). Pure.

use http::HeaderValue;

/// Longest id that is taken over from a client, in bytes.
const MAX_LEN: usize = 128;

/// The client's id when it is 1 to 128 bytes of visible ASCII, otherwise 32 hexadecimal digits of `random`.
pub(super) fn choose(client: Option<&HeaderValue>, random: impl FnOnce() -> u128) -> HeaderValue {
    match client.filter(|id| is_sane(id.as_bytes())) {
        Some(id) => id.clone(),
        None => generate(random()),
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

fn generate(random: u128) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = [0; 32];
    for (at, digit) in id.iter_mut().enumerate() {
        *digit = DIGITS[(random >> (124 - 4 * at)) as usize & 0xf];
    }
    HeaderValue::from_bytes(&id).expect("hexadecimal digits are a header value")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sane_client_id_is_kept_and_anything_else_replaced() {
        let generated = "0123456789abcdef0011223344556677";
        let random = || u128::from_str_radix(generated, 16).unwrap();
        let long = "x".repeat(129);
        for (client, expected) in [
            (None, generated),
            (Some("abc-1"), "abc-1"),
            (Some(&long[..128]), &long[..128]),
            (Some(""), generated),
            (Some(&long[..]), generated),
            (Some("a b"), generated),
            (Some("a\tb"), generated),
        ] {
            let client = client.map(|id| HeaderValue::from_str(id).unwrap());
            assert_eq!(choose(client.as_ref(), random), expected);
        }
        assert_eq!(choose(Some(&HeaderValue::from_bytes(b"\xc3\xa9").unwrap()), random), generated);
    }
}
