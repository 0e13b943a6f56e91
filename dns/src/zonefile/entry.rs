//! Splitting a zone file into entries and words: comments, quotes, parentheses, escapes (RFC 1035 section 5.1).

use super::ZoneFileError;

/// Most words of one entry.
const MAX_WORDS: usize = 4096;

/// One directive or record.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// The line it starts on, from 1.
    pub(super) line: usize,
    /// Whether it starts with blanks: its owner is the one before.
    pub(super) blank_owner: bool,
    /// At least one.
    pub(super) words: Vec<Word>,
}

/// A word with its escapes as they stand.
#[derive(Debug, PartialEq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// Every entry of the text, up to the first fault.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Result<Entry, ZoneFileError>> {
    let mut splitter = Splitter { rest: text, line: 1, depth: 0 };
    std::iter::from_fn(move || splitter.next_entry().transpose())
}

struct Splitter<'t> {
    rest: &'t str,
    line: usize,
    depth: u32,
}

impl Splitter<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, ZoneFileError> {
        while !self.rest.is_empty() {
            let mut entry = Entry { line: self.line, blank_owner: self.rest.starts_with([' ', '\t']), words: Vec::new() };
            self.fill(&mut entry).map_err(|what| {
                self.rest = "";
                ZoneFileError { line: entry.line, what: what.to_owned() }
            })?;
            if !entry.words.is_empty() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Reads up to the end of a line outside parentheses.
    fn fill(&mut self, entry: &mut Entry) -> Result<(), &'static str> {
        while let Some(next) = self.rest.chars().next() {
            match next {
                '\n' => {
                    self.skip(1);
                    self.line += 1;
                    if self.depth == 0 {
                        return Ok(());
                    }
                }
                ' ' | '\t' | '\r' => self.skip(1),
                ';' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                '(' => {
                    self.depth += 1;
                    self.skip(1);
                }
                ')' => {
                    self.depth = self.depth.checked_sub(1).ok_or("`)` without `(`")?;
                    self.skip(1);
                }
                _ if entry.words.len() == MAX_WORDS => return Err("the entry is too long"),
                '"' => entry.words.push(self.quoted()?),
                _ => entry.words.push(self.bare()),
            }
        }
        if self.depth > 0 { Err("`(` without `)`") } else { Ok(()) }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn quoted(&mut self) -> Result<Word, &'static str> {
        self.skip(1);
        let end = end_of(self.rest, |next| next == '"').ok_or("a quote is not closed")?;
        let word = Word { text: self.rest[..end].to_owned(), quoted: true };
        if word.text.contains('\n') {
            return Err("a quote is not closed on its line");
        }
        self.skip(end + 1);
        Ok(word)
    }

    fn bare(&mut self) -> Word {
        let end = end_of(self.rest, |next| next.is_ascii_whitespace() || matches!(next, ';' | '(' | ')' | '"')).unwrap_or(self.rest.len());
        let word = Word { text: self.rest[..end].to_owned(), quoted: false };
        self.skip(end);
        word
    }
}

/// Where the first character that ends a word stands, escaped ones left aside.
fn end_of(text: &str, ends: impl Fn(char) -> bool) -> Option<usize> {
    let mut escaped = false;
    for (at, next) in text.char_indices() {
        if !escaped && ends(next) {
            return Some(at);
        }
        escaped = !escaped && next == '\\';
    }
    None
}
