//! Encryption at rest: what Longshore stores of prompts, answers and metadata, as text that only holders of a key can
//! read.
//!
//! A value is encrypted with AES-256-GCM and stored as `enc:v1:KEY:BASE64`, where `KEY` names the key and `BASE64` is the
//! nonce of 12 bytes, the ciphertext and the tag of 16 bytes. Its purpose is authenticated with it, so a value that is
//! moved to another field does not decrypt. `docs/PROTOCOL.md` has the form for producers.

mod content;
mod keyring;
mod message;
#[cfg(test)]
mod tests;
mod value;

pub use self::{
    content::{Content, Metadata, Visitor, unopened_key},
    keyring::{BadKey, Keyring},
    message::UnopenedField,
    value::{CannotDecrypt, CannotEncrypt, KeyId, PREFIX, describe_encrypted, key_of},
};
