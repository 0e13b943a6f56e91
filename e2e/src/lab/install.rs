//! The program inside a lab's cluster, as users install it: replicas as pods with the ServiceAccount and the rights of `deploy/`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Lab, app};
use crate::vrata::Authority;
use crate::{Client, eventually, manifest, shell};

/// The zone that is served.
pub const ZONE: &str = "dyn.cloud.e-infra.cz";

/// The gateway's public address; every replica answers at it.
pub const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The lab's own address among the pods.
pub const HERE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// Namespace of the program's own objects.
pub const NAMESPACE: &str = "vrata-system";

/// Where rights are taken from, and what of it.
const DEPLOY: &str = "deploy/manifests/vrata.yaml";
const RIGHTS: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

const CRDS: [&str; 3] =
    [include_str!("../../crds/cert-manager.yaml"), include_str!("../../crds/metallb.yaml"), include_str!("../../crds/gateway-api.yaml")];

/// How the program is installed.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many pods.
    pub replicas: usize,
    /// Manifest of the issuer `letsencrypt-prod`; by default a CA of the lab's own.
    pub issuer: Option<String>,
    /// Whether the cluster gets the kinds of others.
    pub kinds: bool,
    /// More of the configuration, top-level keys.
    pub configuration: String,
    /// Where the API server is reached over plain HTTP, instead of where pods look for it.
    pub api_server: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self { replicas: 1, issuer: None, kinds: true, configuration: String::new(), api_server: None }
    }
}

/// The program in a cluster.
#[derive(Debug, Clone)]
pub struct Vrata {
    ca_pem: String,
    issuer: String,
    /// Where it is reached.
    gateway: IpAddr,
}

/// One of its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// The pod's address.
    pub address: IpAddr,
    /// Number of its process, when it runs on this machine.
    pub process: Option<i32>,
    /// Whether it is ready.
    pub ready: bool,
}

impl Replica {
    /// Its administration.
    pub fn admin(&self) -> Client {
        Client::plain(SocketAddr::new(self.address, 10254))
    }

    /// `/api/v1/status`.
    ///
    /// # Errors
    /// When it does not answer, or not JSON.
    pub async fn status(&self) -> Result<Value> {
        let answer = self.admin().get("localhost", "/api/v1/status").await?;
        serde_json::from_slice(&answer.body).with_context(|| format!("/api/v1/status answered {}: {}", answer.status, answer.text()))
    }

    /// A client of this replica alone.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn https(&self, ca_pem: &str) -> Result<Client> {
        Client::trusting(SocketAddr::new(self.address, 443), ca_pem)
    }
}

/// Installs the program and waits until every replica is ready.
///
/// # Errors
/// When the API server takes something not, or the program does not become ready.
pub async fn vrata(lab: &Lab, options: Options) -> Result<Vrata> {
    let authority = Authority::new()?;
    let kubectl = lab.kubectl();
    let kinds = if options.kinds { crds() } else { String::new() };
    kubectl.apply(&(namespaces() + &kinds)).await?;
    let issuer = options.issuer.clone().unwrap_or_else(|| manifest::ca_issuer(&authority.certificate, &authority.key));
    kubectl.apply(&(rights()? + &objects(&options))).await?;
    let vrata = Vrata::ready_at(lab, options.replicas, &authority.certificate, issuer).await?;
    // Not before: a CA that validates has to reach the public address.
    if options.kinds {
        kubectl.run(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"]).await?;
        eventually("the issuer is taken", async || kubectl.apply(&vrata.issuer).await, |()| true).await?;
    }
    Ok(vrata)
}

impl Vrata {
    /// The program, once so many replicas are ready; its certificates are signed by an issuer with this root (PEM).
    pub(super) async fn ready_at(lab: &Lab, replicas: usize, ca_pem: &str, issuer: String) -> Result<Self> {
        let mut vrata = Self { ca_pem: ca_pem.to_owned(), issuer, gateway: PUBLIC };
        let replicas = vrata.ready(lab, replicas).await?;
        if !lab.is_own() {
            // Nobody brings the public addresses to its pods.
            vrata.gateway = replicas.first().context("no replica")?.address;
        }
        Ok(vrata)
    }

    /// The root that its certificates chain to, unless the test chose another issuer. PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The manifest of its issuer.
    pub fn issuer(&self) -> String {
        self.issuer.clone()
    }

    /// A client of whichever replica.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn https(&self) -> Result<Client> {
        Client::trusting(SocketAddr::new(self.gateway, 443), &self.ca_pem)
    }

    /// A client of whichever replica, over plain HTTP.
    pub fn http(&self) -> Client {
        Client::plain(SocketAddr::new(self.gateway, 80))
    }

    /// Where DNS is served by whichever replica.
    pub const fn dns(&self) -> SocketAddr {
        SocketAddr::new(self.gateway, 53)
    }

    /// Its pods, by name.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn replicas(&self, lab: &Lab) -> Result<Vec<Replica>> {
        let pods = lab.kubectl().list("pods", NAMESPACE).await?;
        Ok(pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).filter_map(replica).collect())
    }

    /// The replica that holds the Lease.
    ///
    /// # Errors
    /// When there is none.
    pub async fn leader(&self, lab: &Lab) -> Result<Replica> {
        let leases = lab.kubectl().list("leases", NAMESPACE).await?;
        let holder = leases.iter().find_map(|lease| lease["spec"]["holderIdentity"].as_str()).context("nobody holds a Lease")?;
        let replicas = self.replicas(lab).await?;
        replicas
            .into_iter()
            .find(|replica| holder.contains(&replica.name))
            .with_context(|| format!("the Lease is held by {holder}, which is no replica"))
    }

    /// Waits until so many replicas are ready, and announces the public addresses from all of them.
    ///
    /// # Errors
    /// When they do not become ready.
    pub async fn ready(&self, lab: &Lab, count: usize) -> Result<Vec<Replica>> {
        let all = |replicas: &Vec<Replica>| replicas.len() == count && replicas.iter().all(|replica| replica.ready);
        let replicas = eventually("every replica is ready", async || self.replicas(lab).await, all).await?;
        if lab.is_own() {
            announce(&replicas).await?;
        }
        Ok(replicas)
    }
}

/// Routes the addresses of Services to these replicas, a connection here, a connection there.
///
/// # Errors
/// When `ip` does not take it.
pub async fn announce(replicas: &[Replica]) -> Result<()> {
    let hops: Vec<String> = replicas.iter().map(|replica| format!("nexthop via {}", replica.address)).collect();
    let line = format!("echo 1 > /proc/sys/net/ipv4/fib_multipath_hash_policy && ip route replace 192.0.2.0/24 {}", hops.join(" "));
    let printed = shell::sh(&line).await?;
    if printed.code != Some(0) {
        bail!("{line}: {}", printed.err);
    }
    Ok(())
}

fn replica(pod: &Value) -> Option<Replica> {
    let container = &pod["status"]["containerStatuses"][0];
    Some(Replica {
        name: pod["metadata"]["name"].as_str()?.to_owned(),
        address: pod["status"]["podIP"].as_str()?.parse().ok()?,
        process: container["containerID"].as_str()?.strip_prefix("process://").and_then(|number| number.parse().ok()),
        ready: container["ready"].as_bool()?,
    })
}

/// The kinds of others: cert-manager's, MetalLB's, the Gateway API's.
pub fn crds() -> String {
    CRDS.join("\n---\n")
}

fn namespaces() -> String {
    [NAMESPACE, "cert-manager"].iter().map(|name| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n")).collect()
}

/// ServiceAccount, roles and bindings of `deploy/`.
fn rights() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("e2e/ lies in the work tree")?.join(DEPLOY);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = text.split("\n---").filter(|document| {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind: "));
        kind.is_some_and(|kind| RIGHTS.contains(&kind.trim()))
    });
    Ok(documents.fold(String::new(), |all, document| all + document + "\n---\n"))
}

fn objects(options: &Options) -> String {
    let indented = |text: String| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let configuration = indented(configuration(options));
    let kubeconfig = options.api_server.map(|at| format!("  kubeconfig: |\n{}", indented(kubeconfig(at)))).unwrap_or_default();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: vrata, namespace: {NAMESPACE}}}\ndata:\n  config.yaml: |\n{configuration}{kubeconfig}---\n{}{}{}",
        manifest::ingress_class(),
        include_str!("peers.yaml"),
        app::images(&include_str!("replicas.yaml").replace("REPLICAS", &options.replicas.to_string())),
    )
}

/// With the rights of the pod's own account.
fn kubeconfig(api_server: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters: [{{name: lab, cluster: {{server: \"http://{api_server}\"}}}}]\n\
         users: [{{name: pod, user: {{tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token}}}}]\n\
         contexts: [{{name: lab, context: {{cluster: lab, user: pod}}}}]\n"
    )
}

fn configuration(options: &Options) -> String {
    let kubeconfig = if options.api_server.is_some() { ", kubeconfig: /etc/vrata/kubeconfig" } else { "" };
    format!(
        "source: {{kubernetes: {{namespace: {NAMESPACE}{kubeconfig}}}}}\n\
         state: /var/lib/vrata\n\
         gateway: {{http: [\"0.0.0.0:80\"], https: [\"0.0.0.0:443\"], publicAddresses: [\"{PUBLIC}\"], drainSeconds: 2, accessLog: off}}\n\
         dns: {{listen: [\"0.0.0.0:53\"], zones: [{{name: {ZONE}}}]}}\n\
         addresses: {{pools: [{{name: privmuni, ranges: [\"192.0.2.64-192.0.2.95\"], autoAssign: true}}]}}\n\
         admin: {{listen: \"0.0.0.0:10254\"}}\n{}",
        options.configuration
    )
}
