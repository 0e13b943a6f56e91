//! `vrata run`: binds everything, starts everything, and stops in good order. Decisions are elsewhere.
//!
//! `origin` is where objects come from and who leads, `lead` what only the leader does, `serve` runs passes, `options` hands the configuration on.

mod admission;
mod lead;
mod options;
mod origin;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::admission::CertificateError;
use crate::compile::{Settings, SettingsError, platform_secrets};
use crate::config::Config;
use crate::effects::{Effects, EffectsError};
use crate::metrics::Metrics;
use crate::pass::{Outlets, Passes};
use crate::source::{SourceError, kubernetes};
use crate::state::{StateDir, StateError};
use crate::status::Published;
use admission::Webhook;
use lead::Lead;
use origin::{Origin, Source};
use serve::{Changes, asked_to_stop, forward, serve, serve_dns, serve_gateway, spawned};

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be compiled against.
    #[error("configuration: {0}")]
    Settings(#[from] SettingsError),
    /// A zone file cannot be read.
    #[error("zone file {0}: {1}")]
    ZoneFile(PathBuf, io::Error),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// What was persisted cannot be used.
    #[error(transparent)]
    Effects(#[from] EffectsError),
    /// The certificates' store cannot be used.
    #[error("certificates: {0}")]
    Store(#[from] acme::StoreError),
    /// The manifests cannot be read.
    #[error("manifests: {0}")]
    Source(#[from] SourceError),
    /// The cluster cannot be asked.
    #[error(transparent)]
    Connect(#[from] kubernetes::ConnectError),
    /// A gateway's address cannot be bound.
    #[error("gateway: {0}")]
    Gateway(#[from] gateway::BindError),
    /// A DNS address cannot be bound.
    #[error("dns: {0}")]
    Dns(#[from] dns::BindError),
    /// The admin listener cannot be bound.
    #[error("admin.listen: {0}: {1}; choose another with --admin")]
    Admin(SocketAddr, io::Error),
    /// Metrics clash.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The webhook has no certificate.
    #[error(transparent)]
    AdmissionCertificate(#[from] CertificateError),
    /// The webhook cannot be bound.
    #[error("admission.listen: {0}: {1}")]
    Admission(SocketAddr, io::Error),
    /// The system refused something.
    #[error("system: {0}")]
    System(#[from] io::Error),
}

/// Where a started program listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTPS.
    pub https: Vec<SocketAddr>,
    /// DNS.
    pub dns: Vec<SocketAddr>,
    /// Administration.
    pub admin: SocketAddr,
}

/// A program whose sockets are bound and whose manifests are read; [`Started::run`] serves.
pub struct Started {
    config: Config,
    settings: Settings,
    effects: Effects,
    source: Source,
    admission: Option<Webhook>,
    registry: Registry,
    gateway: Option<gateway::Gateway>,
    dns: Option<dns::Server>,
    snapshots: Arc<ArcSwap<gateway::Snapshot>>,
    zones: Arc<ArcSwap<dns::ZoneSet>>,
}

/// Settings of a configuration, with the zone files that it names.
///
/// # Errors
/// When a zone file cannot be read, or the configuration cannot be compiled against.
pub fn settings(config: &Config) -> Result<Settings, RunError> {
    let mut files = BTreeMap::new();
    for file in config.dns.zones.iter().filter_map(|zone| zone.file.as_ref()) {
        let text = std::fs::read_to_string(file).map_err(|e| RunError::ZoneFile(file.clone(), e))?;
        files.insert(file.clone(), text);
    }
    Ok(Settings::from_config(config, &files)?)
}

/// Raises the limit of open files to what this process may have: each connection takes two.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

impl Started {
    /// Binds all sockets and reads all files: what fails here fails before anything is served.
    ///
    /// # Errors
    /// Names the address, file or setting that cannot be used.
    pub fn new(config: Config, state: StateDir) -> Result<Self, RunError> {
        raise_file_limit();
        let registry = Registry::new();
        let settings = settings(&config)?;
        let (snapshots, zones) = (Arc::<ArcSwap<gateway::Snapshot>>::default(), Arc::<ArcSwap<dns::ZoneSet>>::default());
        let serves_gateway = config.role.serves_gateway();
        let gateway = serves_gateway.then(|| gateway::Gateway::bind(options::gateway(&config), snapshots.clone(), &registry)).transpose()?;
        let serves_dns = config.role.serves_dns();
        let dns = serves_dns.then(|| dns::Server::bind(&config.dns.listen, zones.clone(), &registry)).transpose()?;
        let state = Arc::new(state);
        let source = Source::open(&config, &state)?;
        let effects = source.effects(state.clone())?;
        let admission = Webhook::open(&config, state)?;
        Ok(Self { config, settings, effects, source, admission, registry, gateway, dns, snapshots, zones })
    }

    /// Serves until SIGTERM or SIGINT, then drains. `ready` is called once the first snapshot is served.
    ///
    /// # Errors
    /// When a part cannot start.
    pub async fn run(mut self, ready: impl FnOnce(&Addresses) + Send) -> Result<(), RunError> {
        let (published, told) = watch::channel(Arc::<Published>::default());
        let listen = self.config.admin.listen;
        let webhook = Webhook::bind(self.admission.take(), told.clone()).await?;
        let admin = Admin::bind(listen, told, self.registry.clone()).await.map_err(|e| RunError::Admin(listen, e))?;
        let addresses = self.addresses(admin.local_address()?);
        let (stop_last, admin_task) = spawned(|stop| admin.run(stop));
        // Nobody is answered before it is known what to answer.
        let Some(origin) = Origin::new(self.source, (&self.config, &self.settings), &addresses, &self.registry).await? else { return Ok(()) };

        let (stop_admission, admission_task) = spawned({
            let keeper = admission::Keeper::of(&origin);
            |stop| admission::run(webhook, keeper, stop)
        });
        let (l4, l4_tables) = watch::channel(Arc::<gateway::l4::L4Table>::default());
        let forwarder = Arc::new(gateway::l4::Forwarder::new(&self.registry)?);
        let outlets = Outlets { gateway: self.snapshots, dns: self.zones, l4, published, ..Outlets::default() };
        let platform = platform_secrets(&self.settings);
        let (lead, held) = Lead::new(&origin, (&self.config, &addresses), &outlets, &self.registry)?;
        let (stop_leading, lead_task) = spawned(|stop| lead.run(stop));

        let stop = CancellationToken::new();
        let (stop_dns, dns_task) = spawned(|stop| serve_dns(self.dns, stop));
        let gateway_task = tokio::spawn(serve_gateway(self.gateway, stop.clone()));
        let l4_task = self.config.role.serves_gateway().then(|| tokio::spawn(forward(forwarder.clone(), l4_tables)));

        let passes = Passes::new(self.settings, self.effects, Metrics::new(&self.registry)?, outlets);
        let changes = Changes::new(&origin, platform, held, forwarder.failures());
        let passes = serve(passes, changes, || ready(&addresses)).await?;

        tracing::info!("draining");
        passes.drain();
        stop.cancel();
        // Another replica takes over while connections are still open here.
        stop_leading.cancel();
        let _ = lead_task.await;
        origin.stop().await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(self.config.gateway.drain_seconds);
        if let Some(task) = l4_task {
            task.abort();
        }
        let drained = async { tokio::join!(gateway_task, forwarder.shutdown(deadline)) };
        tokio::select! {
            _ = drained => {},
            () = asked_to_stop()? => tracing::warn!("asked twice: not waiting for open connections"),
        }
        stop_dns.cancel();
        let _ = dns_task.await;
        stop_admission.cancel();
        let _ = admission_task.await;
        stop_last.cancel();
        let _ = admin_task.await;
        Ok(())
    }

    fn addresses(&self, admin: SocketAddr) -> Addresses {
        let gateway = self.gateway.as_ref().map(gateway::Gateway::local_addresses).unwrap_or_default();
        let dns = self.dns.as_ref().map(|dns| dns.local_addresses().to_vec()).unwrap_or_default();
        Addresses { http: gateway.http, https: gateway.https, dns, admin }
    }
}
