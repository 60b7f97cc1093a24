//! Weaknesses of handshakes that anybody can use.

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::rule::{HandshakeRule, ResponseBody};
use super::template::TextTemplate;

/// Content types in which browsers run scripts.
const ACTIVE: [&str; 5] =
    ["text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"];

/// Describes the weaknesses of a handshake for the operator. Signed handshakes have none.
pub fn weaknesses(handshake: &HandshakeRule) -> Vec<String> {
    if handshake.signed {
        return Vec::new();
    }
    let mut weaknesses = Vec::new();
    if handshake.response.templates().any(TextTemplate::has_hmac) {
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

/// Returns the active content type in which the body repeats a value of the request, if any.
fn repeated_as(handshake: &HandshakeRule) -> Option<&'static str> {
    let response = &handshake.response;
    let ResponseBody::Text(template) = &response.body else { return None };
    let own = response.headers.iter().filter(|(name, _)| name == CONTENT_TYPE);
    let own = own.filter_map(|(_, template)| template.literal());
    let mut types = own.chain(HeaderValue::to_str(&response.content_type).map(str::to_owned));
    let active = types.find_map(|written| {
        let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        ACTIVE.into_iter().find(|active| *active == essence)
    });
    active.filter(|_| template.repeats_request())
}
