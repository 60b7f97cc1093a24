//! `[[handshake]]`: conditions for a handshake, and the response to it.

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::exchange::{HandshakeRequest, HandshakeResponse};
use super::template::{HmacFormat, RequestField, TemplateContext, TextTemplate};

/// Conditions that make a request a handshake, and the response. All values that the response repeats must be
/// present as well.
#[derive(Debug, Clone, PartialEq)]
pub struct HandshakeRule {
    pub method: Method,
    /// Whether the request must be signed as webhooks are.
    pub signed: bool,
    pub(super) has: Vec<RequestField>,
    pub(super) when: Vec<(RequestField, Value)>,
    pub(super) response: ResponseRule,
    /// The field that carries the secret for all later requests.
    pub(super) secret: Option<RequestField>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResponseRule {
    pub(super) status: u16,
    pub(super) content_type: HeaderValue,
    pub(super) headers: Vec<(HeaderName, TextTemplate)>,
    pub(super) body: ResponseBody,
    pub(super) hmac: HmacFormat,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ResponseBody {
    Text(TextTemplate),
    /// An object of texts.
    Json(Vec<(String, TextTemplate)>),
}

impl HandshakeRule {
    /// Returns the response; none if the request is not this handshake.
    pub fn respond(&self, request: &HandshakeRequest<'_>) -> Option<HandshakeResponse> {
        let is_match = self.method == request.method
            && self.has.iter().all(|place| place.find(request).is_some())
            && self.when.iter().all(|(place, value)| place.holds(value, request));
        if is_match {
            self.response.fill(&TemplateContext {
                request,
                hmac: self.response.hmac,
                is_signed: self.signed,
            })
        } else {
            None
        }
    }

    /// Returns the secret that the request carries, if it is usable.
    pub fn secret(&self, request: &HandshakeRequest<'_>) -> Option<String> {
        self.secret.as_ref()?.find(request).filter(|secret| is_usable(secret))
    }

    pub fn carries_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Returns whether the conditions or the response depend on the body.
    pub fn reads_body(&self) -> bool {
        self.places().any(|place| matches!(place, RequestField::Field(_)))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &RequestField> {
        let conditions = self.has.iter().chain(self.when.iter().map(|(place, _)| place));
        conditions
            .chain(&self.secret)
            .chain(self.response.templates().flat_map(TextTemplate::places))
    }
}

fn is_usable(secret: &str) -> bool {
    // It is saved in a file, and a line end there is not part of a secret: what is read later must
    // be what was sent.
    !secret.trim().is_empty() && !secret.chars().any(char::is_control)
}

impl ResponseRule {
    fn fill(&self, context: &TemplateContext<'_>) -> Option<HandshakeResponse> {
        let mut headers = vec![
            (http::header::CONTENT_TYPE, self.content_type.clone()),
            // The body may repeat what anybody sent: no browser may take it for HTML or a script.
            (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        for (name, template) in &self.headers {
            let value = template.fill(context)?;
            // A value with a line end is no header value, so no header can be injected.
            headers.push((name.clone(), HeaderValue::try_from(value).ok()?));
        }
        let body = match &self.body {
            ResponseBody::Text(template) => template.fill(context)?,
            ResponseBody::Json(members) => {
                let mut object = Map::new();
                for (name, template) in members {
                    object.insert(name.clone(), template.fill(context)?.into());
                }
                Value::Object(object).to_string()
            }
        };
        Some(HandshakeResponse { status: self.status, headers, body })
    }

    pub(super) fn templates(&self) -> impl Iterator<Item = &TextTemplate> {
        self.headers.iter().map(|(_, template)| template).chain(self.body.templates())
    }
}

impl ResponseBody {
    pub(super) fn templates(&self) -> impl Iterator<Item = &TextTemplate> {
        let (text, members) = match self {
            ResponseBody::Text(template) => (Some(template), [].as_slice()),
            ResponseBody::Json(members) => (None, members.as_slice()),
        };
        text.into_iter().chain(members.iter().map(|(_, template)| template))
    }
}
