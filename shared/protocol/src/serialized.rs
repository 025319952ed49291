//! A value in its JSON text, with its type.
//!
//! Facts of a job cross the edge to Redis as text: the script stores the text, and a step that is repeated
//! after a lost reply must send the same bytes. The type keeps an event from being passed as a checkpoint.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

/// The bytes that most values fit into.
const TYPICAL_LENGTH: usize = 1024;

/// The JSON of a `T`.
pub struct Serialized<T> {
    text: String,
    value: PhantomData<fn() -> T>,
}

impl<T> Serialized<T> {
    /// Text that Longshore stored earlier. It is checked when it is [parsed](Self::parse).
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            value: PhantomData,
        }
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The JSON as a script's argument: empty for none.
    pub fn argument(value: Option<&Self>) -> &str {
        value.map_or("", Self::as_str)
    }
}

impl<T: Serialize> Serialized<T> {
    /// Serializes a value.
    ///
    /// # Errors
    /// If the value has a map whose keys are not text.
    pub fn new(value: &T) -> Result<Self, serde_json::Error> {
        serialize_as(value)
    }
}

/// Serializes the JSON of a `T` from a view of its parts, which need not be cloned for it.
///
/// # Errors
/// As [`Serialized::new`].
pub(crate) fn serialize_as<T>(view: &impl Serialize) -> Result<Serialized<T>, serde_json::Error> {
    let mut json = Vec::with_capacity(TYPICAL_LENGTH);
    serde_json::to_writer(&mut json, view)?;
    let text = String::from_utf8(json).map_err(serde::ser::Error::custom)?;
    Ok(Serialized::from_stored(text))
}

impl<T: DeserializeOwned> Serialized<T> {
    /// Parses the value.
    ///
    /// # Errors
    /// If the text is not the JSON of a `T`.
    pub fn parse(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}

impl<T> Clone for Serialized<T> {
    fn clone(&self) -> Self {
        Self::from_stored(self.text.clone())
    }
}

impl<T> PartialEq for Serialized<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Serialized<T> {}

impl<T> std::fmt::Debug for Serialized<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

/// Whether a count is left out of a JSON text.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}
