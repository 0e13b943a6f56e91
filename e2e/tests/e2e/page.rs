//! The status page in a real browser.

use anyhow::Result;
use e2e::manifest::App;
use e2e::vrata::ZONE;
use e2e::{Backend, Setup, Vrata, browser};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_every_host() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()?).await?);
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    vrata.get_until(&host, "/", 200).await?;
    let profile = tempfile::tempdir()?;
    let page = browser::dom(&format!("http://{}/", vrata.ports().admin), profile.path()).await?;
    assert!(page.contains(&host), "{page}");
    Ok(())
}
