//! Weaknesses of handshakes that anybody can use.

use http::header::CONTENT_TYPE;

use super::rule::HandshakeRule;
use super::template::TextTemplate;

/// Content types in which browsers run scripts, beside all that end with `+xml`.
const ACTIVE: [&str; 3] = ["text/html", "text/xml", "application/xml"];

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
        weaknesses
            .push(format!("an unsigned handshake repeats what a stranger sends as {content_type}"));
    }
    weaknesses
}

/// Returns the active content type in which the body repeats a value of the request, if any.
fn repeated_as(handshake: &HandshakeRule) -> Option<String> {
    let response = &handshake.response;
    if !response.body.templates().any(TextTemplate::repeats_request) {
        return None;
    }
    let own = response.headers.iter().filter(|(name, _)| name == CONTENT_TYPE);
    let own: Vec<Option<String>> = own.map(|(_, template)| template.literal()).collect();
    if own.contains(&None) {
        return Some("a content type that the stranger chooses".to_owned());
    }
    let types = own.into_iter().flatten();
    let mut types = types.chain(response.content_type.to_str().map(str::to_owned));
    types.find_map(|written| {
        let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_active = ACTIVE.contains(&essence.as_str()) || essence.ends_with("+xml");
        is_active.then(|| format!("{essence}, in which browsers run scripts"))
    })
}
