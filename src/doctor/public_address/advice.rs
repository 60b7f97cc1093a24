//! What to change about a fault, for each kind of proxy.

use std::net::SocketAddr;

use super::proxy_kind::ProxyKind;

/// A fault of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyFault {
    NotForwarded,
    Unavailable,
    Login,
    Challenge,
    RateLimit,
    TooLarge { bytes_max: usize },
    Path,
    Query,
    Body,
    Compressed,
    Chunked,
    Headers,
    NoForwardedFor,
    SpoofedForwardedFor,
    AdminExposed { admin: SocketAddr },
}

/// Returns what to change, for a relay that listens at the address.
pub(super) fn advice(fault: ProxyFault, kind: ProxyKind, listen: SocketAddr) -> String {
    let (relay, port) = (&*upstream(listen), listen.port());
    match fault {
        ProxyFault::NotForwarded => forward(kind, (relay, port)),
        ProxyFault::Unavailable => reach(kind, (relay, port)),
        ProxyFault::Login => no_login(kind).to_owned(),
        ProxyFault::Challenge => no_challenge(kind).to_owned(),
        ProxyFault::RateLimit => no_rate_limit(kind).to_owned(),
        ProxyFault::TooLarge { bytes_max } => larger(kind, bytes_max),
        ProxyFault::Path => path(kind, relay),
        ProxyFault::Query => query(kind).to_owned(),
        ProxyFault::Body => {
            "signatures cover each byte: switch off whatever rewrites or inspects bodies for /hooks/".to_owned()
        }
        ProxyFault::Compressed => compressed(kind).to_owned(),
        ProxyFault::Chunked => "some tools send so: let the proxy accept bodies without a length".to_owned(),
        ProxyFault::Headers => headers(kind).to_owned(),
        ProxyFault::NoForwardedFor => forwarded_for(kind).to_owned(),
        ProxyFault::SpoofedForwardedFor => own_forwarded_for(kind).to_owned(),
        ProxyFault::AdminExposed { admin } => {
            format!("let the proxy forward /hooks/ only, to {relay}; nothing may lead to {admin}")
        }
    }
}

/// Returns what a proxy has to forward to. `HOST` stands for a name that only its network knows.
fn upstream(listen: SocketAddr) -> String {
    // In a container the relay listens on all addresses, and is reached by a name.
    if listen.ip().is_unspecified() {
        format!("HOST:{}", listen.port())
    } else {
        listen.to_string()
    }
}

fn forward(kind: ProxyKind, (relay, port): (&str, u16)) -> String {
    match kind {
        ProxyKind::Caddy => {
            format!(
                "write in its site: `handle /hooks/* {{ reverse_proxy {relay} }}`, then `caddy reload`"
            )
        }
        ProxyKind::Nginx => format!(
            "write in the server block of this name: `location /hooks/ {{ proxy_pass http://{relay}; }}`, \
             then `nginx -s reload`"
        ),
        ProxyKind::Cloudflare => {
            format!(
                "give the tunnel a public hostname for this name, with the service http://{relay}"
            )
        }
        ProxyKind::Ngrok => format!("start the tunnel on the relay's machine: `ngrok http {port}`"),
        ProxyKind::Tailscale => {
            format!("run on the relay's machine: `tailscale funnel --bg {port}`")
        }
        ProxyKind::Traefik => format!(
            "give it a router with PathPrefix(`/hooks/`) whose service leads to http://{relay}"
        ),
        ProxyKind::Apache => {
            format!("write: `ProxyPass \"/hooks/\" \"http://{relay}/hooks/\" nocanon`")
        }
        ProxyKind::Other => format!("let the proxy forward /hooks/ to http://{relay}"),
    }
}

fn reach(kind: ProxyKind, (relay, port): (&str, u16)) -> String {
    match kind {
        ProxyKind::Cloudflare => {
            format!("is cloudflared running, and its service http://{relay}? its log says more")
        }
        ProxyKind::Ngrok => format!("is the tunnel running, with port {port}?"),
        ProxyKind::Apache
        | ProxyKind::Caddy
        | ProxyKind::Nginx
        | ProxyKind::Tailscale
        | ProxyKind::Traefik
        | ProxyKind::Other => format!(
            "let it forward to the relay at {relay}; in a container, 127.0.0.1 is the container itself"
        ),
    }
}

fn no_login(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Cloudflare => {
            "add an Access application for the path /hooks/ with a policy of action Bypass: the relay checks \
             signatures itself"
        }
        ProxyKind::Nginx => {
            "write `auth_basic off;` and `auth_request off;` in `location /hooks/`: the relay checks signatures \
             itself"
        }
        ProxyKind::Caddy => {
            "put basicauth or forward_auth into another `handle` than that of /hooks/*: the relay checks \
             signatures itself"
        }
        ProxyKind::Traefik => {
            "take the middleware for logins from the router of /hooks/: the relay checks signatures itself"
        }
        ProxyKind::Ngrok => {
            "start it without --basic-auth and --oauth: the relay checks signatures itself"
        }
        ProxyKind::Apache | ProxyKind::Tailscale | ProxyKind::Other => {
            "let /hooks/ pass without a login: the relay checks signatures itself"
        }
    }
}

fn no_challenge(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Cloudflare => {
            "add a WAF custom rule for the path /hooks/ with the action Skip, and switch off Bot Fight Mode: it \
             cannot be skipped"
        }
        ProxyKind::Apache
        | ProxyKind::Caddy
        | ProxyKind::Nginx
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Traefik
        | ProxyKind::Other => {
            "exempt /hooks/ from the protection against bots: providers are none of its browsers"
        }
    }
}

fn no_rate_limit(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Nginx => {
            "write `burst=100 nodelay` at `limit_req` in `location /hooks/`, or remove it: providers send many \
             at once"
        }
        ProxyKind::Cloudflare => {
            "exempt /hooks/ from its rate limiting rules: providers send many webhooks at once"
        }
        ProxyKind::Traefik => {
            "take the rateLimit middleware from the router of /hooks/: providers send many webhooks at once"
        }
        ProxyKind::Apache
        | ProxyKind::Caddy
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Other => {
            "exempt /hooks/ from its limit of requests: providers send many webhooks at once"
        }
    }
}

fn larger(kind: ProxyKind, bytes_max: usize) -> String {
    // Rounded up, as the units of the settings are whole.
    let mebibytes = bytes_max.div_ceil(1024 * 1024);
    match kind {
        ProxyKind::Nginx => {
            format!(
                "write `client_max_body_size {mebibytes}m;` in `location /hooks/`; its default is 1 MiB"
            )
        }
        ProxyKind::Caddy => format!("raise `request_body {{ max_size }}` to {mebibytes}MiB"),
        ProxyKind::Traefik => {
            format!("raise `maxRequestBodyBytes` of its buffering middleware to {bytes_max}")
        }
        ProxyKind::Apache => format!("write `LimitRequestBody {bytes_max}`"),
        ProxyKind::Cloudflare | ProxyKind::Ngrok | ProxyKind::Tailscale | ProxyKind::Other => {
            format!("let it accept {bytes_max} bytes, or lower server.body_bytes_max to its limit")
        }
    }
}

fn path(kind: ProxyKind, relay: &str) -> String {
    match kind {
        ProxyKind::Nginx => format!(
            "the relay needs the path /hooks/NAME: write `proxy_pass http://{relay};` without a path and a \
             slash; below a prefix `proxy_pass http://{relay}/hooks/;` in `location /PREFIX/hooks/`"
        ),
        ProxyKind::Caddy => {
            "the relay needs the path /hooks/NAME: use `handle /hooks/*`, and `handle_path /PREFIX/*` to remove a \
             prefix of server.public_url"
                .to_owned()
        }
        ProxyKind::Traefik => {
            "the relay needs the path /hooks/NAME: a StripPrefix middleware has to remove the prefix of \
             server.public_url, and no more"
                .to_owned()
        }
        ProxyKind::Apache
        | ProxyKind::Cloudflare
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Other => {
            "the relay needs the path /hooks/NAME: remove the prefix of server.public_url, and no more"
                .to_owned()
        }
    }
}

fn query(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Nginx => {
            "write proxy_pass without variables such as $uri, and no rewrite: they are decoded"
        }
        ProxyKind::Apache => "use ProxyPass with `nocanon`, and no RewriteRule",
        ProxyKind::Cloudflare => {
            "switch off URL normalization to the origin and transform rules for /hooks/"
        }
        ProxyKind::Caddy
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Traefik
        | ProxyKind::Other => {
            "let it pass path and query as they come: no rewriting, no normalization"
        }
    }
}

fn compressed(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Apache => {
            "remove `SetInputFilter DEFLATE`: signatures cover the compressed bytes"
        }
        ProxyKind::Caddy
        | ProxyKind::Cloudflare
        | ProxyKind::Nginx
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Traefik
        | ProxyKind::Other => {
            "let it pass bodies compressed as they come: most signatures cover the compressed bytes"
        }
    }
}

fn headers(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Nginx => {
            "remove the `proxy_set_header` that empties it; for a name with an underscore, write \
             `underscores_in_headers on;`"
        }
        ProxyKind::Caddy => "remove the `header_up` or `request_header` that changes it",
        ProxyKind::Traefik => "remove the headers middleware that changes it",
        ProxyKind::Apache => "remove the `RequestHeader` that changes it",
        ProxyKind::Cloudflare => "remove the transform rule or worker that changes it",
        ProxyKind::Ngrok | ProxyKind::Tailscale | ProxyKind::Other => {
            "let it pass all headers as they come"
        }
    }
}

fn forwarded_for(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Nginx => {
            "write `proxy_set_header X-Forwarded-For $remote_addr;` in `location /hooks/`"
        }
        ProxyKind::Caddy => "remove the `header_up -X-Forwarded-For`: Caddy sets it by itself",
        ProxyKind::Apache
        | ProxyKind::Cloudflare
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Traefik
        | ProxyKind::Other => "let it send X-Forwarded-For with the address of its client",
    }
}

fn own_forwarded_for(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Nginx => {
            "write `proxy_set_header X-Forwarded-For $remote_addr;` in `location /hooks/`, which replaces it"
        }
        ProxyKind::Caddy => {
            "remove `header_up X-Forwarded-For`, and name no clients in its trusted_proxies"
        }
        ProxyKind::Traefik => "remove `forwardedHeaders.insecure` from its entry point",
        ProxyKind::Apache
        | ProxyKind::Cloudflare
        | ProxyKind::Ngrok
        | ProxyKind::Tailscale
        | ProxyKind::Other => {
            "let it replace X-Forwarded-For by the address of its client, or append that"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_has_the_settings_of_the_proxy_and_the_address_of_the_relay() {
        let listen = "127.0.0.1:8080".parse().unwrap();
        let check = |fault, kind, part: &str| {
            let advice = super::advice(fault, kind, listen);
            assert!(advice.contains(part), "{advice}");
        };
        check(ProxyFault::NotForwarded, ProxyKind::Nginx, "proxy_pass http://127.0.0.1:8080;");
        check(ProxyFault::NotForwarded, ProxyKind::Caddy, "reverse_proxy 127.0.0.1:8080");
        check(ProxyFault::NotForwarded, ProxyKind::Ngrok, "ngrok http 8080");
        check(ProxyFault::RateLimit, ProxyKind::Nginx, "`burst=100 nodelay` at `limit_req`");
        let bytes_max = 5 * 1024 * 1024;
        check(ProxyFault::TooLarge { bytes_max }, ProxyKind::Nginx, "client_max_body_size 5m;");
        check(ProxyFault::TooLarge { bytes_max: 1 }, ProxyKind::Nginx, "client_max_body_size 1m;");
        let everywhere = "0.0.0.0:8080".parse().unwrap();
        let advice = super::advice(ProxyFault::NotForwarded, ProxyKind::Caddy, everywhere);
        assert!(advice.contains("reverse_proxy HOST:8080"), "{advice}");
        let admin = "127.0.0.1:8081".parse().unwrap();
        check(
            ProxyFault::AdminExposed { admin },
            ProxyKind::Other,
            "nothing may lead to 127.0.0.1:8081",
        );
    }
}
