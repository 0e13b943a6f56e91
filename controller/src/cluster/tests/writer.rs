//! The driver before a scripted API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use kube::Client;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::api_server::{ApiServer, Asked, failure, usual};
use super::world::{NOW, World, backend, balancer, ingress};
use crate::cluster::{EventWrite, Metrics, Outcome, Pass, Regarding, Settings, Write, Writer, request};
use crate::problem::Reason;

const LIST: &str = "GET /api/v1/services";
const SERVICE: &str = "PATCH /api/v1/namespaces/team/services/db/status";
const INGRESS: &str = "PATCH /apis/networking.k8s.io/v1/namespaces/team/ingresses/app/status";

/// A term of leadership.
struct Term {
    passes: watch::Sender<Option<Arc<Pass>>>,
    conflicts: watch::Receiver<Vec<crate::problem::Problem>>,
    may_write: Arc<AtomicBool>,
    stop: CancellationToken,
    led: JoinHandle<()>,
    _guard: DropGuard,
}

fn lead(client: Client) -> Term {
    let writer = Writer::new(client, Settings::default(), Metrics::new(&Registry::new()).unwrap());
    let (passes, watched) = watch::channel(None);
    let (conflicts, may_write, stop) = (writer.conflicts(), Arc::new(AtomicBool::new(true)), CancellationToken::new());
    let (asks, stopped) = (may_write.clone(), stop.clone());
    let led = tokio::spawn(async move { writer.lead(watched, Arc::new(move || asks.load(Ordering::SeqCst)), stopped).await });
    Term { passes, conflicts, may_write, _guard: stop.clone().drop_guard(), stop, led }
}

fn world() -> World {
    let mut world = World::new();
    world.apply(&backend("team"));
    world.apply(&ingress("team", "app", "nginx", "app.example.net"));
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    world
}

fn whats(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.what.as_str()).collect()
}

#[tokio::test]
async fn statuses_are_applied_as_our_own_over_the_version_that_was_read_and_never_with_force() {
    let (server, client) = ApiServer::start().await;
    let (term, mut world) = (lead(client), world());
    term.passes.send_replace(Some(Arc::new(world.pass())));
    let asked = server.once(|asked| asked.len() == 3).await;
    let mut paths = whats(&asked);
    paths[1..].sort_unstable();
    assert_eq!(paths, [LIST, SERVICE, INGRESS]);
    let applied = asked.iter().find(|asked| asked.what == INGRESS).unwrap();
    assert_eq!((applied.query.trim_start_matches('&'), applied.content_type.as_str()), ("fieldManager=vrata", "application/apply-patch+yaml"));
    let version = world.object("Ingress team/app")["metadata"]["resourceVersion"].clone();
    let metadata = json!({"name": "app", "namespace": "team", "uid": "uid-of-Ingress team/app", "resourceVersion": version});
    let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}});
    assert_eq!(applied.body, json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "status": status}));
    // The watch brings it back.
    world.step();
    term.passes.send_replace(Some(Arc::new(world.pass())));
    let asked = server.once(|asked| asked.len() == 4).await;
    assert_eq!(asked[3].what, "POST /apis/events.k8s.io/v1/namespaces/team/events");
    assert_eq!((&asked[3].body["reason"], &asked[3].body["regarding"]["name"]), (&json!("AddressAllocated"), &json!("db")));
}

#[tokio::test]
async fn another_managers_field_is_a_problem_and_left_alone() {
    let (server, client) = ApiServer::start().await;
    server.answers(|asked| match asked.what.as_str() {
        INGRESS => failure(
            409,
            "Conflict",
            &json!([{"reason": "FieldManagerConflict", "field": ".status.loadBalancer.ingress",
                "message": "conflict with \"nginx-ingress-controller\" with subresource \"status\" using networking.k8s.io/v1 at 2026-11-24T06:00:00Z"}]),
        ),
        _ => usual(asked),
    });
    let (mut term, world) = (lead(client), world());
    term.passes.send_replace(Some(Arc::new(world.pass())));
    let problem = term.conflicts.wait_for(|conflicts| !conflicts.is_empty()).await.unwrap()[0].clone();
    assert_eq!((problem.reason, problem.object.unwrap().to_string()), (Reason::StatusConflict, "Ingress team/app".to_owned()));
    assert!(problem.message.contains("nginx-ingress-controller"), "{}", problem.message);
    for _ in 0..3 {
        term.passes.send_replace(Some(Arc::new(world.pass())));
        tokio::task::yield_now().await;
    }
    term.stop.cancel();
    term.led.await.unwrap();
    assert_eq!(server.asked().iter().filter(|asked| asked.what == INGRESS).count(), 1);
    assert!(term.conflicts.borrow().is_empty(), "who does not lead tells nothing");
}

#[tokio::test]
async fn nothing_is_written_before_it_is_known_what_is_held() {
    let (server, client) = ApiServer::start().await;
    server.answers(|_| failure(503, "ServiceUnavailable", &json!([])));
    let (term, world) = (lead(client), world());
    term.passes.send_replace(Some(Arc::new(world.pass())));
    let asked = server.once(|asked| asked.len() == 3).await;
    assert_eq!(whats(&asked), [LIST; 3]);
    // What the last leader gave to another is not given away.
    server.answers(|asked| {
        let held = json!({"metadata": {"namespace": "a", "name": "unseen", "resourceVersion": "900"}, "spec": {"type": "LoadBalancer"},
            "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.0"}]}}});
        if asked.what == LIST { (200, json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": {}, "items": [held]})) } else { usual(asked) }
    });
    let asked = server.once(|asked| asked.last().unwrap().what == INGRESS).await;
    assert!(!whats(&asked).contains(&SERVICE));
    drop(term);
}

#[tokio::test]
async fn an_api_server_that_is_away_is_asked_again() {
    let (server, client) = ApiServer::start().await;
    server.answers(|asked| if asked.what == LIST { usual(asked) } else { failure(503, "ServiceUnavailable", &json!([])) });
    let (term, world) = (lead(client), world());
    term.passes.send_replace(Some(Arc::new(world.pass())));
    server.once(|asked| asked.len() >= 5).await;
    server.answers(usual);
    let before = server.asked().len();
    let asked = server.once(|asked| asked.len() >= before + 2).await;
    let mut last: Vec<&str> = whats(&asked[before..before + 2]);
    last.sort_unstable();
    assert_eq!(last, [SERVICE, INGRESS]);
    drop(term);
}

#[tokio::test]
async fn who_may_not_write_any_more_does_not() {
    let (server, client) = ApiServer::start().await;
    let (term, world) = (lead(client), world());
    server.once(|asked| asked.len() == 1).await;
    term.may_write.store(false, Ordering::SeqCst);
    term.passes.send_replace(Some(Arc::new(world.pass())));
    drop(term.passes);
    // Without passes the term ends by itself, after the last one.
    term.led.await.unwrap();
    assert_eq!(whats(&server.asked()), [LIST]);
}

#[tokio::test]
async fn many_writes_are_few_at_a_time_and_what_is_under_way_ends_before_the_term() {
    let (server, client) = ApiServer::start().await;
    let mut world = World::new();
    world.apply(&backend("team"));
    for number in 0..40 {
        world.apply(&ingress("team", &format!("app-{number}"), "nginx", &format!("app-{number}.example.net")));
    }
    let term = lead(client);
    server.once(|asked| asked.len() == 1).await;
    server.permits.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    term.passes.send_replace(Some(Arc::new(world.pass())));
    server.once(|asked| asked.len() == 9).await;
    server.permits.add_permits(10);
    server.once(|asked| asked.len() == 19).await;
    term.stop.cancel();
    tokio::task::yield_now().await;
    assert!(!term.led.is_finished());
    server.permits.add_permits(8);
    term.led.await.unwrap();
    assert_eq!((server.asked().len(), server.most_at_once()), (19, 8));
}

fn event(again: bool) -> Write {
    let regarding = Regarding { api_version: "v1".into(), kind: "Service".into(), namespace: "team".into(), name: "db".into(), uid: "u".into() };
    Write::Event(EventWrite {
        id: 1,
        namespace: "team".into(),
        name: "db.1".into(),
        regarding,
        warning: true,
        reason: "PoolExhausted".into(),
        action: "Allocate",
        note: "n".into(),
        again,
    })
}

#[tokio::test]
async fn an_event_is_created_once_and_then_counted() {
    let (now, event_time) = (Timestamp::from_second(NOW).unwrap(), "2026-11-24T05:00:00.000000Z");
    let (get, post, patch) = (
        "GET /apis/events.k8s.io/v1/namespaces/team/events/db.1",
        "POST /apis/events.k8s.io/v1/namespaces/team/events",
        "PATCH /apis/events.k8s.io/v1/namespaces/team/events/db.1",
    );
    let series = |count: i64, time: &str| json!({"eventTime": event_time, "series": {"count": count, "lastObservedTime": time}});
    let exists = || failure(409, "AlreadyExists", &json!([]));
    let table = [
        (false, (201, json!({})), vec![post], Value::Null),
        (false, exists(), vec![post], Value::Null),
        (true, (200, json!({"eventTime": event_time})), vec![get, patch], json!(2)),
        (true, (200, series(7, "2026-11-24T05:20:00.000000Z")), vec![get, patch], json!(8)),
        (true, (200, series(7, "2026-11-24T05:45:00.000000Z")), vec![get], Value::Null),
    ];
    for (again, answer, expected, count) in table {
        let (server, client) = ApiServer::start().await;
        let row = format!("{again} {answer:?}");
        server.answers(move |_| answer.clone());
        assert_eq!(request::carry_out(&client, "vrata-0", &event(again), now).await, Outcome::Written, "{row}");
        let asked = server.asked();
        assert_eq!((whats(&asked), &asked.last().unwrap().body["series"]["count"]), (expected, &count), "{row}");
    }
    let (server, client) = ApiServer::start().await;
    server.answers(|asked| if asked.what.starts_with("GET") { failure(404, "NotFound", &json!([])) } else { (201, json!({})) });
    assert_eq!(request::carry_out(&client, "vrata-0", &event(true), now).await, Outcome::Written);
    assert_eq!(whats(&server.asked()), [get, post], "it was kept for a while only");
    let body = &server.asked()[1].body;
    assert_eq!((&body["eventTime"], &body["reportingInstance"]), (&json!("2026-11-24T06:00:00.000000Z"), &json!("vrata-0")));
}

#[tokio::test]
async fn answers_mean_what_they_say() {
    let table = [
        (409, "Conflict", Outcome::Stale),
        (404, "NotFound", Outcome::Stale),
        (403, "Forbidden", Outcome::Refused),
        (422, "Invalid", Outcome::Refused),
        (401, "Unauthorized", Outcome::Unreachable),
        (429, "TooManyRequests", Outcome::Unreachable),
        (500, "InternalError", Outcome::Unreachable),
    ];
    let now = Timestamp::from_second(NOW).unwrap();
    let write = world().plan().writes.remove(0);
    for (code, reason, expected) in table {
        let (server, client) = ApiServer::start().await;
        server.answers(move |_| failure(code, reason, &json!([])));
        assert_eq!(request::carry_out(&client, "", &write, now).await, expected, "{code} {reason}");
    }
    let (server, client) = ApiServer::start().await;
    drop(server);
    let closed = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    assert_eq!(request::carry_out(&closed, "", &write, now).await, Outcome::Unreachable);
    drop(client);
}
