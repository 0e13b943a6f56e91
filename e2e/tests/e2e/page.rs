//! The status page in a real browser.

use anyhow::Result;
use e2e::manifest::App;
use e2e::vrata::ZONE;
use e2e::{Backend, Setup, Vrata, browser, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_hosts_and_problems_on_a_desk_and_on_a_phone() -> Result<()> {
    let (backend, vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    vrata.get_until(&host, "/", 200).await?;
    let snippet = App::new("thesis", &format!("a-thesis-with-quite-a-long-name.{ZONE}"), backend.address());
    vrata.apply("thesis.yaml", &snippet.nginx("configuration-snippet", "more_set_headers \"X-Thesis: yes\";").manifest())?;
    eventually("there is a problem", async || vrata.status().await, |status| status["problems"].as_array().is_some_and(|all| !all.is_empty()))
        .await?;

    let url = format!("http://{}/", vrata.ports().admin);
    for (width, height) in [(1280, 800), (360, 740)] {
        let profile = tempfile::tempdir()?;
        let page = browser::open(&url, width, height, profile.path()).await?;
        assert!(page.text.contains(&host), "{page:?}");
        let (problem, served) = (page.text.find("configuration-snippet"), page.text.rfind(&host));
        assert!(problem.is_some() && problem < served, "problems come first: {page:?}");
        assert_eq!(page.console, Vec::<String>::new());
        assert!(page.requests.iter().all(|request| request.starts_with(&url) || request.starts_with("data:")), "{:?}", page.requests);
        assert!(page.widths.0 <= page.widths.1, "{width}: the page has to be scrolled sideways: {:?}", page.widths);
    }
    Ok(())
}
