//! Checks of the certificates: their names.

use reqwest::Url;

use super::finding::Finding;
use crate::config::Config;
use crate::listener::tls::certificate::Certificate;
use crate::listener::tls::pair::read_certificate;

const CERTIFICATES: &str = "certificates";

/// Checks the certificates. Files that cannot be used, a key that everyone may read, and an end that is
/// near, are findings of the configuration.
pub(crate) fn certificates(config: &Config, findings: &mut Vec<Finding>) {
    for tls in [&config.tls, &config.admin.tls] {
        let Some(Ok(path)) = tls.certificate() else { continue };
        let Ok(certificate) = read_certificate(&path) else { continue };
        let Certificate { ends_at, names, .. } = &certificate;
        let (section, names) = (tls.section, names.join(", "));
        let found =
            format!("the certificate of {section} is for {names}, valid until {ends_at:.0}");
        findings.push(Finding::ok(CERTIFICATES, found));
    }
    findings.extend(other_host(config));
}

/// Compares the host of the public URL with the names of the certificate.
fn other_host(config: &Config) -> Option<Finding> {
    let certificate = read_certificate(&config.tls.certificate()?.ok()?).ok()?;
    let url: Url = config.intake.public_url.as_ref()?.parse().ok()?;
    let host = url.host_str().filter(|host| !certificate.covers(host))?;
    let names = certificate.names.join(", ");
    let found = format!(
        "{host}, the host of server.public_url, is not among the names of the certificate of \
         server.tls ({names})"
    );
    // A proxy presents a certificate of its own.
    if !config.intake.trusted_proxies.is_empty() {
        return Some(Finding::ok(CERTIFICATES, format!("{found}, and there is a proxy before it")));
    }
    let advice = format!(
        "senders do not accept it: get a certificate for {host}, or correct server.public_url"
    );
    Some(Finding::wrong(CERTIFICATES, found).advice(advice))
}
