//! The challenges of the moment as one ConfigMap. They are no secrets: everybody who asks is answered. Pure.

use std::collections::BTreeMap;

use acme::Challenges;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

/// Name of the ConfigMap.
pub const CHALLENGES: &str = "vrata-challenges";
const KEY: &str = "challenges.json";

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Text {
    http01: Vec<Http01>,
    tls_alpn01: Vec<TlsAlpn01>,
    dns01: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http01 {
    host: String,
    token: String,
    key_authorization: String,
}

#[derive(Serialize, Deserialize)]
struct TlsAlpn01 {
    host: String,
    digest: [u8; 32],
}

/// The ConfigMap that has these challenges.
#[must_use]
pub fn to_config_map(challenges: &Challenges) -> ConfigMap {
    let http01 = challenges.http01.iter().map(|((host, token), key_authorization)| Http01 {
        host: host.clone(),
        token: token.clone(),
        key_authorization: key_authorization.clone(),
    });
    let tls_alpn01 = challenges.tls_alpn01.iter().map(|(host, digest)| TlsAlpn01 { host: host.clone(), digest: *digest });
    let text = Text { http01: http01.collect(), tls_alpn01: tls_alpn01.collect(), dns01: challenges.dns01.clone() };
    let text = serde_json::to_string(&text).expect("plain values without maps of other keys than strings");
    ConfigMap { metadata: super::metadata(CHALLENGES, "challenges"), data: Some(BTreeMap::from([(KEY.to_owned(), text)])), ..ConfigMap::default() }
}

/// The challenges that the ConfigMap has.
///
/// # Errors
/// When it is not what [`to_config_map`] makes.
pub fn from_config_map(found: &ConfigMap) -> Result<Challenges, serde_json::Error> {
    let text = found.data.as_ref().and_then(|data| data.get(KEY)).map_or("{}", String::as_str);
    let text: Text = serde_json::from_str(text)?;
    Ok(Challenges {
        http01: text.http01.into_iter().map(|http| ((http.host, http.token), http.key_authorization)).collect(),
        tls_alpn01: text.tls_alpn01.into_iter().map(|tls| (tls.host, tls.digest)).collect(),
        dns01: text.dns01,
    })
}

/// `now`, and what a former leader has left: a CA that it told may still be looking. Where both answer the same question `now` does.
#[must_use]
pub fn with_left(now: &Challenges, left: &Challenges) -> Challenges {
    let mut all = left.clone();
    all.http01.extend(now.http01.clone());
    all.tls_alpn01.extend(now.tls_alpn01.clone());
    for (owner, values) in &now.dns01 {
        let all = all.dns01.entry(owner.clone()).or_default();
        all.extend(values.iter().filter(|value| !left.dns01.get(owner).is_some_and(|left| left.contains(value))).cloned());
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_kind_of_challenge_comes_back_as_it_was() {
        let challenges = Challenges {
            http01: BTreeMap::from([(("a.test".to_owned(), "t".to_owned()), "t.key".to_owned())]),
            tls_alpn01: BTreeMap::from([("b.test".to_owned(), [7; 32])]),
            dns01: BTreeMap::from([("_acme-challenge.c.test".to_owned(), vec!["1".to_owned(), "2".to_owned()])]),
        };
        for challenges in [challenges, Challenges::default()] {
            assert_eq!(from_config_map(&to_config_map(&challenges)).unwrap(), challenges);
        }
        assert_eq!(from_config_map(&ConfigMap::default()).unwrap(), Challenges::default());
    }

    #[test]
    fn what_a_former_leader_left_is_answered_beside_what_is_asked_now() {
        let txt = |values: &[&str]| BTreeMap::from([("_acme-challenge.c.test".to_owned(), values.iter().map(|value| (*value).to_owned()).collect())]);
        let http = |token: &str| BTreeMap::from([(("a.test".to_owned(), token.to_owned()), token.to_owned())]);
        let alpn = |byte| BTreeMap::from([("b.test".to_owned(), [byte; 32])]);
        let left = Challenges { http01: http("1"), tls_alpn01: alpn(1), dns01: txt(&["1", "2"]) };
        let now = Challenges { http01: http("2"), tls_alpn01: alpn(2), dns01: txt(&["2", "3"]) };
        let all = with_left(&now, &left);
        assert_eq!((all.http01.len(), all.tls_alpn01, all.dns01), (2, alpn(2), txt(&["1", "2", "3"])));
        assert_eq!(with_left(&now, &Challenges::default()), now);
        assert_eq!(with_left(&Challenges::default(), &left), left);
    }

    #[test]
    fn what_somebody_else_wrote_is_refused() {
        let data = Some(BTreeMap::from([(KEY.to_owned(), "[".to_owned())]));
        assert!(from_config_map(&ConfigMap { data, ..ConfigMap::default() }).is_err());
    }
}
