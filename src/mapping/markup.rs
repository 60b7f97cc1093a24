//! Formatted text as plain text: HTML, and Slack's marks. Linear in the input, whatever it holds.

mod html;
mod slack;

pub(super) use html::html_to_text;
pub(super) use slack::slack_to_text;

/// What is longer is cut, and ends with an ellipsis.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// The text as far as it is read, and what is to be put behind it.
fn capped(text: &str) -> (&str, &'static str) {
    if text.len() <= INPUT_BYTES_MAX {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(INPUT_BYTES_MAX)], "…")
}

/// A link as people read it: `text (url)`, or only one of them where they say the same.
fn link(text: &str, url: &str) -> String {
    if text.is_empty() || bare(text) == bare(url) {
        let shown = if text.is_empty() { bare(url) } else { text };
        return shown.to_owned();
    }
    format!("{text} ({})", strip_scheme(url, "mailto:").unwrap_or(url))
}

/// The part of an address that people write.
fn bare(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    without_scheme(url).unwrap_or(url)
}

/// What follows the scheme of a link that people can use; none where it has another.
fn without_scheme(url: &str) -> Option<&str> {
    ["mailto:", "tel:", "https://", "http://"].iter().find_map(|scheme| strip_scheme(url, scheme))
}

/// Capital letters in a scheme make no difference.
fn strip_scheme<'u>(url: &'u str, scheme: &str) -> Option<&'u str> {
    let start = url.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
}
