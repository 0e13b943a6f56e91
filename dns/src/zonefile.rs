//! Zone files (RFC 1035 section 5) to records. Pure: `$INCLUDE` is refused.

mod entry;
mod rdata;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hickory_proto::rr::RecordType;
use hickory_proto::serialize::txt::parse_ttl;

use self::entry::{Entry, entries};
use crate::{Name, RData, RecordSet, Soa};

/// What a zone file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ZoneFile {
    /// The SOA, when there is one; its serial is ours to choose.
    pub soa: Option<Soa>,
    /// Everything else, in the order of the first record of each set.
    pub records: Vec<RecordSet>,
    /// The line on which the first record of each of these sets starts, from 1.
    pub lines: Vec<usize>,
}

/// Where and why a zone file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ZoneFileError {
    /// Line on which the faulty entry starts, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads the zone file of `origin`. Without `$TTL` and a TTL of its own, a record takes the TTL of the one before it
/// (RFC 2308 section 4).
///
/// # Errors
/// Names the first line that is not understood.
pub fn parse(text: &str, origin: &Name) -> Result<ZoneFile, ZoneFileError> {
    let mut reader = Reader::new(origin);
    for entry in entries(text) {
        let entry = entry?;
        reader.entry(&entry).map_err(|what| ZoneFileError { line: entry.line, what })?;
    }
    Ok(reader.file)
}

/// What earlier entries say about later ones.
struct Reader {
    apex: Name,
    origin: Name,
    owner: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    /// Index of each set in `file.records`.
    sets: BTreeMap<(Name, u16), usize>,
    file: ZoneFile,
}

/// What stands before the RDATA.
struct Front {
    ttl: Option<u32>,
    record_type: RecordType,
    /// How many words it takes.
    words: usize,
}

impl Reader {
    fn new(origin: &Name) -> Self {
        let mut origin = origin.clone();
        origin.set_fqdn(true);
        Self { apex: origin.clone(), origin, owner: None, default_ttl: None, last_ttl: None, sets: BTreeMap::new(), file: ZoneFile::default() }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), String> {
        let first = entry.words.first().map_or("", |word| word.text.as_str());
        match (first.to_ascii_uppercase().as_str(), entry.words.get(1)) {
            ("$ORIGIN", Some(name)) => self.origin = self.name(&name.text)?,
            ("$TTL", Some(ttl)) => self.default_ttl = Some(seconds(&ttl.text)?),
            ("$INCLUDE", _) => return Err("$INCLUDE is not allowed here; put the records into this file".to_owned()),
            (directive, _) if directive.starts_with('$') => return Err(format!("{first}: expected $ORIGIN NAME or $TTL SECONDS")),
            _ => return self.record(entry),
        }
        Ok(())
    }

    fn record(&mut self, entry: &Entry) -> Result<(), String> {
        let mut words = entry.words.as_slice();
        if !entry.blank_owner {
            self.owner = Some(self.name(&words[0].text)?);
            words = &words[1..];
        }
        let owner = self.owner.clone().ok_or("a record without an owner, and none before it")?;
        let front = front(words)?;
        let ttl = front.ttl.or(self.default_ttl).or(self.last_ttl).ok_or("no TTL: give the record one, or set $TTL above it")?;
        self.last_ttl = Some(ttl);
        let data =
            rdata::parse(front.record_type, &words[front.words..], &self.origin).map_err(|what| format!("{owner} {}: {what}", front.record_type))?;
        match data {
            RData::SOA(soa) => self.soa(&owner, ttl, &soa),
            data => {
                self.push(owner, ttl, data, entry.line);
                Ok(())
            }
        }
    }

    fn soa(&mut self, owner: &Name, ttl: u32, soa: &hickory_proto::rr::rdata::SOA) -> Result<(), String> {
        if *owner != self.apex {
            return Err(format!("{owner} SOA: the zone's SOA belongs to {}", self.apex));
        }
        if self.file.soa.is_some() {
            return Err(format!("{owner} SOA: there is one already"));
        }
        let (mname, rname) = (soa.mname.clone(), soa.rname.clone());
        self.file.soa = Some(Soa { mname, rname, refresh: soa.refresh, retry: soa.retry, expire: soa.expire, minimum: soa.minimum, ttl });
        Ok(())
    }

    fn push(&mut self, owner: Name, ttl: u32, data: RData, line: usize) {
        let ZoneFile { records, lines, .. } = &mut self.file;
        let index = *self.sets.entry((owner.to_lowercase(), data.record_type().into())).or_insert_with(|| {
            records.push(RecordSet { owner, ttl, data: Vec::new() });
            lines.push(line);
            records.len() - 1
        });
        let set = &mut records[index];
        set.ttl = set.ttl.min(ttl);
        if !set.data.contains(&data) {
            set.data.push(data);
        }
    }

    fn name(&self, text: &str) -> Result<Name, String> {
        rdata::name(text, &self.origin)
    }
}

/// TTL and class in any order, then the type.
fn front(words: &[entry::Word]) -> Result<Front, String> {
    let mut ttl = None;
    for (index, word) in words.iter().enumerate() {
        let upper = word.text.to_ascii_uppercase();
        if word.text.starts_with(|first: char| first.is_ascii_digit()) && ttl.is_none() {
            ttl = Some(seconds(&word.text)?);
        } else if matches!(upper.as_str(), "CH" | "HS" | "CS") {
            return Err(format!("class {upper}: only IN is served"));
        } else if upper != "IN" {
            return Ok(Front { ttl, record_type: rdata::record_type(&upper)?, words: index + 1 });
        }
    }
    Err("a record without a type".to_owned())
}

fn seconds(text: &str) -> Result<u32, String> {
    let seconds = parse_ttl(text).or_else(|_| text.parse()).ok().filter(|&seconds: &u32| seconds <= i32::MAX as u32);
    seconds.ok_or_else(|| format!("{text}: expected a TTL in seconds, or like 1h30m, up to 2147483647"))
}
