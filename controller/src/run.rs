//! `vrata run`: binds everything, starts everything, runs passes, and stops in good order. Decisions are elsewhere.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::admission::{self, CertificateError, Certificates};
use crate::compile::{Settings, SettingsError};
use crate::config::{AccessLog, Config, Role};
use crate::effects::{Effects, EffectsError};
use crate::metrics::Metrics;
use crate::pass::{Inputs, Outlets, Passes};
use crate::source::{self, SourceError, Watched};
use crate::state::{StateDir, StateError};
use crate::status::Published;

/// How often everything is looked at again although nothing changed: certificates expire by themselves.
const TICK: Duration = Duration::from_secs(3600);

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
    /// The certificates' engine does not start.
    #[error("certificates: {0}")]
    Acme(#[from] acme::StartError),
    /// The manifests cannot be read.
    #[error("manifests: {0}")]
    Source(#[from] SourceError),
    /// A gateway's address cannot be bound.
    #[error("gateway: {0}")]
    Gateway(#[from] gateway::BindError),
    /// A DNS address cannot be bound.
    #[error("dns: {0}")]
    Dns(#[from] dns::BindError),
    /// The admin listener cannot be bound.
    #[error("admin.listen: {0}: {1}; choose another with --admin")]
    Admin(SocketAddr, io::Error),
    /// The webhook has no certificate.
    #[error(transparent)]
    AdmissionCertificate(#[from] CertificateError),
    /// The webhook cannot be bound.
    #[error("admission.listen: {0}: {1}")]
    Admission(SocketAddr, io::Error),
    /// Metrics clash.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
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

/// A program whose sockets are bound and whose first read is done; [`Started::run`] serves.
pub struct Started {
    config: Config,
    settings: Settings,
    effects: Effects,
    store: acme::Store,
    watched: Watched,
    admission: Option<(SocketAddr, Certificates)>,
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
        let gateway = serves_gateway.then(|| gateway::Gateway::bind(options(&config), snapshots.clone(), &registry)).transpose()?;
        let serves_dns = config.role.serves_dns();
        let dns = serves_dns.then(|| dns::Server::bind(&config.dns.listen, zones.clone(), &registry)).transpose()?;
        let store = acme::Store::open(state.path())?;
        let state = Arc::new(state);
        let effects = Effects::open(Arc::clone(&state))?;
        let certificates =
            |address| Certificates::open(state, config.admission.names(), SystemTime::now()).map(|certificates| (address, certificates));
        let admission = config.admission.listen.map(certificates).transpose()?;
        let watched = source::watch(&config.source.manifests)?;
        Ok(Self { config, settings, effects, store, watched, admission, registry, gateway, dns, snapshots, zones })
    }

    /// Serves until SIGTERM or SIGINT, then drains. `ready` is called once the first snapshot is served.
    ///
    /// # Errors
    /// When a part cannot start.
    pub async fn run(mut self, ready: impl FnOnce(&Addresses) + Send) -> Result<(), RunError> {
        let (published, told) = watch::channel(Arc::<Published>::default());
        let listen = self.config.admin.listen;
        let admission = bind_admission(self.admission.take(), &told).await?;
        let admin = Admin::bind(listen, told, self.registry.clone()).await.map_err(|e| RunError::Admin(listen, e))?;
        let addresses = self.addresses(admin.local_address()?);
        let (wanted, wants) = watch::channel(Arc::<acme::WantedSet>::default());
        let (l4, l4_tables) = watch::channel(Arc::<gateway::l4::L4Table>::default());
        let forwarder = Arc::new(gateway::l4::Forwarder::new(&self.registry)?);
        // Where only names are served nobody needs a certificate.
        let (silent, nothing) = watch::channel(Arc::default());
        let (engine, held) = if self.config.role == Role::Dns {
            (None, nothing)
        } else {
            let (engine, held) = acme::Engine::start(self.store, wants, engine_options(&addresses), &self.registry)?;
            (Some(engine), held)
        };

        let stop = CancellationToken::new();
        let (stop_last, admin_task) = spawned(|stop| admin.run(stop));
        let (stop_admission, admission_task) = spawned(|stop| serve_admission(admission, stop));
        let (stop_dns, dns_task) = spawned(|stop| serve_dns(self.dns, stop));
        let gateway_task = tokio::spawn(serve_gateway(self.gateway, stop.clone()));
        let l4_task = self.config.role.serves_gateway().then(|| tokio::spawn(forward(forwarder.clone(), l4_tables)));

        let outlets = Outlets { gateway: self.snapshots, dns: self.zones, wanted, l4, published };
        let passes = Passes::new(self.settings, self.effects, Metrics::new(&self.registry)?, outlets);
        let changes = Changes { reads: self.watched.reads.clone(), held, unbound: forwarder.failures() };
        let passes = serve(passes, changes, || ready(&addresses)).await?;

        tracing::info!("draining");
        passes.drain();
        stop.cancel();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(self.config.gateway.drain_seconds);
        if let Some(task) = l4_task {
            task.abort();
        }
        let drained = async { tokio::join!(gateway_task, forwarder.shutdown(deadline)) };
        tokio::select! {
            _ = drained => {},
            () = asked_to_stop()? => tracing::warn!("asked twice: not waiting for open connections"),
        }
        if let Some(engine) = engine {
            engine.stop().await;
        }
        drop(silent);
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

fn spawned<F: Future<Output = ()> + Send + 'static>(task: impl FnOnce(CancellationToken) -> F) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(task(stop)))
}

async fn serve_gateway(gateway: Option<gateway::Gateway>, stop: CancellationToken) {
    if let Some(gateway) = gateway {
        gateway.run(stop).await;
    }
}

async fn bind_admission(
    wanted: Option<(SocketAddr, Certificates)>,
    published: &watch::Receiver<Arc<Published>>,
) -> Result<Option<admission::Listener>, RunError> {
    let Some((address, certificates)) = wanted else { return Ok(None) };
    let bound = admission::Listener::bind(address, certificates, published.clone()).await;
    bound.map(Some).map_err(|e| RunError::Admission(address, e))
}

async fn serve_admission(admission: Option<admission::Listener>, stop: CancellationToken) {
    if let Some(admission) = admission {
        admission.run(stop).await;
    }
}

async fn serve_dns(dns: Option<dns::Server>, stop: CancellationToken) {
    if let Some(dns) = dns {
        dns.run(stop).await;
    }
}

async fn forward(forwarder: Arc<gateway::l4::Forwarder>, mut tables: watch::Receiver<Arc<gateway::l4::L4Table>>) {
    loop {
        let table = tables.borrow_and_update().clone();
        for failure in forwarder.apply(table).await {
            tracing::warn!(%failure, "cannot forward");
        }
        if tables.changed().await.is_err() {
            return;
        }
    }
}

/// What makes a new pass necessary.
struct Changes {
    reads: watch::Receiver<Arc<source::Read>>,
    held: watch::Receiver<Arc<acme::Held>>,
    unbound: watch::Receiver<Vec<gateway::l4::BindFailure>>,
}

impl Changes {
    fn inputs(&mut self) -> Inputs {
        Inputs {
            read: self.reads.borrow_and_update().clone(),
            held: self.held.borrow_and_update().clone(),
            unbound: self.unbound.borrow_and_update().clone(),
        }
    }

    /// Waits for a change; `false` when none can come any more.
    async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.reads.changed() => changed.is_ok(),
            changed = self.held.changed() => changed.is_ok(),
            changed = self.unbound.changed() => changed.is_ok(),
            () = tokio::time::sleep(TICK) => true,
        }
    }
}

/// Runs passes until a stop is asked for.
async fn serve(mut passes: Passes, mut changes: Changes, ready: impl FnOnce()) -> Result<Passes, RunError> {
    let stop = asked_to_stop()?;
    tokio::pin!(stop);
    let mut ready = Some(ready);
    loop {
        let inputs = changes.inputs();
        passes = tokio::task::spawn_blocking(move || {
            passes.run(&inputs, SystemTime::now());
            passes
        })
        .await
        .map_err(io::Error::other)?;
        if let Some(ready) = ready.take() {
            ready();
        }
        tokio::select! {
            () = &mut stop => return Ok(passes),
            more = changes.next() => if !more {
                tracing::error!("a part of the program ended; what was served last goes on");
                stop.as_mut().await;
                return Ok(passes);
            },
        }
    }
}

/// A future that ends with SIGTERM or SIGINT.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
    })
}

fn options(config: &Config) -> gateway::Options {
    let gateway = &config.gateway;
    gateway::Options {
        http: gateway.http.clone(),
        https: gateway.https.clone(),
        public_https_port: gateway.public_https_port,
        drain_timeout: Duration::from_secs(gateway.drain_seconds),
        access_log: match gateway.access_log {
            AccessLog::Off => gateway::options::AccessLog::Off,
            AccessLog::Json => gateway::options::AccessLog::Json,
            AccessLog::Nginx => gateway::options::AccessLog::Nginx,
        },
        max_connections: gateway.max_connections,
        ..gateway::Options::default()
    }
}

fn engine_options(addresses: &Addresses) -> acme::Options {
    let self_check = acme::SelfCheck {
        dns: addresses.dns.iter().copied().map(reachable).collect(),
        http: addresses.http.iter().copied().map(reachable).collect(),
        https: addresses.https.iter().copied().map(reachable).collect(),
        ..acme::SelfCheck::default()
    };
    acme::Options { self_check, clock: Arc::new(SystemTime::now), orders_per_issuer: 8 }
}

/// An address to ask oneself at: a listener on all addresses is asked on loopback.
const fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), v6.port()),
        other => other,
    }
}
