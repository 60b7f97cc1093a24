//! The kind of proxy before the relay, by the traces that it leaves. Only for the advice.

use std::collections::BTreeMap;

use super::call::Answer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Apache,
    Caddy,
    Cloudflare,
    Nginx,
    Ngrok,
    Tailscale,
    Traefik,
    Other,
}

impl ProxyKind {
    /// Guesses it by the host of the public address and an answer.
    pub(super) fn of(host: &str, answer: &Answer) -> ProxyKind {
        let server = answer.header("server").to_ascii_lowercase();
        let via = answer.header("via").to_ascii_lowercase();
        let has = |name: &str| answer.headers.contains_key(name);
        // `.ngrok.io`, `.ngrok.app`, `.ngrok-free.dev` and others
        let is_ngrok = host.contains(".ngrok") || has("ngrok-error-code") || has("ngrok-trace-id");
        match () {
            () if is_ngrok => ProxyKind::Ngrok,
            // The outermost first: it is what providers meet.
            () if has("cf-ray") || server == "cloudflare" => ProxyKind::Cloudflare,
            () if host.ends_with(".ts.net") => ProxyKind::Tailscale,
            () if server.starts_with("caddy") || via.contains("caddy") => ProxyKind::Caddy,
            () if server.contains("nginx") || server.contains("openresty") => ProxyKind::Nginx,
            () if server.starts_with("apache") => ProxyKind::Apache,
            () => ProxyKind::Other,
        }
    }

    /// Guesses it by the headers that arrived at the relay, if nothing else told it.
    #[must_use]
    pub(super) fn or_by_arrived(self, names: &BTreeMap<String, String>) -> ProxyKind {
        match self {
            // Traefik tells its clients nothing about itself, and the relay the name of its host.
            ProxyKind::Other if names.contains_key("x-forwarded-server") => ProxyKind::Traefik,
            known => known,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            ProxyKind::Apache => "Apache",
            ProxyKind::Caddy => "Caddy",
            ProxyKind::Cloudflare => "Cloudflare",
            ProxyKind::Nginx => "nginx",
            ProxyKind::Ngrok => "ngrok",
            ProxyKind::Tailscale => "Tailscale",
            ProxyKind::Traefik => "Traefik",
            ProxyKind::Other => "the proxy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_recognised_by_what_they_leave() {
        let check = |host: &str, headers: &[(&'static str, &str)], expected| {
            let headers = headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
            let answer = Answer { status: 404, headers: headers.collect(), body: Vec::new() };
            assert_eq!(ProxyKind::of(host, &answer), expected, "{answer:?}");
        };
        let host = "relay.example.com";
        check(host, &[("server", "nginx/1.22.1")], ProxyKind::Nginx);
        check(host, &[("server", "Caddy")], ProxyKind::Caddy);
        check(host, &[("via", "1.1 Caddy")], ProxyKind::Caddy);
        check(host, &[("server", "cloudflare"), ("cf-ray", "8f")], ProxyKind::Cloudflare);
        check(host, &[("server", "Apache/2.4")], ProxyKind::Apache);
        check("x.ngrok-free.app", &[], ProxyKind::Ngrok);
        check("relay.tail1.ts.net", &[], ProxyKind::Tailscale);
        check(host, &[], ProxyKind::Other);
        let arrived = [("x-forwarded-server".to_owned(), String::new())].into();
        assert_eq!(ProxyKind::Other.or_by_arrived(&arrived), ProxyKind::Traefik);
        assert_eq!(ProxyKind::Nginx.or_by_arrived(&arrived), ProxyKind::Nginx);
    }
}
