//! A JSON value into an object of its kind, checked as an API server would check it. Pure.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::finding::Findings;
use super::object::{Identity, Kind, Object};
use super::strict::{self, Misfit, Reading, UnknownKey};
use super::validate;
use crate::field;
use crate::objects::{AddressPoolSpec, Age, Certificate, CertificateSpec, IssuerSpec, Meta, ObjectKey, ReferenceGrantSpec, Stored};
use crate::problem::{Origin, Reason};

/// What a value turned out to be.
#[derive(Debug)]
pub(super) enum Verdict {
    /// An object that is understood; `None` when it is refused.
    Known(Identity, Option<Object>),
    /// An object of another kind, as `apiVersion/kind`.
    Other(String),
    /// Nothing that can be named.
    Nameless,
}

/// Where an object comes from.
#[derive(Debug)]
pub(super) enum Provenance<'a> {
    /// A file.
    File(&'a Origin),
    /// An API server, which may know fields that are not known here: these are no finding.
    Server {
        /// `metadata.resourceVersion`; it is not in the value, since a new version is no new content.
        version: &'a str,
        /// `metadata.generation`; likewise.
        generation: Option<i64>,
    },
}

/// Reads one object.
pub(super) fn read_object(value: &Value, provenance: &Provenance<'_>, found: &mut Findings) -> Verdict {
    let (Some(api_version), Some(kind_name)) = (text(value, "apiVersion", found), text(value, "kind", found)) else { return Verdict::Nameless };
    let kind = match Kind::named(kind_name) {
        Some(kind) if kind.is_read_as(api_version) => kind,
        Some(kind) if is_older_version(kind, api_version) => {
            let right = kind.api_version();
            found
                .refuse("apiVersion", format!("{kind_name} of {api_version} is not read. Write apiVersion: {right} and the fields of that version."));
            return identity(kind, value, found).map_or(Verdict::Nameless, |(identity, _)| Verdict::Known(identity, None));
        }
        _ => {
            if let Some(meant) = field::nearest(kind_name, Kind::names_in(api_version)) {
                found.warn("kind", Reason::NoEffect, format!("Kind {kind_name} is passed over. Did you mean {meant}?"));
            }
            return Verdict::Other(format!("{api_version}/{kind_name}"));
        }
    };
    let Some((identity, meta)) = identity(kind, value, found) else { return Verdict::Nameless };
    let frame = Frame { identity: &identity, meta: &meta, provenance };
    let object = frame.object(value, found).filter(|_| !found.refused());
    Verdict::Known(identity, object)
}

/// A version of the same API that was served once; the same kind of another group is another kind.
fn is_older_version(kind: Kind, api_version: &str) -> bool {
    let group = |version: &str| version.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let ours = group(kind.api_version());
    let theirs = group(api_version);
    theirs == ours
        || matches!((kind, theirs.as_str()), (Kind::Ingress, "extensions") | (Kind::IngressClass, "extensions"))
        || (ours == "cert-manager.io" && theirs == "certmanager.k8s.io")
}

fn text<'v>(value: &'v Value, key: &str, found: &mut Findings) -> Option<&'v str> {
    match value.get(key) {
        Some(Value::String(text)) if !text.is_empty() => return Some(text),
        None | Some(Value::Null | Value::String(_)) => {
            found.refuse(key, format!("{key} is missing. Every object has apiVersion, kind and metadata.name."));
        }
        Some(_) => found.refuse(key, format!("{key} is no string.")),
    }
    None
}

/// Whose document it is; `None` after a finding.
fn identity(kind: Kind, value: &Value, found: &mut Findings) -> Option<(Identity, ObjectMeta)> {
    let reading = strict::read::<ObjectMeta>(value.get("metadata").unwrap_or(&Value::Null), "metadata");
    let (Some(meta), []) = (reading.object, &reading.misfits[..]) else {
        reading.misfits.iter().for_each(|misfit| refuse_misfit(misfit, kind, found));
        return lenient_identity(kind, value).map(|identity| (identity, ObjectMeta::default()));
    };
    let Some(name) = meta.name.as_deref().filter(|name| !name.is_empty()) else {
        let generate = if meta.generate_name.is_some() { " generateName has no meaning in a file." } else { "" };
        found.refuse("metadata.name", format!("metadata.name is missing.{generate} Give the object a name."));
        return None;
    };
    validate::metadata(kind, name, &meta, found);
    let namespace =
        if kind.is_namespaced() { meta.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(super::DEFAULT_NAMESPACE) } else { "" };
    Some((Identity { kind, key: ObjectKey::new(namespace, name) }, meta))
}

/// Namespace and name where the rest of the metadata does not fit its type.
fn lenient_identity(kind: Kind, value: &Value) -> Option<Identity> {
    let meta = value.get("metadata")?;
    let name = meta.get("name")?.as_str()?;
    let namespace = if kind.is_namespaced() { meta.get("namespace").and_then(Value::as_str).unwrap_or(super::DEFAULT_NAMESPACE) } else { "" };
    Some(Identity { kind, key: ObjectKey::new(namespace, name) })
}

/// What every object of one document shares.
struct Frame<'a> {
    identity: &'a Identity,
    meta: &'a ObjectMeta,
    provenance: &'a Provenance<'a>,
}

impl Frame<'_> {
    fn object(&self, value: &Value, found: &mut Findings) -> Option<Object> {
        let spec = value.get("spec").unwrap_or(&Value::Null);
        Some(match self.identity.kind {
            Kind::Ingress => Object::Ingress(self.read(value, "", found, validate::ingress)?),
            Kind::IngressClass => Object::IngressClass(self.read(value, "", found, |_, _| {})?),
            Kind::Service => Object::Service(self.read(value, "", found, validate::service)?),
            Kind::EndpointSlice => Object::EndpointSlice(self.read(value, "", found, validate::endpoint_slice)?),
            Kind::Endpoints => Object::Endpoints(self.read(value, "", found, validate::endpoints)?),
            Kind::Secret => Object::Secret(self.read(value, "", found, validate::secret)?),
            Kind::ConfigMap => Object::ConfigMap(self.read(value, "", found, validate::config_map)?),
            Kind::Namespace => Object::Namespace(self.read(value, "", found, |_, _| {})?),
            Kind::Issuer => Object::Issuer(self.read(spec, "spec", found, |spec: &mut IssuerSpec, found| validate::issuer(spec, found))?),
            Kind::ClusterIssuer => {
                Object::ClusterIssuer(self.read(spec, "spec", found, |spec: &mut IssuerSpec, found| validate::issuer(spec, found))?)
            }
            Kind::Certificate => {
                let spec = self.read(spec, "spec", found, |spec: &mut CertificateSpec, found| validate::certificate(spec, found))?;
                let Stored { reference, object, origin, age, meta } = Arc::unwrap_or_clone(spec);
                let status = value.get("status").cloned().unwrap_or_default();
                Object::Certificate(Arc::new(Stored { reference, object: Certificate { spec: object, status }, origin, age, meta }))
            }
            Kind::IpAddressPool => {
                Object::IpAddressPool(self.read(spec, "spec", found, |spec: &mut AddressPoolSpec, found| validate::address_pool(spec, found))?)
            }
            Kind::ReferenceGrant => {
                Object::ReferenceGrant(self.read(spec, "spec", found, |spec: &mut ReferenceGrantSpec, found| validate::reference_grant(spec, found))?)
            }
        })
    }

    /// Reads what stands at the path `base`; `check` may also complete it.
    fn read<T: DeserializeOwned>(
        &self,
        value: &Value,
        base: &str,
        found: &mut Findings,
        check: impl Fn(&mut T, &mut Findings),
    ) -> Option<Arc<Stored<T>>> {
        let Reading { object, unknown, misfits } = strict::read::<T>(value, base);
        // The metadata was read before, with its findings.
        misfits.iter().filter(|misfit| !misfit.field.starts_with("metadata")).for_each(|misfit| refuse_misfit(misfit, self.identity.kind, found));
        unknown.iter().for_each(|key| warn_unknown(key, self.identity.kind, matches!(self.provenance, Provenance::File(_)), found));
        let mut object = object?;
        let mut further = Findings::default();
        check(&mut object, &mut further);
        found.adopt(further, |field| !misfits.iter().any(|misfit| misfit.concerns(field)));
        misfits.is_empty().then(|| Arc::new(self.stored(object)))
    }

    fn stored<T>(&self, object: T) -> Stored<T> {
        let created = self.meta.creation_timestamp.as_ref().map(|time| time.0.as_second());
        let (origin, version, generation) = match self.provenance {
            Provenance::File(origin) => (Some((*origin).clone()), "", None),
            Provenance::Server { version, generation } => (None, *version, *generation),
        };
        let age = Age { created, origin: origin.clone(), name: self.identity.key.to_string() };
        let meta = Meta {
            uid: self.meta.uid.clone().unwrap_or_default(),
            resource_version: version.to_owned(),
            generation,
            labels: self.meta.labels.clone().unwrap_or_default(),
        };
        Stored { reference: self.identity.reference(), object, origin, age, meta }
    }
}

/// A Secret's values must not reach a message.
fn refuse_misfit(misfit: &Misfit, kind: Kind, found: &mut Findings) {
    let field = &misfit.field;
    let cause = &misfit.cause;
    let message = match kind {
        Kind::Secret if field.starts_with("stringData") => "The value is no string. Put it in quotes.".to_owned(),
        Kind::Secret if field.starts_with("data") => "The value is not base64. Write plain text below stringData instead.".to_owned(),
        Kind::ConfigMap if field.starts_with("binaryData") => "The value is not base64. Write plain text below data instead.".to_owned(),
        _ if cause.ends_with("a string") && !cause.contains(": nothing,") && !cause.contains(": a mapping,") && !cause.contains(": a list,") => {
            format!("{cause}. Put the value in quotes.")
        }
        _ => format!("{cause}."),
    };
    found.refuse(field.clone(), upper_first(&message));
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn warn_unknown(key: &UnknownKey, kind: Kind, misspelling: bool, found: &mut Findings) {
    let name = kind.name();
    let (reason, message) = match super::cert_manager_fields::verdict(kind, &key.field) {
        Some(super::cert_manager_fields::Verdict::Silent) => return,
        Some(super::cert_manager_fields::Verdict::NotYet) => {
            (Reason::NotSupportedYet, format!("{} of {name} is not supported yet. It has no effect here.", key.field))
        }
        None if !misspelling => return,
        None => {
            let advice = key.meant.map_or_else(|| "Remove it, or look for a misspelling.".to_owned(), |meant| format!("Did you mean {meant}?"));
            (Reason::InvalidField, format!("{name} has no field {}. {advice}", key.field))
        }
    };
    found.warn(key.field.clone(), reason, message);
}
