//! Serves zone files: `cargo run -p vrata-dns --example serve -- 127.0.0.1:5300 ORIGIN=FILE…`, until interrupted.

use std::sync::Arc;

use arc_swap::ArcSwap;
use dns::{EmptyNonTerminals, Name, Server, Zone, ZoneSet, zonefile};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

fn load(argument: &str) -> Result<Arc<Zone>, Failure> {
    let (origin, file) = argument.split_once('=').ok_or("expected ORIGIN=FILE")?;
    let origin = Name::from_ascii(origin)?.append_domain(&Name::root())?;
    let zone = zonefile::parse(&std::fs::read_to_string(file)?, &origin)?;
    let soa = zone.soa.ok_or("the zone file has no SOA")?;
    Ok(Arc::new(Zone::build(origin, &soa, 1, &zone.records, EmptyNonTerminals::Empty)?))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("expected ADDRESS:PORT ORIGIN=FILE…")?.parse()?;
    let zones = arguments.map(|argument| load(&argument)).collect::<Result<_, _>>()?;
    let zones = Arc::new(ArcSwap::from_pointee(ZoneSet::new(zones)?));
    let server = Server::bind(&[address], zones, &prometheus::Registry::new())?;
    println!("serving on {}", server.local_addresses()[0]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    running.await?;
    Ok(())
}
