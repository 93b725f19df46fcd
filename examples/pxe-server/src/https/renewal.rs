//! Certificates that are renewed while they are served.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pxe_http::{CurrentIdentity, Identity};
use pxe_tree::Timestamp;

use super::files::{Unusable, read};
use crate::config::Tls;

/// How often the files are looked at: whoever renews a certificate does not wait beside it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The identity of some listeners, and the files that it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    tls: Arc<Tls>,
    identity: CurrentIdentity,
    /// How the files were when they were last read, whatever came of it.
    seen: Arc<Mutex<Option<[Stamp; 2]>>>,
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
        let seen = stamps(tls);
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
            let looked = tokio::task::spawn_blocking(move || renewal.look()).await;
            if looked.is_err() {
                return;
            }
        }
    }

    /// Takes what is in the files, if they have changed since they were last read. Each failure is
    /// told once: certificate and key are seldom written at the same time.
    pub(crate) fn look(&self) {
        let now = stamps(&self.tls);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if now.is_none() || *seen == now {
                return;
            }
            *seen = now;
        }
        let path = self.tls.certificate.display();
        match read(&self.tls) {
            Ok(new) if is_worse(&new, &self.identity.get()) => tracing::error!(
                event = "certificate_refused",
                "https: {path} has expired: the former certificate stays in force"
            ),
            Ok(new) => {
                self.identity.replace(new);
                tracing::info!(
                    event = "certificate_renewed",
                    "https: the certificate of {path} is in force"
                );
            }
            Err(unusable) => tracing::error!(
                event = "certificate_refused",
                "https: {}: the former certificate stays in force; {}",
                unusable.message,
                unusable.remedy
            ),
        }
    }
}

/// Whether it is over, where the former one is not.
fn is_worse(new: &Identity, former: &Identity) -> bool {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let now = Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    new.certificate().is_expired(now) && !former.certificate().is_expired(now)
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

    fn write(tls: &Tls, name: &str, year: i32) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
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
        renewal.look();
        assert!(is_for("first.lan"));

        write(&tls, "second.lan", 4000);
        renewal.look();
        assert!(is_for("second.lan"));

        // Half of a renewal, and then the other half.
        let key = std::fs::read(&tls.key).expect("a key");
        write(&tls, "third.lan", 4000);
        let new = std::fs::read(&tls.key).expect("a key");
        std::fs::write(&tls.key, key).expect("a file");
        renewal.look();
        assert!(is_for("second.lan"));
        std::fs::write(&tls.key, new).expect("a file");
        renewal.look();
        assert!(is_for("third.lan"));

        write(&tls, "expired.lan", 2001);
        renewal.look();
        assert!(is_for("third.lan"));
        std::fs::remove_file(&tls.key).expect("a file");
        renewal.look();
        assert!(is_for("third.lan"));
    }
}
