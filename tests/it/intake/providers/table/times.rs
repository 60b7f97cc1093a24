//! Providers that sign the time together with the body.

use super::{JSON, Row};
use crate::support::signer::{
    Draft, Proof, base64, ed25519, ed25519_hex, header, hex, p256, p256_spki, sha256, whpk, whsec,
};

fn standard(it: &Draft, key: &[u8]) -> Proof {
    let signed = [b"msg_1.", it.seconds().as_bytes(), b".", &it.body].concat();
    header("webhook-signature", format!("v1,{}", base64(&sha256(key, &[&signed]))))
        .and("webhook-id", "msg_1")
        .and("webhook-timestamp", it.seconds())
}

fn standard_ed25519(it: &Draft, key: &[u8]) -> Proof {
    let signed = [b"msg_1.", it.seconds().as_bytes(), b".", &it.body].concat();
    header("webhook-signature", format!("v1,AAAA v1a,{}", base64(&ed25519(key, &[&signed]))))
        .and("webhook-id", "msg_1")
        .and("webhook-timestamp", it.seconds())
}

fn stripe_like(name: &'static str, it: &Draft, key: &[u8]) -> Proof {
    let signature = hex(&sha256(key, &[it.seconds().as_bytes(), b".", &it.body]));
    header(name, format!("t={},v1={signature}", it.seconds()))
}

pub(super) const SIGNED_TIMES: &[Row] = &[
    Row {
        provider: "calendly",
        sign: |it, key| stripe_like("Calendly-Webhook-Signature", it, key),
        body: r#"{"event":"invitee.created","payload":{"uri":"u1"},"x":"probe"}"#,
        window: Some(180),
        kind: Some("invitee.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "chatwoot",
        sign: |it, key| {
            let signature = hex(&sha256(key, &[it.seconds().as_bytes(), b".", &it.body]));
            header("X-Chatwoot-Signature", format!("sha256={signature}"))
                .and("X-Chatwoot-Timestamp", it.seconds())
        },
        headers: &[("X-Chatwoot-Delivery", "d1")],
        body: r#"{"event":"message_created","x":"probe"}"#,
        window: Some(3_600),
        kind: Some("message_created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "crisp",
        sign: |it, key| {
            let signed = [b"[", it.milliseconds().as_bytes(), b";", &it.body, b"]"].concat();
            header("X-Crisp-Signature", hex(&sha256(key, &[&signed])))
                .and("X-Crisp-Request-Timestamp", it.milliseconds())
        },
        body: r#"{"event":"message:send","x":"probe"}"#,
        kind: Some("message:send"),
        ..JSON
    },
    Row {
        provider: "customerio",
        sign: |it, key| {
            let signed = [b"v0:", it.seconds().as_bytes(), b":", &it.body].concat();
            header("X-CIO-Signature", hex(&sha256(key, &[&signed])))
                .and("X-CIO-Timestamp", it.seconds())
        },
        body: r#"{"event_id":"1","object_type":"email","metric":"opened","x":"probe"}"#,
        window: Some(8 * 86_400),
        kind: Some("email.opened"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "discord",
        keyring: ed25519_hex,
        sign: |it, key| {
            let signature = hex(&ed25519(key, &[it.seconds().as_bytes(), &it.body]));
            header("X-Signature-Ed25519", signature).and("X-Signature-Timestamp", it.seconds())
        },
        body: r#"{"type":1,"event":{"type":"ENTITLEMENT_CREATE"},"x":"probe"}"#,
        window: Some(900),
        kind: Some("ENTITLEMENT_CREATE"),
        ..JSON
    },
    Row {
        provider: "formbricks",
        keyring: whsec,
        sign: standard,
        body: r#"{"event":"responseFinished","x":"probe"}"#,
        window: Some(300),
        kind: Some("responseFinished"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "front",
        sign: |it, key| {
            let signature = sha256(key, &[it.milliseconds().as_bytes(), b":", &it.body]);
            header("X-Front-Signature", base64(&signature))
                .and("X-Front-Request-Timestamp", it.milliseconds())
        },
        body: r#"{"id":"evt_1","type":"inbound_received","x":"probe"}"#,
        window: Some(900),
        kind: Some("inbound_received"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "hubspot",
        sign: |it, key| {
            let time = it.milliseconds();
            let signed = [b"POST", it.url.as_bytes(), &it.body, time.as_bytes()].concat();
            header("X-HubSpot-Signature-v3", base64(&sha256(key, &[&signed])))
                .and("X-HubSpot-Request-Timestamp", time)
        },
        body: r#"[{"subscriptionId":1,"eventId":100,"occurredAt":2,
                "subscriptionType":"contact.creation","x":"probe"}]"#,
        window: Some(300),
        kind: Some("contact.creation"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "linear",
        sign: |it, key| {
            let body = it.timed_body();
            let credential = header("Linear-Signature", hex(&sha256(key, &[&body])));
            Proof { body: Some(body), ..credential }
        },
        headers: &[("Linear-Delivery", "d1")],
        body: r#"{"type":"Issue","action":"create","webhookTimestamp":TIME,"x":"probe"}"#,
        window: Some(60),
        kind: Some("Issue.create"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "paddle",
        sign: |it, key| {
            let signature = hex(&sha256(key, &[it.seconds().as_bytes(), b":", &it.body]));
            header("Paddle-Signature", format!("ts={};h1={signature}", it.seconds()))
        },
        body: r#"{"event_id":"1","event_type":"customer.created","x":"probe"}"#,
        window: Some(300),
        kind: Some("customer.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "sendgrid",
        keyring: p256_spki,
        sign: |it, key| {
            let signature = base64(&p256(key, &[it.seconds().as_bytes(), &it.body]));
            header("X-Twilio-Email-Event-Webhook-Signature", signature)
                .and("X-Twilio-Email-Event-Webhook-Timestamp", it.seconds())
        },
        body: "[{\"sg_event_id\":\"1\",\"event\":\"dropped\",\"x\":\"probe\"}]\r\n",
        window: Some(25 * 3_600),
        kind: Some("dropped"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "slack",
        sign: |it, key| {
            let signed = [b"v0:", it.seconds().as_bytes(), b":", &it.body].concat();
            header("X-Slack-Signature", format!("v0={}", hex(&sha256(key, &[&signed]))))
                .and("X-Slack-Request-Timestamp", it.seconds())
        },
        body: r#"{"type":"event_callback","event_id":"1","event":{"type":"message"},"x":"probe"}"#,
        window: Some(300),
        kind: Some("message"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "standard-webhooks",
        keyring: whsec,
        sign: standard,
        body: r#"{"type":"a.b","x":"probe"}"#,
        window: Some(300),
        kind: Some("a.b"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "standard-webhooks-ed25519",
        keyring: whpk,
        sign: standard_ed25519,
        body: r#"{"type":"a.b","x":"probe"}"#,
        window: Some(300),
        kind: Some("a.b"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "stripe",
        sign: |it, key| stripe_like("Stripe-Signature", it, key),
        body: r#"{"id":"evt_1","type":"customer.created","x":"probe"}"#,
        window: Some(300),
        kind: Some("customer.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "webflow",
        sign: |it, key| {
            let signature = sha256(key, &[it.milliseconds().as_bytes(), b":", &it.body]);
            header("x-webflow-signature", hex(&signature))
                .and("x-webflow-timestamp", it.milliseconds())
        },
        body: r#"{"triggerType":"form_submission","payload":{"id":"1"},"x":"probe"}"#,
        window: Some(300),
        kind: Some("form_submission"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "zendesk",
        sign: |it, key| {
            let signature = sha256(key, &[it.iso().as_bytes(), &it.body]);
            header("X-Zendesk-Webhook-Signature", base64(&signature))
                .and("X-Zendesk-Webhook-Signature-Timestamp", it.iso())
        },
        body: r#"{"id":"1","type":"zen:event-type:ticket.created","x":"probe"}"#,
        window: Some(300),
        kind: Some("zen:event-type:ticket.created"),
        has_id: true,
        ..JSON
    },
    Row {
        provider: "zoom",
        sign: |it, key| {
            let signed = [b"v0:", it.seconds().as_bytes(), b":", &it.body].concat();
            header("x-zm-signature", format!("v0={}", hex(&sha256(key, &[&signed]))))
                .and("x-zm-request-timestamp", it.seconds())
        },
        body: r#"{"event":"meeting.ended","x":"probe"}"#,
        window: Some(300),
        kind: Some("meeting.ended"),
        ..JSON
    },
];
