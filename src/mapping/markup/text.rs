//! Length limit and links, shared by HTML and Slack's markup.

/// Bytes of markup that are converted; of a longer text the rest becomes an ellipsis.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Returns the part of the text that is converted, and an ellipsis if there is more.
pub(super) fn capped(text: &str) -> (&str, &'static str) {
    if text.len() <= INPUT_BYTES_MAX {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(INPUT_BYTES_MAX)], "…")
}

/// Formats a link as `text (url)`, or as one of the two where both are the same address.
pub(super) fn link(text: &str, url: &str) -> String {
    if text.is_empty() || bare(text) == bare(url) {
        let shown = if text.is_empty() { bare(url) } else { text };
        return shown.to_owned();
    }
    format!("{text} ({})", strip_scheme(url, "mailto:").unwrap_or(url))
}

/// Returns the address without its scheme and final slashes, as people write it.
fn bare(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    without_scheme(url).unwrap_or(url)
}

/// Strips a scheme that a reader can follow; `None` for any other.
pub(super) fn without_scheme(url: &str) -> Option<&str> {
    ["mailto:", "tel:", "https://", "http://"].iter().find_map(|scheme| strip_scheme(url, scheme))
}

/// Strips the scheme, whose case does not matter (RFC 3986, section 3.1).
pub(super) fn strip_scheme<'u>(url: &'u str, scheme: &str) -> Option<&'u str> {
    // `get`, since the length of the scheme may be in the middle of a character.
    let start = url.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
}
