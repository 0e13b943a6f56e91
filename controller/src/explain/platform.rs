//! Names that the platform keeps: which key of the configuration, or which line of a zone file, they are from. Pure.

use dns::{Name, RecordType};

use crate::compile::ZoneSettings;
use crate::status::View;

/// What keeps the host from every Ingress, and why; `None` when nothing of the platform does.
pub(super) fn keeper(view: &View, host: &str) -> Option<String> {
    let basis = view.basis.as_ref()?;
    if !basis.rules.reserved.permit(host).is_err_and(|refusal| matches!(refusal, crate::ownership::Refusal::Reserved { .. })) {
        return None;
    }
    let name = absolute(host)?;
    let mut zones = basis.settings.zones.iter().enumerate();
    zones.find_map(|(index, zone)| keeper_in(zone, index, &name)).or_else(|| Some("Vrata: names like this are for the challenges of CAs".to_owned()))
}

fn keeper_in(zone: &ZoneSettings, index: usize, name: &Name) -> Option<String> {
    if *name == zone.apex {
        return Some(format!("dns.zones[{index}] of the configuration: the name is the apex of this zone"));
    }
    if let Some(place) = any_line(zone, |owner, _| owner == name) {
        return Some(format!("{place}: the name has records there"));
    }
    if let Some(place) = any_line(zone, |owner, record_type| record_type == RecordType::NS && *owner != zone.apex && owner.zone_of(name)) {
        return Some(format!("{place}: the name is delegated to other servers there"));
    }
    let server = Name::from_ascii(format!("ns1.{}.", zone.origin)).ok()?;
    (server == *name).then(|| format!("dns.zones[{index}] of the configuration: the name is the name server of this zone"))
}

/// The line of a zone file that the records of this owner and type are from.
pub(super) fn line(view: &View, owner: &Name, wanted: RecordType) -> Option<String> {
    let zones = &view.basis.as_ref()?.settings.zones;
    zones.iter().find_map(|zone| any_line(zone, |name, record_type| name == owner && record_type == wanted))
}

fn any_line(zone: &ZoneSettings, is_it: impl Fn(&Name, RecordType) -> bool) -> Option<String> {
    let file = zone.file.as_ref()?;
    let (_, line) = zone.records.iter().zip(&zone.lines).find(|(set, _)| set.record_type().is_some_and(|found| is_it(&set.owner, found)))?;
    Some(format!("zone file {}, line {line}", file.display()))
}

pub(super) fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}
