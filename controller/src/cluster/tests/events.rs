//! What is told, and how often.

use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, backend, balancer, ingress};
use crate::cluster::{Memory, Plan, Settings, Write, plan};
use crate::problem::{ObjectRef, Problem, Reason, Severity};

fn problem(name: &str, severity: Severity, message: &str) -> Problem {
    let object = ObjectRef { kind: "Service".into(), namespace: Some("team".into()), name: name.into() };
    Problem { severity, object: Some(object), origin: None, field: "spec.type".into(), reason: Reason::NoEffect, message: message.into() }
}

fn world() -> World {
    let mut world = World::new();
    world.apply(&backend("team"));
    world
}

/// What is told of these problems now.
fn told(world: &mut World, problems: &[Problem]) -> Vec<String> {
    world.told = problems.to_vec();
    world.step()
}

#[test]
fn an_event_says_what_is_wrong_where() {
    let mut world = world();
    world.told = vec![problem("web", Severity::Error, "is not so; write it otherwise")];
    let [Write::Event(event)] = &world.plan().writes[..] else { panic!() };
    assert_eq!((event.reason.as_str(), event.action, event.note.as_str()), ("NoEffect", "Serve", "spec.type: is not so; write it otherwise"));
    assert_eq!((event.namespace.as_str(), event.regarding.api_version.as_str()), ("team", "v1"));
    assert_eq!(event.regarding.uid, "uid-of-Service team/web");
    assert_eq!(event.name, format!("web.{:016x}", event.id));
}

#[test]
fn what_lasts_is_told_every_half_hour_and_hints_once() {
    let problems = [problem("web", Severity::Error, "e"), problem("web", Severity::Warning, "w"), problem("web", Severity::Hint, "h")];
    let mut world = world();
    let (warning, hint) = ("Warning NoEffect Service team/web", "Normal NoEffect Service team/web");
    assert_eq!(told(&mut world, &problems), [warning, warning, hint]);
    let at = world.now;
    assert_eq!(told(&mut world, &problems), Vec::<String>::new());
    world.told = problems.to_vec();
    let due = world.plan().due.unwrap();
    assert_eq!(due - at, SignedDuration::from_mins(30));
    world.now = due;
    let again = "Warning NoEffect again Service team/web";
    assert_eq!(told(&mut world, &problems), [again, again]);
    assert_eq!(told(&mut world, &problems), Vec::<String>::new());
}

#[test]
fn what_is_mended_at_once_is_not_told() {
    let mut world = world();
    let pass = |world: &mut World, problems: &[Problem]| {
        world.told = problems.to_vec();
        world.now += SignedDuration::from_millis(1500);
        plan(&world.pass(), &Settings::default(), &mut world.memory, world.now)
    };
    let problems = [problem("web", Severity::Error, "e")];
    let first = pass(&mut world, &problems);
    assert_eq!((first.writes, first.due), (vec![], Some(world.now + SignedDuration::from_secs(2))));
    assert_eq!(pass(&mut world, &[]), Plan::default());
    assert_eq!(pass(&mut world, &problems).writes, []);
    assert_eq!(pass(&mut world, &problems).writes, []);
    assert_eq!(pass(&mut world, &problems).writes.len(), 1);
}

#[test]
fn what_comes_and_goes_is_told_no_more_often() {
    let problems = [problem("web", Severity::Error, "e")];
    let mut world = world();
    let mut lines = 0;
    for _ in 0..100 {
        lines += told(&mut world, &problems).len() + told(&mut world, &[]).len();
        world.now += SignedDuration::from_secs(60);
    }
    assert_eq!(lines, 4);
}

#[test]
fn many_problems_of_one_object_are_bounded_and_the_others_are_told() {
    let mut world = world();
    world.apply(&balancer("team", "db", &json!({"metallb.universe.tf/allow-shared-ip": ""}), &[80]));
    world.settle();
    let mut lines = Vec::new();
    for round in 0..10 {
        let mut problems: Vec<Problem> = (0..50).map(|n| problem("web", Severity::Error, &format!("{round} {n}"))).collect();
        problems.push(problem("db", Severity::Warning, "w"));
        lines.extend(told(&mut world, &problems));
        world.now += SignedDuration::from_mins(1);
    }
    let of = |name: &str| lines.iter().filter(|line| line.ends_with(name)).count();
    assert_eq!((of("/web"), of("/db")), (20, 1));
}

#[test]
fn another_leader_gives_an_event_the_same_name_and_tells_no_old_news() {
    let mut world = world();
    world.apply(&ingress("team", "app", "nginx", "app.dyn.example.org"));
    let names = |plan: &Plan| {
        plan.writes.iter().filter_map(|write| if let Write::Event(event) = write { Some(event.name.clone()) } else { None }).collect::<Vec<_>>()
    };
    let first = names(&world.plan());
    assert_eq!(first.len(), 1);
    world.memory = Memory::default();
    assert_eq!(names(&world.plan()), first, "the API server knows that it was told");
    world.memory = Memory::default();
    world.now += SignedDuration::from_hours(2);
    assert_eq!(names(&world.plan()), Vec::<String>::new(), "it was so before");
    world.apply(&ingress("team", "new", "nginx", "new.dyn.example.org"));
    assert_eq!(world.settle().last().unwrap(), "Normal NameServed Ingress team/new");
}

#[test]
fn notes_are_no_longer_than_an_api_server_takes() {
    let mut world = world();
    world.told = vec![problem("web", Severity::Error, &"ä".repeat(1000))];
    let [Write::Event(event)] = &world.plan().writes[..] else { panic!() };
    assert!(event.note.len() <= 1024 && event.note.ends_with('…'));
}
