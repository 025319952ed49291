//! The keys, and encryption with them.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::{
    content::{Content, Opener, Sealer},
    value::{CannotDecrypt, CannotEncrypt, Encrypted, KeyId, NONCE_BYTES},
};

/// The keys of a process. New values are encrypted with the current key; the others only decrypt. A keyring without keys
/// encrypts nothing. Clones share the keys.
#[derive(Clone, Default)]
pub struct Keyring(Option<Arc<Keys>>);

struct Keys {
    /// Ready to use: a cipher costs more to build than to encrypt a short text.
    by_id: BTreeMap<KeyId, LessSafeKey>,
    current: KeyId,
    random: SystemRandom,
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is not base64.
    #[error("is not base64")]
    NotBase64,
    /// It has another length.
    #[error("has {0} bytes")]
    WrongLength(usize),
    /// The current key is none of the keys.
    #[error("is none of the keys")]
    NoCurrent,
}

/// Shows the names of the keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.key_ids()).finish()
    }
}

impl Keyring {
    /// A keyring of keys in base64, and the one that encrypts.
    ///
    /// # Errors
    /// If a key is not 32 bytes in base64, or the current key is none of them.
    pub fn new(
        keys: impl IntoIterator<Item = (KeyId, SecretString)>,
        current: KeyId,
    ) -> Result<Self, BadKey> {
        let mut by_id = BTreeMap::new();
        for (id, key) in keys {
            by_id.insert(id, cipher(&key)?);
        }
        if !by_id.contains_key(&current) {
            return Err(BadKey::NoCurrent);
        }
        Ok(Self(Some(Arc::new(Keys {
            by_id,
            current,
            random: SystemRandom::new(),
        }))))
    }

    /// Checks a key without adding it to a keyring.
    ///
    /// # Errors
    /// If it is not 32 bytes in base64.
    pub fn check(key: &SecretString) -> Result<(), BadKey> {
        cipher(key).map(|_| ())
    }

    /// Whether there are keys.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The key that encrypts, if there are keys.
    pub fn current(&self) -> Option<&KeyId> {
        self.0.as_ref().map(|keys| &keys.current)
    }

    /// The names of the keys, in alphabetical order.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.0.iter().flat_map(|keys| keys.by_id.keys())
    }

    /// Encrypts a value for a purpose; without keys, and for a value that is encrypted already, returns `None`.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Option<String>, CannotEncrypt> {
        let Some(keys) = &self.0 else {
            return Ok(None);
        };
        let is_encrypted =
            std::str::from_utf8(plain).is_ok_and(|text| Encrypted::parse(text).is_some());
        if is_encrypted {
            return Ok(None);
        }
        keys.seal(purpose, plain).map(Some)
    }

    /// Decrypts a value that was encrypted for the same purpose; `None` for a plain value.
    ///
    /// # Errors
    /// If its key is unknown, or it does not authenticate.
    pub fn open(&self, purpose: &str, value: &str) -> Result<Option<Vec<u8>>, CannotDecrypt> {
        let Some(encrypted) = Encrypted::parse(value) else {
            return Ok(None);
        };
        let keys = self.0.as_ref();
        let Some(key) = keys.and_then(|keys| keys.by_id.get(&encrypted.key)) else {
            return Err(CannotDecrypt::UnknownKey(encrypted.key));
        };
        decrypt(key, purpose, encrypted.bytes)
            .ok_or(CannotDecrypt::NotAuthentic(encrypted.key))
            .map(Some)
    }

    /// The text to store for a text.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn sealed_text<'t>(
        &self,
        purpose: &str,
        text: &'t str,
    ) -> Result<Cow<'t, str>, CannotEncrypt> {
        let sealed = self.seal(purpose, text.as_bytes())?;
        Ok(sealed.map_or(Cow::Borrowed(text), Cow::Owned))
    }

    /// The text of a stored one; the same if it cannot be decrypted.
    #[must_use]
    pub fn opened_text(&self, purpose: &str, stored: String) -> String {
        let opened = self.open(purpose, &stored).ok().flatten();
        opened
            .and_then(|plain| String::from_utf8(plain).ok())
            .unwrap_or(stored)
    }

    /// What is to be stored: the same, or with keys a copy whose content is encrypted.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn sealed<'c, C: Content>(&self, content: &'c C) -> Result<Cow<'c, C>, CannotEncrypt> {
        if !self.is_on() {
            return Ok(Cow::Borrowed(content));
        }
        let mut copy = content.clone();
        let mut sealer = Sealer::new(self);
        copy.visit(&mut sealer);
        sealer.finish().map(|()| Cow::Owned(copy))
    }

    /// Decrypts what is stored. Values that cannot be decrypted stay as they are.
    #[must_use]
    pub fn opened<C: Content>(&self, mut content: C) -> C {
        if self.is_on() {
            content.visit(&mut Opener::new(self));
        }
        content
    }
}

impl Keys {
    fn seal(&self, purpose: &str, plain: &[u8]) -> Result<String, CannotEncrypt> {
        let key = self.by_id.get(&self.current).ok_or(CannotEncrypt)?;
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce).map_err(|_| CannotEncrypt)?;
        let mut bytes = Vec::with_capacity(NONCE_BYTES + plain.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(&nonce);
        let mut text = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(purpose), &mut text)
            .map_err(|_| CannotEncrypt)?;
        bytes.append(&mut text);
        Ok(Encrypted::format(&self.current, &bytes))
    }
}

fn decrypt(key: &LessSafeKey, purpose: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (nonce, text) = bytes.split_first_chunk_mut::<NONCE_BYTES>()?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key.open_in_place(nonce, Aad::from(purpose), text).ok()?;
    Some(plain.to_vec())
}

/// The cipher of a key in base64. The bytes of the key are erased when it returns.
fn cipher(key: &SecretString) -> Result<LessSafeKey, BadKey> {
    let bytes = BASE64
        .decode(key.expose_secret())
        .map_err(|_| BadKey::NotBase64)?;
    let bytes = SecretSlice::from(bytes);
    let bytes = bytes.expose_secret();
    let key = UnboundKey::new(&AES_256_GCM, bytes);
    key.map(LessSafeKey::new)
        .map_err(|_| BadKey::WrongLength(bytes.len()))
}
