//! What each zone holds: the zone file, the hosts of Ingresses, the names of Services, the challenges of the moment. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use dns::record::RecordType;
use dns::{Name, RecordSet, Soa};

use super::Input;
use super::ZoneContent;
use super::findings::Findings;
use super::ingresses::View;
use super::names::{absolute, is_within, wildcard_base};
use super::services::Names;
use super::settings::{Settings, ZoneSettings};
use crate::addresses::Allocations;
use crate::objects::Age;
use crate::ownership::{CATCH_ALL, Ownership, Reserved};
use crate::problem::{ObjectRef, Reason};

/// TTL of challenge records, in seconds.
const CHALLENGE_TTL: u32 = 1;
/// TTL of the SOA and NS of a zone without a file, in seconds.
const APEX_TTL: u32 = 3600;

/// What the platform keeps for itself: apexes, name servers, the names of the zone files.
pub(crate) fn reserved(zones: &[ZoneSettings]) -> Reserved {
    let mut reserved = Reserved::default();
    for zone in zones {
        reserved.zones.insert(zone.origin.clone());
        reserved.names.insert(name_server(zone));
        for set in zone.records.iter().filter(|set| set.owner != zone.apex) {
            let owner = text(&set.owner);
            if set.record_type() == Some(RecordType::NS) {
                reserved.delegations.insert(owner.clone());
            }
            reserved.names.insert(owner);
        }
    }
    reserved
}

fn name_server(zone: &ZoneSettings) -> String {
    format!("ns1.{}", zone.origin)
}

fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// Who a host's records are from.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// The gateway serves it.
    Gateway,
    /// These addresses do.
    Addresses(&'a [IpAddr], Option<u32>),
}

struct Wish<'a> {
    age: &'a Age,
    object: &'a ObjectRef,
    target: Target<'a>,
}

/// What the namespaces that are compiled add to the zones.
pub(crate) struct Contents<'a> {
    /// Records of each zone, in the order of the configuration; sorted by owner and type.
    pub(crate) zones: Vec<Arc<[RecordSet]>>,
    /// The names that lead to each Service, sorted.
    pub(crate) named: BTreeMap<&'a ObjectRef, Vec<String>>,
    /// The records of each host, for people.
    pub(crate) records: HashMap<&'a str, Arc<[String]>>,
}

/// What the zones hold of hosts and Services.
pub(crate) fn contents<'a>(
    input: Input<'a>,
    views: &'a [View<'a>],
    services: &'a [Names<'a>],
    ownership: &Ownership<'a>,
    allocations: &'a Allocations,
    findings: &mut Findings,
) -> Contents<'a> {
    let mut named: BTreeMap<&ObjectRef, Vec<String>> = BTreeMap::new();
    let wishes = wishes(views, services, ownership, allocations, findings);
    let zones = &input.settings.zones;
    let mut records: Vec<Vec<RecordSet>> = vec![Vec::new(); zones.len()];
    let of_gateway: Vec<Arc<[String]>> = zones.iter().map(|zone| texts(&host_records(input, zone, &zone.origin, Target::Gateway))).collect();
    let mut of_hosts = HashMap::with_capacity(wishes.len());
    for (host, wish) in wishes {
        if matches!(wish.target, Target::Addresses(..)) {
            named.entry(wish.object).or_default().push(host.to_owned());
        }
        if let Some(index) = zone_of(zones, wildcard_base(host).unwrap_or(host)) {
            let sets = host_records(input, &zones[index], host, wish.target);
            if !sets.is_empty() {
                let told = match wish.target {
                    Target::Gateway => Arc::clone(&of_gateway[index]),
                    Target::Addresses(..) => texts(&sets),
                };
                of_hosts.insert(host, told);
            }
            records[index].extend(sets);
        }
    }
    named.values_mut().for_each(|names| names.sort_unstable());
    Contents { zones: records.into_iter().map(merged).collect(), named, records: of_hosts }
}

/// What each zone holds that is no namespace's: its file, and the challenges of the moment.
pub(crate) fn platform(input: Input<'_>) -> Vec<Arc<[RecordSet]>> {
    let mut records: Vec<Vec<RecordSet>> = input.settings.zones.iter().map(|zone| base(input, zone)).collect();
    add_challenges(input, &mut records);
    records.into_iter().map(merged).collect()
}

/// Whole zones: their parts may hold records of one owner and type.
pub(crate) fn whole(settings: &Settings, mut records: Vec<Vec<Arc<[RecordSet]>>>) -> Vec<ZoneContent> {
    records.iter_mut().for_each(|parts| parts.retain(|part| !part.is_empty()));
    let zones = settings.zones.iter().zip(records);
    zones.map(|(zone, records)| ZoneContent { origin: zone.apex.clone(), soa: soa(zone), records }).collect()
}

/// The TXT records that a CA looks for at the moment.
fn add_challenges(input: Input<'_>, records: &mut [Vec<RecordSet>]) {
    for (owner, values) in &input.facts.held.challenges.dns01 {
        let index = zone_of(&input.settings.zones, owner);
        if let Some((sets, owner)) = index.and_then(|index| records.get_mut(index)).zip(absolute(owner)) {
            sets.push(dns::record::txt(owner, CHALLENGE_TTL, values.iter().map(String::as_str)));
        }
    }
}

/// As people read them.
fn texts(sets: &[RecordSet]) -> Arc<[String]> {
    sets.iter().flat_map(|set| set.data.iter().map(|data| format!("{} {data}", data.record_type()))).collect()
}

/// The zone that a name is in: the one with the longest apex.
pub(crate) fn zone_of(zones: &[ZoneSettings], name: &str) -> Option<usize> {
    let around = zones.iter().enumerate().filter(|(_, zone)| is_within(name, &zone.origin));
    around.max_by_key(|(_, zone)| zone.origin.len()).map(|(index, _)| index)
}

/// What is asked for each name: the oldest object has it.
fn wishes<'a>(
    views: &'a [View<'a>],
    services: &'a [Names<'a>],
    ownership: &Ownership<'a>,
    allocations: &'a Allocations,
    findings: &mut Findings,
) -> HashMap<&'a str, Wish<'a>> {
    let mut wishes: HashMap<&'a str, Wish<'a>> = HashMap::with_capacity(views.len());
    for view in views.iter().filter(|view| !view.dns_elsewhere) {
        let hosts = view.rule_hosts.iter().chain(view.tls_hosts.iter().flatten()).flatten();
        for host in hosts.filter(|host| *host != CATCH_ALL && ownership.permit(view.namespace(), host).is_ok()) {
            wishes.entry(host).or_insert(Wish { age: &view.stored.age, object: &view.stored.reference, target: Target::Gateway });
        }
    }
    let views_by_name: BTreeMap<&ObjectRef, &View<'_>> =
        if services.is_empty() { BTreeMap::new() } else { views.iter().map(|view| (&view.stored.reference, view)).collect() };
    for service in services {
        let addresses = allocations.services.get(service.key).map_or(&[][..], |held| &held.addresses);
        for host in service.hosts.iter().filter(|host| ownership.permit(&service.key.namespace, host).is_ok()) {
            let wish = Wish { age: &service.stored.age, object: &service.stored.reference, target: Target::Addresses(addresses, service.ttl) };
            let Some(other) = wishes.get(host.as_str()) else {
                wishes.insert(host, wish);
                continue;
            };
            let conflict = |winner: &ObjectRef| {
                format!("{host:?} is asked for by {winner} too, which is older; that one has it; choose another name for one of them")
            };
            if (wish.age, wish.object) < (other.age, other.object) {
                if let Some(view) = views_by_name.get(other.object) {
                    findings.error(view.stored, "spec.rules", Reason::RecordConflict, conflict(wish.object));
                }
                wishes.insert(host, wish);
            } else {
                findings.error(service.stored, &service.field, Reason::RecordConflict, conflict(other.object));
            }
        }
    }
    wishes
}

/// The zone file, and what a zone needs that its file does not have.
fn base(input: Input<'_>, zone: &ZoneSettings) -> Vec<RecordSet> {
    let mut sets = zone.records.clone();
    let has_ns = sets.iter().any(|set| set.owner == zone.apex && set.record_type() == Some(RecordType::NS));
    if let Some(server) = absolute(&name_server(zone)).filter(|_| !has_ns) {
        if !sets.iter().any(|set| set.owner == server) {
            sets.extend(dns::record::address_sets(&server, APEX_TTL, &input.public.addresses));
        }
        sets.push(dns::record::ns(zone.apex.clone(), APEX_TTL, [server]));
    }
    sets
}

fn host_records(input: Input<'_>, zone: &ZoneSettings, host: &str, target: Target<'_>) -> Vec<RecordSet> {
    let Some(owner) = absolute(host) else { return Vec::new() };
    match (target, &zone.cname) {
        (Target::Gateway, Some(name)) => vec![dns::record::cname(owner, zone.ttl, name.clone())],
        (Target::Gateway, None) => dns::record::address_sets(&owner, zone.ttl, &input.public.addresses),
        (Target::Addresses(addresses, ttl), _) => dns::record::address_sets(&owner, ttl.unwrap_or(zone.ttl), addresses),
    }
}

fn soa(zone: &ZoneSettings) -> Soa {
    let name = |first: &str| absolute(&format!("{first}.{}", zone.origin)).unwrap_or_else(|| zone.apex.clone());
    let default = || Soa { mname: name("ns1"), rname: name("hostmaster"), refresh: 10_800, retry: 3600, expire: 604_800, minimum: 60, ttl: APEX_TTL };
    zone.soa.clone().unwrap_or_else(default)
}

/// Sorted by owner and type; sets of one owner and type become one.
fn merged(mut sets: Vec<RecordSet>) -> Arc<[RecordSet]> {
    // Comparing two names label by label costs far more than comparing bytes, and every pass sorts every name.
    sets.sort_by_cached_key(|set| (canonical(&set.owner), set.record_type().map(u16::from)));
    let mut merged: Vec<RecordSet> = Vec::with_capacity(sets.len());
    for set in sets.into_iter().filter(|set| set.record_type().is_some()) {
        match merged.last_mut().filter(|last| last.record_type() == set.record_type() && last.owner == set.owner) {
            None => merged.push(set),
            Some(last) => {
                for data in set.data {
                    if !last.data.contains(&data) {
                        last.data.push(data);
                    }
                }
            }
        }
    }
    merged.into()
}

/// Bytes in the order of names (RFC 4034 section 6.1): the labels from the root, lower case, each ended by a zero.
fn canonical(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    for label in name.iter().rev() {
        bytes.extend(label.iter().map(u8::to_ascii_lowercase));
        bytes.push(0);
    }
    bytes
}
