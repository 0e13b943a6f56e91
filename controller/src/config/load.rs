//! From file and flags to a configuration. Pure but for reading the file and asking whether what it names is there.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::validate::validate;
use super::{Config, Pool, Role, Source, Zone, options};
use crate::field::Located;

/// Largest configuration file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// Flags that override the file; what is empty or `None` does not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `--manifests`.
    pub manifests: Vec<PathBuf>,
    /// `--kubernetes`.
    pub kubernetes: bool,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--zone`.
    pub zones: Vec<String>,
    /// `--pool`.
    pub pools: Vec<String>,
    /// `--http`.
    pub http: Vec<SocketAddr>,
    /// `--https`.
    pub https: Vec<SocketAddr>,
    /// `--dns`.
    pub dns: Vec<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--role`.
    pub role: Option<Role>,
    /// For a check, and to print: nothing is served, so nothing has to be read, to listen or to be reached.
    pub serves_nothing: bool,
}

impl Overrides {
    /// Puts the flags over the file. `--zone` keeps what the file says of the zones it names; `--pool` makes one pool, `default`, of all ranges.
    pub fn apply(&self, config: &mut Config) {
        self.apply_source(&mut config.source);
        replace(&mut config.gateway.http, &self.http);
        replace(&mut config.gateway.https, &self.https);
        replace(&mut config.dns.listen, &self.dns);
        if !self.zones.is_empty() {
            let configured = std::mem::take(&mut config.dns.zones);
            let zone = |name: &String| configured.iter().find(|zone| zone.name == *name).cloned().unwrap_or_else(|| Zone::named(name));
            config.dns.zones = self.zones.iter().map(zone).collect();
        }
        if !self.pools.is_empty() {
            config.addresses.pools = vec![Pool { name: "default".into(), ranges: self.pools.clone(), auto_assign: true }];
        }
        config.state = self.state.clone().unwrap_or_else(|| std::mem::take(&mut config.state));
        config.admin.listen = self.admin.unwrap_or(config.admin.listen);
        config.role = self.role.unwrap_or(config.role);
    }

    /// A flag that names one source takes the place of the other one in the file.
    fn apply_source(&self, source: &mut Source) {
        if !self.manifests.is_empty() {
            *source = Source { manifests: self.manifests.clone(), kubernetes: None };
        }
        if self.kubernetes || self.kubeconfig.is_some() {
            source.manifests.clear();
            source.kubernetes.get_or_insert_default();
        }
        if let (Some(kubernetes), Some(kubeconfig)) = (&mut source.kubernetes, &self.kubeconfig) {
            kubernetes.kubeconfig = Some(kubeconfig.clone());
        }
    }
}

fn replace<T: Clone>(values: &mut Vec<T>, flags: &[T]) {
    if !flags.is_empty() {
        *values = flags.to_vec();
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path of the key, for instance `gateway.http[0]`; empty when the whole file is meant.
    pub key: String,
    /// Line and column in the file, the first are 1; `None` when the value does not come from the file.
    pub position: Option<(u64, u64)>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Finding {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), position: None, message: message.into() }
    }
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// At least one.
    pub findings: Vec<Finding>,
}

impl std::error::Error for ConfigError {}

/// One line each: `vrata.yaml:3:9: gateway.http[0]: …`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Finding { key, position, message }) in self.findings.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
            match (&self.file, position) {
                (Some(file), Some((line, column))) => write!(f, "{end}{}:{line}:{column}: {key}{message}", file.display())?,
                (Some(file), None) if key.is_empty() => write!(f, "{end}{}: {message}", file.display())?,
                _ => write!(f, "{end}{key}{message}")?,
            }
        }
        Ok(())
    }
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address to listen on; expected {expected}", expected = Self::EXPECTED)]
pub struct AddressError(String);

impl AddressError {
    pub(super) const EXPECTED: &'static str = "host:port, for instance 127.0.0.1:8080 or [::1]:8080";
}

/// An address to listen on: `127.0.0.1:80`, `[::1]:80`, `localhost:80` (which is 127.0.0.1).
///
/// # Errors
/// When it is none of these.
pub fn listen_address(text: &str) -> Result<SocketAddr, AddressError> {
    let text = text.trim();
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| AddressError(text.to_owned()))
}

/// Reads the file, applies the flags, fills in what follows from the rest and validates the whole.
///
/// # Errors
/// Everything that is wrong with it; nothing may start then.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let fail = |findings| ConfigError { file: file.map(Path::to_owned), findings };
    let text = file.map_or(Ok(String::new()), read_text).map_err(|finding| fail(vec![finding]))?;
    complete(&text, file, overrides)
}

/// The same for a configuration whose text is known; `file` only stands in the findings.
///
/// # Errors
/// Everything that is wrong with it.
pub fn complete(text: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let fail = |findings| ConfigError { file: file.map(Path::to_owned), findings };
    let mut config = parse(text).map_err(fail)?;
    overrides.apply(&mut config);
    config.fill();
    let readable = |path: &Path| fs::metadata(path).and_then(|_| fs::File::open(path)).map(drop).map_err(|error| error.to_string());
    let mut findings = validate(&config, !overrides.serves_nothing, &readable);
    if findings.is_empty() {
        return Ok(config);
    }
    let located = Located::read(text);
    let untouched = parse(text).unwrap_or_default();
    for finding in &mut findings {
        // A value that a flag replaced has no line.
        finding.position =
            located.as_ref().filter(|_| same(&untouched, &config, &finding.key)).and_then(|located| located.exact_position(&finding.key));
    }
    Err(fail(findings))
}

fn same(a: &Config, b: &Config, key: &str) -> bool {
    let section = |config| serde_json::to_value(config).ok().map(|value| options::get(&value, key.split('[').next().unwrap_or_default()).cloned());
    section(a) == section(b)
}

fn read_text(file: &Path) -> Result<String, Finding> {
    let fault = |message: String| Finding::new("", message);
    let length = fs::metadata(file).map_err(|error| fault(format!("cannot read the configuration: {error}")))?.len();
    if length > MAX_BYTES {
        return Err(fault(format!("the configuration has {length} bytes; at most {MAX_BYTES} are read")));
    }
    fs::read_to_string(file).map_err(|error| fault(format!("cannot read the configuration: {error}")))
}

/// Reads the text of a configuration file, without validating what it says. Pure.
///
/// # Errors
/// Every key that does not exist and every value of a wrong type, in the order of the file.
pub fn parse(text: &str) -> Result<Config, Vec<Finding>> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Config::default());
    }
    serde_saphyr::from_str_with_options(text, crate::source::yaml_options()).map_err(|error| super::faults::of(text, &error))
}
