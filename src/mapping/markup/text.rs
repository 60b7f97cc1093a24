//! Length limit and links, shared by HTML and Slack's marks.

/// Longer text is cut, and ends with an ellipsis.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Returns the text as far as it is read, and the ellipsis if it was cut.
pub(super) fn capped(text: &str) -> (&str, &'static str) {
    if text.len() <= INPUT_BYTES_MAX {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(INPUT_BYTES_MAX)], "…")
}

/// A link as people read it: `text (url)`, or only one of them where they say the same.
pub(super) fn link(text: &str, url: &str) -> String {
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

/// Strips the scheme of a link that people can use; none where it has another.
pub(super) fn without_scheme(url: &str) -> Option<&str> {
    ["mailto:", "tel:", "https://", "http://"].iter().find_map(|scheme| strip_scheme(url, scheme))
}

/// Strips the scheme, in capital letters or not.
pub(super) fn strip_scheme<'u>(url: &'u str, scheme: &str) -> Option<&'u str> {
    let start = url.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
}
