//! Signatures: of the Standard Webhooks specification 1.0, symmetric scheme `v1`; and the plain ones
//! of a body that others have in a header of their own, such as GitHub's `X-Hub-Signature-256`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;
use sha2::{Sha256, Sha512};

use super::headers::name_of;
use crate::hex::hex;
use crate::secret::Secret;

/// What a secret begins with, where it says what it is.
const PREFIX: &str = "whsec_";

/// The keys behind `whsec_…` secrets: one, or during a rotation the old one and the new one.
#[derive(Clone)]
pub(super) struct Signer {
    macs: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// Reads secrets: base64, with or without `whsec_` in front.
    ///
    /// # Errors
    /// The expected form; never a part of a secret.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Signer, String> {
        secrets
            .into_iter()
            .map(mac)
            .collect::<Result<_, _>>()
            .map(|macs| Signer { macs })
    }

    /// The `webhook-signature` of a message, one signature for each key; `timestamp` in seconds
    /// since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let sign = |mac: &Hmac<Sha256>| {
            let mut mac = mac.clone();
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.macs.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

/// A signature of the body in a header.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderSignature {
    /// The header's name.
    pub header: String,
    /// The key; its bytes are the text's.
    pub secret: Secret,
    /// Stands before the signature, such as `sha256=`.
    pub prefix: String,
    /// See [`Algorithm`].
    pub algorithm: Algorithm,
    /// See [`Digits`].
    pub digits: Digits,
}

/// What is made of key and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// HMAC-SHA256.
    #[default]
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digits {
    /// Two hex digits for each byte.
    #[default]
    Hex,
    /// Base64, with padding.
    Base64,
}

/// Makes the signature of a body.
pub(super) struct HeaderSigner {
    header: HeaderName,
    prefix: String,
    keyed: Keyed,
    digits: Digits,
}

#[derive(Clone)]
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sha512(Box<Hmac<Sha512>>),
}

impl HeaderSigner {
    /// # Errors
    /// The header's name cannot be one, or the prefix cannot stand in a header.
    pub(super) fn new(settings: &HeaderSignature) -> Result<HeaderSigner, String> {
        let (key, any) = (
            settings.secret.expose_secret().as_bytes(),
            "HMAC takes keys of every length",
        );
        HeaderValue::from_str(&settings.prefix)
            .map_err(|_| "hmac: the prefix cannot stand in a header".to_owned())?;
        Ok(HeaderSigner {
            header: name_of(&settings.header)?,
            prefix: settings.prefix.clone(),
            keyed: match settings.algorithm {
                Algorithm::Sha256 => Keyed::Sha256(Hmac::new_from_slice(key).expect(any)),
                Algorithm::Sha512 => Keyed::Sha512(Box::new(Hmac::new_from_slice(key).expect(any))),
            },
            digits: settings.digits,
        })
    }

    /// The header of a body.
    pub(super) fn sign(&self, body: &[u8]) -> (HeaderName, HeaderValue) {
        let mac = match self.keyed.clone() {
            Keyed::Sha256(mac) => mac.chain_update(body).finalize().into_bytes().to_vec(),
            Keyed::Sha512(mac) => (*mac).chain_update(body).finalize().into_bytes().to_vec(),
        };
        let signature: String = match self.digits {
            Digits::Hex => hex(mac),
            Digits::Base64 => STANDARD.encode(mac),
        };
        let text = format!("{}{signature}", self.prefix);
        let value = HeaderValue::from_str(&text).expect("`new` has looked at the prefix");
        (self.header.clone(), value)
    }
}

/// Whether a text is a secret by Standard Webhooks: base64, with or without `whsec_` in front.
pub fn is_signing_secret(text: &str) -> bool {
    key(text).is_some()
}

/// The bytes of a key.
fn key(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let key = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    (!key.is_empty()).then_some(key)
}

fn mac(secret: &str) -> Result<Hmac<Sha256>, String> {
    let expected =
        "secret: expected whsec_ and base64 of the key's bytes, as the receiver shows it";
    let key = key(secret).ok_or(expected)?;
    Ok(Hmac::new_from_slice(&key).expect("HMAC takes keys of every length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the specification's reference libraries are tested with.
    #[test]
    fn signs_as_the_reference_libraries_do() {
        for secret in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let signer = Signer::new([secret]).unwrap();
            assert_eq!(
                signer.sign(
                    "msg_p5jXN8AQM9LWM0D4loKWxJek",
                    1_614_265_330,
                    br#"{"test": 2432232314}"#
                ),
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
            );
        }
    }

    /// The example of GitHub's documentation, and the same body signed by Python's `hmac`.
    #[test]
    fn signs_a_body_as_others_do() {
        let sign = |algorithm, digits, prefix: &str| {
            let settings = HeaderSignature {
                header: "X-Signature".to_owned(),
                secret: Secret::from("It's a Secret to Everybody"),
                prefix: prefix.to_owned(),
                algorithm,
                digits,
            };
            HeaderSigner::new(&settings).map(|signer| {
                let (name, value) = signer.sign(b"Hello, World!");
                assert_eq!(name, "x-signature");
                value.to_str().unwrap().to_owned()
            })
        };
        let github = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(
            sign(Algorithm::Sha256, Digits::Hex, "sha256="),
            Ok(format!("sha256={github}"))
        );
        assert_eq!(
            sign(Algorithm::Sha256, Digits::Base64, ""),
            Ok("dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=".to_owned())
        );
        assert_eq!(
            sign(Algorithm::Sha512, Digits::Hex, ""),
            Ok(concat!(
                "11ed355a617e98134e842012a7944ccf59c10256cb182357bd7e3a42013ff07c",
                "376f8c14cf5cc1923da20b51d64256b2fb8ebbf100aa67a61326f61fea8111bc"
            )
            .to_owned())
        );
        assert!(sign(Algorithm::Sha256, Digits::Hex, "a\n").is_err());
    }

    #[test]
    fn during_a_rotation_both_keys_sign() {
        let [old, new] = [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_bmV3IGtleQ==",
        ];
        let sign = |secrets: &[&str]| {
            Signer::new(secrets.iter().copied())
                .unwrap()
                .sign("id", 1, b"{}")
        };
        assert_eq!(
            sign(&[old, new]),
            format!("{} {}", sign(&[old]), sign(&[new]))
        );
        assert_ne!(sign(&[old]), sign(&[new]));
    }

    #[test]
    fn a_secret_that_is_no_base64_is_refused_without_being_shown() {
        for secret in ["", "whsec_", "whsec_p@ssw0rd", "hunter2hunter"] {
            let error = Signer::new([secret]).err().unwrap();
            assert!(
                error.contains("base64") && (secret.len() < 7 || !error.contains(secret)),
                "{error}"
            );
        }
    }
}
