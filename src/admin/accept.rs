//! The format that a client asks for by `Accept`.

use axum::http::{HeaderMap, header};

/// Returns whether the client prefers CSV to JSON. It has to name CSV: a browser accepts anything.
pub(super) fn prefers_csv(headers: &HeaderMap) -> bool {
    let (mut csv, mut json) = (0.0, 0.0);
    for value in headers.get_all(header::ACCEPT) {
        let ranges = value.to_str().unwrap_or_default().split(',');
        for (range, quality) in ranges.filter_map(range_and_quality) {
            match range.as_str() {
                "text/csv" => csv = quality,
                "application/json" => json = quality,
                _ => {}
            }
        }
    }
    csv > json
}

/// Returns whether the client names HTML, as browsers do and programs mostly do not.
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| {
        let mut ranges =
            value.to_str().unwrap_or_default().split(',').filter_map(range_and_quality);
        ranges.any(|(range, quality)| range == "text/html" && quality > 0.0)
    })
}

/// Reads a media range and its weight (RFC 9110, 12.5.1).
fn range_and_quality(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |quality| quality.parse().ok())?;
    Some((range, quality))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn csv_is_for_those_who_prefer_it() {
        let check = |accept: &'static str, expected| {
            let accepted = (header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_csv(&HeaderMap::from_iter([accepted])), expected, "{accept}");
        };
        for accept in
            ["text/csv", "Text/CSV; q=0.5, */*", "application/json;q=0.1, text/csv; header=present"]
        {
            check(accept, true);
        }
        let others = [
            "*/*",
            "text/html, */*;q=0.8",
            "text/*",
            "application/json, text/csv",
            "text/csv;q=0",
            "text/csv;q=x",
        ];
        for accept in others {
            check(accept, false);
        }
        assert!(!prefers_csv(&HeaderMap::new()));
    }

    #[test]
    fn html_is_for_those_who_name_it() {
        let check = |accept: &'static str, expected| {
            let accepted = (header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepts_html(&HeaderMap::from_iter([accepted])), expected, "{accept}");
        };
        check("text/html,application/xhtml+xml,*/*;q=0.8", true);
        check("*/*", false);
        check("application/json", false);
        check("text/html;q=0", false);
    }
}
