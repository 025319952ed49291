//! The stored form of an encrypted value.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// How every encrypted value begins.
pub const PREFIX: &str = "enc:v1:";

/// The most characters of the name of a key.
const LONGEST_KEY_ID: usize = 32;

/// Bytes of the nonce.
pub(super) const NONCE_BYTES: usize = 12;

/// Bytes of the authentication tag.
const TAG_BYTES: usize = 16;

/// The name of a key: 1 to 32 characters of `[a-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Checks the form of a name; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=LONGEST_KEY_ID).contains(&text.len()) && text.bytes().all(is_of_key_id);
        fits.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_of_key_id(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Why a value was not decrypted. Says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecrypt {
    /// The keyring lacks its key.
    #[error(
        "it is encrypted with the key `{0}`, which is not in `encryption.keys`; add the key, then replay the job"
    )]
    UnknownKey(KeyId),
    /// The value was changed, belongs to another field, or was encrypted with another key of this name.
    #[error(
        "it is encrypted with the key `{0}` and does not authenticate: the value was changed, was encrypted for another \
         field, or `{0}` is not the key that encrypted it"
    )]
    NotAuthentic(KeyId),
}

/// The system has no randomness for a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value cannot be encrypted: the system provides no random bytes")]
pub struct CannotEncrypt;

/// An encrypted value, taken apart.
pub(super) struct Encrypted {
    pub(super) key: KeyId,
    /// Nonce, ciphertext and tag.
    pub(super) bytes: Vec<u8>,
}

impl Encrypted {
    /// Parses a value; `None` if the text has another form, and so is plain.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, base64) = text.strip_prefix(PREFIX)?.split_once(':')?;
        let key = KeyId::parse(key)?;
        let bytes = BASE64.decode(base64).ok()?;
        (bytes.len() >= NONCE_BYTES + TAG_BYTES).then_some(Self { key, bytes })
    }

    pub(super) fn format(key: &KeyId, bytes: &[u8]) -> String {
        let mut text =
            String::with_capacity(PREFIX.len() + key.0.len() + 1 + bytes.len() / 3 * 4 + 4);
        text.push_str(PREFIX);
        text.push_str(&key.0);
        text.push(':');
        BASE64.encode_string(bytes, &mut text);
        text
    }
}

/// The name of the key that a value is encrypted with; `None` for a plain value.
pub fn key_of(text: &str) -> Option<KeyId> {
    Encrypted::parse(text).map(|encrypted| encrypted.key)
}

/// A text in which every encrypted value is replaced by what `replacement` makes of it; `None` keeps it.
pub(super) fn replace_values(
    text: &str,
    mut replacement: impl FnMut(&str) -> Option<String>,
) -> Cow<'_, str> {
    let Some(first) = memchr::memmem::find(text.as_bytes(), PREFIX.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let (head, mut rest) = text.split_at(first);
    let mut replaced = head.to_owned();
    while !rest.is_empty() {
        let (value, after) = rest.split_at(value_length(rest));
        match replacement(value) {
            Some(plain) => replaced.push_str(&plain),
            None => replaced.push_str(value),
        }
        let next = memchr::memmem::find(after.as_bytes(), PREFIX.as_bytes()).unwrap_or(after.len());
        let (between, others) = after.split_at(next);
        replaced.push_str(between);
        rest = others;
    }
    Cow::Owned(replaced)
}

/// The length of the value that a text begins with.
fn value_length(text: &str) -> usize {
    let after_prefix = text.get(PREFIX.len()..).unwrap_or_default();
    let count =
        |text: &str, fits: fn(u8) -> bool| text.bytes().take_while(|byte| fits(*byte)).count();
    let key = count(after_prefix, is_of_key_id);
    match after_prefix
        .get(key..)
        .and_then(|rest| rest.strip_prefix(':'))
    {
        Some(base64) => PREFIX.len() + key + 1 + count(base64, is_of_base64),
        None => PREFIX.len() + key,
    }
}

/// A text for people in which every encrypted value is named by its key: `(encrypted with key k1)`.
pub fn describe_encrypted(text: &str) -> Cow<'_, str> {
    replace_values(text, |value| {
        key_of(value).map(|key| format!("(encrypted with key {key})"))
    })
}
