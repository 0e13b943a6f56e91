//! What tenants are told by Events: every problem, and every success they wait for. Pure.
//!
//! An Event's name is made of what it says, so that another leader does not say it again. What does not change is repeated every half hour, successes and
//! hints never; an object gets no more than a bounded number of Events, the worst first.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use acme::listed;
use jiff::Timestamp;

use super::memory::{Key, Memory};
use super::pass::Pass;
use super::subject::{self, Subject};
use super::told;
use super::write::{EventWrite, Regarding};
use crate::addresses::status_addresses;
use crate::compile::CertificateStatus;
use crate::objects::ObjectKey;
use crate::problem::{ObjectRef, Problem, Severity};

/// Reason of the Event about addresses that a Service loses.
const WITHDRAWN: &str = "AddressWithdrawn";
/// API servers keep Events this long (`--event-ttl`): a new leader tells successes only of objects that are younger.
const KEPT_SECONDS: i64 = 3600;
/// Longest note that API servers take, in bytes.
const LONGEST_NOTE: usize = 1024;
/// Longest part of an object's name that goes into the name of its Event.
const LONGEST_NAME: usize = 200;
/// Namespace of Events about objects that have none.
const DEFAULT_NAMESPACE: &str = "default";

/// Something to tell.
struct Message<'a> {
    object: &'a ObjectRef,
    warning: bool,
    reason: String,
    action: &'static str,
    note: String,
    /// Whether it is told again while it holds.
    repeats: bool,
    /// Whether it is told only if it lasts for a moment.
    settles: bool,
    /// Whether it is no news if it was so before this process led.
    success: bool,
}

/// The Events about addresses that Services lose now. They go before the status is changed, for afterwards it no longer shows.
pub(super) fn withdrawals(pass: &Pass, withdrawn: &[(ObjectRef, Vec<IpAddr>)], memory: &mut Memory, now: Timestamp) -> Vec<EventWrite> {
    let mut round = Round::new(now);
    round.look(pass, withdrawn.iter().map(|(object, addresses)| withdrawal(object, addresses)), memory);
    round.events
}

/// The Events to write now, and when there will be more.
pub(super) fn due(pass: &Pass, memory: &mut Memory, now: Timestamp) -> (Vec<EventWrite>, Option<Timestamp>) {
    let mut round = Round::new(now);
    round.look(pass, pass.view.problems.iter().filter_map(problem).chain(addresses(pass)).chain(names(pass)), memory);
    let certificates = certificates(pass);
    round.look(pass, certificates.iter().map(|(object, note)| success(object, "CertificateIssued", "Issue", note.clone())), memory);
    memory.told.looked(&round.holding, now);
    (round.events, round.due)
}

/// One look at everything there is to tell.
struct Round {
    now: Timestamp,
    holding: HashSet<u64>,
    /// How many more Events an object gets, and when there will be room again.
    objects: HashMap<(String, ObjectKey), (u32, Timestamp)>,
    events: Vec<EventWrite>,
    due: Option<Timestamp>,
}

impl Round {
    fn new(now: Timestamp) -> Self {
        Self { now, holding: HashSet::new(), objects: HashMap::new(), events: Vec::new(), due: None }
    }

    fn look<'a>(&mut self, pass: &Pass, messages: impl Iterator<Item = Message<'a>>, memory: &mut Memory) {
        for message in messages {
            if let Some(subject) = subject::find(&pass.read.objects, message.object) {
                self.consider(subject, message, memory);
            }
        }
    }

    fn consider(&mut self, subject: Subject, message: Message<'_>, memory: &mut Memory) {
        let id = identity(&subject.regarding, &message);
        self.holding.insert(id);
        if memory.is_under_way(&Key::Event(id)) {
            return;
        }
        let again = match memory.told.at(id) {
            Some(_) if !message.repeats => return,
            Some(at) if told::after(at) > self.now => return self.wake(told::after(at)),
            Some(_) => true,
            None if message.success && memory.told.is_new() && is_old(&subject, self.now) => return memory.told.pass_over(id, self.now),
            None if message.settles && memory.told.settled_at(id, self.now) > self.now => {
                return self.wake(memory.told.settled_at(id, self.now));
            }
            None => false,
        };
        let object = ObjectKey::new(&subject.regarding.namespace, &subject.regarding.name);
        let room = self.objects.entry((subject.regarding.kind.clone(), object));
        let (left, next) = room.or_insert_with_key(|(kind, object)| memory.told.room(kind, object, self.now));
        if *left == 0 {
            let next = *next;
            return self.wake(next);
        }
        *left -= 1;
        self.events.push(event(id, subject.regarding, message, again));
    }

    fn wake(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

fn is_old(subject: &Subject, now: Timestamp) -> bool {
    subject.created.is_none_or(|created| now.as_second() - created > KEPT_SECONDS)
}

fn event(id: u64, regarding: Regarding, message: Message<'_>, again: bool) -> EventWrite {
    let namespace = if regarding.namespace.is_empty() { DEFAULT_NAMESPACE } else { &regarding.namespace }.to_owned();
    let stem = &regarding.name[..regarding.name.floor_char_boundary(LONGEST_NAME)];
    let name = format!("{}.{id:016x}", stem.trim_end_matches(['.', '-']));
    EventWrite { id, namespace, name, regarding, warning: message.warning, reason: message.reason, action: message.action, note: message.note, again }
}

/// FNV-1a of all that makes two Events the same.
fn identity(regarding: &Regarding, message: &Message<'_>) -> u64 {
    let parts = [&regarding.uid, &regarding.kind, &regarding.namespace, &regarding.name, &message.reason, &message.note];
    let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn problem(problem: &Problem) -> Option<Message<'_>> {
    let object = problem.object.as_ref()?;
    let note = if problem.field.is_empty() { problem.message.clone() } else { format!("{}: {}", problem.field, problem.message) };
    let warning = problem.severity != Severity::Hint;
    Some(Message {
        object,
        warning,
        reason: problem.reason.to_string(),
        action: "Serve",
        note: clipped(note),
        repeats: warning,
        settles: true,
        success: false,
    })
}

fn withdrawal<'a>(object: &'a ObjectRef, addresses: &[IpAddr]) -> Message<'a> {
    let note = format!("{} is no longer this Service's: an older Service has it, or what is asked for or allowed has changed", listed(addresses));
    Message { object, warning: true, reason: WITHDRAWN.to_owned(), action: "Allocate", note, repeats: false, settles: false, success: false }
}

fn success<'a>(object: &'a ObjectRef, reason: &'static str, action: &'static str, note: String) -> Message<'a> {
    Message { object, warning: false, reason: reason.to_owned(), action, note: clipped(note), repeats: false, settles: false, success: true }
}

/// Services whose status shows what they are to have.
fn addresses(pass: &Pass) -> impl Iterator<Item = Message<'_>> {
    pass.allocations.services.iter().filter_map(|(key, allocation)| {
        let stored = pass.read.objects.services.get(key)?;
        let shown: Vec<IpAddr> = status_addresses(&stored.object).collect();
        let is_shown = allocation.addresses.iter().all(|address| shown.contains(address));
        let note = || format!("{} of the pool {} is this Service's", listed(&allocation.addresses), allocation.pool);
        is_shown.then(|| success(&stored.reference, "AddressAllocated", "Allocate", note()))
    })
}

fn names(pass: &Pass) -> impl Iterator<Item = Message<'_>> {
    pass.view.report.hosts.iter().filter_map(|host| {
        let dns = host.dns.as_ref().filter(|dns| !dns.records.is_empty())?;
        let owned = matches!(&*host.owner.kind, "Ingress" | "Service");
        owned.then(|| success(&host.owner, "NameServed", "Serve", format!("{} is in DNS: {}", host.host, dns.records.join(", "))))
    })
}

fn certificates(pass: &Pass) -> Vec<(ObjectRef, String)> {
    let ready = pass.view.report.certificates.iter().filter(|report| report.status == CertificateStatus::Ready);
    let told = ready.filter_map(|report| {
        let (kind, name) = report.wanted_by.split_once(' ')?;
        let (namespace, name) = name.split_once('/')?;
        let object = ObjectRef { kind: kind.into(), namespace: Some(namespace.into()), name: name.into() };
        let until = report.not_after.map(|time| format!(", valid until {time:.0}")).unwrap_or_default();
        Some((object, format!("the certificate for {} is in the Secret {}{until}", report.names.join(", "), report.secret)))
    });
    told.collect()
}

fn clipped(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - '…'.len_utf8()));
        note.push('…');
    }
    note
}
