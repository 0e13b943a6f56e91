//! From what was compiled to what the data planes hold: parsed certificates and built zones, of which the unchanged ones are shared with the last pass.

use std::collections::HashMap;
use std::sync::Arc;

use dns::{EmptyNonTerminals, Zone, ZoneError, ZoneSet};
use gateway::certificates::{CertificateError, ParsedCertificate};
use gateway::{CertificateTable, Snapshot};

use crate::compile::{CertificateSource, Compiled, ServedCertificate, ZoneContent};
use crate::effects::{Effects, EffectsError};
use crate::problem::{ObjectRef, Problem, Reason, Severity};

/// What the last pass made.
#[derive(Debug, Default)]
pub struct Assembly {
    certificates: HashMap<(Arc<str>, Arc<str>), Result<Arc<ParsedCertificate>, CertificateError>>,
    zones: Vec<(ZoneContent, Arc<Zone>)>,
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
        source: ZoneError,
    },
    /// Its serial cannot be kept.
    #[error(transparent)]
    Serial(#[from] EffectsError),
    /// The zones cannot stand together.
    #[error(transparent)]
    Zones(#[from] ZoneError),
}

impl Assembly {
    /// The snapshot for the gateway, and what is wrong with certificates. Takes the table out of `compiled`.
    pub fn snapshot(&mut self, generation: u64, compiled: &mut Compiled) -> (Snapshot, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut parsed = HashMap::new();
        let mut entries = Vec::new();
        for served in &compiled.certificates {
            let key = (served.chain_pem.clone(), served.key_pem.clone());
            let certificate = self
                .certificates
                .remove(&key)
                .unwrap_or_else(|| ParsedCertificate::parse(served.chain_pem.as_bytes(), served.key_pem.as_bytes()).map(Arc::new));
            match &certificate {
                Ok(certificate) => entries.extend(served.names.iter().map(|name| (name.clone(), certificate.clone()))),
                Err(error) => problems.push(unusable(served, error)),
            }
            parsed.insert(key, certificate);
        }
        self.certificates = parsed;
        let snapshot = Snapshot {
            generation,
            table: std::mem::take(&mut compiled.table),
            certificates: CertificateTable::build(entries, None),
            challenges: compiled.challenges.clone(),
        };
        (snapshot, problems)
    }

    /// The zones, at serials that are persisted. Where one cannot be built the last one stays.
    pub fn zones(&mut self, contents: &[ZoneContent], effects: &mut Effects, unix_seconds: u32) -> (ZoneSet, Vec<AssembleError>) {
        let mut errors = Vec::new();
        let mut built = Vec::new();
        let mut last = std::mem::take(&mut self.zones);
        for content in contents {
            let before = last.iter().position(|(_, zone)| *zone.origin() == content.origin).map(|at| last.swap_remove(at));
            match before {
                Some((old, zone)) if old == *content => built.push((old, zone)),
                before => match build(content, before.is_some(), effects, unix_seconds) {
                    Ok(zone) => built.push((content.clone(), Arc::new(zone))),
                    Err(error) => {
                        errors.push(error);
                        built.extend(before);
                    }
                },
            }
        }
        self.zones = built;
        let set = ZoneSet::new(self.zones.iter().map(|(_, zone)| zone.clone()).collect()).unwrap_or_else(|error| {
            errors.push(error.into());
            ZoneSet::default()
        });
        (set, errors)
    }
}

/// Builds a zone at the serial it will probably have, and once more where it has another.
fn build(content: &ZoneContent, changed: bool, effects: &mut Effects, unix_seconds: u32) -> Result<Zone, AssembleError> {
    let name = content.origin.to_lowercase().to_string().trim_end_matches('.').to_owned();
    let at = |serial| {
        Zone::build(content.origin.clone(), &content.soa, serial, &content.records, EmptyNonTerminals::InheritWildcard)
            .map_err(|source| AssembleError::Zone { zone: name.clone(), source })
    };
    let zone = at(effects.likely_serial(&name, changed, unix_seconds))?;
    let serial = effects.serial(&name, zone.content_hash(), unix_seconds)?;
    if serial == zone.serial() { Ok(zone) } else { at(serial) }
}

/// The zones as they would be served, at serial 1, for explanations without a state directory.
///
/// # Errors
/// When a zone cannot be built.
pub fn preview(contents: &[ZoneContent]) -> Result<ZoneSet, ZoneError> {
    let build = |content: &ZoneContent| {
        Zone::build(content.origin.clone(), &content.soa, 1, &content.records, EmptyNonTerminals::InheritWildcard).map(Arc::new)
    };
    ZoneSet::new(contents.iter().map(build).collect::<Result<_, _>>()?)
}

fn unusable(served: &ServedCertificate, error: &CertificateError) -> Problem {
    let (CertificateSource::Held(secret) | CertificateSource::Tenant(secret)) = &served.source;
    Problem {
        severity: Severity::Error,
        object: Some(ObjectRef { kind: "Secret".into(), namespace: Some(secret.namespace.clone()), name: secret.name.clone() }),
        origin: None,
        field: "data".into(),
        reason: Reason::InvalidSecret,
        message: format!(
            "{error}; {} are answered with another certificate until the Secret holds a certificate and its key",
            served.names.join(", ")
        ),
    }
}
