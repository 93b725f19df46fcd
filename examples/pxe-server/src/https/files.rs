//! A certificate and its key, as files have them.

use std::io;
use std::path::Path;

use pxe_http::{Identity, IdentityError};

use crate::config::Tls;

/// No certificate and key are longer; a device or a log by mistake is not read to its end.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why there is no identity in two files.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// `certificate` or `key`.
    pub(crate) name: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: &'static str,
    /// It is there, and this user may not read it.
    pub(crate) is_denied: bool,
}

/// Reads both files.
pub(crate) fn read(tls: &Tls) -> Result<Identity, Unusable> {
    let chain = read_file("certificate", &tls.certificate)?;
    let key = read_file("key", &tls.key)?;
    let identity = Identity::from_pem(&chain, &key);
    let identity = match tls.finite_field {
        true => identity,
        false => identity.and_then(Identity::without_finite_field),
    };
    identity.map_err(|error| {
        let (name, file) = match error.concerns_key() {
            true => ("key", &tls.key),
            false => ("certificate", &tls.certificate),
        };
        Unusable {
            name,
            message: format!("{}: {error}", file.display()),
            remedy: remedy(&error),
            is_denied: false,
        }
    })
}

const fn remedy(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::OtherKey => "name the key that the certificate was requested with",
        IdentityError::WrongOrder { .. } => {
            "write the server's certificate first, its CA's after it"
        }
        _ => "docs/https.md says how to make both",
    }
}

fn read_file(name: &'static str, path: &Path) -> Result<Vec<u8>, Unusable> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX), &mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| Unusable {
        name,
        message: match error.kind() {
            io::ErrorKind::NotFound => format!("there is no file {}", path.display()),
            _ => format!("{}: {error}", path.display()),
        },
        remedy: match error.kind() {
            io::ErrorKind::PermissionDenied => "let the server's user read it",
            _ => "docs/https.md says how to make both",
        },
        is_denied: error.kind() == io::ErrorKind::PermissionDenied,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_of_the_file_that_it_is_wrong_with() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let tls = Tls {
            certificate: path("crt"),
            key: path("key"),
            finite_field: true,
        };
        let wrong = |tls: &Tls| {
            let wrong = read(tls).expect_err("nothing to use");
            (wrong.name, wrong.message)
        };
        let (name, message) = wrong(&tls);
        assert_eq!(name, "certificate");
        assert!(message.starts_with("there is no file "), "{message}");

        std::fs::write(&tls.certificate, "no PEM").expect("a file");
        std::fs::write(&tls.key, "no PEM").expect("a file");
        let (name, message) = wrong(&tls);
        assert_eq!(name, "certificate");
        assert!(message.contains("there is no certificate"), "{message}");

        let made = rcgen::generate_simple_self_signed(["pxe.lan".to_owned()]).expect("made");
        std::fs::write(&tls.certificate, made.cert.pem()).expect("a file");
        let (name, message) = wrong(&tls);
        assert_eq!(name, "key");
        assert!(message.contains("there is no private key"), "{message}");

        let other = rcgen::KeyPair::generate().expect("a key");
        std::fs::write(&tls.key, other.serialize_pem()).expect("a file");
        assert!(wrong(&tls).1.ends_with("not the certificate's"));

        std::fs::write(&tls.key, made.signing_key.serialize_pem()).expect("a file");
        assert!(read(&tls).expect("both").certificate().is_for("pxe.lan"));

        let directory = Tls {
            certificate: directory.path().into(),
            ..tls
        };
        assert!(wrong(&directory).1.ends_with("it is no file"));
    }
}
