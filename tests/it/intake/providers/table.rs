//! One row for each provider file: how its provider signs, and the expected result of a sample.

mod times;

use crate::support::signer::{
    Draft, Keyring, Proof, Sign, base64, base64url, credentials, header, hex, sha1, sha256, text,
};
use times::SIGNED_TIMES;

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) provider: &'static str,
    pub(super) keyring: fn(u8) -> Keyring,
    pub(super) sign: Sign,
    /// Contains `probe`, which tests change to see whether the body is signed.
    pub(super) body: &'static str,
    pub(super) content_type: &'static str,
    /// Headers of the provider beside the signature.
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) covers_body: bool,
    /// Tolerance for the time, in seconds.
    pub(super) window: Option<i64>,
    /// Type of the event.
    pub(super) kind: Option<&'static str>,
    /// Whether a duplicate is recognized.
    pub(super) has_id: bool,
}

const JSON: Row = Row {
    provider: "",
    keyring: text,
    sign: |_, _| Proof::default(),
    body: "{\"note\":\"probe\"}",
    content_type: "application/json",
    headers: &[],
    covers_body: true,
    window: None,
    kind: None,
    has_id: false,
};

/// Authenticated by the token in the URL; nothing is signed.
const TOKEN: Row = Row { sign: url_token, covers_body: false, ..JSON };

fn url_token(_: &Draft, key: &[u8]) -> Proof {
    let token = String::from_utf8(key.to_vec()).unwrap();
    Proof { query: Some(format!("token={token}")), ..Proof::default() }
}

fn jwt(it: &Draft, key: &[u8]) -> Proof {
    let end = it.millisecond / 1_000 + 300;
    let start = it.millisecond / 1_000 - 300;
    let head = base64url(br#"{"typ":"JWT","alg":"HS256"}"#);
    let claims = base64url(format!("{{\"exp\":{end},\"nbf\":{start}}}").as_bytes());
    let signed = format!("{head}.{claims}");
    let signature = base64url(&sha256(key, &[signed.as_bytes()]));
    header("authorization", format!("{signed}.{signature}"))
}

pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    [SIGNED_BODIES, SIGNED_TIMES, SIGNED_IN_OTHER_WAYS, UNSIGNED].into_iter().flatten()
}

/// Providers that send a digest of the body alone, in one header.
const SIGNED_BODIES: &[Row] = &[
    Row {
        provider: "asana",
        sign: |it, key| header("X-Hook-Signature", hex(&sha256(key, &[&it.body]))),
        body: r#"{"events":[{"action":"added","resource":{"resource_type":"task"},"x":"probe"}]}"#,
        kind: Some("task.added"),
        ..JSON
    },
    Row {
        provider: "bitbucket",
        sign: |it, key| {
            header("X-Hub-Signature", format!("sha256={}", hex(&sha256(key, &[&it.body]))))
        },
        headers: &[("X-Request-UUID", "u1"), ("X-Event-Key", "issue:created")],
        kind: Some("issue:created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "clickup",
        sign: |it, key| header("X-Signature", hex(&sha256(key, &[&it.body]))),
        body: r#"{"event":"taskCreated","history_items":[{"id":"1"}],"x":"probe"}"#,
        kind: Some("taskCreated"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "delighted",
        sign: |it, key| {
            let signature = hex(&sha256(key, &[&it.body]));
            header("X-Delighted-Webhook-Signature", format!("sha256={signature}"))
        },
        body: r#"{"event_type":"survey_response.updated","event_id":"1","x":"probe"}"#,
        kind: Some("survey_response.updated"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "formstack",
        sign: |it, key| {
            header("X-FS-Signature", format!("sha256={}", hex(&sha256(key, &[&it.body]))))
        },
        body: r#"{"UniqueID":"1","x":"probe"}"#,
        has_id: true,
        ..JSON
    },
    Row {
        provider: "front-rule",
        sign: |it, key| header("X-Front-Signature", base64(&sha1(key, &[&it.body]))),
        body: r#"{"id":"evt_1","type":"comment","x":"probe"}"#,
        kind: Some("comment"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "github",
        sign: |it, key| {
            header("X-Hub-Signature-256", format!("sha256={}", hex(&sha256(key, &[&it.body]))))
        },
        headers: &[("X-GitHub-Delivery", "d1"), ("X-GitHub-Event", "issues")],
        body: r#"{"action":"opened","x":"probe"}"#,
        kind: Some("issues.opened"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "helpscout",
        sign: |it, key| header("X-HelpScout-Signature", base64(&sha1(key, &[&it.body]))),
        headers: &[("X-HelpScout-Event", "convo.created")],
        kind: Some("convo.created"),
        ..JSON
    },
    Row {
        provider: "intercom",
        sign: |it, key| header("X-Hub-Signature", format!("sha1={}", hex(&sha1(key, &[&it.body])))),
        body: r#"{"topic":"conversation.user.created","id":"notif_1","x":"probe"}"#,
        kind: Some("conversation.user.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "jira",
        sign: |it, key| {
            header("X-Hub-Signature", format!("sha256={}", hex(&sha256(key, &[&it.body]))))
        },
        headers: &[("X-Atlassian-Webhook-Identifier", "w1")],
        body: r#"{"webhookEvent":"jira:issue_created","x":"probe"}"#,
        kind: Some("jira:issue_created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "notion",
        sign: |it, key| {
            header("X-Notion-Signature", format!("sha256={}", hex(&sha256(key, &[&it.body]))))
        },
        body: r#"{"id":"1","type":"page.created","x":"probe"}"#,
        kind: Some("page.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "segment",
        sign: |it, key| {
            let first = std::str::from_utf8(&it.body).unwrap().strip_prefix('[').unwrap();
            let first = first.split_once(",{").unwrap().0;
            header("X-Signature", hex(&sha1(key, &[first.as_bytes()])))
        },
        body: r#"[{"messageId":"1","type":"track","event":"A b","x":"probe"},{"messageId":"2"}]"#,
        kind: Some("track.A b"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "sentry",
        sign: |it, key| {
            header("Sentry-Hook-Signature", hex(&sha256(key, &[&it.body])))
                .and("Sentry-Hook-Timestamp", it.seconds())
        },
        headers: &[("Sentry-Hook-Resource", "issue"), ("Request-ID", "r1")],
        body: r#"{"action":"created","x":"probe"}"#,
        kind: Some("issue.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "shopify",
        sign: |it, key| header("X-Shopify-Hmac-Sha256", base64(&sha256(key, &[&it.body]))),
        headers: &[("X-Shopify-Webhook-Id", "w1"), ("X-Shopify-Topic", "orders/create")],
        kind: Some("orders/create"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "surveymonkey",
        sign: |it, key| header("Sm-Signature", base64(&sha1(key, &[&it.body]))),
        content_type: "application/vnd.surveymonkey.response.v1+json",
        body: r#"{"event_id":"1","event_type":"response_completed","x":"probe"}"#,
        kind: Some("response_completed"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "survicate",
        sign: |it, key| header("Hmac", hex(&sha256(key, &[&it.body]))),
        ..JSON
    },
    Row {
        provider: "tally",
        sign: |it, key| header("Tally-Signature", base64(&sha256(key, &[&it.body]))),
        body: r#"{"eventId":"1","eventType":"FORM_RESPONSE","x":"probe"}"#,
        kind: Some("FORM_RESPONSE"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "typeform",
        sign: |it, key| {
            header("Typeform-Signature", format!("sha256={}", base64(&sha256(key, &[&it.body]))))
        },
        body: r#"{"event_id":"1","event_type":"form_response","x":"probe"}"#,
        kind: Some("form_response"),
        has_id: true,
        ..JSON
    },
];

const SIGNED_IN_OTHER_WAYS: &[Row] = &[
    Row {
        provider: "canny",
        sign: |_, key| {
            header("canny-signature", base64(&sha256(key, &[b"n1"]))).and("canny-nonce", "n1")
        },
        body: r#"{"type":"post.created","object":{"id":"1"},"created":"2","x":"probe"}"#,
        covers_body: false,
        kind: Some("post.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "monday",
        sign: jwt,
        body: r#"{"event":{"type":"create_pulse","triggerUuid":"1"},"x":"probe"}"#,
        covers_body: false,
        window: Some(360),
        kind: Some("create_pulse"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "pipedrive",
        keyring: credentials,
        sign: |_, key| header("Authorization", format!("Basic {}", base64(key))),
        body: r#"{"meta":{"action":"change","entity":"deal","id":"1"},"x":"probe"}"#,
        covers_body: false,
        kind: Some("change.deal"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "square",
        sign: |it, key| {
            let signature = sha256(key, &[it.url.as_bytes(), &it.body]);
            header("x-square-hmacsha256-signature", base64(&signature))
        },
        body: r#"{"type":"order.created","event_id":"1","x":"probe"}"#,
        kind: Some("order.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "trello",
        sign: |it, key| {
            header("X-Trello-Webhook", base64(&sha1(key, &[&it.body, it.url.as_bytes()])))
        },
        body: r#"{"action":{"id":"1","type":"createCard"},"x":"probe"}"#,
        kind: Some("createCard"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "twilio",
        sign: |it, key| {
            let body = std::str::from_utf8(&it.body).unwrap();
            let mut fields: Vec<String> =
                body.split('&').map(|it| it.replacen('=', "", 1)).collect();
            fields.sort();
            let signed = [it.url.as_bytes(), fields.concat().as_bytes()].concat();
            header("X-Twilio-Signature", base64(&sha1(key, &[&signed])))
        },
        body: "MessageSid=SM1&SmsStatus=received&Body=probe&A=1",
        content_type: "application/x-www-form-urlencoded",
        kind: Some("received"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "wufoo",
        sign: |it, key| {
            let body = [&it.body, b"&HandshakeKey=".as_slice(), key].concat();
            Proof { body: Some(body), ..Proof::default() }
        },
        body: "EntryId=1&FormStructure=%7B%22Hash%22%3A%22h1%22%7D&Field1=probe",
        content_type: "application/x-www-form-urlencoded",
        covers_body: false,
        has_id: true,
        ..JSON
    },
];

/// Providers that sign nothing: a token is in the URL or in a header.
const UNSIGNED: &[Row] = &[
    Row { provider: "fillout", ..TOKEN },
    Row { provider: "form", headers: &[("Idempotency-Key", "k1")], has_id: true, ..TOKEN },
    Row { provider: "freshdesk", ..TOKEN },
    Row {
        provider: "gitlab",
        sign: |_, key| header("X-Gitlab-Token", std::str::from_utf8(key).unwrap()),
        headers: &[("Idempotency-Key", "k1")],
        body: r#"{"object_kind":"issue","object_attributes":{"action":"open"},"x":"probe"}"#,
        kind: Some("issue.open"),
        has_id: true,
        ..TOKEN
    },
    Row { provider: "gorgias", ..TOKEN },
    Row { provider: "gravityforms", body: r#"{"id":"1","x":"probe"}"#, has_id: true, ..TOKEN },
    Row {
        provider: "jotform",
        body: "--b\r\nContent-Disposition: form-data; name=\"submissionID\"\r\n\r\n1\r\n\
            --b\r\nContent-Disposition: form-data; name=\"rawRequest\"\r\n\r\n{\"q3\":\"probe\"}\
            \r\n--b--\r\n",
        content_type: "multipart/form-data; boundary=b",
        has_id: true,
        ..TOKEN
    },
    Row {
        provider: "paperform",
        body: r#"{"submission_id":"1","x":"probe"}"#,
        has_id: true,
        ..TOKEN
    },
    Row {
        provider: "salesforce",
        body: "<s:Envelope xmlns:s='s' xmlns:xsi='x'><s:Body><notifications><Notification>\
            <Id>1</Id><sObject xsi:type='sf:Contact'><sf:x>probe</sf:x></sObject>\
            </Notification></notifications></s:Body></s:Envelope>",
        content_type: "text/xml; charset=UTF-8",
        kind: Some("Contact"),
        has_id: true,
        ..TOKEN
    },
    Row {
        provider: "satismeter",
        body: r#"{"event":"completed","response":{"id":"1"},"x":"probe"}"#,
        kind: Some("completed"),
        has_id: true,
        ..TOKEN
    },
    Row { provider: "zapier", headers: &[("Idempotency-Key", "k1")], has_id: true, ..TOKEN },
];
