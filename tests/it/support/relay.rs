//! The program itself, started like its users start it, in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A running `serve`, killed on drop.
pub(crate) struct Relay {
    child: Child,
    pub(crate) url: String,
    /// URL of its admin API.
    pub(crate) admin_url: String,
    /// Output before it listened, such as the table of its sources.
    pub(crate) startup_output: String,
    /// Lines of its output since then.
    log: Arc<Mutex<Vec<String>>>,
    /// Thread that reads its output, and ends with it.
    reader: Option<JoinHandle<()>>,
}

/// A mapping file of a form, with the least that makes feedback.
pub(crate) const FORM_MAPPING: &str = r#"
provider = "form"
secrets = ["env:FORM_SECRET"]

[[feedback]]
problem = "$.text"
"#;

pub(crate) const SECRET: &str = "a secret of the test";

impl Relay {
    /// Starts `serve` in the folder, and returns once it listens.
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Relay {
        Relay::start_by(program(folder).arg("serve"), variables)
    }

    pub(crate) fn start_by(serve: &mut Command, variables: &[(&str, &str)]) -> Relay {
        let (mut relay, lines) = Relay::start_and_listen(serve, variables);
        // Its further output has to be read, or a full pipe would stop it.
        let log = relay.log.clone();
        relay.reader = Some(std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("{line}");
                log.lock().unwrap().push(line);
            }
        }));
        relay
    }

    /// Starts `serve` without reading its output after it listens.
    pub(crate) fn start_unread(folder: &Path, variables: &[(&str, &str)]) -> Relay {
        Relay::start_and_listen(program(folder).arg("serve"), variables).0
    }

    fn start_and_listen(
        serve: &mut Command,
        variables: &[(&str, &str)],
    ) -> (Relay, Lines<BufReader<ChildStderr>>) {
        let mut child = serve
            .env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0")
            .env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut introduction = String::new();
        let mut text_after = |text: &str| {
            let mut lines = lines.by_ref().map(|line| line.expect("its output is text"));
            let mut lines = lines.by_ref().inspect(|line| {
                eprintln!("{line}");
                introduction += &format!("{line}\n");
            });
            let found = lines.find_map(|line| line.split_once(text).map(|(_, it)| it.to_owned()));
            found.expect("it says where it listens")
        };
        let admin_url =
            text_after("the API is at ").split(['/', ',']).take(3).collect::<Vec<_>>().join("/");
        let url = text_after("listening on ").trim().to_owned();
        let log = Arc::default();
        (Relay { child, url, admin_url, startup_output: introduction, log, reader: None }, lines)
    }

    /// Returns how many lines of its log contain this text.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Stops it, and returns its output since it listened.
    pub(crate) fn log_at_stop(self) -> String {
        self.stop_with_log().1
    }

    /// Stops it, and returns its exit status and its output since it listened.
    pub(crate) fn stop_with_log(mut self) -> (ExitStatus, String) {
        let status = self.terminate();
        self.reader.take().expect("its log is read").join().unwrap();
        (status, self.log())
    }

    /// Returns its output since it listened.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) fn hang_up(&self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-HUP", &id]).status().expect("kill is there");
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it was our child");
    }

    /// Stops it as a container runtime does, and returns once it has ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate()
    }

    /// Sends SIGTERM without waiting.
    pub(crate) fn send_sigterm(&self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("kill is there");
    }

    fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        self.child.wait().expect("it was our child")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs the program without this process's environment.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_savio-relay"));
    command.current_dir(folder).env_clear();
    command
}

/// Returns an HTTP client.
pub(crate) fn http() -> reqwest::Client {
    http_from([127, 0, 0, 1].into())
}

/// Returns an HTTP client whose requests come from this address.
pub(crate) fn http_from(address: IpAddr) -> reqwest::Client {
    // It fails only if another test has installed it before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5));
    let client = client.local_address(address);
    client.build().expect("plain HTTP needs nothing of the machine")
}

/// Returns the `Typeform-Signature` of a body.
pub(crate) fn typeform_signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()))
}

pub(crate) fn memory_kib(relay: &Relay, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
