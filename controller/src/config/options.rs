//! The table of options: every key of the configuration file with what it means. From it come the printed file and the check for unknown keys. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Config, Finding};
use crate::field::{self, Located};

/// A key: its path, without indexes, and what it means. Those below the second level are told with their parent.
struct Documented {
    key: &'static str,
    doc: &'static str,
}

const fn option(key: &'static str, doc: &'static str) -> Documented {
    Documented { key, doc }
}

impl Documented {
    /// Whether it is this key; of a map whose keys are free, any of them.
    fn is(&self, key: &str) -> bool {
        self.key.strip_suffix('*').map_or(self.key == key, |map| key.strip_prefix(map).is_some_and(|free| !free.is_empty()))
    }
}

/// In the order in which they are printed. A key inside of a list item has `[]` before it.
const OPTIONS: &[Documented] = &[
    option("role", "Which part runs here: all, gateway (HTTP, HTTPS, addresses of Services), dns, or controller (no data plane)."),
    option("source", "Where objects come from."),
    option("source.manifests", "Directory of manifests (searched recursively) or file, or a list of them. Either this or kubernetes is required."),
    option("source.kubernetes", "A Kubernetes cluster, instead of manifests: {} is the one this pod runs in."),
    option("source.kubernetes.kubeconfig", "kubeconfig file; without it the pod's service account, else what kubectl would use."),
    option("source.kubernetes.namespace", "Namespace of the objects that are this program's own, vrata-system by default."),
    option(
        "source.kubernetes.peersService",
        "Headless Service in that namespace whose endpoints are the replicas, vrata-peers by default; each is asked before a CA is told.",
    ),
    option("state", "The only directory that is written: certificates, addresses, serials, status."),
    option("gateway", "HTTP and HTTPS."),
    option("gateway.http", "Addresses for plain HTTP, host:port, one or a list."),
    option("gateway.https", "Addresses for HTTPS, host:port, one or a list."),
    option("gateway.publicAddresses", "Addresses under which clients reach the gateway, for DNS and status; by default those that are listened on."),
    option("gateway.publishService", "Service (namespace/name) whose status has the public addresses and host names instead."),
    option("gateway.publicHttpsPort", "Port under which clients reach HTTPS; redirects name it unless it is 443."),
    option("gateway.ingressClass", "Class that the annotation kubernetes.io/ingress.class has to name."),
    option("gateway.controllerClass", "Controller that an IngressClass has to name."),
    option("gateway.watchIngressWithoutClass", "Whether Ingresses that name no class are served."),
    option("gateway.drainSeconds", "How long open connections may go on after a stop, in seconds (0 to 86400)."),
    option("gateway.accessLog", "Shape of the access log: off, json or nginx."),
    option("gateway.maxConnections", "Largest number of open connections."),
    option("dns", "Authoritative DNS."),
    option("dns.listen", "Addresses for DNS over UDP and TCP, host:port, one or a list."),
    option("dns.zones", "Zones that are served."),
    option("dns.zones[].name", "apex, for instance dyn.cloud.e-infra.cz"),
    option("dns.zones[].file", "zone file (RFC 1035) whose records are served too; its SOA and NS are used, the serial is ours"),
    option("dns.zones[].cname", "hosts become a CNAME to this name instead of the gateway's addresses"),
    option("dns.zones[].ttl", "TTL of hosts in seconds (0 to 2147483647), 60 by default"),
    option("certificates", "Certificates."),
    option("certificates.platformIssuer", "ClusterIssuer that signs the wildcards of our zones; without it there are none."),
    option("certificates.defaultIssuer", "ClusterIssuer for kubernetes.io/tls-acme without an issuer annotation."),
    option("certificates.clusterResourceNamespace", "Namespace of the Secrets that ClusterIssuers name."),
    option("addresses", "Addresses for Services of type LoadBalancer."),
    option("addresses.pools", "Pools to allocate from, in this order."),
    option("addresses.pools[].name", "name, as annotations name it"),
    option("addresses.pools[].ranges", "CIDRs (192.0.2.0/24) or ranges (192.0.2.10-192.0.2.20)"),
    option("addresses.pools[].autoAssign", "whether Services that name no pool may get an address from it, true by default"),
    option(
        "addresses.traffic",
        "Who carries their traffic: forwarder (this program) or kubeProxy (the cluster's, for which the allocation is enough).",
    ),
    option("addresses.poolNamespace", "Namespace whose IPAddressPool objects (metallb.io/v1beta1) are pools too; those of others are refused."),
    option("addresses.loadBalancerClass", "Services with exactly this spec.loadBalancerClass are ours, for instance vrata.io/gate."),
    option("addresses.defaultClass", "Whether Services without a loadBalancerClass are ours too."),
    option("addresses.quota", "How many addresses a namespace may hold; one that its Services share counts once."),
    option("addresses.quota.default", "for namespaces that are not named, no limit by default"),
    option("addresses.quota.namespaces", "limits by namespace"),
    option("addresses.quota.namespaces.*", "the limit of this namespace"),
    option("ownership", "Who may own which hosts. Namespaces are names in which * stands for any characters."),
    option("ownership.configMap", "namespace/name of a ConfigMap with these options as YAML under the key policy.yaml, used instead of those here."),
    option("ownership.reserved", "Names that only certain namespaces may hold."),
    option("ownership.reserved[].host", "the host, or *.SUFFIX for all that is below"),
    option("ownership.reserved[].namespaces", "who may hold it, nobody by default"),
    option("ownership.suffixes", "Suffixes that belong to namespaces, with all that is below them."),
    option("ownership.suffixes[].suffix", "the suffix; {namespace} in a label stands for the namespace that it belongs to"),
    option("ownership.suffixes[].namespaces", "to whom it belongs, where the suffix does not say it"),
    option("ownership.wildcardNamespaces", "Namespaces that may hold wildcards and the catch-all."),
    option("ownership.foreignDomainNamespaces", "Namespaces that may hold names outside the zones that are served here."),
    option("ownership.sharedHosts", "Hosts that several namespaces may share, each with its own paths."),
    option("ownership.sharedHosts[].host", "the host, or *.SUFFIX for all that is below"),
    option("ownership.sharedHosts[].namespaces", "who shares it"),
    option("tenancy", "References between namespaces."),
    option("tenancy.allowCrossNamespaceSecrets", "Whether objects may name Secrets of other namespaces without a ReferenceGrant there."),
    option("admin", "Administration: status page, metrics, health."),
    option("admin.listen", "Its address. It has no access control of its own: keep it on loopback."),
    option("admission", "The ValidatingWebhook for Ingresses and Services."),
    option("admission.listen", "Its address for HTTPS, host:port; without one there is no webhook."),
    option("admission.names", "Names in its certificate, those under which the API server calls it; those of the Service in deploy/ by default."),
    option(
        "admission.webhookConfiguration",
        "The ValidatingWebhookConfiguration whose caBundle is written; by default the first label of the first name.",
    ),
];

/// What stands at a path of keys without indexes.
pub(super) fn get<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(value, |value, key| value.get(key))
}

/// What the option at a path, with or without indexes, means.
pub(super) fn doc(path: &str) -> Option<&'static str> {
    let key = without_indexes(path);
    let of = |key: &str| OPTIONS.iter().find(|option| option.key == key).map(|option| option.doc);
    // An item of a list is explained with its list.
    of(&key).or_else(|| of(key.strip_suffix("[]")?))
}

/// Keys that no option has, each with the one that was probably meant.
pub(super) fn unknown_keys(located: &Located) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (path, position) in located.keys() {
        let key = without_indexes(&path);
        let below_unknown = findings.iter().any(|finding| path.starts_with(&finding.key));
        if below_unknown || OPTIONS.iter().any(|option| option.is(&key)) {
            continue;
        }
        findings.push(Finding { key: path, position: Some((position.line, position.column)), message: unknown_message(&key) });
    }
    findings
}

fn unknown_message(key: &str) -> String {
    let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
    let siblings: Vec<_> = OPTIONS
        .iter()
        .filter_map(|option| match option.key.rsplit_once('.') {
            Some((above, name)) => (above == parent && name != "*").then_some(name),
            None => parent.is_empty().then_some(option.key),
        })
        .collect();
    match field::nearest(name, siblings.iter().copied()) {
        Some(meant) => format!("there is no such key; did you mean {meant}?"),
        None if siblings.is_empty() => "there is no such key".into(),
        None => format!("there is no such key; expected one of {}", siblings.join(", ")),
    }
}

fn without_indexes(path: &str) -> String {
    let mut key = String::new();
    for step in field::steps(path) {
        match step {
            field::Step::Index(_) => key.push_str("[]"),
            field::Step::Key(name) if key.is_empty() => key = name,
            field::Step::Key(name) => key = format!("{key}.{name}"),
        }
    }
    key
}

/// The configuration as a file that reads back to it, with a comment for every option.
pub fn print(config: &Config) -> String {
    let value = serde_json::to_value(config).unwrap_or_default();
    let mut text = String::from("# Configuration of vrata. Flags override it. Relative paths start at the working directory.\n");
    for Documented { key, doc } in OPTIONS {
        if key.split('.').count() > 2 {
            continue;
        }
        if let Some((_, name)) = key.split_once('.') {
            let _ = writeln!(text, "  # {doc}");
            for option in OPTIONS {
                let below = option.key.strip_prefix(key).and_then(|rest| rest.strip_prefix("[].").or_else(|| rest.strip_prefix('.')));
                if let Some(name) = below.filter(|name| !name.ends_with(".*")) {
                    let _ = writeln!(text, "  #   {name}: {}", option.doc);
                }
            }
            write_value(&mut text, "  ", name, get(&value, key));
        } else {
            let _ = writeln!(text, "\n# {doc}");
            match get(&value, key) {
                Some(Value::Object(_)) => drop(writeln!(text, "{key}:")),
                scalar => write_value(&mut text, "", key, scalar),
            }
        }
    }
    text
}

/// JSON is YAML: values are written as it; lists of objects one item a line.
fn write_value(text: &mut String, indent: &str, name: &str, value: Option<&Value>) {
    let value = value.unwrap_or(&Value::Null);
    match value.as_array().filter(|items| items.iter().any(Value::is_object)) {
        None => drop(writeln!(text, "{indent}{name}: {value}")),
        Some(items) => {
            let _ = writeln!(text, "{indent}{name}:");
            for item in items {
                let _ = writeln!(text, "{indent}- {item}");
            }
        }
    }
}
