//! The one place that turns a failed HTTP call into words for people.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use reqwest::Url;
use rustls::{CertificateError, OtherError};

use super::expected_certificate::OtherCertificate;
use super::proxies::proxy;

/// Reason for which a call got no answer, in words that complete "cannot be reached: …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    words: String,
    /// The libraries' messages, for a log.
    pub cause: String,
    /// Whether it failed before anything was sent.
    pub is_before_send: bool,
    /// Whether nobody listens at the address.
    pub is_refused: bool,
    /// What is wrong with the TLS of the server, if that can be told from all else.
    pub tls: Option<TlsFault>,
}

/// Fault of a server's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// It does not speak TLS.
    NotSpoken,
    /// It has another certificate than the only one that is accepted.
    OtherCertificate,
    /// Its certificate is not trusted.
    Untrusted,
}

impl fmt::Display for CallFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

impl CallFailure {
    /// Classifies the failure of a call to this URL.
    pub fn of(error: reqwest::Error, url: &Url) -> CallFailure {
        // The URL may hold a secret, and whoever shows the words says where the call went.
        let error = error.without_url();
        let words = words(&error, url);
        let proxy = proxy(url).filter(|_| !error.is_builder());
        CallFailure {
            words: match proxy {
                Some(proxy) => format!("{words} (through the proxy {proxy})"),
                None => words,
            },
            cause: error_chain(&error),
            is_before_send: error.is_connect() || error.is_builder(),
            is_refused: io_kind(&error) == Some(ErrorKind::ConnectionRefused),
            tls: find::<rustls::Error>(&error).and_then(tls_fault),
        }
    }
}

/// Formats an error and its causes in one line, separated by `: `.
pub fn error_chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

// From the most exact to the least: a failed handshake is also a failed connection, and a timeout
// may have either below it.
fn words(error: &reqwest::Error, url: &Url) -> String {
    if error.is_builder() {
        return "the address or a header of the request is not valid".to_owned();
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return tls_words(error);
    }
    if error.is_timeout() {
        let what = if error.is_connect() { "no connection" } else { "no answer" };
        return format!("timeout, {what} in time");
    }
    name_words(error, url)
        .or_else(|| tunnel_words(error).map(str::to_owned))
        .or_else(|| io_kind(error).and_then(io_words).map(str::to_owned))
        .or_else(|| find::<hyper::Error>(error).map(|error| http_words(error).to_owned()))
        .unwrap_or_else(|| {
            let what = if error.is_connect() { "the connection" } else { "the call" };
            format!("{what} failed for a reason of its own kind")
        })
}

/// Returns the error and its causes, also those inside of an `io::Error`, whose `source` skips the
/// error that it was made of.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let error: &(dyn Error + 'static) = error;
    std::iter::successors(Some(error), |error| cause_of(*error))
}

fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns the kind of the innermost `io::Error`.
fn io_kind(error: &reqwest::Error) -> Option<ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};
    if let Some(other) = other_certificate(error) {
        return other.to_string();
    }
    match error {
        InvalidCertificate(error) => {
            format!("its certificate is not trusted, {}", certificate_words(error))
        }
        InvalidMessage(_) => "it does not speak TLS, is https:// right?".to_owned(),
        AlertReceived(_) => "it refused the TLS connection".to_owned(),
        PeerIncompatible(_) => "no TLS version or cipher in common".to_owned(),
        _ => "the TLS connection failed".to_owned(),
    }
}

fn tls_fault(error: &rustls::Error) -> Option<TlsFault> {
    match error {
        rustls::Error::InvalidMessage(_) => Some(TlsFault::NotSpoken),
        error if other_certificate(error).is_some() => Some(TlsFault::OtherCertificate),
        rustls::Error::InvalidCertificate(_) => Some(TlsFault::Untrusted),
        _ => None,
    }
}

/// Returns whether the certificate is another than the only one that is accepted.
fn other_certificate(error: &rustls::Error) -> Option<&OtherCertificate> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            error.downcast_ref()
        }
        _ => None,
    }
}

fn certificate_words(error: &CertificateError) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, Other, Revoked, UnknownIssuer,
    };
    match error {
        // `openssl req -x509` makes such ones. The type of the error is in no crate of ours.
        Other(OtherError(error)) if error.to_string() == "CaUsedAsEndEntity" => {
            "it is self-signed, or an authority's own"
        }
        Expired | ExpiredContext { .. } => "it has expired",
        NotValidYet | NotValidYetContext { .. } => "it is not valid yet, is the clock right?",
        NotValidForName | NotValidForNameContext { .. } => "it is for another name",
        UnknownIssuer => "its issuer is unknown to this machine",
        Revoked => "it was revoked",
        _ => "it is not valid",
    }
}

/// Returns the words for a name that was not found.
// hyper-util keeps the type of its error for names to itself: its message is all there is.
fn name_words(error: &reqwest::Error, url: &Url) -> Option<String> {
    let position = causes(error).position(|cause| cause.to_string() == "dns error")?;
    let cause = causes(error).nth(position + 1).map(ToString::to_string).unwrap_or_default();
    let host = proxy(url).unwrap_or_else(|| url.host_str().unwrap_or_default().to_owned());
    // EAI_AGAIN of getaddrinfo: no name server answered.
    Some(if cause.contains("emporary failure") {
        format!("the name {host} cannot be looked up, DNS does not answer")
    } else {
        format!("the name {host} is not found")
    })
}

/// Returns the words for a proxy that did not open a connection.
// hyper-util's type is private here too.
fn tunnel_words(error: &reqwest::Error) -> Option<&'static str> {
    let tunnel =
        causes(error).map(ToString::to_string).find(|it| it.starts_with("tunnel error"))?;
    Some(if tunnel.contains("authorization") {
        "the proxy wants a user and a password"
    } else {
        "the proxy did not open a connection"
    })
}

fn io_words(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the connection was reset"
        }
        ErrorKind::UnexpectedEof => "the connection was closed",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            "this machine has no route to it"
        }
        ErrorKind::AddrNotAvailable => "the address is not reachable from this machine",
        ErrorKind::PermissionDenied => "this machine does not permit the connection",
        ErrorKind::TimedOut => "timeout, no connection in time",
        _ => return None,
    })
}

fn http_words(error: &hyper::Error) -> &'static str {
    if error.is_incomplete_message() || error.is_closed() {
        "the connection was closed before the answer"
    } else if error.is_parse() {
        "what it answered is not HTTP"
    } else {
        "the connection broke off"
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Calls the URL, and returns why there was no answer.
    async fn failure(url: &str, timeout: Duration) -> CallFailure {
        drop(rustls::crypto::ring::default_provider().install_default());
        let url: Url = url.parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(timeout);
        let error = client.build().unwrap().get(url.clone()).send().await.unwrap_err();
        CallFailure::of(error, &url)
    }

    #[track_caller]
    fn check(failure: &CallFailure, words: &str, is_before_send: bool) {
        assert_eq!((failure.to_string().as_str(), failure.is_before_send), (words, is_before_send));
        assert_ne!(failure.cause, words, "the libraries' messages are kept for the log");
    }

    const LONG: Duration = Duration::from_secs(30);

    /// Returns the address of a server that does this with its first connection.
    async fn server<F>(then: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            then(stream).await;
        });
        address
    }

    #[tokio::test]
    async fn failed_connection_is_told_without_a_librarys_words() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = failure(&format!("http://{free}/"), LONG).await;
        check(&refused, "connection refused", true);
        assert!(refused.is_refused);

        let unknown = failure("http://savio.invalid/", LONG).await;
        let told = unknown.to_string();
        assert!(told.starts_with("the name savio.invalid "), "{told}");
        assert!(unknown.is_before_send && !unknown.is_refused);
    }

    #[tokio::test]
    async fn lost_answer_is_told_without_a_librarys_words() {
        let closing = server(|stream| async move { drop(stream) }).await;
        let closed = failure(&format!("http://{closing}/"), LONG).await;
        check(&closed, "the connection was closed before the answer", false);

        let resetting = server(|stream| async move {
            stream.set_zero_linger().unwrap();
        });
        let reset = failure(&format!("http://{}/", resetting.await), LONG).await;
        check(&reset, "the connection was reset", false);

        let talking = server(|mut stream| async move {
            stream.write_all(b"220 mail.example.com ESMTP\r\n").await.unwrap();
        });
        let other = failure(&format!("http://{}/", talking.await), LONG).await;
        check(&other, "what it answered is not HTTP", false);

        let silent = server(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        });
        let late = failure(&format!("http://{}/", silent.await), Duration::from_millis(50)).await;
        check(&late, "timeout, no answer in time", false);
    }

    #[tokio::test]
    async fn failed_handshake_is_told_without_a_librarys_words() {
        let plain = server(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        let told = failure(&format!("https://{}/", plain.await), LONG).await;
        check(&told, "it does not speak TLS, is https:// right?", true);
    }

    #[test]
    fn certificate_that_is_not_trusted_is_told_with_its_fault() {
        let check = |error, words: &str| {
            let error = rustls::Error::InvalidCertificate(error);
            assert_eq!(tls_words(&error), format!("its certificate is not trusted, {words}"));
        };
        check(CertificateError::Expired, "it has expired");
        check(CertificateError::UnknownIssuer, "its issuer is unknown to this machine");
        check(CertificateError::NotValidForName, "it is for another name");
        check(CertificateError::BadEncoding, "it is not valid");
    }
}
