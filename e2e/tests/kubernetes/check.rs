//! `vrata check --kubeconfig`: a cluster that others serve is judged by reading alone, with no more rights than `deploy/check-rights.yaml` gives.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::lab::install::{self, ZONE};
use e2e::shell::Printed;
use e2e::{Lab, eventually, shell, vrata};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

const RIGHTS: &str = include_str!("../../../deploy/check-rights.yaml");

/// A ServiceAccount, and who it is in the audit log.
const READER: &str = "system:serviceaccount:audit:reader";

/// Everything but the rights to Secrets and pools.
fn fewer_rights() -> String {
    let rights = RIGHTS.replace("vrata-check", "vrata-check-less");
    let lines = rights.lines().filter(|line| !line.contains("resources: [secrets]")).map(|line| line.replace(" ipaddresspools,", ""));
    lines.collect::<Vec<_>>().join("\n")
}

/// What cert-manager leaves: a certificate of its issuer.
fn secret(namespace: &str, name: &str, host: &str) -> Result<String> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![host.to_owned()])?.self_signed(&key)?.pem();
    let encoded = |text: String| BASE64_STANDARD.encode(text);
    let annotations = json!({
        "cert-manager.io/certificate-name": name, "cert-manager.io/issuer-name": "letsencrypt-prod", "cert-manager.io/issuer-kind": "ClusterIssuer",
    });
    let labels = json!({"controller.cert-manager.io/fao": "true"});
    let metadata = json!({"name": name, "namespace": namespace, "annotations": annotations, "labels": labels});
    let data = json!({"tls.crt": encoded(certificate), "tls.key": encoded(key.serialize_pem())});
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}).to_string())
}

/// Objects, and what their controllers wrote into them.
async fn populate(lab: &Lab) -> Result<()> {
    let kubectl = lab.kubectl();
    kubectl.apply(&install::crds()).await?;
    kubectl.run(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"]).await?;
    let objects = include_str!("check.yaml").replace("ZONE", ZONE);
    eventually("the objects are taken", async || kubectl.apply(&objects).await, |()| true).await?;
    kubectl.apply(&secret("tenant-b", "kept-tls", &format!("kept.lab.{ZONE}"))?).await?;
    let statuses = [
        ("ingress", "tenant-b", "web", "nginx-ingress-controller", "192.0.2.200"),
        ("ingress", "tenant-a", "web", "nginx-ingress-controller", "192.0.2.200"),
        ("ingress", "tenant-a", "snippet", "nginx-ingress-controller", "192.0.2.200"),
        ("service", "tenant-b", "db", "controller", "192.0.2.70"),
        ("service", "tenant-b", "moved", "controller", "203.0.113.9"),
        ("service", "tenant-b", "asks", "controller", "192.0.2.71"),
    ];
    for (kind, namespace, name, manager, address) in statuses {
        let (manager, status) =
            (format!("--field-manager={manager}"), json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}).to_string());
        kubectl.run(&["-n", namespace, "patch", kind, name, "--subresource=status", "--type=merge", &manager, "-p", &status]).await?;
    }
    Ok(())
}

/// A kubeconfig of a ServiceAccount with these rights.
async fn account(lab: &Lab, directory: &Path, name: &str, rights: &str, role: &str) -> Result<String> {
    let kubectl = lab.kubectl();
    let metadata = json!({"name": name, "namespace": "audit"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "audit"}],
    });
    kubectl.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: audit}\n").await?;
    kubectl.apply(&format!("{rights}\n---\n{account}\n---\n{binding}\n")).await?;
    let token = kubectl.run(&["create", "token", name, "--namespace", "audit"]).await?;
    let mut config: Value = serde_json::from_str(&kubectl.run(&["config", "view", "--raw", "--output", "json"]).await?)?;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = directory.join(name);
    std::fs::write(&path, config.to_string())?;
    let path = path.to_string_lossy().into_owned();
    let may = format!("--as=system:serviceaccount:audit:{name}");
    let known = async || kubectl.run(&["auth", "can-i", "list", "ingresses.networking.k8s.io", "-A", &may]).await;
    eventually("the rights are known", known, |answer| answer.starts_with("yes")).await?;
    Ok(path)
}

async fn check(kubeconfig: &str, config: &Path, output: &str) -> Result<Printed> {
    let config = config.to_string_lossy();
    shell::run(&vrata::binary()?, &["check", "--kubeconfig", kubeconfig, "--config", &config, "--zone", ZONE, "--output", output]).await
}

/// What an account asked the API server for: verbs, and whether one was refused.
fn asked(audit: &str, user: &str) -> (BTreeSet<String>, bool) {
    let events = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["user"]["username"] == user).fold((BTreeSet::new(), false), |(mut verbs, refused), event| {
        verbs.extend(event["verb"].as_str().map(str::to_owned));
        (verbs, refused || event["responseStatus"]["code"] == 403)
    })
}

fn rows<'a>(report: &'a Value, section: &str, name: &str, fate: &str) -> BTreeSet<(&'a str, &'a str)> {
    let rows = report["migration"][section].as_array().into_iter().flatten();
    rows.map(|row| (row[name].as_str().unwrap_or_default(), row[fate].as_str().unwrap_or_default())).collect()
}

#[test]
fn a_cluster_that_others_serve_is_judged_by_reading_alone() -> Result<()> {
    Lab::start()?.run(async |lab| {
        populate(lab).await?;
        let directory = tempfile::tempdir()?;
        let config = directory.path().join("config.yaml");
        std::fs::write(&config, "gateway: {publicAddresses: [192.0.2.1]}\n")?;
        let kubeconfig = account(lab, directory.path(), "reader", RIGHTS, "vrata-check").await?;

        let printed = check(&kubeconfig, &config, "json").await?;
        assert_eq!(printed.code, Some(1), "{}", printed.err);
        let report: Value = serde_json::from_str(&printed.out).with_context(|| printed.err.clone())?;
        let hosts = [("tenant-a/snippet", "refused"), ("tenant-a/web", "refused"), ("tenant-b/web", "moves")];
        assert_eq!(rows(&report, "hosts", "ingress", "change"), hosts.into());
        let certificates = [("_platform/wildcard-dyn.cloud.e-infra.cz", "ordered"), ("tenant-b/fresh-tls", "ordered"), ("tenant-b/kept-tls", "kept")];
        assert_eq!(rows(&report, "certificates", "secret", "fate"), certificates.into());
        let services = [("tenant-b/asks", "refused"), ("tenant-b/db", "stays"), ("tenant-b/moved", "moves")];
        assert_eq!(rows(&report, "services", "service", "change"), services.into());
        let names = rows(&report, "names", "name", "change");
        let (db, elsewhere) = (format!("db.{ZONE}"), ("db.example.net", "elsewhere"));
        assert!(names.contains(&(&*db, "stays")) && names.contains(&elsewhere), "{names:?}");
        // Who asks for what there is not keeps what it has.
        assert_eq!(report["migration"]["pools"][0]["services"], 3, "{}", report["migration"]["pools"]);
        assert_eq!(report["migration"]["announcements"][0]["name"], "metallb-system/all");
        let unread =
            |report: &Value| report["problems"].as_array().into_iter().flatten().filter(|problem| problem["reason"] == "NotReadable").count();
        assert_eq!(unread(&report), 0, "{}", report["problems"]);

        let text = check(&kubeconfig, &config, "text").await?.out;
        for line in ["  move          192.0.2.200 → 192.0.2.1: app.", "  stay          at 192.0.2.70 of the pool public: tenant-b/db\n"] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let all = asked(&lab.audit()?, READER);
        assert_eq!(all, (["get", "list"].map(str::to_owned).into(), false), "it reads, and has the rights to");

        // Who may see less is told what is missing, and gets the rest.
        let kubeconfig = account(lab, directory.path(), "blind", &fewer_rights(), "vrata-check-less").await?;
        let printed = check(&kubeconfig, &config, "json").await?;
        let report: Value = serde_json::from_str(&printed.out).with_context(|| printed.err.clone())?;
        assert_eq!((unread(&report), printed.code), (2, Some(1)), "{}", report["problems"]);
        assert_eq!(rows(&report, "hosts", "ingress", "change"), hosts.into());
        assert!(rows(&report, "certificates", "secret", "fate").contains(&("tenant-b/kept-tls", "unknown")));
        Ok(())
    })
}
