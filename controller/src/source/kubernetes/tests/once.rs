//! One look at a cluster, with and without the rights that it takes.

use std::collections::BTreeSet;

use serde_json::json;

use super::{INGRESSES, SECRETS, SPACES, Server, connected, ingress, secret, secrets, space, spaces, status};
use crate::objects::ObjectKey;
use crate::source::kubernetes::once::{Once, Unread};

const POOLS: &str = "/apis/metallb.io/v1beta1/ipaddresspools";
const ADVERTISEMENTS: &str = "/apis/metallb.io/v1beta1/l2advertisements";
const GRANTS: &str = "/apis/gateway.networking.k8s.io/v1beta1/referencegrants";

fn forbid(server: &Server, part: &str) {
    server.instead(part, 1, 403, &status(403, "Forbidden").to_string());
}

#[tokio::test]
async fn everything_is_read_once_and_of_secrets_what_is_named() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    ["a", "b", "c"].iter().for_each(|name| server.put(SPACES, space(name, "1")));
    server.put(INGRESSES, ingress("i", Some("named")));
    ["named", "other"].iter().for_each(|name| server.put(SECRETS, secret(name, "v")));
    server.put(ADVERTISEMENTS, json!({"metadata": {"name": "l2", "namespace": "metallb-system"}}));
    server.define(GRANTS, false);
    server.instead(SPACES, 1, 503, "not now");
    let mut once = Once::read(connected(&server, directory.path()).await.0, None).await.unwrap();
    once.secrets([ObjectKey::new("ns", "named"), ObjectKey::new("ns", "gone")].into()).await.unwrap();
    let seen = once.seen();
    assert_eq!((spaces(&seen.read), seen.read.objects.ingresses.len()), (vec!["a=1".to_owned(), "b=1".into(), "c=1".into()], 1));
    assert_eq!(secrets(&seen.read), [("named", "v".as_bytes())]);
    assert_eq!(seen.neighbours.iter().map(|object| object["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["L2Advertisement"]);
    assert_eq!((seen.unread, server.asked("/secrets/other"), server.asked("watch")), (vec![], 0, 0));
    assert_eq!(server.asked("/apis/gateway.networking.k8s.io/v1/referencegrants"), 1, "the later version is tried");
}

#[tokio::test]
async fn what_may_not_be_read_is_told_and_the_rest_is_read() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.put(INGRESSES, ingress("i", Some("named")));
    [POOLS, ADVERTISEMENTS, "secrets/named"].iter().for_each(|part| forbid(&server, part));
    let mut once = Once::read(connected(&server, directory.path()).await.0, None).await.unwrap();
    once.secrets([ObjectKey::new("ns", "named")].into()).await.unwrap();
    let seen = once.seen();
    let unread = |resource: &str, verb, namespaces: &[&str], compiled| Unread {
        resource: resource.into(),
        verb,
        namespaces: namespaces.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        compiled,
    };
    let expected = [
        unread("ipaddresspools.metallb.io", "list", &[], true),
        unread("l2advertisements.metallb.io", "list", &[], false),
        unread("secrets", "get", &["ns"], true),
    ];
    assert_eq!(seen.unread, expected);
    assert_eq!(seen.read.objects.ingresses.len(), 1);
}

#[tokio::test]
async fn a_cluster_that_lets_nothing_be_read_is_an_error() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.instead("/", 100, 401, &status(401, "Unauthorized").to_string());
    let error = Once::read(connected(&server, directory.path()).await.0, None).await.err().unwrap();
    assert!(error.to_string().ends_with("neither this nor anything else may be read; give other credentials"), "{error}");
}
