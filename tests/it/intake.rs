//! The public listener over HTTP.

mod credentials;
mod handshake;
mod payload;
mod providers;
mod rate_limit;
mod responses;
mod signature_vectors;
mod unauthenticated_load;
mod unauthenticated_work;
