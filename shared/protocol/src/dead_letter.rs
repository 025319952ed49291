//! Dead letters: what could not be done, with its bytes, its reason and its history.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::{
    filter::{DeadCursor, DeadFilter, DeadOrder, DeadQuery},
    replaying::Replaying,
};
use crate::{checkpoint::Resume, event::DeadRecord};

mod filter;
mod replaying;

/// Of an oversized message, so many bytes of each field are kept.
const HEAD_BYTES: usize = 4096;

/// A dead letter as it stands in `{ns}:dead:jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// What it is and why it is here.
    #[serde(flatten)]
    pub record: DeadRecord,
    /// The message, byte for byte.
    pub message: Kept,
    /// What is remembered of the job.
    pub resume: Resume,
}

/// A letter as it stands in Redis, with the time of its death (ms) and its JSON.
pub type Standing = (i64, Letter, String);

/// A message's fields in a form that JSON can carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// All of it is UTF-8.
    Text(Vec<(String, String)>),
    /// It is not: base64.
    Base64(Vec<(String, String)>),
    /// It was too large to keep.
    Head {
        /// The first bytes of each field's value, base64.
        head: Vec<(String, String)>,
        /// Bytes of the whole message.
        length: usize,
        /// SHA-256 of all names and values, in hex.
        sha256: String,
    },
}

impl Kept {
    /// Keeps all of a message.
    pub fn whole(fields: &[(Vec<u8>, Vec<u8>)]) -> Self {
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

    /// Keeps the head of an oversized message, its length and a hash.
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

    /// The message's fields, if all of it was kept.
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
            let kept = Kept::whole(&fields);
            let json = serde_json::to_string(&kept).unwrap();
            let back: Kept = serde_json::from_str(&json).unwrap();
            assert_eq!(back.fields().unwrap(), fields);
        }
    }

    #[test]
    fn of_an_oversized_message_the_head_stays() {
        let kept = Kept::head(&[(b"job".to_vec(), vec![b'x'; 5_000_000])]);
        let Kept::Head {
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
