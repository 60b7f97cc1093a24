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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(names: &[&str], from: (i32, u8, u8), until: (i32, u8, u8)) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let issued = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::parse(&[issued.der().clone()]).unwrap()
    }

    #[test]
    fn names_are_those_that_clients_accept() {
        let names = ["relay.example.com", "*.example.org", "192.0.2.7", "2001:db8::7"];
        let certificate = certificate(&names, (2026, 1, 1), (2026, 4, 1));

        assert_eq!(certificate.names, names);
        for host in ["relay.example.com", "a.example.org", "192.0.2.7", "[2001:db8::7]"] {
            assert!(certificate.covers(host), "{host}");
        }
        for host in ["example.com", "b.a.example.org", "example.org", "192.0.2.8", "", "a b"] {
            assert!(!certificate.covers(host), "{host}");
        }
    }

    #[test]
    fn certificate_ends_soon_in_the_last_14_days_and_second_half() {
        let check = |from, until, now: &str, expected| {
            let now: Timestamp = format!("{now}T00:00:00Z").parse().unwrap();
            let certificate = certificate(&["a.example.com"], from, until);
            assert_eq!(certificate.validity(now), expected, "{now}");
        };
        let three_months = |now, expected| check((2026, 1, 1), (2026, 4, 1), now, expected);
        three_months("2025-12-31", Validity::NotYet);
        three_months("2026-01-01", Validity::Valid);
        three_months("2026-03-18", Validity::Valid);
        three_months("2026-03-19", Validity::EndsSoon);
        three_months("2026-04-02", Validity::Ended);
        let week = |now, expected| check((2026, 1, 1), (2026, 1, 8), now, expected);
        week("2026-01-03", Validity::Valid);
        week("2026-01-06", Validity::EndsSoon);
        check((2026, 1, 1), (9999, 12, 31), "2026-02-01", Validity::Valid);
    }
}
