//! What `[http]` asks of the machine where it has `tls`: a certificate and its key.

use super::Config;
use super::place::Problems;
use crate::https;

impl Config {
    /// A server that runs has its identity already: then a file that only root may read is none
    /// of its faults.
    pub(super) fn check_certificates(&self, problems: &mut Problems<'_>) {
        let now = https::civil_time();
        for http in &self.http {
            let Some(tls) = &http.tls else { continue };
            match https::read(tls) {
                Ok(identity) => {
                    let key = format!("{}.tls.certificate", http.key);
                    for (message, remedy) in https::doubts(self, http, identity.certificate(), now)
                    {
                        problems.warning(&key, message, remedy);
                    }
                }
                Err(wrong) => {
                    let key = format!("{}.tls.{}", http.key, wrong.name);
                    match wrong.is_denied && !nix::unistd::geteuid().is_root() {
                        true => problems.warning(&key, wrong.message, wrong.remedy),
                        false => problems.error(&key, wrong.message, wrong.remedy),
                    }
                }
            }
        }
    }
}
