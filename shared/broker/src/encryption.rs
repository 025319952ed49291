//! Encryption of what the broker stores itself: messages, documents, checkpoints.

use std::borrow::Cow;

use longshore_protocol::{
    checkpoint::Checkpoint,
    encryption::{CannotEncrypt, UnopenedField},
    envelope::RawMessage,
};

use crate::{Broker, BrokerError, Delivery};

/// The field of an entry that holds a job as JSON, and the purpose of its value.
const JOB: &str = "job";

/// The same of a chain.
const CHAIN: &str = "chain";

impl Broker {
    /// The message of a job in JSON, as it is stored.
    pub(crate) fn stored_job<'j>(&self, job: &'j str) -> Result<Cow<'j, str>, CannotEncrypt> {
        self.keyring.sealed_text(JOB, job)
    }

    /// The document of a chain, as it is stored.
    pub(crate) fn stored_chain<'j>(&self, chain: &'j str) -> Result<Cow<'j, str>, CannotEncrypt> {
        self.keyring.sealed_text(CHAIN, chain)
    }

    /// The document of a chain that is stored; the same if no key decrypts it.
    pub(crate) fn opened_chain(&self, stored: String) -> String {
        self.keyring.opened_text(CHAIN, stored)
    }

    /// A message as it is stored.
    pub(crate) fn stored_message(&self, message: &RawMessage) -> Result<RawMessage, CannotEncrypt> {
        let mut stored = message.clone();
        self.keyring.seal_message(&mut stored)?;
        Ok(stored)
    }

    /// A stored message, as far as the keys decrypt it; and the first field that they do not.
    pub(crate) fn opened_message(
        &self,
        mut message: RawMessage,
    ) -> (RawMessage, Option<UnopenedField>) {
        let unopened = self.keyring.open_message(&mut message).err();
        (message, unopened)
    }

    /// The stored form of a checkpoint.
    pub(crate) fn checkpoint_json(&self, checkpoint: &Checkpoint) -> Result<String, BrokerError> {
        let checkpoint = self.keyring.sealed(checkpoint)?;
        serde_json::to_string(&*checkpoint)
            .map_err(|error| BrokerError::not_serializable("checkpoint", error))
    }

    /// What parking stores of a message instead of the fields of its entry, as the scripts read it: a JSON list of names
    /// and encrypted values in turn. Empty without keys, and for a name that is not UTF-8, which no worker parks.
    pub(crate) fn parked_argument(&self, delivery: &Delivery) -> Result<String, BrokerError> {
        let Some(message) = &delivery.to_encrypt else {
            return Ok(String::new());
        };
        let stored = self.stored_message(message)?;
        let parts = stored.fields.iter().flat_map(|(name, value)| [name, value]);
        let parts: Result<Vec<&str>, _> = parts.map(|part| std::str::from_utf8(part)).collect();
        let Ok(parts) = parts else {
            return Ok(String::new());
        };
        serde_json::to_string(&parts)
            .map_err(|error| BrokerError::not_serializable("message", error))
    }
}
