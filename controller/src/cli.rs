//! The command line, parsed into values. It does nothing by itself; what each command does is wired elsewhere. Exit codes: 0 all is well, 1 findings or a
//! failure, 2 a wrong command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Overrides, Role};

mod values;

/// The command line.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(
    name = "vrata",
    version,
    about = "Makes the apps of a Kubernetes platform public: HTTPS, DNS, certificates, addresses",
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Serve everything on loopback, with example apps and a local CA
    Demo(Demo),
    /// Serve a Kubernetes cluster, or a directory of manifests
    Run(Run),
    /// Compile manifests or a cluster and print what is wrong and what would change; exit 1 on errors
    Check(Check),
    /// Tell which object decides about a URL, a DNS name or an address, and why
    Explain(Explain),
    /// Show what a running vrata serves
    Status(Status),
}

/// `vrata demo`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Demo {
    /// Directory of manifests instead of the examples
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Directory of a real ACME server instead of the local CA
    #[arg(long, value_name = "URL")]
    pub acme_directory: Option<String>,
    /// PEM file of the CA that signed the ACME server's own certificate
    #[arg(long, value_name = "FILE", requires = "acme_directory")]
    pub acme_ca: Option<PathBuf>,
    /// Directory for everything that is written
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Listeners.
    #[command(flatten)]
    pub listeners: Listeners,
}

/// `vrata run`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Run {
    /// Configuration file (YAML); flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of manifests, or a file; may be repeated
    #[arg(long, value_name = "DIR", conflicts_with = "kubernetes")]
    pub manifests: Vec<PathBuf>,
    /// Serve a Kubernetes cluster
    #[arg(long)]
    pub kubernetes: bool,
    /// How to reach the cluster, instead of the pod's service account
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    pub kubeconfig: Option<PathBuf>,
    /// The only directory that is written
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Zone to serve; may be repeated
    #[arg(long = "zone", value_name = "NAME")]
    pub zones: Vec<String>,
    /// Addresses for LoadBalancer Services: a CIDR or FIRST-LAST; may be repeated
    #[arg(long = "pool", value_name = "CIDR")]
    pub pools: Vec<String>,
    /// Listeners.
    #[command(flatten)]
    pub listeners: Listeners,
    /// Which part runs here
    #[arg(long, value_name = "ROLE")]
    pub role: Option<Role>,
    /// Print the whole configuration, as it would be used, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// Addresses that are listened on.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Listeners {
    /// Addresses for plain HTTP, host:port, several separated by commas
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = values::listen)]
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = values::listen)]
    pub https: Vec<SocketAddr>,
    /// Addresses for DNS over UDP and TCP
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = values::listen)]
    pub dns: Vec<SocketAddr>,
    /// Address for administration: status page, metrics, health
    #[arg(long, value_name = "ADDR", value_parser = values::listen)]
    pub admin: Option<SocketAddr>,
}

/// `vrata check`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Check {
    /// Manifests: directories or files
    #[arg(required_unless_present = "kubeconfig", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Read a cluster instead, write nothing, and tell what would change against ingress-nginx, cert-manager, external-dns and MetalLB. Without a file: what
    /// kubectl would use
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "paths")]
    pub kubeconfig: Option<Option<PathBuf>>,
    /// Zone that would be served; may be repeated
    #[arg(long = "zone", value_name = "NAME", conflicts_with = "paths")]
    pub zones: Vec<String>,
    /// Configuration file whose zones, pools and classes apply
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Shape of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `vrata explain`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Explain {
    /// URL, DNS name or IP address
    #[arg(value_name = "URL|NAME|ADDRESS")]
    pub target: String,
    /// Configuration file whose zones, pools and classes apply to --manifests
    #[arg(long, value_name = "FILE", requires = "manifests")]
    pub config: Option<PathBuf>,
    /// Compile these manifests instead of asking a running vrata
    #[arg(long, value_name = "DIR", conflicts_with = "admin")]
    pub manifests: Vec<PathBuf>,
    /// Address of the running vrata's administration
    #[arg(long, value_name = "ADDR", value_parser = values::listen, default_value = values::ADMIN)]
    pub admin: SocketAddr,
}

/// `vrata status`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Status {
    /// Address of the running vrata's administration
    #[arg(long, value_name = "ADDR", value_parser = values::listen, default_value = values::ADMIN)]
    pub admin: SocketAddr,
    /// Shape of the answer
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Shape of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Run {
    /// The flags, as far as they override the configuration file.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            manifests: self.manifests.clone(),
            kubernetes: self.kubernetes,
            kubeconfig: self.kubeconfig.clone(),
            state: self.state.clone(),
            zones: self.zones.clone(),
            pools: self.pools.clone(),
            role: self.role,
            ..self.listeners.overrides()
        }
    }
}

impl Listeners {
    /// The flags, as far as they override the configuration file.
    pub fn overrides(&self) -> Overrides {
        Overrides { http: self.http.clone(), https: self.https.clone(), dns: self.dns.clone(), admin: self.admin, ..Overrides::default() }
    }
}

#[cfg(test)]
mod tests;
