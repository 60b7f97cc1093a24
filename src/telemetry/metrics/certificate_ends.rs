//! Times at which the certificates in use end, so that one that is not renewed is noticed before its
//! end.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: &'static str,
}

/// The end of the certificate of each listener that has one.
#[derive(Debug, Clone, Default)]
pub struct CertificateEnds(Family<ListenerLabel, Gauge>);

impl CertificateEnds {
    pub(super) fn register(self, registry: &mut Registry) {
        let help =
            "Time since 1970 at which the certificate in use ends, of each listener with TLS";
        registry.register("tls_certificate_end_timestamp_seconds", help, self.0);
    }

    /// Sets the end of the certificate of a listener, `server` or `admin`.
    pub fn set(&self, listener: &'static str, end: Timestamp) {
        self.0.get_or_create(&ListenerLabel { listener }).set(end.as_second());
    }
}
