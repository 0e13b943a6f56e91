//! The webhook's certificate: whom the API server trusts is kept right, and nothing slips through while CA and certificate are renewed.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use e2e::lab::install::{NAMESPACE, Replica, Vrata};
use e2e::lab::{Lab, commands};
use e2e::{Client, Kubectl, eventually};
use http::Method;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use tokio::sync::watch;
use x509_parser::pem::Pem;

use super::{CONFIGURATION, asked, squatter, tenants, tried};

/// The name that the API server calls.
const NAME: &str = "vrata-admission.vrata-system.svc";

/// The Secret of CA and certificate, and its key.
const SECRET: &str = "vrata-admission";
const KEY: &str = "certificates.json";

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn nothing_slips_through_while_ca_and_certificate_are_renewed() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let kubectl = lab.kubectl();
        tenants(&kubectl).await?;
        let vrata = commands::install(lab).await?;
        asked(&kubectl).await?;

        // What somebody else writes there does not stay.
        let other = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": BASE64_STANDARD.encode(stranger()?)}]);
        let before = bundle(&kubectl).await?;
        kubectl.run(&["patch", "validatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", &other.to_string()]).await?;
        eventually("the bundle is right again", async || bundle(&kubectl).await, |now| *now == before).await?;
        asked(&kubectl).await?;

        let stop = watch::Sender::new(false);
        let slipped = tokio::spawn(slipped_through(kubectl.clone(), stop.subscribe()));
        let leaves = leaves(lab, &vrata).await?;
        age(&kubectl).await?;
        let both = |bundle: &String| bundle.matches("BEGIN CERTIFICATE").count() == 2 && *bundle != before;
        eventually("a new CA is trusted besides the old one", async || bundle(&kubectl).await, both).await?;
        for (replica, old) in &leaves {
            let what = format!("{} serves a new certificate, of the new CA", replica.name);
            let newest = async || Ok((leaf(replica, &first(&bundle(&kubectl).await?)).await?, ()));
            eventually(&what, newest, |(leaf, ())| leaf != old).await?;
        }
        stop.send_replace(true);
        let (tries, slipped) = slipped.await??;
        ensure!(tries > 0 && slipped.is_empty(), "of {tries} tries: {slipped:?}");
        Ok(())
    })
}

/// Asks again and again for what is refused; gives how often, and what was said otherwise.
async fn slipped_through(kubectl: Kubectl, mut stop: watch::Receiver<bool>) -> Result<(usize, Vec<String>)> {
    let (mut tries, mut slipped) = (0, Vec::new());
    while !*stop.borrow_and_update() {
        let said = tried(&kubectl, &squatter("again")).await?;
        tries += 1;
        if !said.err.contains(super::DENIED) {
            slipped.push(said.out + &said.err);
        }
    }
    Ok((tries, slipped))
}

/// Whom the API server trusts, PEM.
async fn bundle(kubectl: &Kubectl) -> Result<String> {
    let configuration = kubectl.get("validatingwebhookconfiguration", NAMESPACE, CONFIGURATION).await?;
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str().context("no caBundle")?;
    Ok(String::from_utf8(BASE64_STANDARD.decode(bundle)?)?)
}

/// The first certificate of a bundle.
fn first(bundle: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    bundle.split_inclusive(END).next().unwrap_or_default().to_owned()
}

/// What each replica serves, once it does.
pub(super) async fn leaves(lab: &Lab, vrata: &Vrata) -> Result<Vec<(Replica, Vec<u8>)>> {
    let root = first(&bundle(&lab.kubectl()).await?);
    let mut leaves = Vec::new();
    for replica in vrata.replicas(lab).await? {
        let leaf = eventually("it serves", async || leaf(&replica, &root).await, |_| true).await?;
        leaves.push((replica, leaf));
    }
    Ok(leaves)
}

/// The certificate that a replica serves, of whom this root vouches for.
async fn leaf(replica: &Replica, root: &str) -> Result<Vec<u8>> {
    let client = Client::trusting((replica.address, 8444).into(), root)?;
    let answer = client.send(Method::POST, NAME, "/validate", Bytes::new()).await?;
    answer.certificate.context("no certificate")
}

/// A CA that has signed nothing.
fn stranger() -> Result<String> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(params.self_signed(&key)?.pem())
}

/// Makes CA and certificate as old as they are when they are renewed. Keys and names stay, so that who trusts the CA goes on to.
async fn age(kubectl: &Kubectl) -> Result<()> {
    let secret = kubectl.get("secret", NAMESPACE, SECRET).await?;
    let mut kept: Value = serde_json::from_slice(&BASE64_STANDARD.decode(secret["data"][KEY].as_str().context("no certificates")?)?)?;
    let text = |pair: &str, part: &str| kept[pair][part].as_str().map(str::to_owned).with_context(|| format!("no {part} of {pair}"));
    let key = KeyPair::from_pem(&text("authority", "key")?)?;
    let mut authority = lived(&[], &common_name(&text("authority", "certificate")?)?, 4 * 365 * DAY, 365 * DAY)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = authority.self_signed(&key)?.pem();
    let mut leaf = lived(&[NAME.to_owned()], "Vrata admission", 80 * DAY, 10 * DAY)?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&KeyPair::from_pem(&text("leaf", "key")?)?, &Issuer::new(authority, key))?.pem();
    kept["authority"]["certificate"] = certificate.into();
    kept["leaf"]["certificate"] = leaf.into();
    let patch = json!({"data": {KEY: BASE64_STANDARD.encode(kept.to_string())}});
    kubectl.run(&["--namespace", NAMESPACE, "patch", "secret", SECRET, "--type=merge", "-p", &patch.to_string()]).await.map(drop)
}

/// What a certificate says that has lived for so long, and has so long to live.
fn lived(names: &[String], common_name: &str, past: Duration, left: Duration) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = (SystemTime::now() - past).into();
    params.not_after = (SystemTime::now() + left).into();
    Ok(params)
}

fn common_name(pem: &str) -> Result<String> {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next().context("no PEM")??;
    let certificate = pem.parse_x509()?;
    let name = certificate.subject().iter_common_name().next().context("no name")?.as_str()?;
    Ok(name.to_owned())
}
