//! Parameters of header values, such as `; charset="utf-8"`.

/// The parameter of this name behind a header's value, the quotes undone as browsers do them. Spaces are those
/// of ASCII, since the header's text may be bytes.
pub(super) fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        // What stands before it without a `=` is no parameter.
        let name = name.rsplit(';').next().unwrap_or(name).trim_ascii();
        let (value, after) = if let Some(quoted) = after.trim_ascii_start().strip_prefix('"') {
            quoted_value(quoted)
        } else {
            let (value, after) = after.split_once(';').unwrap_or((after, ""));
            (value.trim_ascii().to_owned(), after)
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// Up to the closing quote, and what follows it.
fn quoted_value(quoted: &str) -> (String, &str) {
    let closing = quoted
        .char_indices()
        .find(|(at, c)| *c == '"' && !quoted[..*at].ends_with('\\'))
        .map_or(quoted.len(), |(at, _)| at);
    let value = quoted[..closing].replace("\\\"", "\"");
    let value = value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
    (value, quoted.get(closing + 1..).unwrap_or_default())
}
