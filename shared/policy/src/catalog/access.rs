//! What every call to a provider depends on: where it goes and with which key.

use longshore_protocol::id::AccessDigest;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::ProviderEntry;

impl ProviderEntry {
    /// A digest of address, key and command, by which workers notice that one of them has changed. It is stored in Redis,
    /// so it has 16 bits: enough to notice, while one in 65,536 of all keys has the same. It is the same at all times,
    /// because several digests of one key would say more of it than one.
    pub fn access_digest(&self) -> AccessDigest {
        let mut digest = Sha256::new();
        let mut word = |text: &str| {
            digest.update(format!("{}:", text.len()));
            digest.update(text);
        };
        word(self.name.as_str());
        word(self.dialect.as_str());
        word(self.base_url.as_str());
        word(self.key.as_ref().map_or("", ExposeSecret::expose_secret));
        for argument in &self.command {
            word(argument);
        }
        for (name, value) in &self.env {
            word(name);
            word(value.expose_secret());
        }
        let [first, second, ..]: [u8; 32] = digest.finalize().into();
        AccessDigest::new(u16::from_be_bytes([first, second]))
    }
}
