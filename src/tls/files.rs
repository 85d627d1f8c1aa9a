//! Certificates and keys in PEM files.

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::Error;

/// The text of a PEM file that holds certificates; `key` names it in an error.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn certificate_pem(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let text = read(key, path)?;
    certificates_of(key, path, &text)?;
    Ok(text)
}

/// The text of a PEM file that holds a private key; `key` names it in an error.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn key_pem(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let text = read(key, path)?;
    private_key_of(key, path, &text)?;
    Ok(text)
}

pub(super) fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    certificates_of(key, path, &read(key, path)?)
}

fn certificates_of(
    key: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Content {
            key,
            path: path.to_owned(),
            problem: pem_problem(&error),
        })?;
    if certificates.is_empty() {
        let problem =
            "holds no certificate: expected PEM, \"-----BEGIN CERTIFICATE-----\"".to_owned();
        return Err(Error::Content {
            key,
            path: path.to_owned(),
            problem,
        });
    }
    Ok(certificates)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    private_key_of("key_file", path, &read("key_file", path)?)
}

fn private_key_of(
    key: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let encrypted = text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        let problem = match error {
            pem::Error::NoItemsFound if encrypted => {
                "the key is encrypted: decrypt it, for instance by \"openssl pkey -in KEY -out PLAIN\"".to_owned()
            }
            pem::Error::NoItemsFound => {
                "holds no private key: expected PEM, \"-----BEGIN PRIVATE KEY-----\"".to_owned()
            }
            error => pem_problem(&error),
        };
        Error::Content { key, path: path.to_owned(), problem }
    })
}

/// PKCS #8's encrypted form (RFC 7468, section 11) and that of OpenSSL's old key files.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|reason| Error::Read {
        key,
        path: path.to_owned(),
        reason,
    })
}

fn pem_problem(error: &pem::Error) -> String {
    format!("is not valid PEM: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_or_damaged_file_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str, expected: &str| {
            let path = folder.path().join("key");
            fs::write(&path, text).expect("a file");
            let error = private_key(&path).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "the key is encrypted: decrypt it",
        );
        check("-----BEGIN PRIVATE KEY-----\nAAAA\n", "is not valid PEM");
    }
}
