//! Serials over leaders, replicas and clocks.
#![allow(clippy::unwrap_used)]
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::*;

const ZONE: &str = "a.test";

fn within(floor: u32, bound: u32) -> Limits {
    Limits::Within(Reservation { floor, bound })
}

#[test]
fn a_serial_is_taken_only_where_it_is_reserved() {
    let now = 1000;
    let rows = [
        ("alone, nothing before", None, true, Limits::Free, (1000, 1000, true)),
        ("alone, changed", Some(1000), true, Limits::Free, (1001, 1001, true)),
        ("alone, unchanged", Some(900), false, Limits::Free, (900, 900, true)),
        ("reserved, changed", Some(900), true, within(800, 1060), (1000, 1000, true)),
        ("reserved, changed, ahead of the clock", Some(1010), true, within(800, 1060), (1011, 1011, true)),
        ("reserved, unchanged", Some(900), false, within(800, 1060), (900, 900, true)),
        ("not reserved so far", Some(900), true, within(800, 960), (900, 1000, false)),
        ("the bound itself is not reserved", Some(900), true, within(800, 1000), (900, 1000, false)),
        ("after a hand-over, unchanged", Some(900), false, within(1020, 1080), (1020, 1020, true)),
        ("after a hand-over, changed", Some(900), true, within(1020, 1080), (1020, 1020, true)),
        ("state lost", None, true, within(800, 1060), (1059, 1000, true)),
        ("state lost, long ago", None, true, within(100, 160), (159, 1000, true)),
        ("nothing reserved, state lost", None, true, Limits::Nothing, (1000_u32.wrapping_sub(3600), 1000, false)),
        ("nothing reserved, changed", Some(900), true, Limits::Nothing, (900, 1000, false)),
        ("above the bound", Some(1100), false, within(800, 1060), (1100, 1100, false)),
        ("around the end of the numbers", Some(u32::MAX), true, within(u32::MAX - 10, 50), (0, 0, true)),
    ];
    for (what, known, changed, limits, (serial, wanted, settled)) in rows {
        let now = if what.starts_with("around") { u32::MAX } else { now };
        assert_eq!(choose(known, changed, limits, now), Choice { serial, wanted, settled }, "{what}");
    }
    assert!(within(10, 20).is_below_floor(9) && !within(10, 20).is_below_floor(10) && !Limits::Nothing.is_below_floor(0));
}

#[test]
fn the_leader_reserves_well_ahead_and_begins_at_the_bound_it_finds() {
    let zone = |floor, bound| Reservations::from([(ZONE.to_owned(), Reservation { floor, bound })]);
    let rows = [
        ("the first of all", Reservations::new(), 1000, false, Some(zone(1000, 1060))),
        ("a new leader", zone(900, 960), 940, false, Some(zone(960, 1020))),
        ("a new leader after a long time", zone(900, 960), 5000, false, Some(zone(960, 5060))),
        ("enough is left", zone(900, 1060), 1030, true, None),
        ("half of it is used", zone(900, 1060), 1031, true, Some(zone(900, 1091))),
        ("more is wanted than there is", zone(900, 960), 5000, true, Some(zone(900, 5060))),
    ];
    for (what, current, wanted, begun, expected) in rows {
        let begun = if begun { BTreeSet::from([ZONE.to_owned()]) } else { BTreeSet::new() };
        assert_eq!(reserve(&current, &BTreeMap::from([(ZONE.to_owned(), wanted)]), &begun), expected, "{what}");
    }
    assert_eq!(reserve(&zone(1, 2), &BTreeMap::new(), &BTreeSet::new()), None, "zones that are gone keep theirs");
}

#[test]
fn reservations_come_back_as_they_were() {
    let reservations = Reservations::from([(ZONE.to_owned(), Reservation { floor: 1, bound: u32::MAX })]);
    assert_eq!(from_config_map(&to_config_map(&reservations)).unwrap(), reservations);
    let data = Some(BTreeMap::from([(ZONE.to_owned(), "7".to_owned())]));
    assert!(from_config_map(&ConfigMap { data, ..ConfigMap::default() }).unwrap_err().contains(ZONE));
}

#[derive(Debug, Clone)]
enum Op {
    /// A replica sees the zone changed.
    Change(usize),
    /// A replica sees what is reserved.
    See(usize),
    /// A replica starts again, with or without its state.
    Restart(usize, bool),
    /// Another replica leads.
    Lead(usize),
    /// The leader reserves what it wants.
    Reserve,
    /// The clocks go on; not all alike.
    Advance(usize, u32),
}

#[derive(Debug, Clone)]
struct Replica {
    known: Option<u32>,
    changed: bool,
    limits: Limits,
    clock: u32,
    wanted: u32,
    /// The highest that was ever served here.
    served: Option<u32>,
}

const START: u32 = u32::MAX - 500;

impl Replica {
    /// One pass; the zone is served from here on.
    fn pass(&mut self) {
        let changed = self.changed || self.known.is_none();
        let choice = choose(self.known, changed, self.limits, self.clock);
        self.wanted = choice.wanted;
        if choice.settled {
            (self.known, self.changed) = (Some(choice.serial), false);
        }
        assert!(self.served.is_none_or(|before| !is_newer(before, choice.serial)), "{self:?} goes back to {}", choice.serial);
        self.served = Some(choice.serial);
    }
}

fn run(ops: Vec<Op>) {
    let fresh = Replica { known: None, changed: true, limits: Limits::Nothing, clock: START, wanted: START, served: None };
    let mut replicas = vec![fresh; 3];
    let (mut stored, mut leader, mut begun) = (Reservations::new(), 0, BTreeSet::new());
    let mut highest_led: Option<u32> = None;
    for op in ops {
        match op {
            Op::Change(at) => {
                replicas[at].changed = true;
                replicas[at].pass();
            }
            Op::See(at) => {
                replicas[at].limits = Authority::Shared(stored.clone()).limits(ZONE);
                replicas[at].pass();
            }
            Op::Restart(at, loses) => {
                let old = replicas[at].clone();
                // It reads what is reserved before it serves; what was served without a reservation was never promised.
                let limits = Authority::Shared(stored.clone()).limits(ZONE);
                let served = old.served.filter(|_| old.known.is_some());
                replicas[at] = Replica { known: old.known.filter(|_| !loses), changed: true, limits, served, ..old };
                replicas[at].pass();
            }
            Op::Lead(at) => {
                highest_led = [highest_led, replicas[leader].known].into_iter().flatten().reduce(later);
                (leader, begun) = (at, BTreeSet::new());
            }
            Op::Reserve => {
                let wanted = BTreeMap::from([(ZONE.to_owned(), replicas[leader].wanted)]);
                stored = reserve(&stored, &wanted, &begun).unwrap_or(stored);
                begun.insert(ZONE.to_owned());
                replicas[leader].limits = Authority::Shared(stored.clone()).limits(ZONE);
                replicas[leader].pass();
                let now = replicas[leader].known;
                assert!(highest_led.is_none_or(|before| now.is_some_and(|now| !is_newer(before, now))), "{now:?} after {highest_led:?}");
            }
            Op::Advance(at, seconds) => replicas[at].clock = replicas[at].clock.wrapping_add(seconds),
        }
        let bound = stored.get(ZONE).map(|reserved| reserved.bound);
        let taken = replicas.iter().filter_map(|replica| replica.known);
        assert!(taken.into_iter().all(|taken| bound.is_some_and(|bound| is_newer(bound, taken))), "{replicas:?} below {bound:?}");
    }
}

proptest! {
    #[test]
    fn a_serial_never_goes_back(ops in vec(
        prop_oneof![
            (0..3_usize).prop_map(Op::Change),
            (0..3_usize).prop_map(Op::See),
            (0..3_usize, any::<bool>()).prop_map(|(at, loses)| Op::Restart(at, loses)),
            (0..3_usize).prop_map(Op::Lead),
            Just(Op::Reserve),
            (0..3_usize, 0..40_u32).prop_map(|(at, seconds)| Op::Advance(at, seconds)),
        ],
        0..80,
    )) {
        run(ops);
    }
}
