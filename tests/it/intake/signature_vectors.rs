//! Published signatures from the file that `SIGNATURE_VECTORS` names: each verifies or is refused as the file states,
//! with a provider's file or with keys in a mapping file.

use std::collections::BTreeMap;
use std::fs;

use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::event::Headers;
use savio_relay::intake::signature::SignedRequest;
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::secret::Environment;
use serde::Deserialize;

use crate::support::left_out::{file_of, print};

#[derive(Deserialize)]
struct Vector {
    scheme: String,
    secret: String,
    method: String,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    body: String,
    valid: bool,
    now: Option<i64>,
    tolerance_seconds: Option<u64>,
    note: String,
}

#[test]
fn published_signature_vectors_have_the_stated_result() {
    let Some(file) = file_of("SIGNATURE_VECTORS", "the signature vectors") else { return };
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();

    let failures: Vec<String> =
        vectors.iter().enumerate().filter_map(|(at, vector)| vector.failure(at)).collect();

    print(&format!("{} of {} signature vectors", vectors.len() - failures.len(), vectors.len()));
    assert!(failures.is_empty(), "{}\n{} failures", failures.join("\n"), failures.len());
    assert!(vectors.len() >= 120, "the file lacks vectors: {}", vectors.len());
}

impl Vector {
    fn failure(&self, at: usize) -> Option<String> {
        let verified = self.verify();
        let stated = if self.valid { "verifies" } else { "is refused" };
        (verified.is_ok() != self.valid).then(|| {
            format!("{at} {} ({}): {stated}, and was {verified:?}", self.scheme, self.note)
        })
    }

    fn verify(&self) -> Result<(), String> {
        let name = "vector.toml".to_owned();
        let text = format!("{}\n[[feedback]]\nproblem = \"$\"\n", self.mapping_file());
        let environment = Environment::from([("SECRET".to_owned(), self.secret.clone())]);
        let file = MappingFile::read(Document { name, text }, &environment);
        let source = file.source.unwrap_or_else(|| panic!("{}: {:?}", self.scheme, file.mistakes));
        let headers: Headers =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let request = SignedRequest {
            method: &self.method,
            url: self.url.as_deref(),
            query: self.url.as_deref().and_then(|url| Some(url.split_once('?')?.1)),
            headers: &headers,
            body: self.body.as_bytes(),
        };
        let now = jiff::Timestamp::from_second(self.now.unwrap_or_default()).unwrap();
        let verified = source.signature.verify(&source.keys, &request, now);
        verified.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Returns the mapping file of a source that signs like this.
    fn mapping_file(&self) -> String {
        let own = match self.builtin() {
            Some((provider, own)) => format!("provider = \"{provider}\"\n[signature]\n{own}"),
            None => format!("[signature]\n{}", self.described()),
        };
        format!("secrets = \"env:SECRET\"\n{own}")
    }

    /// Returns the provider that signs like this, and the keys that its source changes.
    fn builtin(&self) -> Option<(&'static str, String)> {
        let window = format!("timestamp = {{ {} }}", self.window());
        Some(match self.scheme.as_str() {
            "hmac-body:sha256:hex:X-Hub-Signature-256:sha256=" => ("github", String::new()),
            "hmac-body:sha256:base64:X-Shopify-Hmac-Sha256:" => ("shopify", String::new()),
            "token" => ("gitlab", String::new()),
            "twilio" => ("twilio", String::new()),
            "square" => ("square", String::new()),
            "slack" => ("slack", window),
            "paddle" => ("paddle", window),
            "hubspot-v3" => ("hubspot", window),
            "sendgrid-ecdsa" => ("sendgrid", window),
            "discord-ed25519" => ("discord", window),
            "standard-webhooks" if self.secret.starts_with("whpk_") => {
                ("standard-webhooks-ed25519", window)
            }
            "standard-webhooks" => ("standard-webhooks", window),
            "zendesk" => {
                ("zendesk", format!("timestamp = {{ unit = \"seconds\", {} }}", self.window()))
            }
            _ => return None,
        })
    }

    /// Returns the keys for a scheme that no provider's file describes.
    fn described(&self) -> String {
        let parts: Vec<&str> = self.scheme.splitn(5, ':').collect();
        let time = |unit: &str| {
            format!("timestamp = {{ from = \"part:t\", unit = \"{unit}\", {} }}", self.window())
        };
        let list = |version: &str, signed: &str, unit: &str| {
            let time = time(unit);
            format!("prefix = \"{version}=\"\nseparator = \",\"\nsigned = \"{signed}\"\n{time}")
        };
        let dotted = "{timestamp}.{body}";
        match parts[..] {
            ["hmac-body", algorithm, encoding, header, prefix] => {
                let rest = format!("prefix = \"{prefix}\"\nseparator = \",\"");
                hmac(algorithm, encoding, header, &rest)
            }
            ["convoy", algorithm, encoding] => {
                let rest = list("v1", "{timestamp},{body}", "seconds");
                hmac(algorithm, encoding, "X-Convoy-Signature", &rest)
            }
            ["sanity"] => {
                let rest = list("v1", dotted, "milliseconds");
                hmac("sha256", "base64url", "Sanity-Webhook-Signature", &rest)
            }
            ["hook0"] => hmac("sha256", "hex", "X-Hook0-Signature", &list("v0", dotted, "seconds")),
            ["scalr"] => hmac("sha1", "hex", "X-Signature", "signed = \"{body}{header:Date}\""),
            ["hubspot-v1"] => hash("{secret}{body}"),
            ["hubspot-v2"] => hash("{secret}{method}{url}{body}"),
            ["adyen"] => ADYEN.to_owned(),
            _ => panic!("no keys for {}", self.scheme),
        }
    }

    /// Returns the stated window; without a clock, one for all times.
    fn window(&self) -> String {
        let seconds = self.tolerance_seconds.unwrap_or(10_000_000_000);
        format!("window = \"{seconds}s\"")
    }
}

fn hmac(algorithm: &str, encoding: &str, header: &str, rest: &str) -> String {
    format!(
        "scheme = \"hmac\"\nalgorithm = \"{algorithm}\"\nencoding = \"{encoding}\"\n\
         header = \"{header}\"\n{rest}"
    )
}

fn hash(signed: &str) -> String {
    format!("scheme = \"hash\"\nheader = \"X-HubSpot-Signature\"\nsigned = \"{signed}\"")
}

/// Adyen: the signature and all that it covers are fields of the body.
const ADYEN: &str = r#"
scheme = "hmac"
field = "$.notificationItems[0].NotificationRequestItem.additionalData.hmacSignature"
encoding = "base64"
secret_encoding = "hex"
signed = """
{field:$.notificationItems[0].NotificationRequestItem.pspReference}:\
{field:$.notificationItems[0].NotificationRequestItem.originalReference}:\
{field:$.notificationItems[0].NotificationRequestItem.merchantAccountCode}:\
{field:$.notificationItems[0].NotificationRequestItem.merchantReference}:\
{field:$.notificationItems[0].NotificationRequestItem.amount.value}:\
{field:$.notificationItems[0].NotificationRequestItem.amount.currency}:\
{field:$.notificationItems[0].NotificationRequestItem.eventCode}:\
{field:$.notificationItems[0].NotificationRequestItem.success}"""
"#;
