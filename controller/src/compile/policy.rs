//! The rules of ownership: the platform's own names, and the operator's policy from the configuration or from a ConfigMap. Pure.
//!
//! A ConfigMap that is named and cannot be read changes nothing: the last policy that could be read goes on. Where there never was one, nobody gets a host:
//! to serve everybody by seniority instead would give away what the policy keeps.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;

use super::Input;
use super::findings::{Findings, Subject};
use super::zones;
use crate::config;
use crate::objects::ObjectKey;
use crate::ownership::{Policy, Rules};
use crate::problem::{ObjectRef, Reason};

/// The key of the ConfigMap that holds the policy.
const KEY: &str = "policy.yaml";

/// What is wrong with the ConfigMap: a field, and words.
type Fault = (String, Reason, String);

/// The rules of this compilation.
pub(crate) fn rules(input: Input<'_>, findings: &mut Findings) -> Rules {
    let reserved = zones::reserved(&input.settings.zones);
    let Some(key) = &input.settings.policy_map else { return Rules { reserved, policy: Some(Arc::clone(&input.settings.policy)) } };
    let stored = input.objects.config_maps.get(key);
    let faults = match stored.map(|stored| read(&stored.object)) {
        Some(Ok(policy)) => return Rules { reserved, policy: Some(Arc::new(policy)) },
        Some(Err(faults)) => faults,
        None => vec![(String::new(), Reason::MissingReference, "does not exist; create it (ownership.configMap names it)".to_owned())],
    };
    let reference = ObjectRef { kind: "ConfigMap".into(), namespace: Some(key.namespace.as_str().into()), name: key.name.as_str().into() };
    let origin = stored.and_then(|stored| stored.origin.as_ref());
    let last = input.facts.policy.clone();
    let until = if last.is_some() { "the last policy that could be read goes on" } else { "until then nobody gets a host" };
    for (field, reason, message) in faults {
        findings.error(Subject { reference: &reference, origin }, field, reason, format!("{message}; {until}"));
    }
    Rules { reserved, policy: last }
}

/// `namespace/name`.
pub(crate) fn key_of(name: &str) -> Option<ObjectKey> {
    name.split_once('/').map(|(namespace, name)| ObjectKey::new(namespace, name))
}

fn read(map: &ConfigMap) -> Result<Policy, Vec<Fault>> {
    let fault = |message: String| vec![(format!("data[{KEY}]"), Reason::InvalidField, message)];
    let text = map.data.as_ref().and_then(|data| data.get(KEY)).filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| fault("is missing or empty; write the policy there, {} for one that refuses nothing".to_owned()))?;
    let read = serde_saphyr::from_str_with_options::<config::Ownership>(text, crate::source::yaml_options());
    let written = read.map_err(|error| fault(format!("is no policy: {}", crate::source::yaml_message(&error))))?;
    if written.config_map.is_some() {
        return Err(fault("names configMap, which only the configuration may; remove it".to_owned()));
    }
    Policy::read(&written).map_err(|faults| {
        let told = |fault: crate::ownership::PolicyFault| (format!("data[{KEY}]"), Reason::InvalidField, format!("{}: {}", fault.key, fault.message));
        faults.into_iter().map(told).collect()
    })
}
