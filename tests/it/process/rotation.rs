//! Secrets in files that change while the relay runs, and are read again at a SIGHUP.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http, program};
use crate::support::wait::until;

/// A source `form` and two destinations, all with secrets in files beside `relay.toml`.
struct Scene {
    folder: TempDir,
    savio: MockServer,
}

impl Scene {
    async fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        for subfolder in ["mappings", "etc", "etc/secrets"] {
            fs::create_dir(folder.path().join(subfolder)).unwrap();
        }
        let mapping = "provider = \"form\"\nsecrets = [\"file:secrets/form\"]\n[[feedback]]\n\
                       problem = \"$.text\"\n";
        fs::write(folder.path().join("mappings/form.toml"), mapping).unwrap();
        let eu = mapping.replacen("provider", "destination = \"eu\"\nprovider", 1);
        fs::write(folder.path().join("mappings/abroad.toml"), eu).unwrap();
        let savio = MockServer::start().await;
        let settings = format!(
            "[savio]\nbase_url = \"{0}/\"\ntoken = \"file:secrets/savio\"\n[destinations.eu]\n\
             base_url = \"{0}/\"\ntoken = \"file:secrets/eu\"\n",
            savio.uri()
        );
        fs::write(folder.path().join("etc/relay.toml"), settings).unwrap();
        let scene = Scene { folder, savio };
        for (name, value) in [("form", "first secret"), ("savio", "old"), ("eu", "old")] {
            scene.set(name, value);
        }
        scene.answers("old", 401).await;
        scene.answers("new", 201).await;
        scene
    }

    /// Lets Savio answer to all requests with this token.
    async fn answers(&self, token: &str, status: u16) {
        let token = || header("authorization", format!("Token {token}"));
        let created = ResponseTemplate::new(status).set_body_json(json!({ "id": 7 }));
        Mock::given(method("POST")).and(token()).respond_with(created).mount(&self.savio).await;
        let status = if status == 201 { 200 } else { status };
        let found = ResponseTemplate::new(status).set_body_json(json!({ "results": [] }));
        Mock::given(method("GET")).and(token()).respond_with(found).mount(&self.savio).await;
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("etc/secrets").join(name)
    }

    fn set(&self, name: &str, value: &str) {
        fs::write(self.path(name), format!("{value}\n")).unwrap();
    }

    fn start(&self) -> Relay {
        let mut serve = program(self.folder.path());
        Relay::start_by(serve.args(["serve", "--config", "etc/relay.toml"]), &[])
    }

    fn count(&self, state: &str) -> usize {
        let mut list = program(self.folder.path());
        let output = list.args(["events", "list", "--json", "--state", state]).output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed["events"].as_array().unwrap().len()
    }
}

async fn post(relay: &Relay, source: &str, secret: &str) -> u16 {
    let url = format!("{}/hooks/{source}", relay.url);
    let sent = http().post(url).header("x-relay-token", secret).json(&json!({ "text": "Slow" }));
    sent.send().await.unwrap().status().as_u16()
}

async fn logs(relay: &Relay, text: &str) {
    until(|| relay.logged(text) > 0).await;
}

#[tokio::test]
async fn new_token_in_a_file_ends_the_pause_that_the_old_one_caused() {
    let scene = Scene::new().await;
    let relay = scene.start();
    assert_eq!(post(&relay, "form", "first secret").await, 202);
    assert_eq!(post(&relay, "abroad", "first secret").await, 202);
    logs(&relay, "delivery is paused: Savio answered 401").await;
    logs(&relay, "delivery to eu is paused: Savio eu answered 401").await;

    scene.set("savio", "new");
    scene.set("eu", "new");
    relay.hang_up();

    // Far sooner than `probe_every`, which is a minute.
    logs(&relay, "requests are sent again destination=\"default\"").await;
    until(|| scene.count("delivered") == 2).await;
    let used = "destination default: the new value of the file secrets/savio is used";
    assert_eq!(relay.logged(used), 1, "{}", relay.log());
}

#[tokio::test]
async fn token_that_appears_in_its_file_starts_delivery() {
    let scene = Scene::new().await;
    fs::remove_file(scene.path("savio")).unwrap();
    let relay = scene.start();
    assert!(relay.startup_output.contains("secrets/savio does not exist"));
    assert_eq!(post(&relay, "form", "first secret").await, 202);

    scene.set("savio", "new");
    relay.hang_up();

    until(|| scene.count("delivered") == 1).await;
}

#[tokio::test]
async fn unusable_secret_file_keeps_the_value_that_works() {
    let scene = Scene::new().await;
    scene.set("savio", "new");
    let relay = scene.start();
    let break_file = |name: &str, how: &str| {
        fs::remove_file(scene.path(name)).unwrap();
        match how {
            "gone" => {}
            "folder" => fs::create_dir(scene.path(name)).unwrap(),
            text => fs::write(scene.path(name), text).unwrap(),
        }
    };
    for (turn, how) in ["", "\n", "two\nlines", "gone"].into_iter().enumerate() {
        for name in ["form", "savio"] {
            break_file(name, how);
        }
        relay.hang_up();
        for name in ["form", "savio"] {
            let warned = format!("etc/secrets/{name} ");
            let kept = || {
                let log = relay.log();
                let lines = log.lines().filter(|line| line.contains("still counts"));
                lines.filter(|line| line.contains(&warned)).count()
            };
            until(|| kept() > turn).await;
        }
        assert_eq!(relay.logged("form is off"), 0, "{how:?}");
        assert_eq!(post(&relay, "form", "first secret").await, 202, "{how:?}");
        until(|| scene.count("delivered") == turn + 1).await;
        scene.set("form", "first secret");
        scene.set("savio", "new");
    }
    assert_eq!(relay.logged("two"), 0, "{}", relay.log());
}

#[tokio::test]
async fn source_verifies_with_the_new_secret_of_its_file() {
    let scene = Scene::new().await;
    let relay = scene.start();
    assert_eq!(post(&relay, "form", "first secret").await, 202);

    scene.set("form", "second secret");
    // A mistake elsewhere does not keep the old secret valid.
    let broken = scene.folder.path().join("mappings/broken.toml");
    fs::write(&broken, "evnts = 1").unwrap();
    relay.hang_up();

    logs(&relay, "reload rejected").await;
    until_accepted(&relay, "second secret").await;
    assert_eq!(post(&relay, "form", "first secret").await, 401);
}

async fn until_accepted(relay: &Relay, secret: &str) {
    crate::support::wait::until_async(async || post(relay, "form", secret).await == 202).await;
}

#[test]
fn secret_file_that_never_ends_does_not_hang() {
    let check = |path: &Path, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("[savio]\ntoken = \"file:{}\"\n", path.display());
        fs::write(folder.path().join("relay.toml"), settings).unwrap();
        let output = program(folder.path()).args(["doctor", "--json"]).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains(expected), "{shown}");
    };
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    check(&pipe, "it is not a regular file");
    check(Path::new("/dev/zero"), "it is not a regular file");
}

#[tokio::test]
async fn admin_token_in_a_file_is_replaced() {
    let scene = Scene::new().await;
    let settings = scene.folder.path().join("etc/relay.toml");
    let more = "[admin]\ntoken = \"file:secrets/admin\"\n[[admin.tokens]]\nname = \"scraper\"\n\
                role = \"metrics\"\ntoken = \"file:secrets/scraper\"\n";
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + more).unwrap();
    scene.set("admin", "the first admin token");
    scene.set("scraper", "the first scraper token");
    let relay = scene.start();
    let status = async |path: &str, token: &str| {
        let call = http().get(format!("{}{path}", relay.admin_url)).bearer_auth(token);
        call.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("/api/v1/events", "the first admin token").await, 200);

    scene.set("admin", "the second admin token");
    scene.set("scraper", "the second scraper token");
    relay.hang_up();

    logs(&relay, "admin token scraper: the new value of the file secrets/scraper is used").await;
    assert_eq!(status("/api/v1/events", "the first admin token").await, 401);
    assert_eq!(status("/api/v1/events", "the second admin token").await, 200);
    assert_eq!(status("/metrics", "the first scraper token").await, 401);
    assert_eq!(status("/metrics", "the second scraper token").await, 200);
    assert_eq!(status("/api/v1/events", "the second scraper token").await, 403);

    // A request's role follows from its token.
    scene.set("scraper", "the second admin token");
    relay.hang_up();
    logs(&relay, "is not used: it is that of admin.token too").await;
    assert_eq!(status("/api/v1/events", "the second admin token").await, 200);
    assert_eq!(status("/metrics", "the second scraper token").await, 200);
}

/// A relay on known ports, whose admin token is in a variable, so that `doctor` finds it.
fn start_for_doctor(scene: &Scene) -> Relay {
    let address = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [listen, admin_listen] = [address().to_string(), address().to_string()];
    let settings = scene.folder.path().join("etc/relay.toml");
    let more = format!(
        "[admin]\ntoken = \"env:ADMIN\"\n[server]\nlisten = \"{listen}\"\nadmin_listen = \
         \"{admin_listen}\"\n"
    );
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + &more).unwrap();
    let variables = [
        ("ADMIN", ADMIN),
        ("SAVIO_RELAY_SERVER__LISTEN", &listen),
        ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", &admin_listen),
    ];
    let mut serve = program(scene.folder.path());
    Relay::start_by(serve.args(["serve", "--config", "etc/relay.toml"]), &variables)
}

const ADMIN: &str = "a long enough admin token";

/// Returns what `doctor` shows with this admin token.
fn doctor(scene: &Scene, admin: &str) -> String {
    let mut doctor = program(scene.folder.path());
    doctor.args(["doctor", "--config", "etc/relay.toml"]).env("ADMIN", admin);
    let shown = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    for secret in ["second secret", "first secret", admin] {
        assert!(!shown.contains(secret), "{shown}");
    }
    shown
}

#[track_caller]
fn check_parts(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[tokio::test]
async fn doctor_says_which_secrets_the_running_relay_does_not_use() {
    let scene = Scene::new().await;
    let relay = start_for_doctor(&scene);
    check_parts(&doctor(&scene, ADMIN), &["the running relay uses all 5 that are found here"]);

    scene.set("savio", "new");
    scene.set("form", "second secret");
    let parts = [
        "destination default: the running relay still uses another value",
        "source form: the running relay still uses another value",
        "send SIGHUP to the relay",
    ];
    check_parts(&doctor(&scene, ADMIN), &parts);
    let parts = [
        "does not accept the admin token that the environment variable ADMIN",
        "restart the relay",
    ];
    check_parts(&doctor(&scene, "another long admin token"), &parts);

    relay.hang_up();
    logs(&relay, "destination default: the new value").await;
    fs::remove_file(scene.path("eu")).unwrap();
    relay.hang_up();
    logs(&relay, "still counts").await;
    let kept = "destination eu: the file etc/secrets/eu does not exist, so";
    check_parts(&doctor(&scene, ADMIN), &[kept]);
    let metrics = http().get(format!("{}/metrics", relay.admin_url)).bearer_auth(ADMIN);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    check_parts(&metrics, &["\nsavio_relay_secret_files_unusable 1\n"]);
}
