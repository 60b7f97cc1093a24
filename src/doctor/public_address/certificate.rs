//! The certificate of the public address: why it is not trusted, and when it ends.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::heading::PUBLIC;
use crate::doctor::finding::Finding;
use crate::listener::tls::certificate::{Certificate, Validity};

/// The certificates that a server shows.
#[derive(Debug)]
pub(super) struct ShownChain<'c> {
    /// That of the server.
    pub(super) own: &'c Certificate,
    /// How many it shows, with its own.
    pub(super) length: usize,
}

/// Judges the certificates. `refusal` is why a client does not trust them, if so.
pub(super) fn judge(
    chain: &ShownChain<'_>,
    refusal: Option<&str>,
    (host, now): (&str, Timestamp),
) -> Finding {
    let own = chain.own;
    let until = date(own.ends_at);
    match (own.validity(now), refusal) {
        (Validity::Ended, _) => wrong(
            format!("the certificate has expired on {until}: providers refuse to send"),
            "renew it, and let the proxy read it again; if that is automatic, look at the proxy's log",
        ),
        (Validity::NotYet, _) => wrong(
            format!("the certificate is valid from {} only", date(own.begins_at)),
            "set this machine's clock, or wait until then",
        ),
        (_, Some(refusal)) => untrusted(chain, refusal, host),
        (Validity::EndsSoon, None) => {
            let found = format!("the certificate is trusted, and expires soon: on {until}");
            Finding::warning(PUBLIC, found)
                .advice("renew it; if that is automatic, look at the proxy's log why it was not")
        }
        (Validity::Valid, None) => {
            Finding::ok(PUBLIC, format!("the certificate is trusted, until {until}"))
        }
    }
}

fn untrusted(chain: &ShownChain<'_>, refusal: &str, host: &str) -> Finding {
    let own = chain.own;
    if !own.covers(host) {
        let names = match own.names.as_slice() {
            [] => "no name".to_owned(),
            names => names.iter().take(4).cloned().collect::<Vec<_>>().join(", "),
        };
        return wrong(
            format!("the certificate is for {names}, not for {host}"),
            "let the proxy have a certificate for this name, or correct server.public_url",
        );
    }
    if chain.length == 1 && !own.is_alone {
        return wrong(
            "the certificate is self-signed: providers do not trust it".to_owned(),
            "get one from a public authority, such as Let's Encrypt; Caddy does so by itself",
        );
    }
    if own.is_alone {
        return wrong(
            "the issuer of the certificate is unknown, and the proxy shows no certificate of it"
                .to_owned(),
            "give the proxy the whole chain (fullchain.pem, not cert.pem); one of a private authority \
             is not trusted by providers at all",
        );
    }
    wrong(
        format!("{host}: {refusal}"),
        "providers do not trust a private authority, such as that of Caddy's `tls internal`: get one of a public \
         authority",
    )
}

fn wrong(found: String, advice: &str) -> Finding {
    Finding::wrong(PUBLIC, found).advice(advice)
}

fn date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::doctor::finding::FindingLevel;

    /// Returns a certificate that is valid from January to March of 2026.
    fn certificate() -> Certificate {
        let mut params = CertificateParams::new(vec!["relay.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::parse(&[own.der().clone()]).unwrap()
    }

    #[track_caller]
    fn check(now: &str, refusal: Option<&str>, level: FindingLevel, part: &str) {
        let own = certificate();
        let chain = ShownChain { own: &own, length: 1 };
        let now = format!("{now}T12:00:00Z").parse().unwrap();
        let found = judge(&chain, refusal, ("relay.example.com", now));
        assert_eq!(found.level, level, "{}", found.found);
        assert!(found.found.contains(part), "{}", found.found);
    }

    #[test]
    fn end_of_a_trusted_certificate_is_announced_two_weeks_before() {
        check("2026-02-01", None, FindingLevel::Ok, "trusted, until 2026-04-01");
        check("2026-03-17", None, FindingLevel::Ok, "trusted, until 2026-04-01");
        check("2026-03-19", None, FindingLevel::Warning, "expires soon: on 2026-04-01");
        check("2026-04-02", None, FindingLevel::Wrong, "has expired on 2026-04-01");
        check("2025-12-31", None, FindingLevel::Wrong, "valid from 2026-01-01 only");
    }

    #[test]
    fn untrusted_certificate_has_its_reason() {
        check("2026-02-01", Some("x"), FindingLevel::Wrong, "is self-signed");
        check("2026-04-02", Some("x"), FindingLevel::Wrong, "has expired");
    }
}
