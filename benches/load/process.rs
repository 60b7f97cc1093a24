//! The programs that are measured, each a process of its own, and what the kernel says of them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::Connection;
use crate::sink::Sink;
use crate::{Failed, ceiling, webhook};

const MAPPINGS: [(&str, &str); 3] = [
    ("typeform.toml", include_str!("../../mappings/typeform.toml")),
    ("github.toml", include_str!("../../mappings/github.toml")),
    ("batch.toml", webhook::BATCH_MAPPING),
];

/// A kernel's tick, as `/proc` counts processor time on every Linux that there is.
const TICK: Duration = Duration::from_millis(10);

/// For how long a process uses no processor time that is called idle.
const IDLE: Duration = Duration::from_millis(300);

const START_MAX: Duration = Duration::from_secs(10);

/// Where the stores lie, on the disk on which the project is built.
#[derive(Debug)]
pub(crate) struct Workshop {
    folder: TempDir,
    mappings: PathBuf,
    program: PathBuf,
}

impl Workshop {
    pub(crate) fn new(folder: &Path) -> Result<Workshop, Failed> {
        let folder = tempfile::tempdir_in(folder)?;
        let mappings = folder.path().join("mappings");
        fs::create_dir(&mappings)?;
        for (name, text) in MAPPINGS {
            fs::write(mappings.join(name), text)?;
        }
        Ok(Workshop { folder, mappings, program: env!("CARGO_BIN_EXE_savio-relay").into() })
    }

    /// Starts another build of the relay instead.
    pub(crate) fn with_program(self, program: PathBuf) -> Workshop {
        Workshop { program, ..self }
    }

    /// Uses the mapping files of this folder instead.
    pub(crate) fn with_mappings(self, mappings: PathBuf) -> Workshop {
        Workshop { mappings, ..self }
    }

    /// A folder for one store, gone when it is dropped.
    pub(crate) fn bench(&self) -> Result<TempDir, Failed> {
        Ok(tempfile::tempdir_in(self.folder.path())?)
    }

    pub(crate) fn ceiling(
        kind: ceiling::Kind,
        bench: &Path,
        (sink, slots): (&Sink, usize),
    ) -> Result<Process, Failed> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--ceiling").arg(kind.name()).env("LISTEN", address.to_string());
        command.env("SINK", sink.address.to_string()).env("SLOTS", slots.to_string());
        Process::start(command, address, bench)
    }

    /// Delivers to the sink; without one its destination is paused, and it only takes webhooks.
    pub(crate) fn relay(
        &self,
        bench: &Path,
        sink: Option<&Sink>,
        in_flight: usize,
    ) -> Result<Process, Failed> {
        let address = free_address()?;
        let mut command = Command::new(&self.program);
        command.arg("serve").env_clear();
        command.env("SAVIO_RELAY_SERVER__LISTEN", address.to_string());
        command.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0");
        command.env("SAVIO_RELAY_MAPPINGS", &self.mappings);
        for name in ["TYPEFORM_SECRET", "GITHUB_SECRET", "BATCH_SECRET"] {
            command.env(name, webhook::SECRET);
        }
        if let Some(sink) = sink {
            let url = format!("http://{}/app/api/", sink.address);
            command.env("SAVIO_RELAY_SAVIO__BASE_URL", url).env("SAVIO_API_TOKEN", "made-up");
        }
        command.env("SAVIO_RELAY_SAVIO__MAX_IN_FLIGHT", in_flight.to_string());
        Process::start(command, address, bench)
    }
}

/// Another program to compare with: `NAME,PREFIX,COMMAND`. The command is started in an empty folder
/// with the variables `PORT` and `SINK`, takes the same webhooks at `PREFIX` and the source's name, and
/// posts each body to `http://$SINK/`.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    pub(crate) name: String,
    prefix: String,
    command: PathBuf,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Other, String> {
        let parts: Vec<&str> = text.splitn(3, ',').collect();
        let [name, prefix, command] = parts[..] else {
            return Err("write NAME,PREFIX,COMMAND".to_owned());
        };
        Ok(Other { name: name.to_owned(), prefix: prefix.to_owned(), command: command.into() })
    }
}

impl Other {
    pub(crate) fn start(&self, bench: &Path, sink: &Sink) -> Result<Process, Failed> {
        let address = free_address()?;
        let mut command = Command::new(&self.command);
        command.env("PORT", address.port().to_string()).env("SINK", sink.address.to_string());
        let mut process = Process::start(command, address, bench)?;
        process.prefix.clone_from(&self.prefix);
        Ok(process)
    }
}

/// Ends when it is dropped, as by a crash.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What comes before a source's name in its paths.
    pub(crate) prefix: String,
    /// Whether it gets bodies of different lengths.
    pub(crate) varies: bool,
    started: Instant,
}

impl Process {
    /// The log goes to a file, as it would where it is kept.
    fn start(mut command: Command, address: SocketAddr, bench: &Path) -> Result<Process, Failed> {
        let log = File::create(bench.with_extension("log"))?;
        command.current_dir(bench).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        let prefix = webhook::HOOKS.to_owned();
        Ok(Process { child: command.spawn()?, address, prefix, varies: false, started })
    }

    /// How long after its start this request was first answered 2xx.
    pub(crate) async fn first_answer(&self, request: &[u8]) -> Result<Duration, Failed> {
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok(200..=299) = connection.call(request).await
            {
                return Ok(self.started.elapsed());
            }
            if self.started.elapsed() > START_MAX {
                return Err("a process that is to be measured does not answer".into());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Processor time of all of its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name before the last parenthesis may hold blanks; user and system time are 14th and 15th.
        let (_, fields) = stat.rsplit_once(") ").ok_or("an unknown form of /proc")?;
        let ticks: Result<Vec<u32>, _> =
            fields.split(' ').skip(11).take(2).map(str::parse).collect();
        Ok(TICK * ticks?.iter().sum())
    }

    /// Waits until it does nothing, such as counting its events after the start.
    pub(crate) async fn await_idle(&self) -> Result<(), Failed> {
        let mut before = self.cpu()?;
        loop {
            sleep(IDLE).await;
            let now = self.cpu()?;
            if now.saturating_sub(before) <= TICK {
                return Ok(());
            }
            before = now;
        }
    }

    /// Memory that it holds now.
    pub(crate) fn resident_mib(&self) -> Result<f64, Failed> {
        self.memory_mib("VmRSS:")
    }

    /// The part of it that is its own: neither the program's code nor files.
    pub(crate) fn own_mib(&self) -> Result<f64, Failed> {
        self.memory_mib("RssAnon:")
    }

    /// The most memory that it ever held.
    pub(crate) fn peak_mib(&self) -> Result<f64, Failed> {
        self.memory_mib("VmHWM:")
    }

    fn memory_mib(&self, key: &str) -> Result<f64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u32 = kib.ok_or("an unknown form of /proc")?.trim().parse()?;
        Ok(f64::from(kib) / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended by itself is ended all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
