//! What is wrong with one object is told, and is nobody else's trouble.

use anyhow::Result;
use e2e::manifest::App;
use e2e::vrata::ZONE;
use e2e::{Backend, Setup, Vrata, eventually};
use serde_json::Value;

fn reasons(status: &Value) -> Vec<&str> {
    status["problems"].as_array().into_iter().flatten().filter_map(|problem| problem["reason"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_manifest_keeps_its_last_good_version_and_its_neighbours() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let (good, neighbour) = (format!("good.{ZONE}"), format!("neighbour.{ZONE}"));
    vrata.apply("good.yaml", &App::new("good", &good, backend.address()).manifest())?;
    vrata.get_until(&good, "/", 200).await?;

    vrata.apply("good.yaml", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: good\n")?;
    let look = async || vrata.status().await;
    eventually("the broken file is a problem", look, |status| reasons(status).contains(&"NotParsed")).await?;
    vrata.apply("neighbour.yaml", &App::new("neighbour", &neighbour, backend.address()).manifest())?;
    vrata.get_until(&neighbour, "/", 200).await?;
    assert_eq!(vrata.get(&good, "/").await?.status, 200, "the last good version is served");

    vrata.apply("good.yaml", &App::new("good", &good, backend.address()).manifest())?;
    eventually("the problem is gone", look, |status| !reasons(status).contains(&"NotParsed")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_belongs_to_the_namespace_that_claimed_it_first() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let host = format!("mine.{ZONE}");
    vrata.apply("a.yaml", &App::new("first", &host, backend.address()).manifest())?;
    vrata.get_until(&host, "/", 200).await?;
    vrata.apply("b.yaml", &App::new("second", &host, backend.address()).nginx("auth-type", "basic").manifest())?;
    eventually("the second claim is refused", async || vrata.status().await, |status| reasons(status).contains(&"HostOwnedByAnother")).await?;
    assert_eq!(vrata.get(&host, "/").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_half_written_is_a_problem_until_it_is_whole() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let (old, new) = (format!("old.{ZONE}"), format!("new.{ZONE}"));
    vrata.apply("app.yaml", &App::new("app", &old, backend.address()).manifest())?;
    vrata.get_until(&old, "/", 200).await?;

    let whole = App::new("app", &new, backend.address()).manifest();
    let half = &whole[..whole.find("backend:").unwrap_or_default() + "backend:\n          ser".len()];
    vrata.write_in_place("app.yaml", half)?;
    let look = async || vrata.status().await;
    let status = eventually("half a file is a problem", look, |status| !reasons(status).is_empty()).await?;
    assert!(status["problems"][0].to_string().contains("app.yaml"), "{status}");
    assert_eq!(vrata.get(&old, "/").await?.status, 200, "the last good version is served");

    vrata.write_in_place("app.yaml", &whole)?;
    vrata.get_until(&new, "/", 200).await?;
    let status = eventually("the problem is gone", look, |status| reasons(status).is_empty()).await?;
    assert_eq!(status["hosts"].as_array().map(Vec::len), Some(1), "{status}");
    Ok(())
}
