//! Signatures of the Standard Webhooks specification 1.0, symmetric scheme `v1`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

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

fn mac(secret: &str) -> Result<Hmac<Sha256>, String> {
    let expected =
        "secret: expected whsec_ and base64 of the key's bytes, as the receiver shows it";
    let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let key = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| expected.to_owned())?);
    if key.is_empty() {
        return Err(expected.to_owned());
    }
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
