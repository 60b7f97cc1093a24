//! Follows the files of the certificates: a certificate and a key that belong together replace the
//! ones in use, and anything else leaves them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::error::RelayError;
use crate::clock;
use crate::config::TlsConfig;
use crate::config::tls::{Doubt, doubts};
use crate::listener::tls::Tls;
use crate::listener::tls::certificate::{Certificate, Validity};
use crate::listener::tls::pair::PairError;
use crate::secret::{KeptSecret, SecretsInUse};
use crate::telemetry::metrics::CertificateEnds;

/// Interval at which the files are compared with what was last seen there.
// Polled, as the configuration is: certbot renames links in one folder to files in another, and
// orchestrators exchange whole folders, so that no single folder could be watched.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Intervals after which files that could not be used are read again, although they look the same: a
/// disk of the network may be back.
const RETRY_INTERVALS: u32 = 10;

/// Interval at which a certificate that ends soon, or has ended, is mentioned.
const REMINDER_INTERVAL: Duration = Duration::from_hours(24);

/// The certificate of one listener.
pub(super) struct ServedCertificate {
    /// The section that names its files, such as `server.tls`.
    section: &'static str,
    tls: Arc<Tls>,
    /// The files as they were when they were read.
    read: PairStamps,
    /// The files as they were at the last poll.
    seen: PairStamps,
    /// Reason for which the files are not used, if so.
    fault: Option<PairError>,
    /// Polls since the files were read.
    polls: u32,
    reminded_at: Instant,
}

/// Identity of the two files: inode, size, and the times of content and metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PairStamps([Option<[i64; 6]>; 2]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Poll,
    Hangup,
}

impl ServedCertificate {
    /// Reads the files of the configuration; none without TLS.
    pub(super) fn start(config: &TlsConfig) -> Result<Option<ServedCertificate>, RelayError> {
        let section = config.section;
        let Some(files) = config.files() else { return Ok(None) };
        let unusable = |error| RelayError::Certificate { section, error };
        let files = files.map_err(unusable)?;
        // Before they are read, so that no change is missed.
        let stamps = PairStamps::of(&[&files.certificate, &files.key]);
        let tls = Arc::new(Tls::start(files).map_err(unusable)?);
        let (read, seen, fault) = (stamps, stamps, None);
        let reminded_at = Instant::now();
        Ok(Some(ServedCertificate { section, tls, read, seen, fault, polls: 0, reminded_at }))
    }

    /// Returns the certificate, which new connections get.
    pub(super) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Describes it for the start.
    pub(super) fn description(&self) -> String {
        let Certificate { ends_at, names, .. } = self.tls.certificate();
        let (section, names) = (self.section, names.join(", "));
        format!("the certificate of {section} is valid until {ends_at:.0}, for {names}")
    }

    /// Returns the listener as metrics name it.
    fn listener(&self) -> &'static str {
        self.section.split('.').next().unwrap_or(self.section)
    }

    /// Reads the files if they have changed and then rested, or in any case at a hangup.
    fn look(&mut self, trigger: Trigger) -> Option<Result<Option<Certificate>, PairError>> {
        let files = self.tls.files();
        let stamps = PairStamps::of(&[&files.certificate, &files.key]);
        // Certificate and key are written one after the other, and do not belong together between.
        let has_rested = stamps == self.seen;
        self.seen = stamps;
        self.polls += 1;
        let is_retry = self.fault.is_some() && self.polls >= RETRY_INTERVALS;
        let is_due = has_rested && (stamps != self.read || is_retry);
        if trigger == Trigger::Poll && !is_due {
            return None;
        }
        (self.read, self.polls) = (stamps, 0);
        Some(self.tls.reload(clock::now()))
    }

    /// Logs and records the result of reading the files.
    fn record(
        &mut self,
        result: Result<Option<Certificate>, PairError>,
        trigger: Trigger,
        (secrets, ends): (&SecretsInUse, &CertificateEnds),
    ) {
        let section = self.section;
        let path = self.tls.files().certificate.display().to_string();
        match result {
            Ok(new) => {
                let had_fault = self.fault.take().is_some();
                secrets.set_kept_certificate(section, None);
                if let Some(Certificate { ends_at, names, .. }) = new {
                    ends.set(self.listener(), ends_at);
                    let names = names.join(", ");
                    info!(
                        "{section}: the new certificate in {path} is used, valid until {ends_at:.0}, for {names}"
                    );
                    self.remind();
                } else if had_fault {
                    info!("{section}: the files can be used again, with the same certificate");
                }
            }
            Err(error) => {
                if trigger == Trigger::Hangup || self.fault.as_ref() != Some(&error) {
                    let ends_at = self.tls.certificate().ends_at;
                    warn!(
                        "{section}: the certificate from before stays in use, valid until {ends_at:.0}: {error}"
                    );
                }
                let kept = KeptSecret {
                    purpose: section.to_owned(),
                    reference: path,
                    reason: error.what.clone(),
                };
                secrets.set_kept_certificate(section, Some(kept));
                self.fault = Some(error);
            }
        }
    }

    /// Logs what is doubtful about the certificate, such as that it ends soon.
    fn remind(&mut self) {
        self.reminded_at = Instant::now();
        let key = &self.tls.files().key;
        for Doubt { what, advice, .. } in doubts(&self.tls.certificate(), Some(key), clock::now()) {
            warn!("{}: {what}; {advice}", self.section);
        }
    }
}

impl PairStamps {
    /// Reads them through all links, so that a link to another file differs.
    fn of(paths: &[&Path; 2]) -> PairStamps {
        PairStamps(paths.map(|path| {
            let file = fs::metadata(path).ok()?;
            let (number, size) = (file.ino().cast_signed(), file.size().cast_signed());
            // The time of its metadata too: after `chown` it can perhaps be read.
            Some([number, size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()])
        }))
    }
}

/// Follows the files until the relay stops.
pub(super) async fn follow(
    mut served: Vec<ServedCertificate>,
    secrets: Arc<SecretsInUse>,
    ends: CertificateEnds,
    shutdown: impl Future<Output = ()>,
) {
    for one in &served {
        ends.set(one.listener(), one.tls.certificate().ends_at);
    }
    // The reloader reports it if the signal cannot be received.
    let mut hangups = signal(SignalKind::hangup()).ok();
    tokio::pin!(shutdown);
    loop {
        let trigger = tokio::select! {
            () = &mut shutdown => return,
            () = sleep(POLL_INTERVAL) => Trigger::Poll,
            () = hangup(&mut hangups) => Trigger::Hangup,
        };
        let mut next = Vec::new();
        for one in served {
            next.extend(followed(one, trigger, (Arc::clone(&secrets), ends.clone())).await);
        }
        served = next;
    }
}

/// Looks at the files of one certificate.
async fn followed(
    mut one: ServedCertificate,
    trigger: Trigger,
    (secrets, ends): (Arc<SecretsInUse>, CertificateEnds),
) -> Option<ServedCertificate> {
    // On a thread of its own, since a network disk may hang.
    let looked = spawn_blocking(move || {
        if let Some(result) = one.look(trigger) {
            one.record(result, trigger, (&secrets, &ends));
        }
        let is_due = one.reminded_at.elapsed() >= REMINDER_INTERVAL;
        if is_due && one.tls.certificate().validity(clock::now()) != Validity::Valid {
            one.remind();
        }
        one
    });
    match looked.await {
        Ok(one) => Some(one),
        Err(error) => {
            error!(%error, "reading a certificate failed, keeping the current one until a restart (bug)");
            None
        }
    }
}

async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}
