//! The signing key of webhooks.

use std::ops::RangeInclusive;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Prefix of a secret (Standard Webhooks, "Signature scheme").
const PREFIX: &str = "whsec_";

/// Bytes of a secret (Standard Webhooks, "Signature scheme": 192 to 512 bits).
const BYTES: RangeInclusive<usize> = 24..=64;

/// A secret shared by sender and receiver.
#[derive(Debug, Clone)]
pub struct SigningKey(SecretString);

impl SigningKey {
    /// Parses `whsec_` followed by 24 to 64 bytes in base64.
    pub fn parse(text: &str) -> Option<Self> {
        mac(text)?;
        Some(Self(SecretString::from(text)))
    }

    /// The signature of a message: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let mut mac = mac(self.0.expose_secret())?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        Some(format!("v1,{signature}"))
    }
}

fn mac(secret: &str) -> Option<Hmac<Sha256>> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let fits = BYTES.contains(&key.len());
    fits.then(|| Hmac::new_from_slice(&key).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_in_the_reference_libraries() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
        assert!(!format!("{key:?}").contains("MfKQ"));
    }

    #[test]
    fn a_secret_is_long_enough_and_says_what_it_is() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (text, right) in [
            (secret(24), true),
            (secret(64), true),
            (secret(23), false),
            (secret(65), false),
            (secret(32).replace("whsec_", ""), false),
            ("whsec_not base64 not base64 not base64".to_owned(), false),
        ] {
            assert_eq!(SigningKey::parse(&text).is_some(), right, "{text}");
        }
    }
}
