//! The content type of a request, which proxies may repeat in another header line.

use std::borrow::Cow;

use crate::event::Headers;

/// Returns the content type. Lines with the same media type are merged; of a repeated parameter the first counts.
/// Lines with different media types are returned unchanged, which no format accepts.
pub(in crate::intake) fn of(headers: &Headers) -> Cow<'_, str> {
    let written = headers.get("content-type").map_or("", String::as_str);
    merged(written).map_or(Cow::Borrowed(written), Cow::Owned)
}

/// Returns the media type without parameters, in lower case.
pub(in crate::intake) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(in crate::intake) fn is_multipart(content_type: &str) -> bool {
    essence(content_type) == "multipart/form-data"
}

/// Merges several lines of one media type; none for a single line or different types.
fn merged(written: &str) -> Option<String> {
    let lines = lines(written);
    let (first, others) = lines.split_first().filter(|(_, others)| !others.is_empty())?;
    let mut merged = (*first).to_owned();
    for line in others {
        if essence(line) != essence(first) {
            return None;
        }
        if let Some((_, parameters)) = line.split_once(';') {
            merged.push_str("; ");
            merged.push_str(parameters.trim());
        }
    }
    Some(merged)
}

/// Splits the header lines, which were joined with commas. A comma in quotes is part of a value.
fn lines(written: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let lines = written.split(|c| {
        let is_separator = c == ',' && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_separator
    });
    lines.map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: &str) {
        let headers = Headers::from([("content-type".to_owned(), written.to_owned())]);
        assert_eq!(of(&headers), expected);
    }

    #[test]
    fn lines_of_one_media_type_are_merged() {
        let (json, utf8) = ("application/json", "application/json; charset=utf-8");
        check(json, json);
        check(&format!("{json}, {utf8}"), utf8);
        check(&format!("{utf8}, {json}"), utf8);
        check(&format!("{json},{json}, Application/JSON ;charset=utf-8"), utf8);
        check(&format!("{json}, , {json}"), json);
        let boundary = "multipart/form-data; boundary=\"a, \\\"b\"";
        check(&format!("multipart/form-data, {boundary}"), boundary);
        check(boundary, boundary);
    }

    #[test]
    fn first_of_a_repeated_parameter_comes_first() {
        let merged = "text/xml; charset=latin1; charset=utf-8; a=b";
        check("text/xml; charset=latin1, text/xml; charset=utf-8; a=b", merged);
    }

    #[test]
    fn lines_of_different_media_types_are_unchanged() {
        for written in ["application/json, text/plain", "a/b; c=d, a/b, e/f"] {
            check(written, written);
        }
    }
}
