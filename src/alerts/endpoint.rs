//! An HTTP server that is sent messages, and what is never sent to: link-local addresses, and by
//! `http` any host that is not private.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use tokio::time::timeout;

use crate::http_client::{
    CallFailure, USER_AGENT, addresses_of, is_link_local, is_loopback, is_private, literal_address,
    proxy,
};

/// Longest time of a call, from the look-up of the name to the last byte that is read.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of bytes that are read of an answer, and of characters that are shown.
const ANSWER_BYTES_MAX: usize = 1024;
const ANSWER_CHARS_MAX: usize = 200;

/// A server that is sent messages.
pub(super) struct Endpoint {
    url: Url,
    headers: HeaderMap,
    http: reqwest::Client,
    checked: Arc<CheckedAddresses>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertAnswer {
    pub status: u16,
    /// Its first words.
    pub text: String,
    pub(super) retry_after: Option<Duration>,
}

impl AlertAnswer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns whether the same message would be answered like this again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, 300..500) && !matches!(self.status, 408 | 425 | 429)
    }
}

impl Endpoint {
    /// Fails with the reason, in which the URL is not: it is a secret.
    pub(super) fn new(url: &str, headers: HeaderMap) -> Result<Endpoint, String> {
        let not_http = || "it is not an http or https URL".to_owned();
        let url = Url::parse(url.trim()).map_err(|_| not_http())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(not_http());
        }
        if let Some(address) = literal_address(&url) {
            check(&url, &[address])?;
        }
        let checked = Arc::new(CheckedAddresses {
            host: url.host_str().unwrap_or_default().to_owned(),
            addresses: Mutex::default(),
        });
        let http = client(&url, &checked)
            .build()
            .map_err(|_| "no HTTPS here: install the CA certificates of the machine".to_owned())?;
        Ok(Endpoint { url, headers, http, checked })
    }

    /// Posts JSON. An answer of any status is one; the error is the reason why there is none.
    pub(super) async fn post(&self, body: String) -> Result<AlertAnswer, String> {
        self.call(Method::POST, Some(body)).await
    }

    pub(super) async fn ping(&self) -> Result<AlertAnswer, String> {
        self.call(Method::GET, None).await
    }

    async fn call(&self, method: Method, body: Option<String>) -> Result<AlertAnswer, String> {
        let call = async {
            self.permitted().await?;
            let mut request =
                self.http.request(method, self.url.clone()).headers(self.headers.clone());
            if let Some(body) = body {
                request = request.header(CONTENT_TYPE, "application/json").body(body);
            }
            match request.send().await {
                Ok(response) => Ok(read(response).await),
                Err(error) => Err(CallFailure::of(error, &self.url).to_string()),
            }
        };
        let late = || format!("no answer within {} s", TIMEOUT.as_secs());
        timeout(TIMEOUT, call).await.unwrap_or_else(|_| Err(late()))
    }

    /// Fails with the reason if nothing is sent to the address as it resolves now.
    async fn permitted(&self) -> Result<(), String> {
        if literal_address(&self.url).is_some() {
            return Ok(());
        }
        // A proxy looks the name up itself, and https keeps what is sent from others.
        if self.url.scheme() == "https" && proxy(&self.url).is_some() {
            return Ok(());
        }
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let found = addresses_of(host, port).await;
        let found = found.map_err(|error| format!("the name {host} is not found ({error})"))?;
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        check(&self.url, &addresses)?;
        self.checked.set(found);
        Ok(())
    }
}

/// Refuses addresses to which nothing is sent.
fn check(url: &Url, addresses: &[IpAddr]) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    if addresses.iter().any(|it| is_link_local(*it)) {
        return Err(format!("{host} is a link-local address, to which nothing is sent"));
    }
    if url.scheme() == "http" && !addresses.iter().all(|it| is_private(*it)) {
        return Err(format!(
            "{host} is not private: write https://, since http:// can be read by others"
        ));
    }
    Ok(())
}

fn client(url: &Url, checked: &Arc<CheckedAddresses>) -> reqwest::ClientBuilder {
    // It fails only if a provider is installed already, which will do as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        // A redirect leads to an address that nobody checked.
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        // Messages are rare: nothing is kept between them.
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::clone(checked));
    if url.scheme() == "http" {
        // Without redirects TLS is never used, so a machine without CA certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder
}

/// Lets a connection go to the addresses that were checked, and not to others that the name has a
/// moment later.
struct CheckedAddresses {
    host: String,
    addresses: Mutex<Vec<SocketAddr>>,
}

impl CheckedAddresses {
    fn set(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

impl Resolve for CheckedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let own = (name.as_str() == self.host)
            .then(|| self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Box::pin(async move {
            let found = match own {
                Some(addresses) => addresses,
                // A proxy's.
                None => addresses_of(name.as_str(), 0).await?,
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

async fn read(mut response: Response) -> AlertAnswer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let left = ANSWER_BYTES_MAX - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(left)]);
            }
            Ok(None) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = shown.chars().filter(|it| !it.is_control()).take(ANSWER_CHARS_MAX).collect();
    AlertAnswer { status, text: shown, retry_after: retry_after.map(Duration::from_secs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, addresses: &[&str]) -> Option<String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        check(&url.parse().unwrap(), &addresses).err()
    }

    #[test]
    fn nothing_is_sent_to_link_local_addresses_or_in_clear_to_others() {
        for address in ["169.254.169.254", "fe80::1", "::ffff:169.254.1.1"] {
            for url in ["https://hooks.example.com/x", "http://hooks.example.com/x"] {
                let refused = refusal(url, &["10.0.0.1", address]).unwrap();
                assert!(refused.contains("link-local"), "{refused}");
            }
        }
        for private in ["127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd00::1"] {
            assert_eq!(refusal("http://chat/x", &[private]), None, "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "0.0.0.0", "2001:db8::1"] {
            let refused = refusal("http://chat/x", &["10.0.0.1", public]).unwrap();
            assert!(refused.contains("not private"), "{refused}");
            assert_eq!(refusal("https://chat/x", &[public]), None);
        }
    }

    #[test]
    fn url_is_judged_before_anything_is_sent() {
        let new = |url| Endpoint::new(url, HeaderMap::new()).map(|it| it.url.to_string());

        assert_eq!(new(" http://10.0.0.1/x\n").as_deref(), Ok("http://10.0.0.1/x"));
        assert!(new("http://169.254.169.254/latest").unwrap_err().contains("link-local"));
        assert!(new("https://[fe80::1]/").unwrap_err().contains("link-local"));
        assert!(new("http://8.8.8.8/").unwrap_err().contains("not private"));
        for wrong in ["hooks.example.com/x", "ftp://10.0.0.1/", "", "file:///etc/passwd"] {
            assert_eq!(new(wrong).unwrap_err(), "it is not an http or https URL", "{wrong}");
        }
    }

    #[tokio::test]
    async fn name_is_checked_by_what_it_resolves_to() {
        let endpoint = Endpoint::new("http://localhost:1/x", HeaderMap::new()).unwrap();

        endpoint.permitted().await.unwrap();

        let checked = endpoint.checked.addresses.lock().unwrap().clone();
        assert!(!checked.is_empty() && checked.iter().all(|it| it.ip().is_loopback()));
        let gone = Endpoint::new("https://hooks.invalid/x", HeaderMap::new()).unwrap();
        assert!(gone.permitted().await.unwrap_err().contains("hooks.invalid is not found"));
    }

    #[test]
    fn refusal_is_final_unless_it_asks_to_wait() {
        let answer = |status| AlertAnswer { status, text: String::new(), retry_after: None };
        for (status, success, is_final) in [
            (200, true, false),
            (204, true, false),
            (302, false, true),
            (404, false, true),
            (429, false, false),
            (500, false, false),
        ] {
            let answer = answer(status);
            assert_eq!((answer.is_success(), answer.is_final()), (success, is_final), "{status}");
        }
    }
}
