//! Errors of starting and stopping the relay.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::stop::StopError;
use crate::file;
use crate::listener::BindError;
use crate::listener::tls::pair::PairError;
use crate::savio::ClientError;
use crate::store::sqlite::OpenError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error(
        "`server.listen` and `server.admin_listen` are both {0}: give one of them another port"
    )]
    SameAddress(SocketAddr),
    #[error("[{section}]: {error}")]
    Certificate { section: &'static str, error: PairError },
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("the admin token is empty")]
    EmptyAdminToken,
    #[error(
        "cannot write a new admin token to {}: {}. Or set ADMIN_TOKEN, then none is written",
        .path.display(), file::explain(.error, .path)
    )]
    AdminTokenFile { path: PathBuf, error: io::Error },
    /// Savio's client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Stop(#[from] StopError),
}
