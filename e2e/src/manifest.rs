//! Manifests as tenants write them, from the few things that tests vary.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// An Ingress and what is behind it.
#[derive(Debug, Clone)]
pub struct App {
    name: String,
    namespace: String,
    host: String,
    backend: SocketAddr,
    annotations: Vec<(String, String)>,
    tls_secret: bool,
    path: Option<String>,
}

impl App {
    /// The app `name`, in a namespace of the same name, under `host`.
    pub fn new(name: &str, host: &str, backend: SocketAddr) -> Self {
        Self { name: name.into(), namespace: name.into(), host: host.into(), backend, annotations: Vec::new(), tls_secret: true, path: None }
    }

    /// Another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// An annotation of ingress-nginx, without its prefix.
    #[must_use]
    pub fn nginx(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((format!("nginx.ingress.kubernetes.io/{key}"), value.into()));
        self
    }

    /// Below this path only.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Without a `tls` section.
    #[must_use]
    pub fn without_tls_section(mut self) -> Self {
        self.tls_secret = false;
        self
    }

    /// Ingress, Service and EndpointSlice.
    pub fn manifest(&self) -> String {
        let Self { name, namespace, host, .. } = self;
        let mut annotations = String::new();
        for (key, value) in &self.annotations {
            let _ = writeln!(annotations, "    {key}: {value:?}");
        }
        let tls = if self.tls_secret { format!("  tls:\n    - hosts: [\"{host}\"]\n      secretName: {name}-tls\n") } else { String::new() };
        let path = self.path.as_ref().map(|path| format!("            path: {path:?}\n")).unwrap_or_default();
        let ingress = format!(
            "apiVersion: networking.k8s.io/v1\n\
             kind: Ingress\n\
             metadata:\n  name: {name}\n  namespace: {namespace}\n  annotations:\n    kubernetes.io/ingress.class: \"nginx\"\n    \
             kubernetes.io/tls-acme: \"true\"\n    cert-manager.io/cluster-issuer: \"letsencrypt-prod\"\n{annotations}\
             spec:\n{tls}  rules:\n    - host: \"{host}\"\n      http:\n        paths:\n          - backend:\n              service:\n                \
             name: {name}\n                port:\n                  number: 80\n            pathType: ImplementationSpecific\n{path}---\n"
        );
        ingress + &Service::new(name, namespace).port(80, "TCP", self.backend).manifest()
    }
}

/// A Service with the endpoints behind it.
#[derive(Debug, Clone)]
pub struct Service {
    name: String,
    namespace: String,
    load_balancer: bool,
    annotations: Vec<(String, String)>,
    ports: Vec<(u16, &'static str, SocketAddr)>,
}

impl Service {
    /// A Service of type ClusterIP.
    pub fn new(name: &str, namespace: &str) -> Self {
        Self { name: name.into(), namespace: namespace.into(), load_balancer: false, annotations: Vec::new(), ports: Vec::new() }
    }

    /// Type LoadBalancer.
    #[must_use]
    pub fn load_balancer(mut self) -> Self {
        self.load_balancer = true;
        self
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.into(), value.into()));
        self
    }

    /// A port (`TCP` or `UDP`) and the endpoint behind it.
    #[must_use]
    pub fn port(mut self, port: u16, protocol: &'static str, endpoint: SocketAddr) -> Self {
        self.ports.push((port, protocol, endpoint));
        self
    }

    /// Service and one EndpointSlice for each port.
    pub fn manifest(&self) -> String {
        let Self { name, namespace, .. } = self;
        let kind = if self.load_balancer { "LoadBalancer" } else { "ClusterIP" };
        let mut text = format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {namespace}\n");
        for (index, (key, value)) in self.annotations.iter().enumerate() {
            let heading = if index == 0 { "  annotations:\n" } else { "" };
            let _ = writeln!(text, "{heading}    {key}: {value:?}");
        }
        let _ = write!(text, "spec:\n  type: {kind}\n  ports:\n");
        for (port, protocol, endpoint) in &self.ports {
            let _ = writeln!(text, "    - {{name: p{port}, port: {port}, targetPort: {}, protocol: {protocol}}}", endpoint.port());
        }
        self.ports.iter().fold(text, |text, port| text + &self.slice(*port))
    }

    fn slice(&self, (port, protocol, endpoint): (u16, &str, SocketAddr)) -> String {
        let Self { name, namespace, .. } = self;
        let (address, number) = (endpoint.ip(), endpoint.port());
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-{port}\n  namespace: {namespace}\n  \
             labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\nports:\n  - {{name: p{port}, port: {number}, protocol: {protocol}}}\n\
             endpoints:\n  - {{addresses: [\"{address}\"], conditions: {{ready: true}}}}\n"
        )
    }
}

/// A Secret of text.
pub fn secret(namespace: &str, name: &str, entries: &[(&str, &str)]) -> String {
    let mut text = format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: {namespace}\nstringData:\n");
    for (key, value) in entries {
        let _ = writeln!(text, "  {key}: {value:?}");
    }
    text
}

/// A Certificate `name` for one host, in the Secret `name-tls`.
pub fn certificate(namespace: &str, name: &str, host: &str) -> String {
    format!(
        "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  secretName: {name}-tls\n  \
         dnsNames: [{host}]\n  issuerRef: {{name: letsencrypt-prod, kind: ClusterIssuer}}\n"
    )
}

/// The class `nginx`.
pub fn ingress_class() -> String {
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n---\n".to_owned()
}

/// The issuer `letsencrypt-prod`, signing with this key pair.
pub fn ca_issuer(certificate: &str, key: &str) -> String {
    let issuer = "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt-prod}\nspec: {ca: {secretName: test-ca}}\n";
    issuer.to_owned() + &secret("cert-manager", "test-ca", &[("tls.crt", certificate), ("tls.key", key)])
}

/// The issuer `letsencrypt-prod`, ordering from the ACME server at `directory`. `ca_bundle` is base64 of PEM.
pub fn acme_issuer(directory: &str, ca_bundle: &str) -> String {
    format!(
        "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {{name: letsencrypt-prod}}\nspec:\n  acme:\n    server: {directory}\n    \
         email: admin@example.org\n    caBundle: {ca_bundle}\n    privateKeySecretRef: {{name: letsencrypt-account}}\n"
    )
}
