//! Messages: each value of a stream entry may be encrypted.

use super::{
    keyring::Keyring,
    value::{CannotDecrypt, CannotEncrypt},
};
use crate::envelope::RawMessage;

/// What cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct UnopenedField {
    /// The field of the message, or what else it is.
    pub field: String,
    pub reason: CannotDecrypt,
}

impl Keyring {
    /// Encrypts each value of a message, for the name of its field.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn seal_message(&self, message: &mut RawMessage) -> Result<(), CannotEncrypt> {
        for (name, value) in &mut message.fields {
            if let Some(sealed) = self.seal(&String::from_utf8_lossy(name), value)? {
                *value = sealed.into_bytes();
            }
        }
        Ok(())
    }

    /// Decrypts each value of a message that is encrypted.
    ///
    /// # Errors
    /// The first field that cannot be decrypted; it and others like it stay as they are.
    pub fn open_message(&self, message: &mut RawMessage) -> Result<(), UnopenedField> {
        let mut unopened = None;
        for (name, value) in &mut message.fields {
            let Ok(text) = std::str::from_utf8(value) else {
                continue;
            };
            let field = String::from_utf8_lossy(name);
            match self.open(&field, text) {
                Ok(None) => {}
                Ok(Some(plain)) => *value = plain,
                Err(reason) => {
                    unopened.get_or_insert(UnopenedField {
                        field: format!("field `{field}`"),
                        reason,
                    });
                }
            }
        }
        unopened.map_or(Ok(()), Err)
    }
}
