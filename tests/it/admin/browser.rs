//! Browsers and programs at the admin listener: what each sends to prove who it is.

use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::Scene;
use crate::support::relay::http;

/// Header in which the proxy of the tests names its user.
pub(super) const USER: &str = "x-forwarded-user";

/// What somebody sends with each request.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    pub(super) headers: Vec<(&'static str, String)>,
}

/// Returns a client that follows no redirect.
pub(super) fn client() -> Client {
    // Installs the provider of TLS.
    drop(http());
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

impl Caller {
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Caller {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Caller {
        self.headers.retain(|(it, _)| *it != name);
        self
    }

    pub(super) fn bearer(token: &str) -> Caller {
        Caller::default().with("authorization", &format!("Bearer {token}"))
    }

    /// A user of the proxy whose browser has no session yet.
    pub(super) fn of_proxy(user: &str) -> Caller {
        Caller::default().with(USER, user)
    }

    pub(super) fn request(&self, scene: &Scene, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        let mut request = client().request(method, format!("{}{path}", scene.relay.admin_url));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request
    }

    pub(super) async fn status(&self, scene: &Scene, method: &str, path: &str) -> u16 {
        self.request(scene, method, path).send().await.unwrap().status().as_u16()
    }

    /// Returns status and reason of a refusal.
    pub(super) async fn refusal(&self, scene: &Scene, method: &str, path: &str) -> (u16, String) {
        let response = self.request(scene, method, path).send().await.unwrap();
        let status = response.status().as_u16();
        let error: Value = response.json().await.unwrap();
        (status, error["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// Presents the session that a response begins, and what a page of the relay sends with it.
    pub(super) async fn in_session(self, scene: &Scene, begun: &Response) -> Caller {
        let browser = self.with("cookie", &cookie(begun));
        let session = browser.request(scene, "GET", "/api/v1/session").send().await.unwrap();
        assert_eq!(session.status(), 200);
        let session: Value = session.json().await.unwrap();
        let token = session["csrf_token"].as_str().unwrap();
        browser.with("origin", &scene.relay.admin_url).with("x-csrf-token", token)
    }
}

/// Returns the cookie that a response sets, as a browser sends it.
pub(super) fn cookie(response: &Response) -> String {
    let set = response.headers().get(SET_COOKIE).expect("it sets a cookie").to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

impl Scene {
    pub(super) async fn login(&self, body: Value) -> Response {
        let login = client().post(format!("{}/login", self.relay.admin_url)).json(&body);
        login.send().await.unwrap()
    }

    /// Logs a browser in by a token.
    pub(super) async fn browser(&self, token: &str) -> Caller {
        let begun = self.login(json!({ "token": token })).await;
        assert_eq!(begun.status(), 200);
        Caller::default().in_session(self, &begun).await
    }

    /// Makes a login link and logs a browser in by it.
    pub(super) async fn browser_by_link(&self, role: &str) -> Caller {
        let begun = self.login(json!({ "code": self.link_code(role).await })).await;
        assert_eq!(begun.status(), 200);
        Caller::default().in_session(self, &begun).await
    }

    pub(super) async fn link_code(&self, role: &str) -> String {
        let link = self.post("/api/v1/login-links", json!({ "role": role })).await;
        let url = link["url"].as_str().unwrap();
        let (base, code) = url.split_once("/login?code=").unwrap();
        assert_eq!(base, self.relay.admin_url);
        code.to_owned()
    }

    /// Begins the session of a user of the proxy.
    pub(super) async fn browser_of_proxy(&self, user: &str) -> Caller {
        let caller = Caller::of_proxy(user);
        let begun = caller.request(self, "GET", "/api/v1/session").send().await.unwrap();
        assert_eq!(begun.status(), 200);
        caller.in_session(self, &begun).await
    }
}

#[test]
fn names_of_headers_are_those_of_http() {
    assert_eq!([COOKIE.as_str(), ORIGIN.as_str()], ["cookie", "origin"]);
}
