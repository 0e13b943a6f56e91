//! What DNS answers for a name, and what that answer is from. Pure.

use std::net::IpAddr;

use acme::listed;
use dns::{Explanation, Name, RData, RecordSet, RecordType, Step};

use super::line;
use super::platform::{self, absolute};
use crate::status::View;

/// Tells of a name; the addresses that it has.
pub(super) fn explain(text: &mut String, view: &View, name: &str) -> Vec<IpAddr> {
    let Some(owner) = absolute(name) else { return Vec::new() };
    let Some(zone) = view.zones.find(&owner) else {
        line(text, format_args!("DNS: {name} is outside the zones that are served here; queries for it are refused"));
        return Vec::new();
    };
    line(text, format_args!("DNS: zone {} serial {}", zone.origin(), zone.serial()));
    let mut addresses = Vec::new();
    for record_type in [RecordType::A, RecordType::AAAA] {
        let explanation = zone.lookup_explained(&owner, record_type);
        line(text, format_args!("  {record_type}:"));
        for step in &explanation.steps {
            line(text, format_args!("    {}", step_text(step)));
        }
        for set in &explanation.records {
            records(text, view, set, source(&explanation, &set.owner));
            addresses.extend(set.data.iter().filter_map(RData::ip_addr));
        }
    }
    addresses
}

/// Says that whoever follows DNS does not come to the gateway, where that is so.
pub(super) fn elsewhere(text: &mut String, view: &View, addresses: &[IpAddr]) {
    let ours = &view.public_addresses;
    if !addresses.is_empty() && !ours.is_empty() && !addresses.iter().any(|address| ours.contains(address)) {
        line(text, format_args!("  {} is not this gateway: who follows DNS is answered there and not here", listed(addresses)));
    }
}

fn records(text: &mut String, view: &View, set: &RecordSet, source: &Name) {
    let place = set.record_type().and_then(|record_type| platform::line(view, source, record_type));
    let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
    for value in &set.data {
        line(text, format_args!("    {} {} {} {value}{place}", set.owner, set.ttl, value.record_type()));
    }
}

/// The owner that the records of a name stand at in the zone.
fn source<'a>(explanation: &'a Explanation, owner: &'a Name) -> &'a Name {
    let wildcard = explanation.steps.iter().find_map(|step| match step {
        Step::Wildcard { name, source } if name == owner => Some(source),
        _ => None,
    });
    wildcard.unwrap_or(owner)
}

fn step_text(step: &Step) -> String {
    match step {
        Step::OutsideZone(name) => format!("{name} is outside this zone"),
        Step::Found(name) => format!("{name} has records of this type"),
        Step::NoData(name) => format!("{name} exists and has no records of this type (NODATA)"),
        Step::EmptyNonTerminal(name) => format!("{name} has no records itself, only names below it (NODATA)"),
        Step::Wildcard { name, source } => format!("{name} is covered by {source}"),
        Step::Alias { name, target } => format!("{name} is an alias of {target}"),
        Step::Delegation { name, cut } => format!("{name} is delegated at {cut}"),
        Step::NxDomain { name, closest_encloser } => format!("{name} does not exist; {closest_encloser} is the nearest that does (NXDOMAIN)"),
        Step::ChainEnds(name) => format!("the chain of aliases ends at {name}: too long, or a loop"),
    }
}
