//! What each route refuses, as the description says it and as the relay does it.

use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_TYPE, COOKIE, IF_MATCH, ORIGIN};
use serde_json::{Value, json};

use super::browser::{self, Caller, USER};
use super::described::Operation;
use super::{MAPPING, Scene, TOKEN};
use crate::support::external_tool::run_tool;
use crate::support::relay::http;

const NOBODY: &str = "01a1f2c4-0000-7000-8000-000000000000";
const METRICS_TOKEN: &str = "a token for the metrics only";

/// Requests that provoke the refusals of one route.
struct Provocation<'s> {
    /// Session of a user of the proxy.
    cookie: &'s str,
    scene: &'s Scene,
    operation: &'s Operation,
    held: &'s str,
    queued: &'s str,
    erased: &'s str,
}

impl Provocation<'_> {
    fn path(&self, id: &str, name: &str) -> String {
        self.operation.path.replace("{id}", id).replace("{name}", name).replace("{digest}", "3f2a")
    }

    fn request(&self, path: &str, token: &str) -> reqwest::RequestBuilder {
        let method: Method = self.operation.method.parse().unwrap();
        http().request(method, format!("{}{path}", self.scene.relay.admin_url)).bearer_auth(token)
    }

    /// Sends the request that has to be refused with this status; none if there is no way to
    /// provoke it here.
    fn provoke(&self, status: &str) -> Option<reqwest::RequestBuilder> {
        let path = self.path(self.held, "form");
        Some(match status {
            // Pages log in with a body, and without a token.
            "401" | "403" | "415" if self.is_open() => self.open_refusal(status),
            "400" => self.request(&format!("{path}?zz=1"), TOKEN),
            "401" => self.request(&path, "a token that is not known"),
            "403" => self.request(&path, METRICS_TOKEN),
            "404" => self.missing().header(IF_MATCH, "*"),
            "405" => {
                http().patch(format!("{}{path}", self.scene.relay.admin_url)).bearer_auth(TOKEN)
            }
            // It needs a source that lost its mapping.
            "409" if path.ends_with("/explain") => return None,
            // An issue closes a moment after its cause: the mute of a closed one has a test of its own.
            "409" if path.ends_with("/mute") => return None,
            "409" if path.ends_with("/test") => self.request(&self.path("", "off"), TOKEN),
            "409" if path.ends_with("/mapping") => self.conflict(&path)?,
            "409" if path.ends_with("/changes") => self.changes("off"),
            "409" if self.operation.path.contains("/sources") => self.source_conflict(&path),
            "412" | "422" | "428" if path.ends_with("/tests") => {
                self.test_refusal(&path, status)?
            }
            "412" => self.mapping(&path).header(IF_MATCH, "\"another\""),
            "422" => self.mapping(&path).json(&json!({ "mapping": "x" })).header(IF_MATCH, "*"),
            "428" => self.mapping(&path),
            "409" if path.ends_with("/release") => {
                self.request(&self.path(self.queued, ""), TOKEN).json(&json!({ "arrived": true }))
            }
            "409" if path.ends_with("/copy") => {
                self.request(&self.path(self.erased, ""), TOKEN).json(&json!({ "payload": {} }))
            }
            "409" => self.request(&self.path(self.queued, ""), TOKEN).json(&json!({})),
            "421" => {
                let evil = http().request(
                    self.operation.method.parse().unwrap(),
                    format!("{}{path}", self.scene.relay.admin_url),
                );
                evil.header("host", "evil.example").header("cookie", "savio_relay_session=x")
            }
            // More would be cut off before it is sent.
            "413" if self.is_open() => self.request(&path, TOKEN).body(vec![b' '; 16 * 1024 + 1]),
            "413" => self.request(&path, TOKEN).body(vec![b' '; 12 * 1024 * 1024 + 1]),
            "415" => self.request(&path, TOKEN).header(CONTENT_TYPE, "text/plain").body("{}"),
            // A body that takes half a minute, too many wrong tokens, an unavailable store and a bug have
            // tests of their own.
            "408" | "429" | "500" | "503" => return None,
            _ => panic!("{status} is documented: provoke it here"),
        })
    }

    fn is_open(&self) -> bool {
        self.operation.description["x-role"] == "none"
    }

    fn open_refusal(&self, status: &str) -> reqwest::RequestBuilder {
        let Provocation { scene, operation, .. } = self;
        let method: Method = operation.method.parse().unwrap();
        let url = format!("{}{}", scene.relay.admin_url, operation.path);
        let request = http().request(method, url);
        let is_login = operation.json_body().is_some();
        match status {
            "401" if is_login => request.json(&json!({ "token": "a token that is not known" })),
            "401" => request.header(USER, "ada").header(USER, "bob"),
            "403" if is_login => request.header(ORIGIN, "https://evil.example"),
            // Without the session's token.
            "403" => request.header(USER, "ada").header(COOKIE, self.cookie),
            _ => request.body("token"),
        }
    }

    fn changes(&self, name: &str) -> reqwest::RequestBuilder {
        let request = self.request(&self.path("", name), TOKEN);
        request.json(&json!({ "mapping": MAPPING }))
    }

    fn mapping(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.request(path, TOKEN);
        let has_body = self.operation.description.get("requestBody").is_some();
        if has_body { request.json(&json!({ "mapping": MAPPING })) } else { request }
    }

    /// Another file has mistakes, and this one has no bundled mapping.
    fn conflict(&self, path: &str) -> Option<reqwest::RequestBuilder> {
        // A file that cannot be read has a test of its own.
        let is_change = self.operation.method != "GET";
        is_change.then(|| self.mapping(path).header(IF_MATCH, "*"))
    }

    fn source_conflict(&self, path: &str) -> reqwest::RequestBuilder {
        let body = match path.rsplit('/').next() {
            Some("tests") => json!({ "event": self.held }),
            Some("secret") => json!({ "secret": "a secret" }),
            _ => json!({ "name": "form", "provider": "form" }),
        };
        // The event is not of that source.
        self.request(&path.replace("form/tests", "off/tests"), TOKEN).json(&body)
    }

    fn test_refusal(&self, path: &str, status: &str) -> Option<reqwest::RequestBuilder> {
        let request = self.request(path, TOKEN).json(&json!({ "event": self.held }));
        match status {
            "412" => Some(request.header(IF_MATCH, "\"another\"")),
            "428" => Some(request),
            // Only a change at the same moment adds mistakes.
            _ => None,
        }
    }

    fn missing(&self) -> reqwest::RequestBuilder {
        let path = self.path(NOBODY, "no");
        match self.operation.path.as_str() {
            "/api/v1/events" | "/api/v1/events/counts" | "/api/v1/series" => {
                self.request(&format!("{path}?destination=no"), TOKEN)
            }
            "/api/v1/rejected" | "/api/v1/dead/groups" => {
                self.request(&format!("{path}?source=no"), TOKEN)
            }
            "/api/v1/replay" => self.request(&path, TOKEN).json(&json!({ "destination": "no" })),
            "/api/v1/alerts/test" => self.request(&path, TOKEN).json(&json!({ "name": "no" })),
            "/api/v1/sources/{name}/changes" => self.changes("no"),
            "/api/v1/preview" => {
                self.request(&path, TOKEN).json(&json!({ "mapping": MAPPING, "event": NOBODY }))
            }
            _ if path.ends_with("/mapping") => self.mapping(&path),
            _ if path.ends_with("/tests") => {
                self.request(&path, TOKEN).json(&json!({ "event": NOBODY }))
            }
            _ if path.ends_with("/secret") => {
                self.request(&path, TOKEN).json(&json!({ "secret": "a secret" }))
            }
            _ => {
                let request = self.request(&path, TOKEN);
                match path.rsplit('/').next() {
                    Some("release") => request.json(&json!({ "arrived": true })),
                    Some("copy") => request.json(&json!({ "payload": {} })),
                    _ => request,
                }
            }
        }
    }
}

#[tokio::test]
async fn every_documented_refusal_is_given_with_its_code() {
    let config = format!(
        "[[admin.tokens]]\nname = \"scraper\"\ntoken = \"env:SCRAPER\"\nrole = \"metrics\"\n\
         [admin.proxy_auth]\nheader = \"{USER}\"\nfrom = \"127.0.0.1\"\n"
    );
    let scene = Scene::configured(&config, &[("SCRAPER", METRICS_TOKEN)]).await;
    let begun = Caller::of_proxy("ada").request(&scene, "GET", "/api/v1/session");
    let cookie = browser::cookie(&begun.send().await.unwrap());
    let [_, _, held, erased] = scene.one_of_each().await;
    scene.post(&format!("/api/v1/events/{erased}/erase"), json!({})).await;
    scene.post("/api/v1/sources/form/pause", json!({})).await;
    let queued = scene.webhook(&json!({ "text": "waits" })).await;
    let mut given = 0;

    for operation in scene.description().await.operations() {
        let place = Provocation {
            cookie: &cookie,
            scene: &scene,
            operation: &operation,
            held: &held,
            queued: &queued,
            erased: &erased,
        };
        for (status, documented) in operation.description["responses"].as_object().unwrap() {
            assert!(!documented["description"].as_str().unwrap_or_default().is_empty());
            if ["200", "202", "204", "303"].contains(&status.as_str()) {
                continue;
            }
            let content = &documented["content"]["application/json"];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/Error");
            let Some(request) = place.provoke(status) else { continue };
            let answer = request.send().await.unwrap();
            let called = format!("{} {}", operation.method, operation.path);
            assert_eq!(answer.status().as_str(), status, "{called}: {documented}");
            assert_eq!(answer.headers().contains_key(ALLOW), status == "405", "{called}");
            if operation.method == "HEAD" {
                continue;
            }
            let error: Value = answer.json().await.unwrap();
            assert_eq!(error["error"], content["example"]["error"], "{called} {status}: {error}");
            assert!(error["reason"].as_str().is_some_and(|it| !it.is_empty()), "{called}: {error}");
            given += 1;
        }
    }
    assert!(given > 90, "{given} refusals");
    assert_eq!(scene.get(&format!("/api/v1/events/{held}")).await["state"], "held");
}

#[tokio::test]
async fn error_outside_of_the_api_is_an_error_object_too() {
    let scene = Scene::new().await;
    let url = &scene.relay.admin_url;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/api/v1/events/", 404),
        ("GET", "/api/v1//events", 404),
        ("POST", "/no/such", 404),
        ("GET", "/api/v1/events/%zz", 404),
        ("GET", "/api/v1/events/%ff", 400),
        ("GET", "/api/v1/events?%ff=%ff", 400),
        ("GET", "/api/v1/events?limit=1&limit=2", 400),
        ("BREW", "/api/v1/events", 405),
        ("PUT", "/metrics", 405),
        ("POST", "/healthz", 405),
        ("GET", "/healthz?verbose=1", 400),
    ] {
        let request = http().request(method.parse().unwrap(), format!("{url}{path}"));
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        let error: Value = answer.json().await.unwrap();
        assert!(error["error"].is_string() && error["reason"].is_string(), "{path}: {error}");
    }
}

#[tokio::test]
async fn unknown_parameter_is_refused_by_every_route() {
    let scene = Scene::new().await;
    for Operation { method, path, .. } in scene.description().await.operations() {
        for query in ["zz=1", "zz", "limit=1&zz=", "%7A%7A=1"] {
            let answer = scene.call(&method, &format!("{path}?{query}"), None).await;
            let reason = answer.json()["reason"].as_str().unwrap().to_owned();
            assert_eq!(answer.status, 400, "{method} {path}?{query}");
            assert!(reason.contains("unknown parameter `"), "{path}?{query}: {reason}");
        }
    }
    for path in ["healthz", "readyz"] {
        let answer = http().get(format!("{}/{path}?zz=1", scene.relay.url)).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["reason"], "this route takes no parameters");
    }
}

#[tokio::test]
async fn value_outside_of_its_documented_bounds_is_refused() {
    let scene = Scene::new().await;
    let description = scene.description().await;
    let mut tried = 0;

    for operation in description.operations() {
        for parameter in operation.description["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            assert!(parameter["description"].is_string(), "{}: {name}", operation.path);
            if parameter["in"] != "query" {
                continue;
            }
            let schema = description.resolve(&parameter["schema"]);
            for value in values_outside(schema) {
                let path = format!("{}?{name}={value}", operation.path);
                let answer = scene.call(&operation.method, &path, None).await;
                let error = answer.json();
                // A name that nothing has is not found, whatever is in it.
                let is_name = answer.status == 404 && ["source", "destination"].contains(&name);
                assert!(answer.status == 400 || is_name, "{path}: {error}");
                tried += 1;
            }
        }
    }
    assert!(tried > 9, "{tried} values");
}

/// Returns values that the schema of a parameter does not allow.
fn values_outside(schema: &Value) -> Vec<String> {
    let mut values = Vec::new();
    values.extend(schema["minimum"].as_i64().map(|least| (least - 1).to_string()));
    values.extend(schema["maximum"].as_i64().map(|most| (most + 1).to_string()));
    let is_fixed = schema["enum"].is_array() || schema["type"] == "boolean";
    if is_fixed || schema["format"] == "date-time" || schema["pattern"].is_string() {
        values.push("not%20one".to_owned());
    }
    values
}

#[tokio::test]
async fn body_for_a_route_that_takes_none_is_refused() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let mut tried = 0;

    for operation in scene.description().await.operations() {
        if operation.method == "GET" || operation.json_body().is_some() {
            continue;
        }
        let path = operation.path.replace("{id}", &held).replace("{name}", "form");
        let until = json!({ "until": "2999-01-01T00:00:00Z" });
        let answer = scene.call(&operation.method, &path, Some(&until)).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["reason"], "this route takes no body: send none, or {}");
        let without = scene.call(&operation.method, &path, Some(&json!({}))).await;
        assert_ne!(without.status, 400, "{path}");
        tried += 1;
    }
    assert!(tried >= 5, "{tried} routes");
}

#[tokio::test]
async fn openapi_validator_finds_nothing_wrong_with_the_description() {
    let scene = Scene::new().await;
    let description = scene.get("/api/v1/openapi.json").await;
    let file = scene.folder.path().join("openapi.json");
    std::fs::write(&file, description.to_string()).unwrap();

    let arguments = ["--validation-errors", "all", file.to_str().unwrap()];
    let Some(checked) = run_tool("openapi-spec-validator", &arguments, "") else { return };

    let found = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success(), "{found}");
}

#[tokio::test]
async fn names_of_operations_differ() {
    let operations = Scene::new().await.description().await.operations();

    let names: std::collections::BTreeSet<_> =
        operations.iter().map(|it| it.description["operationId"].as_str().unwrap()).collect();

    assert_eq!(names.len(), operations.len(), "{names:?}");
    assert!(names.contains("post_events_id_replay") && names.contains("get_openapi_json"));
}
