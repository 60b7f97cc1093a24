//! Weaknesses of a signature that follow from its scheme.

use super::message_signature::MessageSignature;
use super::message_template::MessagePart;
use super::scheme::Scheme;

const SENT_AGAIN: &str = "no window is set for its time: who has listened to a request can send it again \
                          at any time";
const NEVER_ENDS: &str = "a token without `exp` never expires";
const TOKEN_ALONE: &str = "its token covers no body: who has seen one request can send any other until the \
                           token expires";
const NO_BODY: &str = "its message covers no body: who has seen one request can send any other";
const SOME_FIELDS: &str = "its message covers only some fields of the body: who has seen one request can \
                           change the rest";
const FIRST_ALONE: &str = "of a list only the first element is signed";

/// Returns the weaknesses. A description in the file, `weak`, replaces what is found about the body.
pub(super) fn of<'s>(scheme: &Scheme, weak: Option<&'s str>) -> Vec<&'s str> {
    let (body, time) = match scheme {
        Scheme::Message(seal) => {
            let is_endless = seal.clock.as_ref().is_some_and(|clock| clock.window.is_none());
            (uncovered(seal), is_endless.then_some(SENT_AGAIN))
        }
        Scheme::Jwt(jwt) => (jwt.body_hash.is_none().then_some(TOKEN_ALONE), Some(NEVER_ENDS)),
        // No warning: a plain secret obviously does not authenticate the body.
        Scheme::Token { .. } | Scheme::Basic | Scheme::None => (None, None),
    };
    weak.or(body).into_iter().chain(time).collect()
}

/// Describes the part of the body that the message does not cover.
fn uncovered(seal: &MessageSignature) -> Option<&'static str> {
    let covers = |piece| seal.message.contains(&piece);
    if covers(MessagePart::Body) || covers(MessagePart::Form) || seal.body_hash.is_some() {
        return None;
    }
    if covers(MessagePart::First) {
        return Some(FIRST_ALONE);
    }
    Some(if seal.message.covers_body() { SOME_FIELDS } else { NO_BODY })
}
