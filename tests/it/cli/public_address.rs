//! `doctor` asks the public address: each usual fault of a proxy is named, and a way without one is not.

mod certificates;
mod echo;
mod faulty_proxy;
mod real_proxies;

use std::fs;

use serde_json::json;

use super::doctor::{Deployment, Report};
use crate::support::relay::Relay;
use faulty_proxy::{Fault, FaultyProxy};

/// A deployment with a running relay that trusts proxies on this machine.
struct Scene {
    deployment: Deployment,
    relay: Relay,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(&[("SAVIO_RELAY_SERVER__TRUSTED_PROXIES", "127.0.0.1")]).await
    }

    async fn with(others: &[(&str, &str)]) -> Scene {
        Scene::of(Deployment::new(200).await, others)
    }

    /// Starts a relay with another mapping file for its form.
    async fn with_mapping(text: &str) -> Scene {
        let deployment = Deployment::new(200).await;
        fs::write(deployment.folder.path().join("mappings/form.toml"), text).unwrap();
        Scene::of(deployment, &[("SAVIO_RELAY_SERVER__TRUSTED_PROXIES", "127.0.0.1")])
    }

    fn of(deployment: Deployment, others: &[(&str, &str)]) -> Scene {
        let own = deployment.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = own.chain(others.iter().copied()).collect();
        let relay = Relay::start(deployment.folder.path(), &variables);
        Scene { deployment, relay }
    }

    fn listen(&self) -> &str {
        self.relay.url.trim_start_matches("http://")
    }

    fn admin_listen(&self) -> &str {
        self.relay.admin_url.trim_start_matches("http://")
    }

    /// Runs `doctor` beside the relay, for this public address.
    fn doctor(&self, public_url: &str, others: &[(&str, &str)]) -> Report {
        let own = [
            ("SAVIO_RELAY_SERVER__LISTEN", self.listen()),
            ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", self.admin_listen()),
            ("SAVIO_RELAY_SERVER__PUBLIC_URL", public_url),
        ];
        self.deployment.doctor(&[&own, others].concat())
    }

    async fn through(&self, fault: Fault) -> Report {
        let proxy = FaultyProxy::start(&self.relay, fault).await;
        self.doctor(&proxy.url, &[])
    }
}

/// Returns the findings about the public address that have this verdict.
fn found(report: &Report, verdict: &str) -> Vec<String> {
    let findings = report.output_json["findings"].as_array().unwrap().iter();
    let those = findings.filter(|it| it["part"] == "public address" && it["verdict"] == verdict);
    those.map(|it| it["found"].as_str().unwrap().to_owned()).collect()
}

/// The loopback address of the test, about which there is always a warning.
const OWN_ADDRESS: &str = "127.0.0.1 is no public address: providers cannot reach it";

#[tokio::test(flavor = "multi_thread")]
async fn way_without_a_fault_has_no_finding() {
    let scene = Scene::new().await;

    let report = scene.through(Fault::None).await;

    assert_eq!(report.code, Some(0), "{:#}", report.output_json);
    assert_eq!(found(&report, "warning"), [OWN_ADDRESS]);
    report.check("ok", "webhooks arrive unchanged: parameters, headers, JSON, gzip, chunked");
    report.check("ok", "a body of 5 MiB, the largest, arrives whole");
    report.check("ok", "the relay sees the sender 127.0.0.1 through the proxy 127.0.0.1");
    report.check("ok", "/healthz is not forwarded, as it should be");
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_without_a_proxy_has_no_finding() {
    let scene = Scene::with(&[]).await;

    let report = scene.doctor(&scene.relay.url, &[]);

    assert_eq!(found(&report, "warning"), [OWN_ADDRESS]);
    report.check("ok", "webhooks arrive without a proxy; the relay sees 127.0.0.1 as their sender");
    report.check("ok", "a relay answers GET /healthz at the public address");
}

/// Each fault, the verdict about it, and a part of what is found.
const FAULTS: [(Fault, &str, &str); 36] = [
    (Fault::NotForwarded, "wrong", "itself answers 404, and does not forward /hooks/"),
    (Fault::NoUpstream, "wrong", "answers 502, and gets no answer of the relay"),
    (Fault::DefaultPage, "wrong", "answers 200 with a page of its own, or of another program"),
    (Fault::OtherRelay, "wrong", "a relay answers, and not the one of this configuration"),
    (Fault::Redirect, "wrong", "answers 301, a redirect to https://relay.example.com/hooks/"),
    (Fault::LoginRedirect, "wrong", "answers 302, and wants a login"),
    (Fault::LoginPage, "wrong", "answers 200, and wants a login"),
    (Fault::BasicAuth, "wrong", "answers 401, and wants a login"),
    (Fault::Challenge, "wrong", "Cloudflare answers 403, with a check that only a browser passes"),
    (Fault::Blocked, "wrong", "a webhook does not arrive: the proxy answers 403"),
    (Fault::JsonRewritten, "wrong", "arrives changed: its JSON is parsed and written again"),
    (Fault::LineEnds, "wrong", "arrives changed: the line ends of its body are changed"),
    (Fault::Decompressed, "warning", "a gzip body arrives changed: its body is decompressed"),
    (Fault::Cut, "wrong", "a webhook of the largest size arrives changed: its body is cut off"),
    (Fault::BodyLost, "wrong", "a webhook arrives changed: it arrives without its body"),
    (Fault::SizeLimit, "warning", "answers 413 to 5242880 bytes, which the relay would accept"),
    (Fault::HooksRemoved, "wrong", "a webhook arrives at the path /NAME, where the relay"),
    (Fault::PrefixAdded, "wrong", "a webhook arrives at the path /relay/hooks/NAME, where"),
    (Fault::SlashDoubled, "wrong", "a webhook arrives at the path //hooks/NAME, where"),
    (Fault::PathDecoded, "ok", "escapes in a path are rewritten (/hooks/NAME arrives)"),
    (Fault::QueryLost, "wrong", "escapes in its URL arrives without its parameters"),
    (Fault::QueryReencoded, "warning", "parameters in the URL of a webhook are rewritten"),
    (Fault::AuthorizationLost, "warning", "arrives without its headers: authorization"),
    (Fault::RelayTokenLost, "wrong", "arrives without its headers: x-relay-token"),
    (Fault::ContentTypeChanged, "wrong", "arrives with other values of: content-type"),
    (Fault::ChunkedRefused, "warning", "without Content-Length (chunked) does not arrive"),
    (Fault::NoForwardedFor, "warning", "the proxy sends no X-Forwarded-For: all senders seem"),
    (Fault::ForwardedForPassedOn, "wrong", "any sender can make up its address: the proxy"),
    (Fault::AnswerChanged, "warning", "the relay's answer 200 is changed to 202 on the way back"),
    (Fault::SignatureLost, "warning", "on the way back, so what arrives of a webhook was not"),
    (Fault::PostBlocked, "wrong", "a webhook does not arrive: the proxy answers 403"),
    (Fault::DownAfterLarge, "warning", "answers 502, and gets no answer of the relay"),
    (Fault::LongRedirect, "wrong", "answers 302, a redirect to /xxx"),
    (Fault::AdminBelowPrefix, "wrong", "the admin API is open to all: it answers at"),
    (Fault::ToAdmin, "wrong", "a webhook does not arrive: the admin API of a relay answers"),
    (Fault::AdminExposed, "wrong", "the admin API is open to all: it answers at"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_proxy_is_named_once() {
    let scene = Scene::new().await;
    for (fault, verdict, text) in FAULTS {
        let report = scene.through(fault).await;

        report.check(verdict, text);
        let others = ["wrong", "unseen"].map(|it| found(&report, it).len()).iter().sum::<usize>();
        // Where the admin API answers everything, it is open to all as well.
        let is_admin = usize::from(fault == Fault::ToAdmin);
        assert_eq!(
            others,
            usize::from(verdict == "wrong") + is_admin,
            "{fault:?}: {:#}",
            report.output_json
        );
        let warnings = found(&report, "warning").len();
        assert_eq!(
            warnings,
            1 + usize::from(verdict == "warning"),
            "{fault:?}: {:#}",
            report.output_json
        );
        assert_eq!(report.code, Some(i32::from(others > 0)), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_of_the_proxy_keeps_out_is_unseen() {
    let scene = Scene::new().await;
    for (fault, text) in [
        (Fault::OneName, "the proxy forwards /hooks/form, but not any name"),
        (Fault::TooManyRequests, "answers 429 to a webhook, which seems to be a limit of requests"),
    ] {
        let report = scene.through(fault).await;

        report.check("unseen", text);
        assert_eq!(found(&report, "wrong"), Vec::<String>::new(), "{fault:?}");
        assert_eq!(found(&report, "warning"), [OWN_ADDRESS], "{fault:?}");
        assert_eq!(report.code, Some(3), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn report_without_its_signature_is_not_judged() {
    let scene = Scene::new().await;

    let report = scene.through(Fault::SignatureLost).await;

    let shown = report.output_json.to_string();
    assert!(!shown.contains("arrive unchanged") && !shown.contains("the relay sees"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_redirect_is_shown_shortened() {
    let report = Scene::new().await.through(Fault::LongRedirect).await;

    let longest = found(&report, "wrong").iter().map(|it| it.chars().count()).max();
    assert!(longest.is_some_and(|it| it < 250), "{:#}", report.output_json);
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api_at_a_port_of_the_public_host_is_named() {
    let scene = Scene::with(&[("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "0.0.0.0:0")]).await;
    let port = scene.admin_listen().rsplit(':').next().unwrap().to_owned();
    let admin = format!("0.0.0.0:{port}");
    let proxy = FaultyProxy::start(&scene.relay, Fault::None).await;

    let report = scene.doctor(&proxy.url, &[("SAVIO_RELAY_SERVER__ADMIN_LISTEN", &admin)]);

    let url = format!("answers this machine at http://127.0.0.1:{port}/api/v1/stats");
    report.check("warning", &url);
}

#[tokio::test(flavor = "multi_thread")]
async fn prefix_of_the_public_url_is_to_be_removed_by_the_proxy() {
    let scene = Scene::new().await;
    let proxy = FaultyProxy::start(&scene.relay, Fault::PrefixRemoved).await;
    let kept = FaultyProxy::start(&scene.relay, Fault::None).await;

    let removed = scene.doctor(&format!("{}/relay", proxy.url), &[]);
    let kept = scene.doctor(&format!("{}/relay", kept.url), &[]);

    removed.check("ok", "webhooks arrive unchanged");
    kept.check("wrong", "a webhook arrives at the path /relay/hooks/NAME");
}

#[tokio::test(flavor = "multi_thread")]
async fn rewritten_parameters_are_wrong_for_a_source_that_signs_them() {
    let mapping =
        "provider = \"trello\"\nsecrets = [\"env:FORM_SECRET\"]\n[[feedback]]\nproblem = \"$.x\"\n";
    let scene = Scene::with_mapping(mapping).await;

    let report = scene.through(Fault::QueryReencoded).await;

    report.check("wrong", "the provider of form signs them, and is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_is_not_trusted_is_named_with_the_setting() {
    let scene = Scene::with(&[]).await;

    let report = scene.through(Fault::None).await;

    report.check("warning", "server.trusted_proxies does not name the proxy 127.0.0.1");
    assert!(report.output_json.to_string().contains("trusted_proxies = [\\\"127.0.0.1\\\"]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_relay_the_rest_is_checked_and_the_exit_code_stays() {
    let scene = Scene::new().await;
    let proxy = FaultyProxy::start(&scene.relay, Fault::None).await;

    let report = scene.deployment.doctor(&[("SAVIO_RELAY_SERVER__PUBLIC_URL", &proxy.url)]);

    report.check("ok", "the proxy answers: /healthz is not forwarded, as it should be");
    report.check("warning", "what arrives of a webhook was not tested, since no relay runs here");
    assert_eq!((report.code, &report.output_json["wrong"]), (Some(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_with_another_token_leaves_it_unseen() {
    let scene = Scene::new().await;

    let report = scene.doctor(&scene.relay.url, &[("ADMIN_TOKEN", "another-long-token-than-that")]);

    report.check("unseen", "what arrives of a webhook was not tested: the relay at");
}

#[tokio::test]
async fn name_that_does_not_exist_and_closed_address_are_told_apart() {
    let deployment = Deployment::new(200).await;
    let doctor = |url: &str| deployment.doctor(&[("SAVIO_RELAY_SERVER__PUBLIC_URL", url)]);

    let unknown = doctor("https://relay.invalid");
    let closed = doctor("http://127.0.0.1:1");

    // A machine without any DNS cannot know.
    let about = |verdict| found(&unknown, verdict).join("\n").contains("relay.invalid");
    assert!(about("wrong") || about("unseen"), "{:#}", unknown.output_json);
    closed.check("warning", "cannot be reached from here: connection refused");
    // From this network there is no way to it (RFC 5737): whether there is one from another, nobody here knows.
    let hairpin = doctor("http://192.0.2.1:9");
    hairpin.check("unseen", "192.0.2.1:9 cannot be reached from here");
    assert_eq!(hairpin.code, Some(3));
}

#[tokio::test]
async fn outgoing_proxy_leaves_the_address_unseen() {
    let deployment = Deployment::new(200).await;
    let proxy = "http://someone:hunter2@127.0.0.1:1";

    let report = deployment.doctor(&[
        ("SAVIO_RELAY_SERVER__PUBLIC_URL", "https://relay.example.com"),
        ("HTTPS_PROXY", proxy),
        ("NO_PROXY", "127.0.0.1"),
    ]);

    let reached = "https://relay.example.com is reached through 127.0.0.1:1, so DNS";
    report.check("ok", reached);
    report.check("unseen", "https://relay.example.com cannot be reached from here: ");
    assert!(!report.output_json.to_string().contains("hunter2"), "{:#}", report.output_json);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_output_names_no_token_and_no_key() {
    let scene = Scene::new().await;
    let proxy = FaultyProxy::start(&scene.relay, Fault::PrefixAdded).await;
    let mut doctor = crate::support::relay::program(scene.deployment.folder.path());
    let own = [
        ("SAVIO_RELAY_SERVER__LISTEN", scene.listen()),
        ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", scene.admin_listen()),
        ("SAVIO_RELAY_SERVER__PUBLIC_URL", proxy.url.as_str()),
    ];

    let output =
        doctor.arg("doctor").envs(scene.deployment.variables()).envs(own).output().unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("public address\n") && text.contains("/relay/hooks/NAME"), "{text}");
    assert!(!text.contains("long-enough-to-be-safe") && !text.contains('~'), "{text}");
    assert!(!scene.relay.log().contains('~'), "{}", scene.relay.log());
}
