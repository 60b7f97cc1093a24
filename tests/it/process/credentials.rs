//! Secrets in `$CREDENTIALS_DIRECTORY`, laid out as systemd does for `LoadCredential=`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use serde_json::json;
use tempfile::TempDir;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::collector::Collector;
use crate::support::relay::{Relay, http, program};
use crate::support::wait::{until, until_async};

/// The user of the service. Root could read everything.
const USER: u32 = 65_431;

const ADMIN: &str = "a long enough admin token";

/// A service with its credentials, as its unit describes it.
struct Service {
    folder: TempDir,
    savio: MockServer,
    collector: Collector,
}

impl Service {
    async fn new() -> Service {
        let folder = tempfile::tempdir().unwrap();
        let (savio, collector) = (MockServer::start().await, Collector::new().await);
        let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
        let token = header("authorization", "Token savio's token");
        Mock::given(method("POST")).and(token).respond_with(created).mount(&savio).await;
        let service = Service { folder, savio, collector };
        for path in ["etc", "etc/mappings", "state", "credentials"] {
            fs::create_dir(service.path(path)).unwrap();
        }
        service.configure();
        for (name, value) in [
            ("savio", "savio's token"),
            ("admin", ADMIN),
            ("form", "the form's secret\n"),
            ("collector", "the collector's key"),
        ] {
            service.load(name, value);
        }
        if geteuid().is_root() {
            for path in ["state", "credentials"] {
                chown(service.path(path), Some(USER), Some(USER)).unwrap();
            }
        }
        set_mode(service.folder.path(), 0o755);
        set_mode(&service.path("credentials"), 0o500);
        service
    }

    fn configure(&self) {
        let settings = format!(
            "mappings = \"../etc/mappings\"\n[savio]\nbase_url = \"{}/\"\n\
             token = \"file:$CREDENTIALS_DIRECTORY/savio\"\n[admin]\n\
             token = \"file:$CREDENTIALS_DIRECTORY/admin\"\n[traces]\nendpoint = \"{}\"\n\
             headers.x-key = \"file:${{CREDENTIALS_DIRECTORY}}/collector\"\n",
            self.savio.uri(),
            self.collector.0.uri()
        );
        fs::write(self.path("etc/relay.toml"), settings).unwrap();
        let mapping = "provider = \"form\"\nsecrets = [\"file:$CREDENTIALS_DIRECTORY/form\"]\n\
                       [[feedback]]\nproblem = \"$.text\"\n";
        fs::write(self.path("etc/mappings/form.toml"), mapping).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a credential, which only its user can read and nobody can write.
    fn load(&self, name: &str, value: &str) {
        let path = self.path("credentials").join(name);
        drop(fs::remove_file(&path));
        fs::write(&path, value).unwrap();
        set_mode(&path, 0o400);
        if geteuid().is_root() {
            chown(&path, Some(USER), Some(USER)).unwrap();
        }
    }

    /// Returns a command that runs as the user of the service, in the folder of its state.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.path("state"));
        command.args(arguments).args(["--config", "../etc/relay.toml"]);
        if geteuid().is_root() {
            command.uid(USER).gid(USER);
        }
        command
    }

    fn start(&self) -> Relay {
        let credentials = self.path("credentials");
        let variable = ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
        Relay::start_by(&mut self.command(&["serve"]), &[variable])
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn post(relay: &Relay, secret: &str) -> u16 {
    let url = format!("{}/hooks/form", relay.url);
    let sent = http().post(url).header("x-relay-token", secret).json(&json!({ "text": "Slow" }));
    sent.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_secret_of_a_service_may_be_a_credential() {
    let service = Service::new().await;
    let relay = service.start();

    assert_eq!(post(&relay, "another secret").await, 401);
    assert_eq!(post(&relay, "the form's secret").await, 202);

    until_async(async || !service.savio.received_requests().await.unwrap().is_empty()).await;
    let spans = async || service.collector.requests().await;
    until_async(async || !spans().await.is_empty()).await;
    assert_eq!(spans().await[0].headers["x-key"], "the collector's key");
    let ask = |token| http().get(format!("{}/api/v1/stats", relay.admin_url)).bearer_auth(token);
    assert_eq!(ask(ADMIN).send().await.unwrap().status(), 200);
    assert_eq!(ask("another").send().await.unwrap().status(), 401);

    service.load("form", "the second secret");
    service.load("admin", "the second admin token");
    relay.hang_up();
    until(|| relay.logged("applied mapping files") == 1).await;
    assert_eq!(post(&relay, "the form's secret").await, 401);
    assert_eq!(post(&relay, "the second secret").await, 202);
    assert_eq!(ask("the second admin token").send().await.unwrap().status(), 200);
    let used = "the new value of the file $CREDENTIALS_DIRECTORY/admin is used";
    assert_eq!(relay.logged(used), 1, "{}", relay.log());

    let (status, log) = relay.stop_with_log();
    assert!(status.success(), "{log}");
    assert!(!log.contains("second"), "{log}");
}

#[tokio::test]
async fn command_without_the_credentials_says_how_to_name_their_folder() {
    let service = Service::new().await;

    let alone = service.command(&["doctor"]).output().unwrap();
    let alone = String::from_utf8(alone.stdout).unwrap();
    assert!(alone.contains("the file $CREDENTIALS_DIRECTORY/savio cannot be found"), "{alone}");
    assert!(alone.contains("set it to the folder of the credentials"), "{alone}");

    let mut doctor = service.command(&["doctor"]);
    doctor.env("CREDENTIALS_DIRECTORY", service.path("credentials"));
    let shown = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    assert!(shown.contains("form is live: 1 secret found"), "{shown}");
    assert!(!shown.contains("cannot be found"), "{shown}");
}

#[tokio::test]
async fn doctor_advises_a_restart_for_a_changed_credential() {
    let service = Service::new().await;
    let credentials = service.path("credentials");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [listen, admin] = [free().to_string(), free().to_string()];
    let variables = [
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
        ("SAVIO_RELAY_SERVER__LISTEN", listen.as_str()),
        ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", admin.as_str()),
    ];
    let _relay = Relay::start_by(&mut service.command(&["serve"]), &variables);

    service.load("form", "the second secret");
    let doctor = service.command(&["doctor"]).envs(variables).output().unwrap();

    let shown = String::from_utf8(doctor.stdout).unwrap();
    let expected = "source form: the running relay still uses another value";
    assert!(shown.contains(expected), "{shown}");
    assert!(shown.contains("restart the service: systemd copies its credentials"), "{shown}");
}
