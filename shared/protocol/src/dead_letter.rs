//! Dead letters: messages that were given up, with their bytes, reason and history.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::{
    filter::{DeadLetterCursor, DeadLetterFilter, DeadLetterOrder, DeadLetterQuery},
    replaying::PreparedReplay,
};
use crate::{checkpoint::Checkpoint, envelope::MAX_FIELDS, event::DeadLetterRecord};

mod filter;
mod replaying;

/// Bytes that are kept of each name and value of an oversized message.
const HEAD_BYTES: usize = 4096;

/// A dead letter as stored in `{ns}:dead:jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What it is and why it was given up.
    #[serde(flatten)]
    pub record: DeadLetterRecord,
    pub message: StoredMessage,
    /// The job's checkpoint.
    #[serde(rename = "resume")]
    pub checkpoint: Checkpoint,
}

/// A dead letter in Redis: when it was written (ms), its contents, and its JSON as stored.
pub type StoredDeadLetter = (i64, DeadLetter, String);

/// The fields of a message in a form that fits into JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredMessage {
    /// All names and values, if they are UTF-8.
    Text(Vec<(String, String)>),
    /// All names and values in base64, if they are not UTF-8.
    Base64(Vec<(String, String)>),
    /// Only the start of an oversized message.
    Head {
        /// The first bytes of each name and value, in base64.
        head: Vec<(String, String)>,
        /// Bytes of the whole message.
        length: usize,
        /// SHA-256 of all names and values, in hex.
        sha256: String,
    },
}

impl StoredMessage {
    /// Stores a whole message; only its start if it has too many fields to be enqueued again.
    pub fn whole(fields: &[(Vec<u8>, Vec<u8>)]) -> Self {
        if fields.len() > MAX_FIELDS {
            return Self::head(fields);
        }
        let text: Result<Vec<_>, _> = fields
            .iter()
            .map(|(name, value)| {
                Ok::<_, std::str::Utf8Error>((
                    std::str::from_utf8(name)?.to_owned(),
                    std::str::from_utf8(value)?.to_owned(),
                ))
            })
            .collect();
        text.map_or_else(
            |_| {
                Self::Base64(
                    fields
                        .iter()
                        .map(|(name, value)| (BASE64.encode(name), BASE64.encode(value)))
                        .collect(),
                )
            },
            Self::Text,
        )
    }

    /// Stores the first bytes of an oversized message, its length and its hash.
    pub fn head(fields: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut hash = Sha256::new();
        for (name, value) in fields {
            hash.update(name);
            hash.update(value);
        }
        let cut = |bytes: &[u8]| BASE64.encode(bytes.get(..HEAD_BYTES).unwrap_or(bytes));
        Self::Head {
            head: fields
                .iter()
                .take(16)
                .map(|(name, value)| (cut(name), cut(value)))
                .collect(),
            length: fields
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
            sha256: hex(&hash.finalize()),
        }
    }

    /// The message's fields; `None` if it was stored truncated.
    pub fn fields(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        match self {
            Self::Text(fields) => Some(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
                    .collect(),
            ),
            Self::Base64(fields) => fields
                .iter()
                .map(|(name, value)| Some((BASE64.decode(name).ok()?, BASE64.decode(value).ok()?)))
                .collect(),
            Self::Head { .. } => None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let text = vec![(
            b"job".to_vec(),
            "{\"prompt\":\"\u{1f600}\"}".as_bytes().to_vec(),
        )];
        let bytes = vec![(b"job".to_vec(), vec![0, 159, 146, 150])];
        for fields in [text, bytes] {
            let kept = StoredMessage::whole(&fields);
            let json = serde_json::to_string(&kept).unwrap();
            let back: StoredMessage = serde_json::from_str(&json).unwrap();
            assert_eq!(back.fields().unwrap(), fields);
        }
    }

    #[test]
    fn a_message_with_too_many_fields_cannot_be_replayed() {
        let fields = |count: usize| vec![(b"f".to_vec(), b"v".to_vec()); count];
        assert!(StoredMessage::whole(&fields(MAX_FIELDS)).fields().is_some());
        let stored = StoredMessage::whole(&fields(MAX_FIELDS + 1));
        assert!(matches!(stored, StoredMessage::Head { .. }));
    }

    #[test]
    fn of_an_oversized_message_the_head_stays() {
        let kept = StoredMessage::head(&[(b"job".to_vec(), vec![b'x'; 5_000_000])]);
        let StoredMessage::Head {
            head,
            length,
            sha256,
        } = &kept
        else {
            panic!("{kept:?}")
        };
        assert_eq!(*length, 5_000_003);
        assert_eq!(sha256.len(), 64);
        assert!(head[0].1.len() < 6000);
        assert!(kept.fields().is_none());
    }
}
