//! What a handshake leaves open to strangers.

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::rule::{HandshakeRule, ResponseBody};
use super::template::TextTemplate;

/// Types in which a browser runs scripts.
const ACTIVE: [&str; 5] =
    ["text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"];

/// What a handshake leaves open, in words for the people who run the relay. Only unsigned ones are open to
/// strangers.
pub fn weaknesses(handshake: &HandshakeRule) -> Vec<String> {
    if handshake.signed {
        return Vec::new();
    }
    let mut weaknesses = Vec::new();
    if handshake.reply.templates().any(TextTemplate::is_keyed) {
        let what = "an unsigned handshake signs what a stranger sends with the secret of the webhooks, \
                    if it is 1 to 256 of A-Z a-z 0-9 . _ ~ = -";
        weaknesses.push(what.to_owned());
    }
    if let Some(content_type) = repeated_as(handshake) {
        weaknesses.push(format!(
            "an unsigned handshake repeats what a stranger sends as {content_type}, in which browsers \
             run scripts"
        ));
    }
    weaknesses
}

/// In which active type the body repeats a part of the request.
fn repeated_as(handshake: &HandshakeRule) -> Option<&'static str> {
    let reply = &handshake.reply;
    let ResponseBody::Text(template) = &reply.body else { return None };
    let own = reply.headers.iter().filter(|(name, _)| name == CONTENT_TYPE);
    let own = own.filter_map(|(_, template)| template.literal());
    let mut types = own.chain(HeaderValue::to_str(&reply.content_type).map(str::to_owned));
    let active = types.find_map(|written| {
        let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        ACTIVE.into_iter().find(|active| *active == essence)
    });
    active.filter(|_| template.repeats())
}
