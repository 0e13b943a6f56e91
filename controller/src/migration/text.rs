//! The report as an operator reads it: a section for each program that is taken over from, what changes first, and what is alike on one line. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Announcement, CertificateRow, Change, Fate, HostRow, Migration, NameRow, PoolRow, ServiceRow};

/// How many things of one line are named; JSON has all.
const MOST_NAMED: usize = 20;

/// One thing, for its line.
struct Item {
    /// Lines are in the order of ranks.
    rank: usize,
    label: &'static str,
    common: Common,
    name: String,
}

/// What things of one line have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Common {
    /// It stands before their names.
    Before(String),
    /// It stands behind them.
    Behind(String),
}

/// Renders the report; `bold` paints headings.
#[must_use]
pub fn text(migration: &Migration, bold: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let left = migration.summary.other_ingresses;
    if left > 0 {
        line(&mut text, format_args!("Ingresses of other classes, left alone: {left}\n"));
    }
    section(&mut text, &bold("Hosts (ingress-nginx)"), migration.hosts.iter().map(host));
    section(&mut text, &bold("Certificates (cert-manager)"), migration.certificates.iter().map(certificate));
    section(&mut text, &bold("DNS names (external-dns)"), migration.names.iter().map(name));
    section(&mut text, &bold("Services of type LoadBalancer (MetalLB, PureLB)"), migration.services.iter().map(service));
    section(&mut text, &bold("Pools"), migration.pools.iter().map(pool));
    section(&mut text, &bold("Not read here"), migration.announcements.iter().map(announcement));
    text
}

/// Writing to a String cannot fail.
fn line(text: &mut String, added: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{added}");
}

fn section(text: &mut String, heading: &str, items: impl Iterator<Item = Item>) {
    let mut lines: BTreeMap<(usize, &str, Common), Vec<String>> = BTreeMap::new();
    for item in items {
        lines.entry((item.rank, item.label, item.common)).or_default().push(item.name);
    }
    let counts = lines.iter().fold(BTreeMap::<(usize, &str), usize>::new(), |mut counts, ((rank, label, _), names)| {
        *counts.entry((*rank, label)).or_default() += names.len();
        counts
    });
    let counts: Vec<_> =
        counts.into_iter().map(|((_, label), count)| if label.is_empty() { count.to_string() } else { format!("{count} {label}") }).collect();
    line(text, format_args!("{heading}: {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }));
    for ((_, label, common), names) in lines {
        let (named, rest) = names.split_at(names.len().min(MOST_NAMED));
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        let label = if label.is_empty() { String::new() } else { format!("{label:<13} ") };
        let names = named.join(", ") + &more;
        match common {
            Common::Before(common) if common.is_empty() => line(text, format_args!("  {label}{names}")),
            Common::Before(common) => line(text, format_args!("  {label}{common}: {names}")),
            Common::Behind(why) => line(text, format_args!("  {label}{names}: {why}")),
        }
    }
    text.push('\n');
}

const fn label(change: Change) -> &'static str {
    match change {
        Change::Refused => "refused",
        Change::Moves => "move",
        Change::Appears => "new",
        Change::Stays => "stay",
        Change::Elsewhere => "left alone",
        Change::Unknown => "not known",
    }
}

/// From where to where, or why not.
fn way(change: Change, today: &[String], then: &[String], why: Option<&String>) -> Common {
    let places = |places: &[String]| if places.is_empty() { "nowhere".to_owned() } else { places.join(" and ") };
    match (change, why) {
        (_, Some(why)) => Common::Behind(why.clone()),
        (Change::Stays, None) => Common::Before(format!("at {}", places(today))),
        (Change::Unknown, None) => Common::Before(format!("at {} today", places(today))),
        (_, None) => Common::Before(format!("{} → {}", places(today), places(then))),
    }
}

fn host(row: &HostRow) -> Item {
    let common = way(row.change, &row.today, &row.then, row.why.as_ref());
    Item { rank: row.change as usize, label: label(row.change), common, name: format!("{} ({})", row.host, row.ingress) }
}

fn name(row: &NameRow) -> Item {
    let common = way(row.change, &row.today, &row.then, row.why.as_ref());
    Item { rank: row.change as usize, label: label(row.change), common, name: format!("{} ({})", row.name, row.object) }
}

fn service(row: &ServiceRow) -> Item {
    let common = match (way(row.change, &row.today, &row.then, row.why.as_ref()), &row.pool) {
        (Common::Before(way), Some(pool)) => Common::Before(format!("{way} of the pool {pool}")),
        // A request that cannot be met takes nothing away.
        (Common::Behind(why), Some(_)) => Common::Behind(format!("{why}; until then it has {}", row.then.join(" and "))),
        (common, _) => common,
    };
    Item { rank: row.change as usize, label: label(row.change), common, name: row.service.clone() }
}

fn certificate(row: &CertificateRow) -> Item {
    let label = match row.fate {
        Fate::Refused => "refused",
        Fate::IssuedAnew => "issued anew",
        Fate::Ordered => "ordered",
        Fate::RenewalDue => "renewal due",
        Fate::Kept => "kept",
        Fate::Brought => "brought",
        Fate::Unknown => "not known",
    };
    let until = row.not_after.as_ref().map(|end| format!(", until {end}")).unwrap_or_default();
    let renewal = row.renewal.as_ref().map(|at| format!(", renewed {at}")).unwrap_or_default();
    let by = row.issuer.as_ref().map(|issuer| format!("by {issuer}")).unwrap_or_default();
    let common = row.why.clone().map_or(Common::Before(by), Common::Behind);
    Item { rank: row.fate as usize, label, common, name: format!("{} ({}{until}{renewal})", row.secret, row.names.join(" ")) }
}

fn pool(row: &PoolRow) -> Item {
    let (rank, label) = if row.read { (1, "read") } else { (0, "not read") };
    let common = if row.read { Common::Before(String::new()) } else { Common::Behind("not in addresses.poolNamespace".to_owned()) };
    let auto = if row.auto_assign { "" } else { ", only where named" };
    Item { rank, label, common, name: format!("{} ({}{auto}, {} Services)", row.pool, row.addresses.join(" "), row.services) }
}

fn announcement(row: &Announcement) -> Item {
    let Announcement { kind, name, about, then } = row;
    Item { rank: 0, label: "", common: Common::Behind(then.clone()), name: format!("{kind} {name} ({})", about.join(" ")) }
}
