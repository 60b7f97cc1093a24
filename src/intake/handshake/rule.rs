//! `[[handshake]]`: which requests are a handshake, and what they are answered.

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::exchange::{HandshakeRequest, HandshakeResponse};
use super::template::{Filling, HmacFormat, RequestField, TextTemplate};

/// What makes a request a handshake, and its answer. Whatever the answer repeats has to be there.
#[derive(Debug, Clone, PartialEq)]
pub struct HandshakeRule {
    pub method: Method,
    /// Whether it proves itself like any webhook.
    pub signed: bool,
    pub(super) has: Vec<RequestField>,
    pub(super) when: Vec<(RequestField, Value)>,
    pub(super) reply: ResponseRule,
    /// Where the request brings the secret of all later ones.
    pub(super) secret: Option<RequestField>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResponseRule {
    pub(super) status: u16,
    pub(super) content_type: HeaderValue,
    pub(super) headers: Vec<(HeaderName, TextTemplate)>,
    pub(super) body: ResponseBody,
    pub(super) keyed: HmacFormat,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ResponseBody {
    Text(TextTemplate),
    /// An object of texts.
    Json(Vec<(String, TextTemplate)>),
}

impl HandshakeRule {
    /// Nothing if the request is no such handshake.
    pub fn answer(&self, asked: &HandshakeRequest<'_>) -> Option<HandshakeResponse> {
        let is_meant = self.method == asked.method
            && self.has.iter().all(|place| place.find(asked).is_some())
            && self.when.iter().all(|(place, value)| place.holds(value, asked));
        if is_meant {
            self.reply.fill(&Filling { asked, keyed: self.reply.keyed, is_proven: self.signed })
        } else {
            None
        }
    }

    /// The secret that the request brings.
    pub fn secret(&self, asked: &HandshakeRequest<'_>) -> Option<String> {
        self.secret.as_ref()?.find(asked).filter(|secret| is_usable(secret))
    }

    pub fn brings_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether the body has to be read to know.
    pub fn reads_body(&self) -> bool {
        self.places().any(|place| matches!(place, RequestField::Field(_)))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &RequestField> {
        let conditions = self.has.iter().chain(self.when.iter().map(|(place, _)| place));
        conditions.chain(&self.secret).chain(self.reply.templates().flat_map(TextTemplate::places))
    }
}

/// It has to come back from a file as it was written there.
fn is_usable(secret: &str) -> bool {
    !secret.trim().is_empty() && !secret.chars().any(char::is_control)
}

impl ResponseRule {
    fn fill(&self, filling: &Filling<'_>) -> Option<HandshakeResponse> {
        let mut headers = vec![
            (http::header::CONTENT_TYPE, self.content_type.clone()),
            // What is repeated was written by somebody else.
            (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        for (name, template) in &self.headers {
            let value = template.fill(filling)?;
            headers.push((name.clone(), HeaderValue::try_from(value).ok()?));
        }
        let body = match &self.body {
            ResponseBody::Text(template) => template.fill(filling)?,
            ResponseBody::Json(members) => {
                let mut object = Map::new();
                for (name, template) in members {
                    object.insert(name.clone(), template.fill(filling)?.into());
                }
                Value::Object(object).to_string()
            }
        };
        Some(HandshakeResponse { status: self.status, headers, body })
    }

    pub(super) fn templates(&self) -> impl Iterator<Item = &TextTemplate> {
        let (text, members) = match &self.body {
            ResponseBody::Text(template) => (Some(template), [].as_slice()),
            ResponseBody::Json(members) => (None, members.as_slice()),
        };
        let members = members.iter().map(|(_, template)| template);
        self.headers.iter().map(|(_, template)| template).chain(text).chain(members)
    }
}
