//! Reads a payload that was saved alone, or as a whole request with its headers. Pure.

use serde_json::{Map, Value};

use crate::event::Headers;
use crate::json;
use crate::mapping_file::file::SamplePayload;

/// Lines of headers that are read at most.
const LINES_MAX: usize = 200;

/// Returns the payload with the headers that were saved with it; none for a payload alone.
pub(crate) fn read(saved: Vec<u8>) -> SamplePayload {
    of_http(&saved)
        .or_else(|| of_json(&saved))
        .unwrap_or(SamplePayload { headers: Headers::new(), body: saved })
}

/// Reads header lines, an empty line and the body, as HTTP sends them. The request line may be
/// missing.
fn of_http(saved: &[u8]) -> Option<SamplePayload> {
    let mut headers = Headers::new();
    let mut rest = json::without_bom(saved);
    for at in 0..LINES_MAX {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?.trim_end_matches('\r');
        rest = &rest[end + 1..];
        if line.is_empty() {
            let is_request = !headers.is_empty() && !rest.trim_ascii().is_empty();
            return is_request.then(|| SamplePayload { headers, body: rest.to_vec() });
        }
        if at == 0 && is_request_line(line) {
            continue;
        }
        let (name, value) = line.split_once(':')?;
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_token) {
            return None;
        }
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    None
}

fn is_request_line(line: &str) -> bool {
    line.contains(" HTTP/") && line.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Reads an object with headers and body, as tools that catch webhooks export them.
fn of_json(saved: &[u8]) -> Option<SamplePayload> {
    let saved: Value = serde_json::from_slice(json::without_bom(saved)).ok()?;
    let request = match &saved {
        Value::Array(requests) if requests.len() == 1 => requests[0].as_object()?,
        other => other.as_object()?,
    };
    let headers = headers(request.get("headers")?)?;
    // The payload of an e-mail has headers and a body too, but no method.
    let keys = ["method", "httpMethod", "query", "webhookUrl", "ip"];
    let is_request = keys.iter().any(|key| request.contains_key(*key))
        || headers.contains_key("host") && headers.contains_key("content-length");
    let body = ["body", "rawBody", "content"].into_iter().find_map(|key| body(request, key))?;
    is_request.then_some(SamplePayload { headers, body })
}

fn headers(saved: &Value) -> Option<Headers> {
    let value = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(texts) => {
            let texts: Option<Vec<&str>> = texts.iter().map(Value::as_str).collect();
            Some(texts?.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    let saved = saved.as_object().filter(|saved| !saved.is_empty())?;
    saved.iter().map(|(name, it)| Some((name.to_lowercase(), value(it)?))).collect()
}

fn body(request: &Map<String, Value>, key: &str) -> Option<Vec<u8>> {
    match request.get(key)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone().into_bytes()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
        parsed @ (Value::Array(_) | Value::Object(_)) => Some(format!("{parsed:#}\n").into_bytes()),
    }
}

/// Adds the content type that the beginning of the body suggests, if no header has it.
pub(crate) fn complete(sample: &mut SamplePayload) {
    if sample.headers.contains_key("content-type") {
        return;
    }
    let written = String::from_utf8_lossy(&sample.body);
    let first =
        written.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().trim_end();
    let content_type = if let Some(boundary) = first.strip_prefix("--") {
        format!("multipart/form-data; boundary={boundary}")
    } else if starts_with(&sample.body, "<") {
        "text/xml".to_owned()
    } else if !starts_with(&sample.body, "{") && !starts_with(&sample.body, "[") {
        // A form's first line is `name=value` without spaces, unlike other text with an equals
        // sign.
        let is_form = first.contains('=') && !first.contains(['"', '{', ' ']);
        if !is_form {
            return;
        }
        "application/x-www-form-urlencoded".to_owned()
    } else {
        return;
    };
    sample.headers.insert("content-type".to_owned(), content_type);
}

fn starts_with(body: &[u8], beginning: &str) -> bool {
    json::without_bom(body).trim_ascii_start().starts_with(beginning.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(saved: &str, header: Option<&str>, body: &str) {
        let sample = read(saved.as_bytes().to_vec());

        let event = sample.headers.get("x-acme-event").map(String::as_str);
        assert_eq!((event, String::from_utf8(sample.body).unwrap().trim()), (header, body));
    }

    #[test]
    fn headers_saved_before_the_body_are_read() {
        let headers = "X-Acme-Event: note\r\nHost: example.com\r\n\r\n";

        check(&format!("POST /x HTTP/1.1\r\n{headers}{{\"a\": 1}}"), Some("note"), "{\"a\": 1}");
        check(&format!("{headers}a=1&b=2"), Some("note"), "a=1&b=2");
    }

    #[test]
    fn exported_request_is_taken_apart() {
        let body = "{\n  \"a\": 1\n}";
        check(
            r#"{"method": "POST", "headers": {"X-Acme-Event": ["note"]}, "content": "{}"}"#,
            Some("note"),
            "{}",
        );
        check(
            r#"[{"headers": {"x-acme-event": "note"}, "query": {}, "body": {"a": 1}}]"#,
            Some("note"),
            body,
        );
    }

    #[test]
    fn payload_alone_stays_as_it_is() {
        for payload in [
            r#"{"headers": {"From": "mia@example.com"}, "body": "An e-mail"}"#,
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--",
            "{\n\"a\": 1\n}",
            "a=1",
        ] {
            check(payload, None, payload);
        }
    }
}
