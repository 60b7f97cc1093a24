//! nginx and Caddy themselves, with right and with wrong configurations, where they are installed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{OWN_ADDRESS, Scene, found};
use crate::support::left_out::report_left_out;
use crate::support::wait::until;

/// A proxy that is killed on drop.
struct RealProxy {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        // By the signal at which nginx ends its workers too.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.process.wait();
    }
}

/// Makes a configuration for a port and a folder.
type WriteConfig<'w> = &'w dyn Fn(u16, &Path) -> String;

impl RealProxy {
    /// Starts a program in a folder of its own; none if it is not installed.
    #[track_caller]
    fn start(
        program: &str,
        arguments: &[&str],
        file: (&str, WriteConfig<'_>),
    ) -> Option<RealProxy> {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let (name, text) = file;
        fs::write(folder.path().join(name), text(port, folder.path())).unwrap();
        drop(free);
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path());
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, folder.path());
        }
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                report_left_out(&format!("doctor before {program}: it cannot be run ({error})"));
                return None;
            }
        };
        Some(RealProxy { process, port, folder })
    }

    async fn ready(mut self) -> RealProxy {
        let port = self.port;
        until(|| {
            assert_eq!(self.process.try_wait().unwrap(), None, "the proxy ended");
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        self
    }
}

/// Starts nginx with this `location`s.
async fn nginx(locations: &str) -> Option<RealProxy> {
    let config = |port: u16, folder: &Path| {
        let folder = folder.display();
        // Without this line, its workers would be another user than the folder's, if root runs the test.
        let user = if fs::metadata("/proc/self").unwrap().uid() == 0 { "user root;" } else { "" };
        format!(
            "{user} daemon off; pid {folder}/pid; error_log {folder}/log; worker_processes 1; events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; \
             limit_req_zone $binary_remote_addr zone=few:1m rate=30r/m; \
             limit_req_zone $binary_remote_addr zone=rare:1m rate=1r/m;\n\
             fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             server {{ listen 127.0.0.1:{port};\n{locations}\n}} }}\n"
        )
    };
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let started = RealProxy::start(
        program,
        &["-p", ".", "-e", "log", "-c", "nginx.conf"],
        ("nginx.conf", &config),
    );
    Some(started?.ready().await)
}

async fn caddy(site: &str, scheme: &str) -> Option<RealProxy> {
    let config = |port: u16, _: &Path| {
        format!(
            "{{\nadmin off\nskip_install_trust\nauto_https disable_redirects\n}}\n\
             {scheme}://localhost:{port} {{\nbind 127.0.0.1\n{site}\n}}\n"
        )
    };
    let arguments = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    Some(RealProxy::start("caddy", &arguments, ("Caddyfile", &config))?.ready().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_as_documented_has_no_finding() {
    let scene = Scene::new().await;
    let location = format!(
        "location /hooks/ {{ proxy_pass {}; proxy_set_header X-Forwarded-For $remote_addr; \
         client_max_body_size 5m; }}",
        scene.relay.url
    );
    let Some(nginx) = nginx(&location).await else { return };

    let report = scene.doctor(&format!("http://127.0.0.1:{}", nginx.port), &[]);

    assert_eq!(found(&report, "warning"), [OWN_ADDRESS], "{:#}", report.output_json);
    report.check(
        "ok",
        "webhooks arrive unchanged: parameters, headers, JSON, gzip, chunked (HTTP/1.0)",
    );
    report.check("ok", "nginx answers: /healthz is not forwarded, as it should be");
    assert_eq!(report.code, Some(0));
}

/// What is in `location /hooks/`, the verdict about it, what is found, and a part of the advice.
const NGINX_FAULTS: [(&str, &str, &str, &str); 10] = [
    ("", "wrong", "nginx itself answers 404, and does not forward /hooks/", "location /hooks/ {"),
    ("proxy_pass RELAY/;", "wrong", "arrives at the path /NAME", "without a path and a slash"),
    ("proxy_pass RELAY;", "wrong", "any sender can make up its address", "$remote_addr"),
    ("proxy_pass RELAY;", "warning", "the proxy sends no X-Forwarded-For", "$remote_addr"),
    (
        "proxy_pass RELAY;",
        "warning",
        "nginx answers 413 to 5242880 bytes",
        "client_max_body_size 5m;",
    ),
    ("proxy_pass http://127.0.0.1:1;", "wrong", "nginx answers 502", "in a container"),
    (
        "auth_basic x; auth_basic_user_file /dev/null;",
        "wrong",
        "nginx answers 401, and wants a login",
        "auth_basic off;",
    ),
    (
        "return 301 https://$host$request_uri;",
        "wrong",
        "nginx answers 301, a redirect to https://127.0.0.1/hooks/",
        "does not redirect",
    ),
    ("proxy_pass RELAY$uri;", "wrong", "arrives without its parameters", "without variables"),
    (
        "proxy_pass RELAY; proxy_set_header X-Relay-Token \"\";",
        "wrong",
        "without its headers: x-relay-token",
        "proxy_set_header",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_nginx_are_named_with_its_settings() {
    let scene = Scene::new().await;
    let relay = &scene.relay.url;
    for (location, verdict, text, advice) in NGINX_FAULTS {
        let location = match location {
            "" => String::new(),
            text => format!("location /hooks/ {{ {} }}", text.replace("RELAY", relay)),
        };
        let Some(nginx) = nginx(&location).await else { return };

        let report = scene.doctor(&format!("http://127.0.0.1:{}", nginx.port), &[]);

        report.check(verdict, text);
        assert!(
            report.output_json.to_string().replace("\\\"", "\"").contains(advice),
            "{advice}: {:#}",
            report.output_json
        );
    }
}

/// Returns a right `location` with these further settings.
fn location(name: &str, more: &str, scene: &Scene) -> String {
    format!(
        "location {name} {{ {more} proxy_pass {}; proxy_set_header X-Forwarded-For $remote_addr; \
         client_max_body_size 5m; }}",
        scene.relay.url
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_of_requests_in_nginx_is_named_and_is_no_other_fault() {
    let scene = Scene::new().await;
    let limit = "which seems to be a limit of requests";
    for (more, verdict, code) in [
        // Each passes when it is repeated.
        ("limit_req zone=few;", "warning", 0),
        // Only the last meets the limit, which is the largest: its size is not why.
        ("limit_req zone=rare burst=5 nodelay;", "unseen", 3),
        ("limit_req zone=rare; limit_req_status 429;", "unseen", 3),
    ] {
        let Some(nginx) = nginx(&location("/hooks/", more, &scene)).await else { return };

        let report = scene.doctor(&format!("http://127.0.0.1:{}", nginx.port), &[]);

        report.check(verdict, limit);
        let is_complete = found(&report, "ok").iter().any(|it| it.contains("arrive unchanged"));
        assert_eq!(is_complete, verdict == "warning", "{more}: {:#}", report.output_json);
        let warnings = found(&report, "warning").len();
        assert_eq!(warnings, 1 + usize::from(is_complete), "{more}: {:#}", report.output_json);
        assert_eq!(report.code, Some(code), "{more}: {:#}", report.output_json);
        assert!(report.output_json.to_string().contains("at `limit_req`"), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_that_forwards_certain_names_only_leaves_it_unseen() {
    let scene = Scene::new().await;
    for name in ["~ ^/hooks/[a-z0-9-]+$", "= /hooks/form"] {
        let Some(nginx) = nginx(&location(name, "", &scene)).await else { return };

        let report = scene.doctor(&format!("http://127.0.0.1:{}", nginx.port), &[]);

        report.check("unseen", "nginx forwards /hooks/form, but not any name");
        assert_eq!(found(&report, "wrong"), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn header_with_an_underscore_is_missed_only_if_a_source_needs_it() {
    let mapping = "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n[signature]\n\
        header = \"X_Sign\"\n[[feedback]]\nproblem = \"$.text\"\n";
    let scene = Scene::with_mapping(mapping).await;
    let location = |more: &str| {
        format!(
            "{more} location /hooks/ {{ proxy_pass {}; proxy_set_header X-Forwarded-For \
             $remote_addr; client_max_body_size 5m; }}",
            scene.relay.url
        )
    };
    for (more, verdict, text) in [
        ("", "wrong", "a webhook with signature headers arrives without its headers: x_sign"),
        ("underscores_in_headers on;", "ok", "webhooks arrive unchanged"),
    ] {
        let Some(nginx) = nginx(&location(more)).await else { return };

        let report = scene.doctor(&format!("http://127.0.0.1:{}", nginx.port), &[]);

        report.check(verdict, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_as_documented_has_no_finding_with_a_certificate_that_is_trusted() {
    let scene = Scene::new().await;
    let site = format!(
        "tls internal\nhandle /hooks/* {{\nreverse_proxy {}\n}}\nrespond 404",
        scene.listen()
    );
    let Some(caddy) = caddy(&site, "https").await else { return };
    let root = caddy.folder.path().join("caddy/pki/authorities/local/root.crt");
    let url = format!("https://localhost:{}", caddy.port);

    let trusted = scene.doctor(&url, &[("SSL_CERT_FILE", root.to_str().unwrap())]);
    let root_of_none = caddy.folder.path().join("none.pem");
    fs::write(&root_of_none, rcgen_root()).unwrap();
    let other = scene.doctor(&url, &[("SSL_CERT_FILE", root_of_none.to_str().unwrap())]);

    trusted.check(
        "ok",
        "webhooks arrive unchanged: parameters, headers, JSON, gzip, chunked (HTTP/1.1)",
    );
    trusted.check("ok", "the certificate is trusted, until ");
    assert_eq!(found(&trusted, "wrong"), Vec::<String>::new());
    assert_eq!(found(&trusted, "warning").len(), 1, "{:#}", trusted.output_json);
    other.check("wrong", "localhost: its certificate is not trusted, its issuer is unknown");
    other.check("ok", "webhooks arrive unchanged");
}

/// Returns the certificate of an authority that has issued nothing.
fn rcgen_root() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&key).unwrap().pem()
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_caddy_are_named_with_its_settings() {
    let scene = Scene::new().await;
    let relay = scene.listen();
    let (admin, port) = (scene.admin_listen(), relay.rsplit(':').next().unwrap());
    for (site, verdict, text, advice) in [
        (
            "respond 404".to_owned(),
            "wrong",
            "Caddy itself answers 404",
            "handle /hooks/* { reverse_proxy",
        ),
        (
            format!("handle_path /hooks/* {{\nreverse_proxy {relay}\n}}"),
            "wrong",
            "arrives at the path /NAME",
            "handle_path /PREFIX/*",
        ),
        (
            format!("reverse_proxy {relay} {{\nheader_up -X-Forwarded-For\n}}"),
            "warning",
            "sends no X-Forwarded-For",
            "header_up -X-Forwarded-For",
        ),
        (
            format!("request_body {{\nmax_size 1MB\n}}\nreverse_proxy {relay}"),
            "warning",
            "a webhook of the largest size does not arrive",
            "5MiB",
        ),
        (
            format!("reverse_proxy /hooks/* {relay}\nreverse_proxy {admin}"),
            "wrong",
            "the admin API is open to all",
            "nothing may lead to",
        ),
        ("reverse_proxy 127.0.0.1:1".to_owned(), "wrong", "Caddy answers 502", "in a container"),
    ] {
        let Some(caddy) = caddy(&site, "http").await else { return };

        let report = scene.doctor(&format!("http://localhost:{}", caddy.port), &[]);

        report.check(verdict, text);
        assert!(
            report.output_json.to_string().contains(advice),
            "{advice} ({port}): {:#}",
            report.output_json
        );
    }
}
