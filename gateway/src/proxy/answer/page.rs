//! What an answer looks like. Pure. Whatever comes from a client (the request id) is escaped.

use std::fmt::Write as _;

use http::StatusCode;

use super::accept::Format;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto 2rem; padding: 0 1.25rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem }
p { margin: 0 0 1rem }
small { color: GrayText; overflow-wrap: anywhere }
</style>
"#;

/// The text of an answer.
pub(super) fn render(format: Format, status: StatusCode, detail: &str, request_id: &str) -> String {
    let (code, title) = (status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let mut text = String::with_capacity(1024);
    let written = match format {
        Format::Html => {
            text.push_str(HEAD);
            let (detail, id) = (html(detail), html(request_id));
            write!(
                text,
                "<title>{code} {title}</title>\n</head>\n<body>\n<main>\n<h1>{code} {title}</h1>\n<p>{detail}</p>\n\
                 <p><small>Request id: <code>{id}</code></small></p>\n</main>\n</body>\n</html>\n"
            )
        }
        Format::Json => {
            let (detail, id) = (json(detail), json(request_id));
            writeln!(text, r#"{{"type":"about:blank","title":"{title}","status":{code},"detail":"{detail}","requestId":"{id}"}}"#)
        }
        Format::Text => writeln!(text, "{code} {title}: {detail}\nRequest id: {request_id}"),
    };
    written.expect("writing to a String does not fail");
    text
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes visible ASCII, which is all that comes here, for a JSON string.
fn json(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
