//! Certificates that are renewed while they are served.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pxe_http::{CurrentIdentity, Identity};
use pxe_tree::Timestamp;

use super::doubts::end_of;
use super::files::{Unusable, read};
use crate::config::Tls;

/// How often the files are looked at: whoever renews a certificate does not wait beside it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The identity of some listeners, and the files that it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    tls: Arc<Tls>,
    identity: CurrentIdentity,
    seen: Arc<Mutex<Seen>>,
}

/// What the last look came to.
#[derive(Debug, Default)]
struct Seen {
    /// How the files were when they were last read, whatever came of it.
    stamps: Option<[Stamp; 2]>,
    /// Whether the certificate in them is not valid yet, and waits for its time.
    is_early: bool,
    /// What was last said of the end of the one in force.
    end_told: Option<String>,
}

/// By what a file is known to have been replaced or written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(metadata: Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Renewal {
    /// Reads the files for the first time.
    pub(crate) fn begin(tls: &Tls) -> Result<Self, Unusable> {
        let seen = Seen {
            stamps: stamps(tls),
            ..Seen::default()
        };
        let identity = read(tls)?;
        Ok(Self {
            tls: Arc::new(tls.clone()),
            identity: CurrentIdentity::new(identity),
            seen: Arc::new(Mutex::new(seen)),
        })
    }

    /// What listeners show, and go on showing.
    pub(crate) fn identity(&self) -> CurrentIdentity {
        self.identity.clone()
    }

    /// Looks at the files again and again, until it is dropped.
    pub(crate) async fn run(self) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        loop {
            interval.tick().await;
            let renewal = self.clone();
            // A disk may hang: connections are served meanwhile.
            let looked = tokio::task::spawn_blocking(move || renewal.look_now()).await;
            if looked.is_err() {
                return;
            }
        }
    }

    /// Looks at the files.
    pub(crate) fn look_now(&self) {
        self.look(civil_time());
    }

    /// Takes what is in the files, if they have changed since they were last read, and says once a
    /// day if what is in force ends soon. `now` is the civil time.
    fn look(&self, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.tls.certificate.display();
        let stamps = stamps(&self.tls);
        if stamps.is_some() && (seen.stamps != stamps || seen.is_early) {
            let was_early = std::mem::take(&mut seen.is_early) && seen.stamps == stamps;
            seen.stamps = stamps;
            seen.is_early = self.read_again(was_early, now);
        }
        let end = end_of(self.identity.get().certificate(), now);
        let told = end.as_ref().map(|(message, _)| message);
        if seen.end_told.as_ref() != told {
            seen.end_told = told.cloned();
            if let Some((message, remedy)) = end {
                tracing::warn!(
                    event = "certificate_ends",
                    "https: {path}: {message}; {remedy}"
                );
            }
        }
    }

    /// Reads the files. Each failure is told once: certificate and key are seldom written at the
    /// same time. Returns whether the certificate waits for its time.
    fn read_again(&self, was_early: bool, now: Timestamp) -> bool {
        let path = self.tls.certificate.display();
        let new = match read(&self.tls) {
            Ok(new) => new,
            Err(unusable) => {
                tracing::error!(
                    event = "certificate_refused",
                    "https: {}: the former certificate stays in force; {}",
                    unusable.message,
                    unusable.remedy
                );
                return false;
            }
        };
        let former = self.identity.get();
        if is_valid(&former, now) && !is_valid(&new, now) {
            let is_early = new.certificate().is_early(now);
            let why = if is_early {
                "is not valid yet"
            } else {
                "has expired"
            };
            if !was_early {
                tracing::error!(
                    event = "certificate_refused",
                    "https: {path} {why}: the former certificate stays in force"
                );
            }
            return is_early;
        }
        self.identity.replace(new);
        tracing::info!(
            event = "certificate_renewed",
            "https: the certificate of {path} is in force"
        );
        false
    }
}

fn is_valid(identity: &Identity, now: Timestamp) -> bool {
    let certificate = identity.certificate();
    !certificate.is_early(now) && !certificate.is_expired(now)
}

/// The civil time, in whole seconds.
pub(crate) fn civil_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// `None` if one is not there now: it is being replaced.
fn stamps(tls: &Tls) -> Option<[Stamp; 2]> {
    let stamp = |path: &Path| std::fs::metadata(path).ok().map(Stamp::from);
    Some([stamp(&tls.certificate)?, stamp(&tls.key)?])
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// In 2026.
    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    fn write(tls: &Tls, name: &str, year: i32) {
        write_valid(tls, name, 2000, year);
    }

    fn write_valid(tls: &Tls, name: &str, from: i32, to: i32) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        std::fs::write(&tls.certificate, pem).expect("a file");
        std::fs::write(&tls.key, key.serialize_pem()).expect("a file");
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_no_broken_or_expired_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let tls = Tls {
            certificate: directory.path().join("crt"),
            key: directory.path().join("key"),
            finite_field: true,
        };
        write(&tls, "first.lan", 4000);
        let renewal = Renewal::begin(&tls).expect("an identity");
        let shown = renewal.identity();
        let is_for = |name: &str| shown.get().certificate().is_for(name);
        renewal.look(NOW);
        assert!(is_for("first.lan"));

        write(&tls, "second.lan", 4000);
        renewal.look(NOW);
        assert!(is_for("second.lan"));

        // Half of a renewal, and then the other half.
        let key = std::fs::read(&tls.key).expect("a key");
        write(&tls, "third.lan", 4000);
        let new = std::fs::read(&tls.key).expect("a key");
        std::fs::write(&tls.key, key).expect("a file");
        renewal.look(NOW);
        assert!(is_for("second.lan"));
        std::fs::write(&tls.key, new).expect("a file");
        renewal.look(NOW);
        assert!(is_for("third.lan"));

        write(&tls, "expired.lan", 2001);
        renewal.look(NOW);
        assert!(is_for("third.lan"));
        // One that is made in advance is taken when it is its time, and the former until then.
        write_valid(&tls, "early.lan", 2027, 4000);
        renewal.look(NOW);
        renewal.look(NOW);
        assert!(is_for("third.lan"));
        let year_later = Timestamp::from_seconds(NOW.seconds + 366 * 86_400);
        renewal.look(year_later);
        assert!(is_for("early.lan"));
        std::fs::remove_file(&tls.key).expect("a file");
        renewal.look(NOW);
        assert!(is_for("early.lan"));
    }
    #[test]
    fn the_end_of_what_is_in_force_is_told_each_day() {
        let directory = tempfile::tempdir().expect("a directory");
        let tls = Tls {
            certificate: directory.path().join("crt"),
            key: directory.path().join("key"),
            finite_field: true,
        };
        write(&tls, "first.lan", 2027);
        let renewal = Renewal::begin(&tls).expect("an identity");
        let end = 1_798_761_600;
        let told = |days_left: i64| {
            renewal.look(Timestamp::from_seconds(end - days_left * 86_400));
            renewal.seen.lock().expect("no panic").end_told.clone()
        };
        assert_eq!(told(30), None);
        assert_eq!(
            told(29).as_deref(),
            Some("the certificate expires in 29 days")
        );
        assert_eq!(
            told(1).as_deref(),
            Some("the certificate expires in 1 days")
        );
        let told = told(-1).expect("it has expired");
        assert!(told.starts_with("the certificate has expired"), "{told}");

        write(&tls, "second.lan", 4000);
        renewal.look(Timestamp::from_seconds(end));
        assert_eq!(renewal.seen.lock().expect("no panic").end_told, None);
    }
}
