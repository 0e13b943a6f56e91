//! Candidates over a store that loses answers and delays writes, with clocks that differ in rate and offset, and processes that are stopped for a while
//! and do not know it. At no moment may two of them act as the leader; in quiet times one does.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::{any, proptest};
use proptest::test_runner::Config;

use super::{Elector, Put, Record, Seen, Step, Timing, Written};
use crate::lease::Moment;

const TICK: u64 = 50;

/// Numbers from a seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What the API server keeps.
#[derive(Default)]
struct Store {
    version: u64,
    record: Option<Record>,
}

impl Store {
    fn read(&self) -> Option<Seen> {
        self.record.clone().map(|record| Seen { version: self.version.to_string(), record })
    }

    fn put(&mut self, put: Put) -> Written {
        if put.version != self.read().map(|seen| seen.version) {
            return Written::Conflict;
        }
        self.version += 1;
        let duration = Some(Timing::default().duration);
        self.record = Some(Record { holder: put.holder, duration, transitions: put.transitions, renewed: Some(self.version.to_string()) });
        Written::Accepted(self.read().unwrap())
    }
}

/// A request under way, in the time of the world.
struct Request {
    put: Option<Put>,
    sent: Moment,
    arrives: u64,
    /// Set once it arrived; `None` in it for a read.
    answer: Option<(u64, Result<Option<Seen>, Written>)>,
    gives_up: u64,
}

struct Process {
    elector: Elector,
    offset: u64,
    /// Per mille of the world's rate.
    rate: u64,
    stopped_until: u64,
    request: Option<Request>,
    /// Requests that nobody waits for any more; they may still arrive.
    orphans: Vec<(u64, Put)>,
}

impl Process {
    fn new(number: u64, chance: &mut Chance) -> Self {
        let (offset, rate) = (chance.below(1_000_000), 990 + chance.below(21));
        let elector = Elector::new(format!("p{number}"), Timing::default(), Moment::after_boot(Duration::from_millis(offset)));
        Self { elector, offset, rate, stopped_until: 0, request: None, orphans: Vec::new() }
    }

    fn clock(&self, world: u64) -> Moment {
        Moment::after_boot(Duration::from_millis(self.offset + world * self.rate / 1000))
    }

    /// Whether it could write now, did it get to run.
    fn may_write(&self, world: u64) -> bool {
        self.elector.leads_until(self.clock(world)).is_some()
    }

    fn run(&mut self, world: u64, chance: &mut Chance, faults: bool) {
        let now = self.clock(world);
        if let Some(request) = self.request.take_if(|request| world >= request.gives_up || answered(request, world)) {
            match (answered(&request, world), request.answer) {
                (true, Some((_, Ok(seen)))) => self.elector.saw(seen, now),
                (true, Some((_, Err(written)))) => self.elector.wrote(written, request.sent, now),
                (_, arrived) => match request.put {
                    Some(put) => {
                        self.orphans.extend(arrived.is_none().then_some((request.arrives, put)));
                        self.elector.wrote(Written::Unknown, request.sent, now);
                    }
                    None => self.elector.unreadable(now),
                },
            }
        }
        if self.request.is_none() {
            let put = match self.elector.next(now) {
                Step::Wait(_) => return,
                Step::Read => None,
                Step::Put(put) => Some(put),
            };
            let delay = if faults && chance.percent(10) { chance.below(20_000) } else { chance.below(100) };
            self.request = Some(Request { put, sent: now, arrives: world + delay, answer: None, gives_up: world + 3000 });
        }
    }

    /// The store's side of what is under way: it goes on whether the process runs or not.
    fn arrive(&mut self, store: &mut Store, world: u64, chance: &mut Chance, faults: bool) {
        if let Some(request) = self.request.as_mut().filter(|request| request.answer.is_none() && world >= request.arrives) {
            let answer = match request.put.clone() {
                Some(put) => Err(store.put(put)),
                None => Ok(store.read()),
            };
            let delay = if faults && chance.percent(10) { u64::MAX / 2 } else { chance.below(200) };
            request.answer = Some((world + delay, answer));
        }
        for (_, put) in self.orphans.extract_if(.., |(arrives, _)| world >= *arrives) {
            store.put(put);
        }
    }
}

fn answered(request: &Request, world: u64) -> bool {
    request.answer.as_ref().is_some_and(|(at, _)| world >= *at)
}

fn simulate(seed: u64, count: u64) {
    let mut chance = Chance(seed | 1);
    let mut processes: Vec<Process> = (0..count).map(|number| Process::new(number, &mut chance)).collect();
    let mut store = Store::default();
    let mut led = 0;
    for world in (0..240_000).step_by(usize::try_from(TICK).unwrap()).map(|world| world as u64) {
        let faults = world < 200_000;
        for process in &mut processes {
            if faults && chance.below(2000) == 0 {
                process.stopped_until = world + chance.below(30_000);
            }
            process.arrive(&mut store, world, &mut chance, faults);
            if world >= process.stopped_until {
                process.run(world, &mut chance, faults);
            }
        }
        if faults && chance.below(2000) == 0 {
            let at = usize::try_from(chance.below(count)).unwrap();
            // A clean stop; what it releases arrives at once, and a new process takes its place.
            if let Some(put) = processes[at].elector.release() {
                store.put(put);
            }
            let orphans = std::mem::take(&mut processes[at].orphans);
            processes[at] = Process { orphans, ..Process::new(count + world, &mut chance) };
        }
        let leaders = processes.iter().filter(|process| process.may_write(world)).count();
        assert!(leaders <= 1, "seed {seed}: {leaders} may write after {world} ms");
        led += leaders;
    }
    assert!(processes.iter().any(|process| process.may_write(239_950)), "seed {seed}: nobody leads in quiet times");
    assert!(led > 1000, "seed {seed}: somebody leads most of the time");
}

proptest! {
    #![proptest_config(Config { cases: 128, ..Config::default() })]
    #[test]
    fn two_never_lead_at_one_time(seed in any::<u64>(), count in 2_u64..4) {
        simulate(seed, count);
    }
}
