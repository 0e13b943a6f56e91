//! `auth-type`, `auth-secret`, `auth-secret-type`, `auth-realm`: from a Secret to users. Whatever is amiss closes the routes. Pure.

use std::collections::BTreeMap;

use gateway::table::{BasicAuth, PasswordHash};
use k8s_openapi::api::core::v1::Secret;

use super::table::PREFIX;
use super::{Reader, Unusable, annotation, unusable};
use crate::compile::named::secret_key;
use crate::compile::references::{INGRESS, SECRET, Target, may_name};
use crate::compile::secrets::secret_value;
use crate::objects::ObjectKey;
use crate::problem::Reason;

/// Most users of one Secret: an htpasswd file is read anew at each change of anything.
const MOST_USERS: usize = 5_000;

impl Reader<'_, '_> {
    pub(super) fn basic_auth(&mut self) -> Option<BasicAuth> {
        let unusable = match (self.value("auth-type"), self.value("auth-secret")) {
            (None, None) => return None,
            (Some("basic"), Some(secret)) => match self.users(secret) {
                Ok(users) => return Some(BasicAuth { realm: self.realm(), users }),
                Err(unusable) => unusable,
            },
            (Some("basic"), None) => unusable("auth-secret", Reason::InvalidAnnotation, "is missing; name the Secret that holds the passwords"),
            (Some("digest"), _) => unusable("auth-type", Reason::Refused, "\"digest\" is refused: MD5 protects nobody; use basic over HTTPS"),
            (Some(_), _) => unusable("auth-type", Reason::InvalidAnnotation, "is neither \"basic\" nor \"digest\"; write basic"),
            (None, Some(_)) => unusable(
                "auth-secret",
                Reason::InvalidAnnotation,
                "protects nothing without auth-type; add auth-type: basic, or remove auth-secret if everybody may pass",
            ),
        };
        self.close(&unusable);
        None
    }

    fn realm(&mut self) -> String {
        let realm = self.value("auth-realm").unwrap_or_default();
        if realm.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\') {
            return realm.to_owned();
        }
        self.invalid("auth-realm", "has characters other than printable ASCII without quotes and backslashes; no realm is shown".to_owned());
        String::new()
    }

    fn users(&mut self, name: &str) -> Result<BTreeMap<String, PasswordHash>, Unusable> {
        let key = secret_key(self.namespace, name);
        let ObjectKey { namespace, name } = &key;
        if !may_name(self.input, INGRESS, self.namespace, Target { what: SECRET, namespace, name }) {
            let why =
                "names a Secret of another namespace, which that namespace does not allow; copy it into this one, or ask for a ReferenceGrant there";
            return Err(unusable("auth-secret", Reason::Refused, why));
        }
        let place = if namespace == self.namespace { "this namespace".to_owned() } else { format!("the namespace {namespace:?}") };
        let missing = || unusable("auth-secret", Reason::MissingReference, format!("there is no Secret {name:?} in {place}; create it"));
        let stored = self.input.objects.secrets.get(&key).ok_or_else(missing)?;
        let (users, faults) = match self.value("auth-secret-type") {
            None | Some("" | "auth-file") => read_file(name, &stored.object)?,
            Some("auth-map") => read_map(&stored.object),
            Some(other) => {
                return Err(unusable("auth-secret-type", Reason::InvalidAnnotation, format!("{other:?} is neither auth-file nor auth-map")));
            }
        };
        for fault in faults {
            self.findings.warning(
                self.subject,
                annotation(&format!("{PREFIX}auth-secret")),
                Reason::InvalidSecret,
                format!("Secret {name:?}: {fault}"),
            );
        }
        if users.len() > MOST_USERS {
            let message =
                format!("the Secret {name:?} has {} users, more than {MOST_USERS}; put a login service in front of the app instead", users.len());
            return Err(unusable("auth-secret", Reason::InvalidSecret, &message));
        }
        if users.is_empty() {
            return Err(unusable(
                "auth-secret",
                Reason::InvalidSecret,
                format!("the Secret {name:?} holds no usable password; make one with htpasswd -B"),
            ));
        }
        Ok(users)
    }
}

type Users = (BTreeMap<String, PasswordHash>, Vec<String>);

fn read_file(name: &str, secret: &Secret) -> Result<Users, Unusable> {
    let content = secret_value(secret, "auth").map(String::from_utf8_lossy);
    let missing =
        || unusable("auth-secret", Reason::InvalidSecret, format!("the Secret {name:?} has no key \"auth\"; put the htpasswd file under it"));
    let content = content.ok_or_else(missing)?;
    let lines =
        content.lines().enumerate().map(|(index, line)| (index + 1, line.trim())).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut users = Users::default();
    for (number, line) in lines {
        match line.split_once(':') {
            // A third field is a comment, as nginx reads it.
            Some((user, rest)) => admit(&mut users, user, rest.split(':').next().unwrap_or_default(), &format!("line {number}")),
            None => users.1.push(format!("line {number} is not user:hash and is passed over")),
        }
    }
    Ok(users)
}

fn read_map(secret: &Secret) -> Users {
    let mut users = Users::default();
    for (user, hash) in secret.data.iter().flatten() {
        admit(&mut users, user, String::from_utf8_lossy(&hash.0).trim(), &format!("key {user:?}"));
    }
    for (user, hash) in secret.string_data.iter().flatten() {
        admit(&mut users, user, hash.trim(), &format!("key {user:?}"));
    }
    users
}

fn admit(users: &mut Users, user: &str, hash: &str, place: &str) {
    match PasswordHash::parse(hash) {
        // The first line of a user counts, as in nginx.
        Ok(hash) => drop(users.0.entry(user.to_owned()).or_insert(hash)),
        Err(error) => users.1.push(format!("{place}: {error}; this user cannot log in")),
    }
}
