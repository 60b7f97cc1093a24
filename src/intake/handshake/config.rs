//! Reads `[[handshake]]` from a provider file or a mapping file.

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::rule::{HandshakeRule, ResponseBody, ResponseRule};
use super::template::{HmacFormat, RequestField, TextTemplate};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, word, wrong_type};
use crate::intake::response_config;
use crate::intake::signature::{Algorithm, Encoding};

const METHODS: [(&str, usize); 3] = [("HEAD", 0), ("GET", 1), ("POST", 2)];

const PLACES: &str = "write \"header:NAME\", \"query:NAME\" or a path of names such as \"$.a.b\"";

/// Reads one of the tables `[[handshake]]`.
pub fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> HandshakeRule {
    let method = read_method(&mut table, mistakes);
    // Only POST has a body that a provider can sign. An unsigned POST has to be configured.
    let signed = table.boolean("signed", mistakes).unwrap_or(method == Method::POST);
    let secret = table.text("secret", mistakes);
    let has = table.texts("has", mistakes).unwrap_or_default();
    let handshake = HandshakeRule {
        signed,
        has: has.iter().filter_map(|text| place(text, mistakes)).collect(),
        when: read_when(&mut table, mistakes),
        response: read_response(&mut table, mistakes),
        secret: secret.as_ref().and_then(|text| place(text, mistakes)),
        method,
    };
    check(&handshake, &table, mistakes);
    table.finish(mistakes);
    handshake
}

/// Reports keys that contradict each other.
fn check(handshake: &HandshakeRule, table: &TomlTable<'_>, mistakes: &mut Diagnostics) {
    let mut wrong = |message: &str, help: &str| {
        mistakes.push(Diagnostic::error(table.place.clone(), message).help(help));
    };
    let is_post = handshake.method == Method::POST;
    if handshake.signed && !is_post {
        wrong("only a POST is signed", "leave `signed` out");
    }
    // The first request carries the secret, so nothing can verify it yet.
    if handshake.signed && handshake.secret.is_some() {
        wrong("what brings the secret cannot be signed with it", "write signed = false");
    }
    // Without any condition every webhook would match, and none would be stored.
    if is_post && handshake.places().next().is_none() {
        let help = "name under `when` or `has` what only a handshake has";
        let message = "this would treat every webhook as a handshake";
        let mistake = Diagnostic::error(table.place.clone(), message).help(help);
        mistakes.push(mistake.missing(vec!["when", "has"]));
    }
}

fn read_method(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Method {
    let method = table.required_text("method", mistakes);
    let found = method.and_then(|method| word(&method, &METHODS, mistakes));
    let methods = [Method::HEAD, Method::GET, Method::POST];
    found.map_or(Method::HEAD, |at| methods[at].clone())
}

fn place(text: &SpannedText, mistakes: &mut Diagnostics) -> Option<RequestField> {
    let place = RequestField::parse(&text.text);
    if place.is_none() {
        let message = format!("`{}` is not a part of a request", text.text);
        mistakes.push(Diagnostic::error(text.place.clone(), message).help(PLACES));
    }
    place
}

fn read_when(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Vec<(RequestField, Value)> {
    let Some(when) = table.table("when", mistakes) else {
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for (key, value) in when.entries() {
        let expected = plain(value);
        if expected.is_none() {
            mistakes.push(wrong_type(&key.text, value, "a text, a whole number, true or false"));
        }
        conditions.extend(place(&key, mistakes).zip(expected));
    }
    conditions
}

fn plain(value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return Some(Value::from(text));
    }
    if let Some(truth) = value.as_bool() {
        return Some(Value::from(truth));
    }
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::from)
}

fn read_response(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> ResponseRule {
    let status = response_config::status(table, mistakes);
    let content_type = response_config::content_type(table, mistakes);
    let algorithm = table.keyword("algorithm", &Algorithm::NAMES, mistakes);
    let encoding = table.keyword("encoding", &Encoding::NAMES, mistakes);
    let (body, default_type) = read_body(table, mistakes);
    ResponseRule {
        status,
        content_type: content_type.unwrap_or(HeaderValue::from_static(default_type)),
        headers: read_headers(table, mistakes),
        body,
        hmac: HmacFormat {
            algorithm: algorithm.unwrap_or(Algorithm::Sha256),
            encoding: encoding.unwrap_or(Encoding::Hex),
        },
    }
}

/// Reads the body, and returns it with its default content type.
fn read_body(
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> (ResponseBody, &'static str) {
    let text = table.text("body", mistakes);
    let json = table.table("json", mistakes);
    if let (Some(text), Some(_)) = (&text, &json) {
        let message = "an answer has a `body` or a `json`, not both";
        mistakes.push(Diagnostic::error(text.place.clone(), message));
    }
    if let Some(json) = json {
        return (ResponseBody::Json(templates(&json, mistakes)), "application/json");
    }
    let text = text.map(|text| template(&text, mistakes)).unwrap_or_default();
    (ResponseBody::Text(text), "text/plain")
}

fn read_headers(
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Vec<(HeaderName, TextTemplate)> {
    let Some(headers) = table.table("headers", mistakes) else {
        return Vec::new();
    };
    let mut named = Vec::new();
    for (name, template) in templates(&headers, mistakes) {
        match HeaderName::try_from(&name) {
            Ok(name) => named.push((name, template)),
            Err(_) => mistakes.push(Diagnostic::error(
                headers.place.clone(),
                format!("`{name}` is not the name of a header"),
            )),
        }
    }
    named
}

fn templates(table: &TomlTable<'_>, mistakes: &mut Diagnostics) -> Vec<(String, TextTemplate)> {
    let mut found = Vec::new();
    for (key, value) in table.entries() {
        match as_text(table.document(), value) {
            Some(text) => found.push((key.text, template(&text, mistakes))),
            None => mistakes.push(wrong_type(&key.text, value, "a text in quotes")),
        }
    }
    found
}

fn template(text: &SpannedText, mistakes: &mut Diagnostics) -> TextTemplate {
    TextTemplate::parse(&text.text).unwrap_or_else(|bad| {
        let help =
            "known parts are {header:NAME}, {query:NAME}, {$.a.b} and {hmac:...} of one of them";
        mistakes.push(Diagnostic::error(text.place.clone(), bad.to_string()).help(help));
        TextTemplate::default()
    })
}
