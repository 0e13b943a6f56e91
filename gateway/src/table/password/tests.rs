//! Password hashes against those of other programs.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

/// Made by `htpasswd -n`, `openssl passwd` and libcrypt.
const CORRECT_HORSE: &[&str] = &[
    "$apr1$V4ECz3W7$RKiftitt3r88fQsa0xkbf0",
    "$apr1$lZL6Vci1$6wJBIRw/aN.ty2dHqdmuv1",
    "$apr1$ab$2AViYtCrOwG81vjtLDlBI0",
    "$1$saltsalt$NuzA7WTAelpl95xgBGWN60",
    "$2y$05$/8zz.gH4EmcdtXQdJucJheKp35Do61lz7T/1uidgfIo.pwZT6cUo.",
    "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$2a$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
    "{SSHA}K0MZxWoMPVRxegoJBeg1/wEGvbpzYWx0MTIzNA==",
    "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
    "$5$wIambAa67nGq7GXy$i19H2EpBvYjyQxNh0aiUjJyQHuejzOcoAlF9/jbT/v8",
    "$5$rounds=9999$salt$qC7dhwjFu/Md6IhaoTRXCm7E2ECnmNnaBuTTFFjyHo2",
    "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
    "$6$rounds=1234$saltsalt$QbDRnprRbpqeeh.ZNpNyY9.CK2ITCWd3Nuo6mduIQkLdXKLbmzlHxmzS4RYX080PBgOocz2tHNsjDEzqsLQte0",
    "INL7X.E/brUbo",
    "abhfCpXqd4GrI",
];

#[test]
fn hashes_of_every_kind_verify_the_right_password_only() {
    for hash in CORRECT_HORSE {
        let parsed = PasswordHash::parse(hash).unwrap_or_else(|error| panic!("{hash}: {error}"));
        assert!(parsed.verify(b"correct horse"), "{hash}");
        for wrong in ["", "correct hors", "Correct horse", "wrong"] {
            // DES sees eight characters.
            let same_start = hash.len() == 13 && wrong.starts_with("correct ");
            assert_eq!(parsed.verify(wrong.as_bytes()), same_start, "{hash} {wrong}");
        }
    }
}

#[test]
fn apr1_verifies_empty_and_long_passwords() {
    for (hash, password) in [
        ("$apr1$lZL6Vci1$FDJzYaEQf37gY/2IkeZP//", ""),
        ("$apr1$xyz$OrcrST2lyykwZEZbyIDLj1", "a much longer password than sixteen bytes, příliš žluťoučký"),
    ] {
        assert!(PasswordHash::parse(hash).unwrap().verify(password.as_bytes()), "{hash}");
    }
}

#[test]
fn passwords_that_cost_too_much_never_fit() {
    for hash in CORRECT_HORSE {
        let parsed = PasswordHash::parse(hash).unwrap();
        assert!(!parsed.verify(&[b'a'; 100_000]), "{hash}");
        assert!(!parsed.verify(b"correct horse\0"), "{hash}");
    }
}

#[test]
fn what_cannot_be_verified_is_refused_with_the_reason() {
    use UnsupportedHash::{Malformed, TooCostly, UnknownKind};
    let body = "abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
    let sha256 = "qC7dhwjFu/Md6IhaoTRXCm7E2ECnmNnaBuTTFFjyHo2";
    for (hash, reason) in [
        (String::new(), UnknownKind),
        ("secret".into(), UnknownKind),
        ("{PLAIN}secret".into(), UnknownKind),
        ("$y$j9T$abc$def".into(), UnknownKind),
        ("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA".into(), UnknownKind),
        ("abhfCpXqd4Gr!".into(), UnknownKind),
        ("$apr1$lZL6Vci1".into(), Malformed("apr1")),
        ("$apr1$muchtoolongsalt$6wJBIRw/aN.ty2dHqdmuv1".into(), Malformed("apr1")),
        ("$apr1$lZL6Vci1$6wJBIRw/aN.ty2dHqdmuv".into(), Malformed("apr1")),
        ("$1$saltsalt$short".into(), Malformed("MD5-crypt")),
        ("{SHA}not base64".into(), Malformed("SHA")),
        ("{SHA}K0MZxWoMPVRxegoJBeg1/wEGvbpzYWx0MTIzNA==".into(), Malformed("SHA")),
        ("{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=".into(), Malformed("SSHA")),
        ("$2y$05$short".into(), Malformed("bcrypt")),
        (format!("$2y$03${body}"), Malformed("bcrypt")),
        (format!("$2y$15${body}"), TooCostly { kind: "bcrypt", cost: 15, limit: 14 }),
        (format!("$2y$31${body}"), TooCostly { kind: "bcrypt", cost: 31, limit: 14 }),
        (format!("$5$rounds=999999999$salt${sha256}"), TooCostly { kind: "SHA256-crypt", cost: 999_999_999, limit: 1_000_000 }),
        (format!("$5$rounds=-1$salt${sha256}"), Malformed("SHA256-crypt")),
        (format!("$5$rounds=5000${sha256}"), Malformed("SHA256-crypt")),
        ("$6$saltsalt$x".into(), Malformed("SHA512-crypt")),
    ] {
        assert_eq!(PasswordHash::parse(&hash).err(), Some(reason), "{hash}");
    }
}

#[test]
fn a_hash_is_never_shown() {
    assert_eq!(format!("{:?}", PasswordHash::parse(CORRECT_HORSE[0]).unwrap()), "PasswordHash(…)");
}

proptest::proptest! {
    #[test]
    fn no_hash_or_password_panics(hash in "(\\$(apr1|1|2y|5|6)\\$|\\{S?SHA\\})?.{0,64}", password in ".*") {
        if let Ok(parsed) = PasswordHash::parse(&hash) {
            let _ = parsed.verify(password.as_bytes());
        }
    }
}
