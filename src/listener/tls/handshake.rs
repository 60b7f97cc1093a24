//! The TLS handshake of a new connection, and the answer for a client that begins without one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::listener::write_timeout::WriteTimeout;

/// A connection after its handshake.
// The timeout lies below TLS, where each part that the peer has read counts as progress.
pub(in crate::listener) type SecureStream = TlsStream<WriteTimeout<TcpStream>>;

/// Reason for which a connection ends before its first request.
#[derive(Debug, thiserror::Error)]
pub(in crate::listener) enum HandshakeError {
    /// The client has got an answer that says so.
    #[error("the client speaks http, and this is an https address")]
    PlainHttp,
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// Text of the answer to a request without TLS.
// A webhook without TLS has shown its content to others, so it is refused and not led elsewhere. In
// the list of deliveries of its sender, this says what to do.
pub const PLAIN_HTTP_REFUSAL: &str = "this is an https address: write https:// before its host";

/// Bytes and time for reading a request without TLS before the connection closes.
// Closing a socket with unread bytes makes TCP send a reset, which destroys the answer.
const PLAIN_HTTP_BYTES_MAX: u64 = 64 * 1024;
const PLAIN_HTTP_READING_MAX: Duration = Duration::from_secs(1);

/// Makes the handshake. The caller bounds its time.
pub(in crate::listener) async fn shake_hands(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    answer_timeout: Duration,
) -> Result<SecureStream, HandshakeError> {
    let mut first = [0];
    // A record of TLS begins with 22, a request with the name of its method.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        // That it does not listen either is no news.
        let _ = refuse_plain_http(stream).await;
        return Err(HandshakeError::PlainHttp);
    }
    let acceptor = TlsAcceptor::from(tls);
    Ok(acceptor.accept(WriteTimeout::new(stream, answer_timeout)).await?)
}

async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: \
         {}\r\nconnection: close\r\n\r\n{PLAIN_HTTP_REFUSAL}",
        PLAIN_HTTP_REFUSAL.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(PLAIN_HTTP_BYTES_MAX);
    let mut sink = tokio::io::sink();
    let _ = timeout(PLAIN_HTTP_READING_MAX, tokio::io::copy(&mut rest, &mut sink)).await;
    Ok(())
}
