//! What a certificate says: its names, and from when until when it is valid.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// Time before its end from which a certificate should have been renewed.
// certbot renews 30 days before the end of 90, and tries each day. For six days' certificates,
// which are renewed after half of that, the end itself is the first sign.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The certificate of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    /// Host names and addresses for which it is valid.
    pub names: Vec<String>,
    pub begins_at: Timestamp,
    pub ends_at: Timestamp,
    /// Whether the file lacks the certificate of its issuer.
    pub is_alone: bool,
}

/// How a time lies to those of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    NotYet,
    Valid,
    /// It ends within 14 days, and after more than half of its time.
    EndsSoon,
    Ended,
}

impl Certificate {
    /// Parses the first certificate of a chain; none if it is not one as RFC 5280 defines it.
    pub fn parse(chain: &[CertificateDer<'static>]) -> Option<Certificate> {
        let der = chain.first()?.clone();
        let parsed = x509_cert::Certificate::from_der(&der).ok()?;
        let content = parsed.tbs_certificate();
        let names = content.get_extension::<SubjectAltName>().ok()?;
        let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
        let validity = content.validity();
        Some(Certificate {
            names: names.iter().filter_map(name).collect(),
            begins_at: timestamp(validity.not_before),
            ends_at: timestamp(validity.not_after),
            is_alone: chain.len() == 1 && content.issuer() != content.subject(),
            der,
        })
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Returns whether clients accept it for this host, a name or an address.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(host) = ServerName::try_from(host) else { return false };
        let parsed = ParsedCertificate::try_from(&self.der);
        parsed.is_ok_and(|parsed| verify_server_name(&parsed, &host).is_ok())
    }

    pub fn validity(&self, now: Timestamp) -> Validity {
        let lifetime = self.ends_at.duration_since(self.begins_at);
        let left = self.ends_at.duration_since(now);
        match () {
            () if now < self.begins_at => Validity::NotYet,
            () if now > self.ends_at => Validity::Ended,
            () if left < RENEWED_BEFORE && left < lifetime / 2 => Validity::EndsSoon,
            () => Validity::Valid,
        }
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

/// Returns the time. A certificate without an end has one in the last second of the year 9999, which
/// is later than the last that can be shown.
fn timestamp(time: Time) -> Timestamp {
    let seconds: Duration = time.to_unix_duration();
    let seconds = i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
