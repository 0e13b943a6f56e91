//! Steps of the machine that leads or follows.
#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::{Elector, Put, Record, Seen, Step, Timing, Written};
use crate::lease::Moment;

const fn at(seconds: u64) -> Moment {
    Moment::after_boot(Duration::from_secs(seconds))
}

fn lease(version: &str, holder: Option<&str>, renewed: &str) -> Seen {
    let holder = holder.map(str::to_owned);
    let record = Record { holder, duration: Some(Duration::from_secs(10)), transitions: 3, renewed: Some(renewed.to_owned()) };
    Seen { version: version.to_owned(), record }
}

fn put(version: Option<&str>, holder: Option<&str>, transitions: i32, acquires: bool) -> Put {
    Put { version: version.map(str::to_owned), holder: holder.map(str::to_owned), transitions, acquires }
}

fn candidate() -> Elector {
    Elector::new("me".to_owned(), Timing::default(), at(100))
}

/// A candidate that leads since 100 s, until 108 s.
fn leading() -> Elector {
    let mut elector = candidate();
    elector.saw(None, at(100));
    elector.wrote(Written::Accepted(lease("1", Some("me"), "a")), at(100), at(100));
    elector
}

#[test]
fn what_is_seen_decides_what_is_done() {
    let mine = |version, transitions, acquires| Step::Put(put(Some(version), Some("me"), transitions, acquires));
    let rows = [
        ("there is no Lease", None, 0, Step::Put(put(None, Some("me"), 0, true))),
        ("it was released", Some(lease("7", None, "a")), 0, mine("7", 4, true)),
        ("another holds it", Some(lease("7", Some("other"), "a")), 0, Step::Wait(at(110))),
        ("another holds it, just before its end", Some(lease("7", Some("other"), "a")), 9, Step::Wait(at(110))),
        ("another held it, unchanged for its duration", Some(lease("7", Some("other"), "a")), 10, mine("7", 4, true)),
        ("it is ours, from a write whose answer was lost", Some(lease("7", Some("me"), "a")), 0, mine("7", 3, false)),
        ("it is ours, and very old", Some(lease("7", Some("me"), "a")), 3600, mine("7", 3, false)),
    ];
    for (what, seen, later, expected) in rows {
        let mut elector = candidate();
        assert_eq!(elector.next(at(100)), Step::Read, "{what}");
        elector.saw(seen, at(100));
        assert_eq!(elector.next(at(100 + later)), expected, "{what}");
        assert_eq!(elector.leads_until(at(100 + later)), None, "{what}: nobody leads by reading");
    }
}

#[test]
fn another_s_lease_counts_from_its_last_change_as_we_saw_it() {
    let rows = [
        ("renewed", lease("8", Some("other"), "b"), at(119)),
        ("taken over by a third", lease("8", Some("third"), "a"), at(119)),
        ("touched by somebody who is not its holder", lease("8", Some("other"), "a"), at(110)),
    ];
    for (what, change, expected) in rows {
        let mut elector = candidate();
        elector.saw(Some(lease("7", Some("other"), "a")), at(100));
        elector.saw(Some(change), at(109));
        assert_eq!(elector.next(at(109)), Step::Wait(expected), "{what}");
    }
    let mut elector = candidate();
    let longer = Record { duration: Some(Duration::from_secs(60)), ..lease("7", Some("other"), "a").record };
    elector.saw(Some(Seen { version: "7".to_owned(), record: longer }), at(100));
    assert_eq!(elector.next(at(130)), Step::Wait(at(160)), "its own duration counts");
}

#[test]
fn leading_counts_from_before_the_request_and_is_renewed_in_time() {
    let mut elector = candidate();
    elector.saw(None, at(100));
    elector.wrote(Written::Accepted(lease("1", Some("me"), "a")), at(101), at(103));
    assert_eq!(elector.leads_until(at(103)), Some(at(109)));
    assert_eq!(elector.next(at(102)), Step::Wait(at(103)));
    assert_eq!(elector.next(at(103)), Step::Put(put(Some("1"), Some("me"), 3, false)));
    assert_eq!(elector.leads_until(at(109)), None, "fenced by the clock alone");
}

#[test]
fn an_answer_that_comes_too_late_does_not_make_a_leader() {
    let mut elector = candidate();
    elector.saw(None, at(100));
    elector.wrote(Written::Accepted(lease("1", Some("me"), "a")), at(100), at(108));
    assert_eq!(elector.leads_until(at(108)), None);
    assert_eq!(elector.next(at(108)), Step::Put(put(Some("1"), Some("me"), 3, false)), "it renews before it acts");
}

#[test]
fn a_renewal_that_fails_leaves_what_was_granted_and_reads_again() {
    for (written, waits) in [(Written::Conflict, false), (Written::Unknown, true)] {
        let mut elector = leading();
        elector.wrote(written.clone(), at(102), at(103));
        assert_eq!(elector.leads_until(at(107)), Some(at(108)), "{written:?}");
        assert_eq!(matches!(elector.next(at(103)), Step::Wait(_)), waits, "{written:?}");
        assert_eq!(elector.next(at(104)), Step::Read, "{written:?}");
        elector.saw(Some(lease("1", Some("me"), "a")), at(104));
        assert_eq!(elector.next(at(104)), Step::Put(put(Some("1"), Some("me"), 3, false)), "{written:?}");
        elector.unreadable(at(105));
        assert_eq!(elector.leads_until(at(107)), Some(at(108)), "{written:?}");
    }
}

#[test]
fn a_failed_takeover_does_not_start_the_wait_again() {
    let mut elector = candidate();
    elector.saw(Some(lease("7", Some("other"), "a")), at(100));
    elector.wrote(Written::Unknown, at(110), at(113));
    elector.saw(Some(lease("7", Some("other"), "a")), at(114));
    assert_eq!(elector.next(at(114)), Step::Put(put(Some("7"), Some("me"), 4, true)));
}

#[test]
fn whoever_sees_another_as_holder_leads_no_more() {
    for seen in [None, Some(lease("2", None, "b")), Some(lease("2", Some("other"), "b"))] {
        let mut elector = leading();
        elector.saw(seen.clone(), at(101));
        assert_eq!(elector.leads_until(at(101)), None, "{seen:?}");
    }
    let mut elector = leading();
    elector.saw(Some(lease("2", Some("me"), "b")), at(101));
    assert_eq!(elector.leads_until(at(101)), Some(at(108)));
}

#[test]
fn waiting_for_a_retry_ends_with_leadership() {
    let mut elector = leading();
    elector.wrote(Written::Unknown, at(107), at(107) + Duration::from_millis(900));
    assert_eq!(elector.next(at(107) + Duration::from_millis(950)), Step::Wait(at(108)));
}

#[test]
fn it_is_given_back_only_when_it_is_ours() {
    let mut elector = leading();
    assert_eq!(elector.release(), Some(put(Some("1"), None, 3, false)));
    assert_eq!(elector.leads_until(at(100)), None);
    let mut follower = candidate();
    assert_eq!(follower.release(), None);
    follower.saw(Some(lease("7", Some("other"), "a")), at(100));
    assert_eq!(follower.release(), None);
    assert_eq!(follower.leader(), Some("other"));
}
