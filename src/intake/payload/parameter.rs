//! Parameters of header values, such as `; charset="utf-8"`.

/// Returns a parameter of a header's value, without quotes and with the escapes of browsers decoded.
pub(super) fn parameter(header: &str, parameter: &str) -> Option<String> {
    // Only ASCII white space is trimmed: in headers of parts, other characters are bytes of some
    // encoding.
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        // Text without a `=` before it is no parameter.
        let name = name.rsplit(';').next().unwrap_or(name).trim_ascii();
        let (value, after) = if let Some(quoted) = after.trim_ascii_start().strip_prefix('"') {
            quoted_value(quoted)
        } else {
            let (value, after) = after.split_once(';').unwrap_or((after, ""));
            (value.trim_ascii().to_owned(), after)
        };
        if name.eq_ignore_ascii_case(parameter) {
            return Some(value);
        }
        rest = after;
    }
}

/// Splits at the closing quote.
fn quoted_value(quoted: &str) -> (String, &str) {
    let closing = quoted
        .char_indices()
        .find(|(at, c)| *c == '"' && !quoted[..*at].ends_with('\\'))
        .map_or(quoted.len(), |(at, _)| at);
    let value = quoted[..closing].replace("\\\"", "\"");
    // Browsers write these three as percent escapes and leave `%` itself alone (WHATWG HTML).
    let value = value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
    (value, quoted.get(closing + 1..).unwrap_or_default())
}
