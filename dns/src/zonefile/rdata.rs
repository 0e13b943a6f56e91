//! RDATA in its presentation form. Most types are read by hickory-proto; here are names, texts, and RFC 3597's generic form.

use std::str::FromStr;

use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::{NULL, TXT};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};
use hickory_proto::serialize::txt::Parser;

use super::entry::Word;
use crate::wire::DS;
use crate::{Name, RData};

/// A name, relative to `origin` unless it ends with a dot; `@` is the origin.
pub(super) fn name(text: &str, origin: &Name) -> Result<Name, String> {
    if text == "@" {
        return Ok(origin.clone());
    }
    let mut name = Name::parse(text, Some(origin)).map_err(|error| format!("{text}: not a domain name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// A type by its name or as TYPE123 (RFC 3597 section 5).
pub(super) fn record_type(text: &str) -> Result<RecordType, String> {
    if let Some(number) = text.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()) {
        return Ok(RecordType::from(number));
    }
    RecordType::from_str(text).map_err(|_| format!("{text}: not a record type"))
}

/// The RDATA that the words hold.
pub(super) fn parse(record_type: RecordType, words: &[Word], origin: &Name) -> Result<RData, String> {
    if let Some((first, rest)) = words.split_first()
        && first.text == "\\#"
        && !first.quoted
    {
        return generic(record_type, rest);
    }
    match record_type {
        RecordType::TXT => text(words),
        RecordType::DS => delegation_signer(words),
        RecordType::Unknown(_) => Err("an unknown type's data is written as \\# LENGTH HEX".to_owned()),
        _ => by_hickory(record_type, words, origin),
    }
}

/// RFC 3597 section 5: `\#`, the length, hexadecimal digits.
fn generic(record_type: RecordType, words: &[Word]) -> Result<RData, String> {
    let (length, digits) = words.split_first().ok_or("\\# needs a length")?;
    let bytes = hex(digits)?;
    if length.text.parse() != Ok(bytes.len()) {
        return Err(format!("\\# says {} bytes, and {} follow", length.text, bytes.len()));
    }
    decode(record_type, bytes)
}

fn decode(record_type: RecordType, bytes: Vec<u8>) -> Result<RData, String> {
    if matches!(record_type, RecordType::Unknown(_) | RecordType::DS) {
        return Ok(RData::Unknown { code: record_type, rdata: NULL::with(bytes) });
    }
    let length = u16::try_from(bytes.len()).map_err(|_| "the data is longer than 65535 bytes")?;
    RData::read(&mut BinDecoder::new(&bytes), record_type, Restrict::new(length)).map_err(|error| error.to_string())
}

fn hex(words: &[Word]) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = words.iter().flat_map(|word| word.text.bytes()).collect();
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?) as u8),
        _ => None,
    };
    digits.chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| "expected pairs of hexadecimal digits".to_owned())
}

/// Key tag, algorithm, digest type, digest (RFC 4034 section 5.3).
fn delegation_signer(words: &[Word]) -> Result<RData, String> {
    let [tag, algorithm, digest_type, digest @ ..] = words else {
        return Err("expected key tag, algorithm, digest type, digest".to_owned());
    };
    let number = |word: &Word| format!("{}: expected a number in range", word.text);
    let mut bytes = tag.text.parse::<u16>().map_err(|_| number(tag))?.to_be_bytes().to_vec();
    bytes.push(algorithm.text.parse().map_err(|_| number(algorithm))?);
    bytes.push(digest_type.text.parse().map_err(|_| number(digest_type))?);
    bytes.extend(hex(digest)?);
    decode(RecordType::from(DS), bytes)
}

fn text(words: &[Word]) -> Result<RData, String> {
    let strings: Vec<Vec<u8>> = words.iter().map(|word| unescape(&word.text)).collect::<Result<_, _>>()?;
    if strings.is_empty() || strings.iter().any(|string| string.len() > 255) {
        return Err("expected one or more strings of at most 255 bytes".to_owned());
    }
    Ok(RData::TXT(TXT::from_bytes(strings.iter().map(Vec::as_slice).collect())))
}

/// `\DDD` is a byte in decimal, `\X` is X (RFC 1035 section 5.1).
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [digit @ b'0'..=b'9', ..]) => {
                let code = after.get(..3).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
                bytes.push(code.ok_or_else(|| format!("\\{}: expected three decimal digits up to 255", char::from(*digit)))?);
                rest = &after[3..];
            }
            (b'\\', [other, after @ ..]) => {
                bytes.push(*other);
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    Ok(bytes)
}

fn by_hickory(record_type: RecordType, words: &[Word], origin: &Name) -> Result<RData, String> {
    let mut line = format!("@ 0 IN {record_type}");
    for word in words {
        let quote = if word.quoted { "\"" } else { "" };
        // hickory-proto reads `@` as a name only at the start of a line.
        let text = if word.text == "@" && !word.quoted { origin.to_ascii() } else { word.text.clone() };
        line.extend([" ", quote, &text, quote]);
    }
    line.push('\n');
    let (_, sets) = Parser::new(line, None, Some(origin.clone())).parse().map_err(|error| error.to_string())?;
    let record = sets.into_values().next().and_then(|set| set.into_iter().next()).ok_or("no data")?;
    Ok(record.data)
}
