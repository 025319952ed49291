//! The messages of a conversation, in the forms of OpenAI's Chat Completions.

use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

use super::tools::ToolCall;

string_enum! {
    /// The author of a chat message.
    Role {
        /// Instructions.
        System = "system",
        /// The person or program that asks.
        User = "user",
        /// The model.
        Assistant = "assistant",
        /// A tool that the model has called.
        Tool = "tool",
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatMessage {
    pub role: Role,
    pub content: Content,
    /// The calls that the model asked for; of the assistant only.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool answers; of tools only.
    pub tool_call_id: Option<String>,
    /// Other members that the producer sent with the message; passed on to OpenAI-compatible providers.
    pub extra: Map<String, Value>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Image {
        source: ImageSource,
        /// How closely the model looks at it: `auto`, `low` or `high`.
        detail: Option<String>,
    },
    File {
        data: InlineData,
        filename: Option<String>,
    },
    Audio {
        /// `wav` or `mp3`.
        format: String,
        base64: String,
    },
}

impl Part {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image { .. } | Self::File { .. } | Self::Audio { .. } => None,
        }
    }

    fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image { .. } | Self::File { .. } | Self::Audio { .. } => None,
        }
    }
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// At an address from which the provider fetches it.
    Url(String),
    Inline(InlineData),
}

/// Data within the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineData {
    /// Such as `image/png`.
    pub media_type: String,
    pub base64: String,
}

impl InlineData {
    /// The data of a `data:` URL in base64.
    pub fn parse(url: &str) -> Option<Self> {
        let (media_type, base64) = url.strip_prefix("data:")?.split_once(";base64,")?;
        let is_type =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '+' | '-' | '_');
        let is_named = media_type.contains('/') && media_type.chars().all(is_type);
        (is_named && is_base64(base64)).then(|| Self {
            media_type: media_type.to_owned(),
            base64: base64.to_owned(),
        })
    }

    /// The data as a URL.
    pub fn to_url(&self) -> String {
        format!("data:{};base64,{}", self.media_type, self.base64)
    }
}

/// Whether a text has the characters and the length of base64.
pub(crate) fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_digit = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    !digits.is_empty()
        && text.len() - digits.len() <= 2
        && text.len().is_multiple_of(4)
        && digits.bytes().all(is_digit)
}

/// The bytes that a base64 text stands for.
pub fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

impl ChatMessage {
    /// A message that is only text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: Content::Text(text.into()),
            tool_calls: Vec::new(),
            tool_call_id: None,
            extra: Map::new(),
        }
    }

    /// All text of the message.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.content {
            Content::Text(text) => text.into(),
            Content::Parts(_) => self.texts().collect::<Vec<_>>().join("\n").into(),
        }
    }

    /// The texts of the message, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (whole, parts) = match &self.content {
            Content::Text(text) => (Some(text.as_str()), &[][..]),
            Content::Parts(parts) => (None, parts.as_slice()),
        };
        whole.into_iter().chain(parts.iter().filter_map(Part::text))
    }

    /// The same, to change them.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let (whole, parts) = match &mut self.content {
            Content::Text(text) => (Some(text), &mut [][..]),
            Content::Parts(parts) => (None, parts.as_mut_slice()),
        };
        whole
            .into_iter()
            .chain(parts.iter_mut().filter_map(Part::text_mut))
    }

    /// The parts of the message; none if it is only text.
    pub fn parts(&self) -> &[Part] {
        match &self.content {
            Content::Text(_) => &[],
            Content::Parts(parts) => parts,
        }
    }

    /// The same, to change them.
    pub fn parts_mut(&mut self) -> &mut [Part] {
        match &mut self.content {
            Content::Text(_) => &mut [],
            Content::Parts(parts) => parts,
        }
    }

    /// Whether the message is only calls of tools.
    pub fn has_no_content(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.is_empty())
            && !self.tool_calls.is_empty()
    }

    /// The members besides role and content, as the producer sent them.
    pub(crate) fn other_members(&self) -> Map<String, Value> {
        let mut members = self.extra.clone();
        if !self.tool_calls.is_empty() {
            members.insert("tool_calls".to_owned(), json!(self.tool_calls));
        }
        if let Some(id) = &self.tool_call_id {
            members.insert("tool_call_id".to_owned(), json!(id));
        }
        members
    }
}

impl Serialize for ChatMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        if self.has_no_content() {
            map.serialize_entry("content", &Value::Null)?;
        } else {
            map.serialize_entry("content", &self.content)?;
        }
        for (name, value) in self.other_members() {
            map.serialize_entry(&name, &value)?;
        }
        map.end()
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Parts(parts) => parts.serialize(serializer),
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Image { source, detail } => {
                let url = match source {
                    ImageSource::Url(url) => url.clone(),
                    ImageSource::Inline(data) => data.to_url(),
                };
                let image = object([
                    ("url", Some(json!(url))),
                    ("detail", detail.as_ref().map(|detail| json!(detail))),
                ]);
                json!({"type": "image_url", "image_url": image})
            }
            Self::File { data, filename } => {
                let file = object([
                    ("file_data", Some(json!(data.to_url()))),
                    ("filename", filename.as_ref().map(|name| json!(name))),
                ]);
                json!({"type": "file", "file": file})
            }
            Self::Audio { format, base64 } => {
                json!({"type": "input_audio", "input_audio": {"data": base64, "format": format}})
            }
        };
        part.serialize(serializer)
    }
}

/// An object of the members that have a value.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    members.into_iter().filter_map(present).collect()
}
