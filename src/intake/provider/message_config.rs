//! Keys of `[signature]` for proofs that are computed over a message. They must fit what it covers.

use super::location_config::{credential_locations, header_name};
use super::timestamp_config::timestamp_rule;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::intake::signature::{
    CredentialLocation, Encoding, MessagePart, MessageSignature, MessageTemplate, SigningMethod,
    TimestampRule,
};

pub(super) fn message_signature(
    method: SigningMethod,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> MessageSignature {
    let places = credential_locations(table, mistakes);
    // Before the other keys, which must fit what the message covers.
    let message = message_template(method, table, mistakes);
    MessageSignature {
        method,
        places,
        separator: separator(table, mistakes),
        prefix: table.text_or("prefix", "", mistakes),
        encoding: table.keyword("encoding", &Encoding::NAMES, mistakes).unwrap_or(Encoding::Hex),
        any_port: table.boolean("any_port", mistakes).unwrap_or_default(),
        url_decoded: url_decoded(&message, table, mistakes),
        body_hash: body_hash(&message, table, mistakes),
        id: id_headers(&message, table, mistakes),
        clock: clock(&message, table, mistakes),
        message,
    }
}

fn message_template(
    method: SigningMethod,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> MessageTemplate {
    // Without a key of its own, a plain hash proves something only with the secret in the message.
    let default = match method {
        SigningMethod::Hmac(_) | SigningMethod::KeyPair => "{body}",
        SigningMethod::Hash(_) => "{secret}{body}",
    };
    let signed = table.text("signed", mistakes);
    let text = signed.as_ref().map_or(default, |signed| signed.text.as_str());
    let message = match MessageTemplate::parse(text) {
        Ok(message) => message,
        Err(bad) => {
            let place = signed.map_or(table.place.clone(), |signed| signed.part(bad.place));
            mistakes.push(Diagnostic::error(place, bad.message).help(bad.help));
            return MessageTemplate::default();
        }
    };
    let covers_secret = message.contains(&MessagePart::Secret);
    let (wrong, help) = match method {
        SigningMethod::Hash(_) if !covers_secret => (
            "a plain hash that does not cover the secret proves nothing",
            "put {secret} into `signed`, or write scheme = \"hmac\"",
        ),
        SigningMethod::KeyPair if covers_secret => {
            ("a private key is never part of what it signs", "leave {secret} out of `signed`")
        }
        SigningMethod::Hmac(_) | SigningMethod::Hash(_) | SigningMethod::KeyPair => return message,
    };
    mistakes.push(Diagnostic::error(table.value_place("signed"), wrong).help(help));
    message
}

fn separator(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<String> {
    let separator = table.text("separator", mistakes)?;
    // Splitting at an empty text would try each character as a signature.
    if separator.text.is_empty() {
        let message = "`separator` is empty";
        let help = "leave it out where the header is one signature";
        mistakes.push(Diagnostic::error(separator.place, message).help(help));
        return None;
    }
    Some(separator.text)
}

/// Reads the characters whose escapes are decoded before the URL is verified.
// HubSpot signs the URL with the escapes of some characters decoded, and the others as they are.
fn url_decoded(
    message: &MessageTemplate,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> String {
    let Some(written) = table.text("url_decoded", mistakes) else { return String::new() };
    if !message.contains(&MessagePart::Url) {
        let message = "`url_decoded` has no effect where {url} is not signed";
        mistakes.push(Diagnostic::error(written.place, message).help("put {url} into `signed`"));
    } else if !written.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        // An escape stands for one byte (RFC 3986, section 2.1): a character only within ASCII.
        let message = "an escape in a URL is decoded to an ASCII character here";
        mistakes.push(Diagnostic::error(written.place, message).help("write such as \":/?\""));
    }
    written.text
}

/// Reads the location of the body's hash, for messages that cover the hash and not the body.
// Twilio signs a URL whose parameter `bodySHA256` has the hash of a JSON body.
fn body_hash(
    message: &MessageTemplate,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Option<CredentialLocation> {
    let written = table.text("body_hash", mistakes)?;
    let (location, is_signed) = match written.text.split_once(':') {
        Some(("header", name)) => {
            let name = header_name(name, &written.place, mistakes)?;
            let is_signed = message.contains(&MessagePart::Header(name.clone()));
            (CredentialLocation::Header(name), is_signed)
        }
        Some(("query", name)) if !name.is_empty() => {
            let is_signed = message.contains(&MessagePart::Url)
                || message.contains(&MessagePart::Query(name.to_owned()));
            (CredentialLocation::Query(name.to_owned()), is_signed)
        }
        _ => {
            let message = "`body_hash` does not name where a hash is";
            let help = "write \"query:NAME\" or \"header:NAME\"";
            mistakes.push(Diagnostic::error(written.place, message).help(help));
            return None;
        }
    };
    if !is_signed {
        let message = "a hash of the body proves nothing where it is not signed";
        let help = "put {url}, or {query:NAME} or {header:NAME}, into `signed`";
        mistakes.push(Diagnostic::error(written.place, message).help(help));
    }
    Some(location)
}

fn id_headers(
    message: &MessageTemplate,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Vec<String> {
    let mut headers = Vec::new();
    for text in table.texts("id", mistakes).unwrap_or_default() {
        if let Some(name) = text.text.strip_prefix("header:") {
            headers.extend(header_name(name, &text.place, mistakes));
        } else {
            let help = "write \"header:NAME\"";
            mistakes.push(Diagnostic::error(text.place, "`id` is not a header").help(help));
        }
    }
    if headers.is_empty() && message.contains(&MessagePart::Id) {
        let message = "`signed` covers {id}, and nothing says where that is";
        let mistake = Diagnostic::error(table.value_place("signed"), message);
        mistakes.push(mistake.help("write id = \"header:X-Id\""));
    }
    headers
}

fn clock(
    message: &MessageTemplate,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Option<TimestampRule> {
    let clock = timestamp_rule(table, mistakes);
    let is_signed = message.contains(&MessagePart::Timestamp);
    if is_signed && clock.is_none() {
        let message = "`signed` covers {timestamp}, and nothing says where that is";
        let help = "write timestamp = { from = \"header:X-Timestamp\", unit = \"seconds\" }";
        mistakes.push(Diagnostic::error(table.value_place("signed"), message).help(help));
    }
    // A time in the body is signed with the body, and needs no part of the message of its own.
    let timed = clock.as_ref().filter(|clock| clock.window.is_some());
    if timed.is_some_and(|clock| !is_signed && !clock.is_in_body(message)) {
        let message = "a time window proves nothing about a time that is not signed";
        let help = "put {timestamp} into `signed`, or leave `window` out";
        mistakes.push(Diagnostic::error(table.value_place("timestamp"), message).help(help));
    }
    clock
}
