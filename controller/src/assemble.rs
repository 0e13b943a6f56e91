//! From what was compiled to what the data planes hold: the gateway's snapshot, and built zones, of which the unchanged ones are those of the last pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use dns::{EmptyNonTerminals, RecordSet, Zone, ZoneError, ZoneSet};
use gateway::{CertificateTable, Snapshot};

use crate::compile::{Compiled, ZoneContent};
use crate::effects::{Effects, EffectsError};
use crate::replicas::serials::{Authority, Choice};

/// The zones of the last pass.
#[derive(Debug, Default)]
pub struct Zones {
    built: Vec<Built>,
}

/// A zone as it is served.
#[derive(Debug)]
struct Built {
    content: ZoneContent,
    zone: Arc<Zone>,
    serial: Choice,
}

impl Built {
    /// Whether the zone can go on as it is.
    fn is_current(&self, content: &ZoneContent, authority: &Authority) -> bool {
        let in_place = || self.serial.settled && !authority.limits(&name(content)).is_below_floor(self.serial.serial);
        self.content == *content && in_place()
    }
}

/// A zone cannot be served as it was compiled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// Its records do not make a zone.
    #[error("zone {zone}: {source}; it is served as it was before")]
    Zone {
        /// The zone.
        zone: String,
        /// Why not.
        source: Box<ZoneError>,
    },
    /// Its serial cannot be kept.
    #[error(transparent)]
    Serial(#[from] EffectsError),
    /// The zones cannot stand together.
    #[error(transparent)]
    Zones(Box<ZoneError>),
}

/// The gateway's snapshot. Takes the table and the challenges out of `compiled`.
pub fn snapshot(generation: u64, compiled: &mut Compiled) -> Snapshot {
    let entries = compiled.certificates.iter().flat_map(|served| served.names.iter().map(|name| (name.clone(), served.certificate.clone())));
    Snapshot {
        generation,
        certificates: CertificateTable::build(entries, None),
        table: std::mem::take(&mut compiled.table),
        challenges: std::mem::take(&mut compiled.challenges),
    }
}

impl Zones {
    /// The zones, at serials that are persisted and that `authority` lets be taken. Where one cannot be built the last one stays.
    pub fn update(
        &mut self,
        contents: Vec<ZoneContent>,
        effects: &mut Effects,
        authority: &Authority,
        unix_seconds: u32,
    ) -> (ZoneSet, Vec<AssembleError>) {
        let mut errors = Vec::new();
        let mut built = Vec::new();
        let mut last = std::mem::take(&mut self.built);
        for content in contents {
            let before = last.iter().position(|built| *built.zone.origin() == content.origin).map(|at| last.swap_remove(at));
            match before {
                Some(before) if before.is_current(&content, authority) => built.push(before),
                before => match build(content, effects, authority, unix_seconds) {
                    Ok(zone) => built.push(zone),
                    Err(error) => {
                        errors.push(error);
                        built.extend(before);
                    }
                },
            }
        }
        self.built = built;
        let set = ZoneSet::new(self.built.iter().map(|built| built.zone.clone()).collect()).unwrap_or_else(|error| {
            errors.push(AssembleError::Zones(Box::new(error)));
            ZoneSet::default()
        });
        (set, errors)
    }

    /// The serials that the zones would have if all could be taken.
    #[must_use]
    pub fn wanted_serials(&self) -> BTreeMap<String, u32> {
        self.built.iter().map(|built| (name(&built.content), built.serial.wanted)).collect()
    }
}

fn name(content: &ZoneContent) -> String {
    content.origin.to_lowercase().to_string().trim_end_matches('.').to_owned()
}

/// Builds a zone and takes it to the serial that its content has.
fn build(content: ZoneContent, effects: &mut Effects, authority: &Authority, unix_seconds: u32) -> Result<Built, AssembleError> {
    let name = name(&content);
    let zone = unnumbered(&content).map_err(|source| AssembleError::Zone { zone: name.clone(), source: Box::new(source) })?;
    let serial = effects.serial(&name, zone.content_hash(), authority.limits(&name), unix_seconds)?;
    Ok(Built { content, zone: Arc::new(zone.with_serial(serial.serial)), serial })
}

fn unnumbered(content: &ZoneContent) -> Result<Zone, ZoneError> {
    let records: Vec<&RecordSet> = content.records.iter().flat_map(|part| &**part).collect();
    Zone::build(content.origin.clone(), &content.soa, 1, &records, EmptyNonTerminals::InheritWildcard)
}

/// The zones as they would be served, at serial 1, for explanations without a state directory.
///
/// # Errors
/// When a zone cannot be built.
pub fn preview(contents: &[ZoneContent]) -> Result<ZoneSet, ZoneError> {
    ZoneSet::new(contents.iter().map(|content| unnumbered(content).map(Arc::new)).collect::<Result<_, _>>()?)
}
