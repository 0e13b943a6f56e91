//! A file's bytes into its YAML documents, so that a broken one does not take its neighbours with it. Pure.

/// A stretch of a file between document markers that holds more than comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// Which document, the first is 1; empty ones do not count.
    pub document: usize,
    /// Line of the file on which `content` starts, the first is 1.
    pub line: usize,
    /// Its bytes, without the marker.
    pub content: &'a [u8],
}

/// Splits at lines that start with `---` (YAML 1.2 section 9.1.4) or are `...`; inside of a document every line that could be mistaken for a marker is indented.
pub(super) fn split(content: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    Stretches { rest: content, line: 1 }.filter(|(_, stretch)| holds_something(stretch)).enumerate().map(|(index, (line, content))| Chunk {
        document: index + 1,
        line,
        content,
    })
}

struct Stretches<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Iterator for Stretches<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, mut end) = (self.line, 0);
        for next in self.rest.split_inclusive(|byte| *byte == b'\n') {
            if let Some(marker) = marker(next) {
                let stretch = &self.rest[..end];
                self.rest = &self.rest[end + marker..];
                // What follows the marker on its line belongs to the next document.
                return Some((line, stretch));
            }
            end += next.len();
            self.line += usize::from(next.ends_with(b"\n"));
        }
        Some((line, std::mem::take(&mut self.rest)))
    }
}

/// How many bytes of the line are a marker.
fn marker(line: &[u8]) -> Option<usize> {
    let marker = line.strip_prefix(b"---").or_else(|| line.strip_prefix(b"..."))?;
    matches!(marker.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')).then_some(3)
}

/// Whether there is more than blank lines, comments and directives.
fn holds_something(stretch: &[u8]) -> bool {
    stretch.split(|byte| *byte == b'\n').enumerate().any(|(index, line)| match line.trim_ascii().first() {
        None | Some(b'#') => false,
        Some(b'%') => index > 0 && !line.starts_with(b"%"),
        Some(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str) -> Vec<(usize, usize, &str)> {
        split(text.as_bytes()).map(|chunk| (chunk.document, chunk.line, std::str::from_utf8(chunk.content).expect("UTF-8"))).collect()
    }

    #[test]
    fn documents_are_numbered_and_know_their_line() {
        assert_eq!(chunks("a: 1\n---\nb: 2\n"), [(1, 1, "a: 1\n"), (2, 2, "\nb: 2\n")]);
        assert_eq!(chunks("# head\n---\na: 1\n---\n# only a comment\n---\nb: 2"), [(1, 2, "\na: 1\n"), (2, 6, "\nb: 2")]);
        assert_eq!(chunks("\u{feff}---\r\na: 1\r\n...\r\n---\r\nb: 2\r\n"), [(1, 1, "\r\na: 1\r\n"), (2, 4, "\r\nb: 2\r\n")]);
    }

    #[test]
    fn content_may_follow_the_marker() {
        assert_eq!(chunks("--- {a: 1}\n--- # note\nb: 2\n"), [(1, 1, " {a: 1}\n"), (2, 2, " # note\nb: 2\n")]);
    }

    #[test]
    fn what_only_looks_like_a_marker_stays_inside() {
        assert_eq!(chunks("a: |\n  ---\n  x\n----: 1\n---b: 1\n"), [(1, 1, "a: |\n  ---\n  x\n----: 1\n---b: 1\n")]);
    }

    #[test]
    fn nothing_is_no_document() {
        assert_eq!(chunks(""), []);
        assert_eq!(chunks("---\n---\n\n# x\n...\n%YAML 1.2\n---\n"), []);
    }
}
